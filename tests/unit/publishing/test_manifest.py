"""A manifest depends on its files and on nothing else; a key is safe whatever the SKU."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_core.catalogue import path_safe
from zimage_core.domain import Rendition
from zimage_core.errors import PublishError, StorageError
from zimage_core.publishing.manifest import (
    ManifestEntry,
    build_manifest,
    parse_manifest,
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
