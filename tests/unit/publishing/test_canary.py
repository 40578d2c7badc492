"""The canary sees what readers see: real pictures over a real socket, and servers that spoil them in every way."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from free_ports import free_port
from small_servers import Answer, Seen, serving

from zimage_core.errors import PublishError
from zimage_core.imaging.encode import FORMATS, encode
from zimage_core.publishing.canary import CanaryLimits, canary, choose_sample, look_at_published
from zimage_core.publishing.manifest import FileLabels, Manifest, ManifestEntry, SrcsetEntry, build_manifest
from zimage_core.publishing.release import current_release, publish_release
from zimage_core.publishing.seal import SealFacts, expected_seal, seal_packet
from zimage_core.storage import IMMUTABLE, LocalStore, content_type_of

PLACES = (("taobao_main", "jpeg"), ("shopify", "webp"), ("jd", "jpeg"), ("web", "avif"), ("amazon_main", "png"))
QUICK = CanaryLimits(file_s=5.0, total_s=20.0)
Spoil = Callable[[Seen, Answer], Answer]


def facts(engine: str, number: int) -> SealFacts:
    return SealFacts(
        engine=engine,
        engine_version="1",
        mode="stage",
        content_id=f"{number:016x}",
        alt_text=f"白瓷马克杯 {number}",
        language="zh",
    )


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[LocalStore, Manifest]:
    """A store with three products for every channel, labelled, each with one other size, and their manifest."""
    store = LocalStore(tmp_path_factory.mktemp("cdn"), durable=False)
    entries: list[ManifestEntry] = []
    for number, (channel, form) in enumerate(PLACES * 3):
        seal = facts("diffusers" if number % 2 else "studio", number)
        stored: list[SrcsetEntry] = []
        for side_px in (48, 24):
            rgb = np.full((side_px, side_px, 3), 40 + 10 * number, np.uint8)
            made = encode(rgb, form, max_bytes=100_000, xmp=seal_packet(seal))
            sha256 = hashlib.sha256(made.data).hexdigest()
            key = f"img/SKU 杯{number}/{channel}-{side_px}.{sha256[:16]}.{made.extension}"
            store.put(key, made.data, content_type=made.media_type)
            stored.append(SrcsetEntry(key, sha256, len(made.data), side_px, side_px, made.media_type))
        own = dataclasses.asdict(stored[0])
        expected = expected_seal(seal)
        labels = FileLabels(expected.digital_source_type, bool(expected.aigc), False)
        entries.append(
            ManifestEntry(
                sku=f"SKU{number}",
                scene="studio",
                channel=channel,
                alt_text=seal.alt_text,
                grade="A",
                labels=labels,
                srcset=(stored[1],),
                **own,
            )
        )
    return store, build_manifest("618", entries)


def shop(store: LocalStore, spoil: Spoil = lambda _, answer: answer) -> Callable[[Seen], Answer]:
    """Serve a store's files as a well-kept CDN does, then let `spoil` have its way with the answer."""

    def answer(seen: Seen) -> Answer:
        key = unquote(seen.path).removeprefix("/shop/")
        if not store.exists(key):
            return Answer(404, b"not here")
        headers = {"Content-Type": content_type_of(key) or "", "Cache-Control": IMMUTABLE}
        return spoil(seen, Answer(200, store.get(key), headers))

    return answer


def with_headers(**changes: str) -> Spoil:
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return lambda _, answer: dataclasses.replace(answer, headers=answer.headers | named)


def look(manifest: Manifest, url: str, limits: CanaryLimits = QUICK) -> object:
    return look_at_published(manifest, public_url=f"{url}/shop", limits=limits, sleep=lambda _: None)


def test_a_well_kept_shop_passes_and_every_channel_and_format_was_asked_for(
    shelf: tuple[LocalStore, Manifest],
) -> None:
    store, manifest = shelf
    well_kept, together, arrivals = shop(store), threading.Barrier(2), itertools.count()

    def answer(seen: Seen) -> Answer:
        if next(arrivals) < 2:
            together.wait(timeout=10)  # the first two are answered once both are there, however fast an answer is
        return well_kept(seen)

    with serving(answer) as server:
        seen = look_at_published(manifest, public_url=f"{server.url}/shop/", limits=QUICK)
    assert seen.files == QUICK.sample
    asked = [unquote(one.path) for one in server.seen]
    for channel, form in PLACES:
        for side_px in (48, 24):
            assert any(f"{channel}-{side_px}." in path and path.endswith(FORMATS[form].extension) for path in asked)
    assert 1 < server.most_at_a_time <= QUICK.threads
    assert {one.headers["accept-encoding"] for one in server.seen} == {"identity"}


def test_the_sample_is_bounded_the_same_for_one_release_and_covers_what_there_is(
    shelf: tuple[LocalStore, Manifest],
) -> None:
    _, manifest = shelf
    assert choose_sample(manifest, 12) == choose_sample(manifest, 12)
    assert len(choose_sample(manifest, 12)) == 12
    assert len(choose_sample(manifest, 1)) == 2 * len(PLACES), "one of each kind comes first"
    assert len(choose_sample(manifest, 1000)) == 30
    assert len({one.file.key for one in choose_sample(manifest, 1000)}) == 30


def flip_last(_: Seen, answer: Answer) -> Answer:
    return dataclasses.replace(answer, body=answer.body[:-1] + bytes((answer.body[-1] ^ 1,)))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (flip_last, "the bytes are not those that the release lists"),
        (lambda _, a: dataclasses.replace(a, body=a.body[:-9]), "bytes came, announced as"),
        (lambda _, a: dataclasses.replace(a, body=a.body + b"x" * 2000), r"bytes came|up to [\d,]+ are taken"),
        (lambda _, a: dataclasses.replace(a, status=404), "the server answered 404"),
        (lambda _, a: dataclasses.replace(a, status=403), "the server answered 403"),
        (lambda _, a: dataclasses.replace(a, status=206), "the server answered 206"),
        (lambda _, a: dataclasses.replace(a, status=503), "the server answered 503"),
        (lambda _, a: dataclasses.replace(a, status=302, headers={"Location": "/elsewhere"}), "redirects"),
        (with_headers(Content_Type="text/plain"), "Content-Type is text/plain instead of image/"),
        (with_headers(Content_Type=""), "Content-Type is missing"),
        (with_headers(Cache_Control=""), "Cache-Control is missing"),
        (with_headers(Cache_Control="public, max-age=60"), "Cache-Control is public, max-age=60"),
        (with_headers(Cache_Control="private, max-age=31536000"), "Cache-Control is private"),
        (with_headers(Cache_Control="max-age=never"), "Cache-Control is max-age=never"),
        (lambda _, a: dataclasses.replace(a, drop=True), "broke off"),
        (lambda _, a: dataclasses.replace(a, cut_bytes=40), "broke off|bytes came"),
    ],
)
def test_whatever_readers_would_not_get_as_listed_is_told(
    shelf: tuple[LocalStore, Manifest], spoil: Spoil, said: str
) -> None:
    store, manifest = shelf
    with (
        serving(shop(store, spoil)) as server,
        pytest.raises(PublishError, match=rf"(?s)nothing was switched: img/.*({said})") as caught,
    ):
        look(manifest, server.url)
    assert "And 19 more." in str(caught.value), "five are shown, and how many there are"


@pytest.mark.parametrize("answer", [Answer(stall=True), Answer(200, b"x" * 50, drip_s=0.2), Answer(header_drip_s=0.2)])
def test_a_server_that_is_silent_or_drips_is_left_in_time(shelf: tuple[LocalStore, Manifest], answer: Answer) -> None:
    _, manifest = shelf
    limits = CanaryLimits(sample=1, file_s=0.3, total_s=1.0, tries=2)
    with serving(lambda _: answer) as server, pytest.raises(PublishError, match=r"gave no whole answer|were over"):
        look(manifest, server.url, limits)


def test_nobody_listening_is_told(shelf: tuple[LocalStore, Manifest]) -> None:
    with pytest.raises(PublishError, match="cannot be reached"):
        look(shelf[1], f"http://127.0.0.1:{free_port()}")


def test_what_passes_is_tried_again(shelf: tuple[LocalStore, Manifest]) -> None:
    store, manifest = shelf
    asked: set[str] = set()

    def busy_at_first(seen: Seen, answer: Answer) -> Answer:
        first = seen.path not in asked
        asked.add(seen.path)
        return Answer(503, b"busy") if first else answer

    with serving(shop(store, busy_at_first)) as server:
        look(manifest, server.url)


def test_labels_that_a_cdn_took_out_of_the_picture_are_missed_although_the_bytes_match(
    shelf: tuple[LocalStore, Manifest], tmp_path: Path
) -> None:
    """The manifest lists the bare file's own hash: what was stored had lost its labels already."""
    store = LocalStore(tmp_path, durable=False)
    data = encode(np.zeros((8, 8, 3), np.uint8), "jpeg", max_bytes=9999).data
    store.put("img/bare.jpg", data, content_type="image/jpeg")
    bare = dataclasses.replace(
        shelf[1].entries[0],
        key="img/bare.jpg",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        media_type="image/jpeg",
        srcset=(),
    )
    with serving(shop(store)) as server, pytest.raises(PublishError, match="carries no XMP packet"):
        look(build_manifest("618", [bare]), server.url)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": FileLabels("http://cv.iptc.org/newscodes/digitalsourcetype/composite", True, False)}, "AIGC|says"),
        ({"labels": FileLabels("http://example.org/other", False, False)}, "of its making"),
        ({"alt_text": "something else"}, "alternative text"),
    ],
)
def test_labels_that_are_not_the_listed_ones_are_told(
    shelf: tuple[LocalStore, Manifest], changes: dict[str, object], said: str
) -> None:
    store, manifest = shelf
    spoilt = build_manifest("618", [dataclasses.replace(e, **changes) for e in manifest.entries])  # type: ignore[arg-type]
    with serving(shop(store)) as server, pytest.raises(PublishError, match=said):
        look(spoilt, server.url)


def test_a_release_that_readers_would_not_get_is_not_switched_to(shelf: tuple[LocalStore, Manifest]) -> None:
    store, manifest = shelf
    old = build_manifest("black_friday", manifest.entries[:3])
    new = build_manifest("black_friday", manifest.entries)
    with serving(shop(store)) as server:
        publish_release(store, old, look=canary(f"{server.url}/shop", QUICK))
    once = dataclasses.replace(QUICK, tries=1)
    with serving(shop(store, flip_last)) as server, pytest.raises(PublishError):
        publish_release(store, new, look=canary(f"{server.url}/shop", once))
    live = current_release(store, "black_friday")
    assert live is not None
    assert live.release_id == old.release_id
    assert canary(None) is None
