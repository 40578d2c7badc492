"""A manifest depends on its files and on nothing else; a key is safe whatever the SKU."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_core.catalogue import path_safe
from zimage_core.domain import Labels, Rendition, SizedFile
from zimage_core.errors import PublishError, StorageError
from zimage_core.publishing import manifest as manifests
from zimage_core.publishing.manifest import (
    FileLabels,
    ManifestEntry,
    SrcsetEntry,
    build_manifest,
    channel_manifest,
    manifest_schema,
    parse_manifest,
    public_file_url,
    rendition_key,
)
from zimage_core.storage import check_key

ENTRY = ManifestEntry(
    sku="MUG-0101",
    scene="packshot",
    channel="taobao_main",
    key="img/MUG-0101/packshot-taobao_main-800x800.0123456789abcdef.jpg",
    sha256="0123456789abcdef" * 4,
    size_bytes=12,
    width_px=800,
    height_px=800,
    media_type="image/jpeg",
    alt_text="素白马克杯",
    grade="A",
)


FULL = dataclasses.replace(
    ENTRY,
    labels=FileLabels("http://cv.iptc.org/newscodes/digitalsourcetype/composite", ai_generated=False, visible=True),
    srcset=(SrcsetEntry("img/MUG-0101/a b.webp", "f" * 64, 9, 400, 400, "image/webp"),),
)
OLD = """{
 "files": [
  {
   "alt_text": "素白马克杯",
   "channel": "taobao_main",
   "grade": "A",
   "height_px": 800,
   "key": "img/MUG-0101/packshot-taobao_main-800x800.0123456789abcdef.jpg",
   "media_type": "image/jpeg",
   "scene": "packshot",
   "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
   "size_bytes": 12,
   "sku": "MUG-0101",
   "width_px": 800
  }
 ],
 "format": "zimage-manifest/1",
 "promotion": "618"
}
""".encode()


def entry(**changes: object) -> ManifestEntry:
    return dataclasses.replace(ENTRY, **changes)  # type: ignore[arg-type]


def test_the_order_of_files_does_not_matter() -> None:
    files = [entry(sku=f"S{n}", key=f"img/S{n}/a.jpg") for n in range(5)]
    assert build_manifest("618", files).data == build_manifest("618", reversed(files)).data
    assert build_manifest("618", files).release_id == build_manifest("618", files[::-1]).release_id


def test_any_change_of_any_file_is_another_release() -> None:
    base = build_manifest("618", [ENTRY]).release_id
    for change in ({"sha256": "f" * 64}, {"alt_text": "x"}, {"grade": "B"}, {"size_bytes": 13}):
        assert build_manifest("618", [entry(**change)]).release_id != base
    assert build_manifest("1111", [ENTRY]).release_id != base


def test_it_reads_back_as_it_was_and_holds_chinese_as_chinese() -> None:
    manifest = build_manifest("618", [ENTRY])
    assert parse_manifest(manifest.data) == manifest
    assert "素白马克杯".encode() in manifest.data
    assert manifest.key == f"releases/618/{manifest.release_id}.json"
    assert json.loads(manifest.data)["files"][0]["grade"] == "A"


def test_the_same_file_listed_twice_is_one_and_two_files_for_one_place_are_refused() -> None:
    assert len(build_manifest("618", [ENTRY, ENTRY]).entries) == 1
    with pytest.raises(PublishError, match=r"Two files claim the scene packshot for taobao_main.*sku=MUG-0101"):
        build_manifest("618", [ENTRY, entry(key="img/MUG-0101/other.jpg")])


def test_a_release_without_files_would_empty_the_shop_and_is_refused() -> None:
    with pytest.raises(PublishError, match="nothing to publish"):
        build_manifest("618", [])


@pytest.mark.parametrize("promotion", ["", "a/b", "..", "a\nb"])
def test_a_promotion_that_cannot_be_a_path_segment_is_refused(promotion: str) -> None:
    with pytest.raises(PublishError):
        build_manifest(promotion, [ENTRY])


def test_a_key_that_leaves_the_store_is_refused() -> None:
    with pytest.raises(PublishError, match="cannot be stored"):
        build_manifest("618", [entry(key="../../etc/passwd")])


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"\xff", b'{"format":"zimage-manifest/1","promotion":"618","files":[{"sku":"x"}]}'],
)
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(PublishError, match="not a manifest"):
        parse_manifest(data)


def test_a_manifest_somebody_reformatted_is_refused() -> None:
    data = build_manifest("618", [ENTRY]).data
    with pytest.raises(PublishError, match="not in its canonical form"):
        parse_manifest(data.replace(b"\n", b""))


def test_an_entry_is_made_from_a_rendition() -> None:
    rendition = Rendition(
        "r", "s", "a", "MUG", "studio", "shopify", "img/k.webp", "0" * 64, 9, 10, 11, "image/webp", "alt"
    )
    made = ManifestEntry.of(rendition, "B")
    assert (made.sku, made.key, made.width_px, made.height_px, made.grade) == ("MUG", "img/k.webp", 10, 11, "B")


def test_a_rendition_brings_its_labels_and_other_sizes() -> None:
    rendition = Rendition(
        *("r", "s", "a", "MUG", "studio", "shopify", "img/k.webp", "0" * 64, 9, 10, 11, "image/webp", "alt"),  # type: ignore[arg-type]
        labels=Labels("http://cv.iptc.org/newscodes/digitalsourcetype/composite", True),
        srcset=(SizedFile("img/s.webp", "1" * 64, 5, 4, 4, "image/webp"),),
    )
    made = ManifestEntry.of(rendition, "A")
    assert made.labels == FileLabels(rendition.labels.digital_source_type, True, False)  # type: ignore[union-attr]
    assert [file.key for file in made.files()] == ["img/k.webp", "img/s.webp"]
    with pytest.raises(PublishError, match=r"cannot be listed: sha256.*sku=MUG"):
        ManifestEntry.of(dataclasses.replace(rendition, sha256="short"), "A")


def test_a_manifest_of_the_first_format_is_read_byte_for_byte() -> None:
    old = parse_manifest(OLD)
    assert (old.entries, old.data, old.channel) == ((ENTRY,), OLD, None)
    assert old.key == f"releases/618/{old.release_id}.json"
    assert build_manifest("618", old.entries).release_id != old.release_id
    with pytest.raises(PublishError, match="canonical"):
        parse_manifest(OLD.replace(b' "promotion"', b' "channel": null,\n "promotion"').replace(b"/1", b"/2"))


def test_every_file_gets_the_url_under_which_readers_find_it() -> None:
    (made,) = build_manifest("618", [FULL], public_url="https://cdn.example.cn/shop/").entries
    assert made.url == "https://cdn.example.cn/shop/img/MUG-0101/packshot-taobao_main-800x800.0123456789abcdef.jpg"
    assert made.srcset[0].url == "https://cdn.example.cn/shop/img/MUG-0101/a%20b.webp"
    manifest = build_manifest("618", [FULL], public_url="https://cdn.example.cn/shop")
    assert parse_manifest(manifest.data) == manifest


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.cn",
        "https://",
        "x.cn",
        "http://[",
        "https://u:p@x.cn",
        "https://x.cn/?a",
        "https://x.cn#a",
        "https:// x",
    ],
)
def test_a_public_url_that_leads_nowhere_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(PublishError, match="PUBLIC_URL") as caught:
        public_file_url(url, "img/a.jpg")
    assert url not in str(caught.value)


def test_a_url_that_leads_elsewhere_is_refused() -> None:
    for url in ("https://evil.cn/other.jpg", "javascript:alert(1)//" + ENTRY.key, "https://a@b.cn/" + ENTRY.key):
        with pytest.raises(PublishError):
            build_manifest("618", [entry(url=url)])


def test_a_channel_has_a_part_of_its_own_which_may_be_empty() -> None:
    manifest = build_manifest("618", [ENTRY, entry(channel="jd", key="img/jd.jpg")])
    part = channel_manifest(manifest, "jd")
    assert [e.channel for e in part.entries] == ["jd"]
    assert part.key == f"releases/618/channels/jd/{part.release_id}.json"
    assert parse_manifest(part.data) == part
    empty = channel_manifest(manifest, "amazon_main")
    assert parse_manifest(empty.data) == empty
    assert manifest.channels == ("jd", "taobao_main")
    with pytest.raises(PublishError, match="lists no files"):
        parse_manifest(empty.data.replace(b'"amazon_main"', b"null"))
    with pytest.raises(PublishError, match="stands in the manifest of jd"):
        parse_manifest(manifest.data.replace(b'"channel": null', b'"channel": "jd"'))


def test_the_shipped_schema_is_the_one_of_the_code_and_fits_what_is_written() -> None:
    shipped = json.loads(Path(manifests.__file__).with_name("manifest.schema.json").read_text("utf-8"))
    assert shipped == manifest_schema()
    check = jsonschema.Draft202012Validator(shipped)
    check.check_schema(shipped)
    full = build_manifest("618", [FULL], public_url="https://cdn.example.cn")
    for manifest in (full, build_manifest("618", [ENTRY]), channel_manifest(full, "none")):
        check.validate(json.loads(manifest.data))
    for spoilt in ({"sha256": "x"}, {"size_bytes": 0}, {"grade": "E"}, {"surprise": 1}, {"channel": "a/b"}):
        document = json.loads(full.data)
        document["files"][0] |= spoilt
        assert not check.is_valid(document)
        with pytest.raises(PublishError, match="not a manifest"):
            parse_manifest(json.dumps(document).encode())


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_bytes_are_read_or_refused(data: bytes | str) -> None:
    with pytest.raises(PublishError):
        parse_manifest(data if isinstance(data, bytes) else data.encode("utf-8", "replace"))


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"format":"zimage-manifest/2","promotion":' + b"9" * 50_000 + b"}",
        b'{"format":"zimage-manifest/2","promotion":"\\ud800","channel":null,"files":[]}',
        b'{"format":"zimage-manifest/3","promotion":"618","channel":null,"files":[]}',
        b'{"format":"zimage-manifest/2","format":"zimage-manifest/1","promotion":"618","files":[]}',
    ],
    ids=["deep", "a huge number", "half a surrogate", "a later format", "a name twice"],
)
def test_bytes_made_to_hurt_are_refused(data: bytes) -> None:
    with pytest.raises(PublishError, match="manifest") as caught:
        parse_manifest(data)
    assert len(str(caught.value)) < 500


@given(st.data())
def test_a_manifest_changed_anywhere_is_refused_or_is_another_release(data: st.DataObject) -> None:
    good = build_manifest("618", [FULL], public_url="https://cdn.example.cn")
    at = data.draw(st.integers(0, len(good.data) - 1))
    spoilt = good.data[:at] + data.draw(st.binary(min_size=1, max_size=1)) + good.data[at + 1 :]
    try:
        read = parse_manifest(spoilt)
    except PublishError:
        return
    assert read.data == spoilt
    assert (read == good) is (spoilt == good.data)


@given(st.lists(st.text(min_size=1, max_size=60), min_size=2, max_size=2, unique=True))
def test_slugs_are_safe_and_never_shared(skus: list[str]) -> None:
    slugs = [path_safe(sku) for sku in skus]
    assert len(set(slugs)) == 2
    for slug in slugs:
        check_key(rendition_key(slug, "studio", "shopify", 10, 10, "a" * 64, "webp"))


def test_a_rendition_key_names_place_size_and_content() -> None:
    key = rendition_key("MUG-0101", "studio", "shopify", 1024, 768, "0123456789abcdef" * 4, "webp")
    assert key == "img/MUG-0101/studio-shopify-1024x768.0123456789abcdef.webp"
    with pytest.raises(StorageError, match="path_safe"):
        rendition_key("a/b", "studio", "shopify", 1, 1, "0" * 64, "webp")
