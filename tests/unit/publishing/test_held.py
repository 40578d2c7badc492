"""Releases that wait: prepared and checked now, live when their time has come, and not before."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standing_clock import StandingClock

from zimage_core.errors import PublishError
from zimage_core.publishing.held import due_releases, go_live, let_go, prepare_release, read_held
from zimage_core.publishing.history import read_history
from zimage_core.publishing.manifest import Manifest, ManifestEntry, build_manifest
from zimage_core.publishing.release import current_release, publish_release, rollback
from zimage_core.storage import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, durable=False)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


def stocked(store: LocalStore, name: str, promotion: str = "618") -> Manifest:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    store.put(f"img/{name}.webp", name.encode(), content_type="image/webp")
    entry = ManifestEntry("S", "studio", "shopify", f"img/{name}.webp", sha256, len(name), 8, 8, "image/webp", "", "A")
    return build_manifest(promotion, [entry])


def live(store: LocalStore, promotion: str = "618") -> str | None:
    release = current_release(store, promotion)
    return None if release is None else release.release_id


def test_preparing_shows_readers_nothing_and_going_live_shows_all(store: LocalStore, clock: StandingClock) -> None:
    a, b = stocked(store, "a"), stocked(store, "b")
    publish_release(store, a)
    held = prepare_release(store, b, by="run 7", now=clock)
    assert live(store) == a.release_id
    assert read_held(store, "618") == (held,)
    assert go_live(store, "618", now=clock).release_id == live(store) == b.release_id
    assert read_held(store) == ()
    note = read_history(store, "618").newest_first()[0]
    assert (note.kind, note.by, note.at, note.files) == ("went_live", "run 7", clock.now, 1)
    assert rollback(store, "618").release_id == a.release_id


def test_a_release_does_not_go_live_before_its_time_unless_somebody_says_so(
    store: LocalStore, clock: StandingClock
) -> None:
    a = stocked(store, "a")
    prepare_release(store, a, not_before=clock.now + timedelta(hours=1), now=clock)
    assert due_releases(store, clock.now) == ()
    with pytest.raises(PublishError, match=rf"{a.release_id} of 618 may not go live before 2026-11-01T09:00\+00:00"):
        go_live(store, "618", now=clock)
    assert live(store) is None
    clock.pass_s(3600)
    assert [held.release_id for held in due_releases(store, clock.now)] == [a.release_id]
    b = stocked(store, "b")
    prepare_release(store, b, not_before=clock.now + timedelta(days=1), now=clock)
    assert go_live(store, "618", b.release_id, early=True, now=clock).release_id == live(store)


def test_of_several_that_are_due_the_latest_goes_live_and_those_it_overtook_are_let_go(
    store: LocalStore, clock: StandingClock
) -> None:
    manifests = {name: stocked(store, name) for name in "abcd"}
    for name, hours in (("b", 2), ("a", 1), ("c", 9), ("d", None)):
        not_before = None if hours is None else clock.now + timedelta(hours=hours)
        prepare_release(store, manifests[name], not_before=not_before, now=clock)
    other = stocked(store, "x", "double11")
    prepare_release(store, other, not_before=clock.now, now=clock)
    clock.pass_s(3 * 3600)
    due = due_releases(store, clock.now)
    assert [(held.promotion, held.release_id) for held in due] == [
        ("618", manifests["b"].release_id),
        ("double11", other.release_id),
    ]
    with pytest.raises(PublishError, match="Several releases of 618 are held, say which"):
        go_live(store, "618", now=clock)
    go_live(store, "618", due[0].release_id, now=clock)
    assert [held.release_id for held in read_held(store, "618")] == [manifests[n].release_id for n in "cd"]
    assert let_go(store, "618", manifests["d"].release_id).release_id == manifests["d"].release_id
    assert len(read_held(store, "618")) == 1


def test_a_held_release_whose_file_has_gone_bad_meanwhile_stays_held(store: LocalStore, clock: StandingClock) -> None:
    a, b = stocked(store, "a"), stocked(store, "b")
    publish_release(store, a)
    prepare_release(store, b, now=clock)
    store.delete("img/b.webp")
    with pytest.raises(PublishError, match="not in the store"):
        go_live(store, "618", now=clock)
    assert live(store) == a.release_id
    assert len(read_held(store, "618")) == 1


def test_what_cannot_go_live_cannot_be_held(store: LocalStore, clock: StandingClock) -> None:
    a = stocked(store, "a")
    with pytest.raises(PublishError, match="time zone"):
        prepare_release(store, a, not_before=datetime(2027, 6, 1), now=clock)  # noqa: DTZ001 - that is the point
    store.delete("img/a.webp")
    with pytest.raises(PublishError, match="not in the store"):
        prepare_release(store, a, now=clock)
    assert read_held(store) == ()


def test_saying_it_twice_is_saying_it_once(store: LocalStore, clock: StandingClock) -> None:
    a = stocked(store, "a")
    prepare_release(store, a, now=clock)
    prepare_release(store, a, not_before=datetime(2027, 6, 1, tzinfo=UTC), now=clock)
    assert [held.not_before for held in read_held(store)] == [datetime(2027, 6, 1, tzinfo=UTC)]
    for _ in range(2):
        assert go_live(store, "618", a.release_id, early=True, now=clock).release_id == a.release_id
    assert len(read_history(store, "618").notes) == 1
    for wrong in (None, "feed"):
        with pytest.raises(PublishError, match=r"No release (feed )?of 618 is held"):
            go_live(store, "618", wrong, now=clock)
    with pytest.raises(PublishError, match="is held"):
        let_go(store, "618", "feed")


def test_a_marker_somebody_edited_is_an_error_not_a_guess(store: LocalStore, clock: StandingClock) -> None:
    held = prepare_release(store, stocked(store, "a"), now=clock)
    store.replace(f"releases/618/held/{held.release_id}.json", b"{}", content_type="application/json")
    with pytest.raises(PublishError, match="is not a release that waits"):
        due_releases(store, clock.now)
