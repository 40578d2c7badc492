"""What is live, since when, by whom, and what can be gone back to."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standing_clock import StandingClock

from zimage_core.errors import PublishError
from zimage_core.publishing.manifest import Manifest, ManifestEntry, build_manifest
from zimage_core.publishing.overview import live_promotion, live_promotions, release_lines
from zimage_core.publishing.release import publish_release, rollback
from zimage_core.storage import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, durable=False)


def stocked(store: LocalStore, name: str, promotion: str = "618", channels: tuple[str, ...] = ("shopify",)) -> Manifest:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    store.put(f"img/{name}.webp", name.encode(), content_type="image/webp")
    key = f"img/{name}.webp"
    return build_manifest(
        promotion,
        [ManifestEntry("S", "studio", c, key, sha256, len(name), 8, 8, "image/webp", "", "A") for c in channels],
    )


def test_every_promotion_says_what_is_live_since_when_and_by_whom(store: LocalStore) -> None:
    clock = StandingClock()
    a, b = stocked(store, "a"), stocked(store, "b", channels=("jd", "shopify"))
    other = stocked(store, "x", "双11")
    publish_release(store, a, by="run 1", now=clock)
    clock.pass_s(60)
    publish_release(store, b, by="run 2", now=clock)
    publish_release(store, other, now=clock)
    first, second = live_promotions(store)
    assert (first.promotion, first.release_id, first.files, first.by) == ("618", b.release_id, 2, "run 2")
    assert (first.since, first.kind, first.channels, first.lagging) == (clock.now, "published", ("jd", "shopify"), ())
    assert (second.promotion, second.by) == ("双11", None)
    clock.pass_s(60)
    rollback(store, "618", by="李倩", now=clock)
    assert [(line.release_id, line.state, line.kind, line.by) for line in release_lines(store, "618")] == [
        (a.release_id, "live", "rolled_back", "李倩"),
        (b.release_id, "kept", "published", "run 2"),
    ]
    publish_release(store, b, by="run 3", now=clock)
    assert [line.state for line in release_lines(store, "618")] == ["live", "previous"]
    store.delete(a.key)
    assert [line.state for line in release_lines(store, "618")] == ["live", "gone"]
    store.delete(b.key)
    with pytest.raises(PublishError, match="is not in the store"):
        live_promotions(store)


def test_a_channel_that_was_left_behind_is_named(store: LocalStore) -> None:
    a, b = (stocked(store, name, channels=("jd", "shopify")) for name in "ab")
    publish_release(store, a)
    before = store.get("current/618/jd.json")
    publish_release(store, b)
    store.replace("current/618/jd.json", before, content_type="application/json")
    live = live_promotion(store, "618")
    assert live is not None
    assert live.lagging == ("jd",)
    publish_release(store, b)
    live = live_promotion(store, "618")
    assert live is not None
    assert live.lagging == ()
    assert live_promotion(store, "never") is None


def test_notes_and_pointers_from_before_times_were_kept_are_read(store: LocalStore) -> None:
    a, b = stocked(store, "a"), stocked(store, "b")
    store.put(a.key, a.data, content_type="application/json")
    pointer = f'{{"manifest_key": "{a.key}", "release_id": "{a.release_id}"}}\n'
    store.replace("current/618.json", pointer.encode(), content_type="application/json")
    note = pointer.replace("{", '{"before": null, ')
    store.put("releases/618/history/000001.json", note.encode(), content_type="application/json")
    (line,) = release_lines(store, "618")
    assert (line.state, line.files, line.at, line.by, line.kind) == ("live", None, None, None, None)
    live = live_promotion(store, "618")
    assert live is not None
    assert (live.since, live.lagging) == (None, ("shopify",))
    publish_release(store, b, now=lambda: datetime(2027, 6, 1, tzinfo=UTC))
    assert rollback(store, "618").release_id == a.release_id
    live = live_promotion(store, "618")
    assert live is not None
    assert live.lagging == ()
