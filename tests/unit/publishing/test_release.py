"""Releases: all or nothing for readers, whole after every crash, and the way back is always open."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from kept_releases import PROMOTION, CrashingStore, live, notes, shown_by, stocked
from standing_clock import StandingClock

from zimage_core.errors import PublishError, StorageError
from zimage_core.publishing.manifest import build_manifest
from zimage_core.publishing.release import (
    check_files,
    current_release,
    list_releases,
    previous_release,
    publish_release,
    read_manifest,
    rollback,
)
from zimage_core.storage import LocalStore, ObjectFacts


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, durable=False)


def test_a_release_is_live_and_its_pointer_says_no_more_than_needed(store: LocalStore) -> None:
    manifest = stocked(store, "a")
    release = publish_release(store, manifest)
    assert release == current_release(store, PROMOTION)
    assert (release.release_id, release.rendition_count) == (manifest.release_id, 3)
    pointer = json.loads(store.get("current/618.json"))
    assert pointer == {"release_id": manifest.release_id, "manifest_key": manifest.key}
    assert read_manifest(store, manifest.key) == manifest


def test_publishing_again_changes_nothing(store: LocalStore) -> None:
    manifest = stocked(store, "a")
    publish_release(store, manifest)
    before = {key: store.get(key) for key in store.list_keys()}
    publish_release(store, manifest)
    assert {key: store.get(key) for key in store.list_keys()} == before


def test_two_machines_that_publish_the_same_write_the_same_bytes(tmp_path: Path) -> None:
    stores = [LocalStore(tmp_path / name, durable=False) for name in ("one", "other")]
    for s in stores:
        for name in ("a", "b"):
            publish_release(s, stocked(s, name), now=StandingClock(), by="run 1")
    one, other = ({key: s.get(key) for key in s.list_keys()} for s in stores)
    assert one == other


@pytest.mark.parametrize("damage", ["missing", "changed", "truncated"])
def test_a_release_with_a_bad_file_is_refused_and_the_old_one_stands(store: LocalStore, damage: str) -> None:
    old = publish_release(store, stocked(store, "a"))
    manifest = stocked(store, "b")
    victim = store.root / manifest.entries[1].key
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_bytes(b"x" * manifest.entries[1].size_bytes if damage == "changed" else b"b pic")
    with pytest.raises(PublishError, match=r"SKU1.*(not in the store|not those that the release lists)"):
        publish_release(store, manifest)
    assert live(store) == old.release_id
    assert list_releases(store, PROMOTION) == (old,)


def test_rolling_back_walks_down_the_line_and_what_was_abandoned_is_skipped(store: LocalStore) -> None:
    a, b, c, d = (stocked(store, name) for name in "abcd")
    for manifest in (a, b, c):
        publish_release(store, manifest)
    assert previous_release(store, PROMOTION) == rollback(store, PROMOTION)
    assert live(store) == b.release_id
    publish_release(store, d)  # stands on b; c was abandoned
    assert rollback(store, PROMOTION).release_id == b.release_id
    assert rollback(store, PROMOTION).release_id == a.release_id
    with pytest.raises(PublishError, match="No release of 618 stood before"):
        rollback(store, PROMOTION)
    assert live(store) == a.release_id


def test_publishing_an_old_release_again_is_a_step_forward(store: LocalStore) -> None:
    a, b = stocked(store, "a"), stocked(store, "b")
    for manifest in (a, b, a):
        publish_release(store, manifest)
    assert live(store) == a.release_id
    assert rollback(store, PROMOTION).release_id == b.release_id
    assert rollback(store, PROMOTION).release_id == a.release_id
    assert previous_release(store, PROMOTION) is None


def test_a_named_release_can_be_gone_back_or_forward_to_and_naming_it_twice_is_once(store: LocalStore) -> None:
    a, b, c = (stocked(store, name) for name in "abc")
    for manifest in (a, b, c):
        publish_release(store, manifest)
    assert rollback(store, PROMOTION, a.release_id).release_id == a.release_id
    count = len(notes(store))
    assert rollback(store, PROMOTION, a.release_id).release_id == a.release_id
    assert len(notes(store)) == count
    assert rollback(store, PROMOTION, c.release_id).release_id == c.release_id
    assert rollback(store, PROMOTION).release_id == b.release_id


def test_an_unknown_release_is_refused_with_the_known_ones(store: LocalStore) -> None:
    with pytest.raises(PublishError, match="Nothing of 618 is live"):
        rollback(store, PROMOTION)
    a = publish_release(store, stocked(store, "a"))
    with pytest.raises(PublishError, match=rf"feed was never a release of 618; known are: {a.release_id}"):
        rollback(store, PROMOTION, "feed")


def test_a_release_whose_files_were_cleaned_away_is_not_gone_back_to(store: LocalStore) -> None:
    a, b = stocked(store, "a"), stocked(store, "b")
    publish_release(store, a)
    publish_release(store, b)
    store.delete(a.entries[0].key)
    with pytest.raises(PublishError, match="not in the store"):
        rollback(store, PROMOTION)
    assert live(store) == b.release_id


def test_promotions_do_not_know_each_other(store: LocalStore) -> None:
    manifest = stocked(store, "a")
    publish_release(store, manifest)
    other = build_manifest("618-vip", manifest.entries)
    publish_release(store, other)
    assert live(store) == manifest.release_id
    assert [r.release_id for r in list_releases(store, PROMOTION)] == [manifest.release_id]
    assert previous_release(store, "618-vip") is None
    assert current_release(store, "never") is None


def test_a_channel_that_a_release_has_nothing_for_shows_nothing_and_comes_back_with_a_rollback(
    store: LocalStore,
) -> None:
    both, one = stocked(store, "a", channels=("shopify", "jd")), stocked(store, "b")
    publish_release(store, both)
    publish_release(store, one)
    assert (shown_by(store, "shopify"), shown_by(store, "jd")) == ({"b"}, set())
    rollback(store, PROMOTION)
    assert (shown_by(store, "shopify"), shown_by(store, "jd")) == ({"a"}, {"a"})


def test_a_channel_whose_files_did_not_change_keeps_its_release(store: LocalStore) -> None:
    a = stocked(store, "a", channels=("shopify", "jd"))
    publish_release(store, a)
    before = store.get("current/618/jd.json")
    new = stocked(store, "b")
    publish_release(store, build_manifest(PROMOTION, [*new.entries, *(e for e in a.entries if e.channel == "jd")]))
    assert store.get("current/618/jd.json") == before
    assert shown_by(store, "shopify") == {"b"}


def test_a_store_that_fails_is_a_storage_error_and_the_old_release_stands(store: LocalStore) -> None:
    a, b = stocked(store, "a"), stocked(store, "b")
    publish_release(store, a)

    class Full(CrashingStore):
        def put(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> bool:
            raise StorageError(f"{key} could not be written: no space left on device.")

    with pytest.raises(StorageError, match="no space left"):
        publish_release(Full(store, 0, after=False), b)
    assert live(store) == a.release_id


@pytest.mark.parametrize("key", ["current/618.json", "releases/618/history/000001.json"])
def test_a_pointer_or_note_that_somebody_edited_is_an_error_not_a_guess(store: LocalStore, key: str) -> None:
    a, b = stocked(store, "a"), stocked(store, "b")
    publish_release(store, a)
    store.replace(key, b'{"release_id": 7}', content_type="application/json")
    with pytest.raises(PublishError, match="is not"):
        publish_release(store, b)


def test_a_manifest_that_was_edited_is_not_believed(store: LocalStore) -> None:
    a = stocked(store, "a")
    publish_release(store, a)
    store.replace(a.key, a.data.replace(b'"A"', b'"B"'), content_type="application/json")
    with pytest.raises(PublishError, match="it was changed or moved"):
        current_release(store, PROMOTION)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"sha256": None}, None),
        ({"sha256": None, "size_bytes": 1}, "not those that the release lists"),
        ({"sha256": "0" * 64}, "not those that the release lists"),
        ({"content_type": "image/webp; charset=binary"}, None),
        ({"content_type": None}, None),
        ({"content_type": "text/html"}, "is kept as text/html, but the release lists it as image/webp"),
    ],
)
def test_what_a_store_knows_of_a_file_is_believed_and_the_rest_is_read(
    tmp_path: Path, facts: dict[str, object], said: str | None
) -> None:
    class Telling(LocalStore):
        def facts(self, key: str) -> ObjectFacts:
            return dataclasses.replace(super().facts(key), **facts)  # type: ignore[arg-type]

    store = Telling(tmp_path, durable=False)
    manifest = stocked(store, "a")
    if said is None:
        check_files(store, manifest)
        return
    with pytest.raises(PublishError, match=said):
        check_files(store, manifest)
