"""Releases: all or nothing for readers, whole after every crash, and the way back is always open."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standing_clock import StandingClock

from zimage_core.errors import PublishError, StorageError
from zimage_core.publishing.manifest import Manifest, ManifestEntry, build_manifest
from zimage_core.publishing.release import (
    check_files,
    current_release,
    list_releases,
    previous_release,
    publish_release,
    read_manifest,
    rollback,
)
from zimage_core.storage import LocalStore, ObjectFacts, Store

PROMOTION = "618"


class Crash(BaseException):
    """The process is gone: nothing may catch this."""


class CrashingStore:
    """A store that dies at its n-th call, or at the first that moves the pointer `at`: before it acts, or after."""

    def __init__(self, inner: Store, at: int | str, *, after: bool) -> None:
        self.inner, self.after = inner, after
        self.left, self.at = (at, None) if isinstance(at, int) else (-1, at)
        self.lock = threading.Lock()

    def _call(self, act: Callable[[], object], moved: str | None = None) -> object:
        with self.lock:
            self.left -= 1
            dies = self.left == 0 or (moved is not None and moved == self.at)
            if dies and not self.after:
                raise Crash
            try:
                return act()
            finally:
                if dies:
                    raise Crash

    def put(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> bool:
        return bool(self._call(lambda: self.inner.put(key, data, content_type=content_type)))

    def replace(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> None:
        self._call(lambda: self.inner.replace(key, data, content_type=content_type))

    def get(self, key: str) -> bytes:
        data = self._call(lambda: self.inner.get(key))
        assert isinstance(data, bytes)
        return data

    def exists(self, key: str) -> bool:
        return bool(self._call(lambda: self.inner.exists(key)))

    def swap(
        self, key: str, seen: bytes | None, data: bytes, *, content_type: str, cache_control: str | None = None
    ) -> None:
        self._call(lambda: self.inner.swap(key, seen, data, content_type=content_type), moved=key)

    def facts(self, key: str) -> ObjectFacts:
        facts = self._call(lambda: self.inner.facts(key))
        assert isinstance(facts, ObjectFacts)
        return facts

    def presigned_url(self, key: str, valid_s: int) -> str:
        return str(self._call(lambda: self.inner.presigned_url(key, valid_s)))

    def list_keys(self, prefix: str = "") -> Iterator[str]:
        keys = self._call(lambda: list(self.inner.list_keys(prefix)))
        assert isinstance(keys, list)
        return iter(keys)

    def delete(self, key: str) -> None:
        self._call(lambda: self.inner.delete(key))


def stocked(store: Store, name: str, count: int = 3, channels: tuple[str, ...] = ("shopify",)) -> Manifest:
    """Put `count` files per channel of a release called `name` and return its manifest."""
    entries = []
    for n, channel in itertools.product(range(count), channels):
        data = f"{name} picture {n} for {channel}".encode()
        digest = hashlib.sha256(data).hexdigest()
        key = f"img/SKU{n}/studio-{channel}-8x8.{digest[:16]}.webp"
        store.put(key, data, content_type="image/webp")
        entries.append(
            ManifestEntry(f"SKU{n}", "studio", channel, key, digest, len(data), 8, 8, "image/webp", name, "A")
        )
    return build_manifest(PROMOTION, entries)


def shown_by(store: Store, channel: str) -> set[str]:
    """Read a channel as its uploader does: pointer, manifest, files; return the names of the releases seen."""
    pointer = json.loads(store.get(f"current/{PROMOTION}/{channel}.json"))
    manifest = read_manifest(store, pointer["manifest_key"])
    assert manifest.release_id == pointer["release_id"]
    assert {entry.channel for entry in manifest.entries} <= {channel}
    names = {store.get(entry.key).decode().split()[0] for entry in manifest.entries}
    assert names == {entry.alt_text for entry in manifest.entries}
    return names


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, durable=False)


def live(store: Store) -> str | None:
    release = current_release(store, PROMOTION)
    return None if release is None else release.release_id


def notes(store: Store) -> list[str]:
    return list(store.list_keys(f"releases/{PROMOTION}/history/"))


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


@pytest.mark.parametrize("after", [False, True], ids=["before the call acts", "after it acted"])
def test_a_crash_at_any_step_of_publishing_leaves_old_or_new_and_a_rerun_finishes(tmp_path: Path, after: bool) -> None:
    outcomes: list[str] = []
    for step in itertools.count(1):
        store = LocalStore(tmp_path / f"{after}{step}", durable=False)
        a, b = (stocked(store, name, count=2, channels=("shopify", "jd")) for name in "ab")
        publish_release(store, a)
        try:
            publish_release(CrashingStore(store, step, after=after), b)
        except Crash:
            outcomes.append("old" if live(store) == a.release_id else "new")
            assert live(store) in {a.release_id, b.release_id}
            shown = [shown_by(store, channel) for channel in ("shopify", "jd")]
            assert all(names in ({"a"}, {"b"}) for names in shown), "each channel is all old or all new"
            assert live(store) == b.release_id or shown == [{"a"}, {"a"}], "channels follow, they never lead"
            assert publish_release(store, b).release_id == b.release_id
        else:
            break
        assert live(store) == b.release_id
        assert [shown_by(store, channel) for channel in ("shopify", "jd")] == [{"b"}, {"b"}]
        assert len(notes(store)) == 2, "a rerun adds no second note"
        assert rollback(store, PROMOTION).release_id == a.release_id
    assert outcomes == sorted(outcomes, reverse=True), "old until one step, new from then on"
    assert set(outcomes) == {"old", "new"}


@pytest.mark.parametrize("after", [False, True], ids=["before the call acts", "after it acted"])
def test_a_crash_at_any_step_of_rolling_back_leaves_old_or_new_and_a_rerun_finishes(
    tmp_path: Path, after: bool
) -> None:
    crashes = 0
    for step in range(1, 20):
        store = LocalStore(tmp_path / f"{after}{step}", durable=False)
        a, b, c = (stocked(store, name) for name in "abc")
        for manifest in (a, b, c):
            publish_release(store, manifest)
        try:
            rollback(CrashingStore(store, step, after=after), PROMOTION, b.release_id)
        except Crash:
            crashes += 1
            assert live(store) in {b.release_id, c.release_id}
            rollback(store, PROMOTION, b.release_id)
        assert live(store) == b.release_id
        assert len(notes(store)) == 4
        assert rollback(store, PROMOTION).release_id == a.release_id
    assert crashes >= 10


def test_a_switch_that_was_noted_but_never_made_confuses_nobody(store: LocalStore) -> None:
    a, b, c = (stocked(store, name) for name in "abc")
    publish_release(store, a)
    with pytest.raises(Crash):
        publish_release(CrashingStore(store, "current/618.json", after=False), b)
    assert len(notes(store)) == 2
    assert live(store) == a.release_id
    publish_release(store, c)
    assert rollback(store, PROMOTION).release_id == a.release_id
    publish_release(store, b)
    assert rollback(store, PROMOTION).release_id == a.release_id


def test_readers_see_all_of_the_old_release_or_all_of_the_new(store: LocalStore) -> None:
    manifests = [stocked(store, name, count=4, channels=("shopify", "jd")) for name in "ab"]
    publish_release(store, manifests[0])
    done = threading.Event()
    torn: list[object] = []

    def read() -> None:
        while not done.is_set():
            pointer = json.loads(store.get("current/618.json"))
            manifest = read_manifest(store, pointer["manifest_key"])
            names = {entry.alt_text for entry in manifest.entries}
            pictures = {store.get(entry.key).split()[0] for entry in manifest.entries}
            if len(names) != 1 or len(pictures) != 1 or manifest.release_id != pointer["release_id"]:
                torn.append(pointer)

    def read_channel() -> None:
        while not done.is_set():
            if (names := shown_by(store, "jd")) not in ({"a"}, {"b"}):
                torn.append(names)

    readers = [threading.Thread(target=target) for target in (read, read, read_channel, read_channel)]
    for reader in readers:
        reader.start()
    for turn in range(10):
        publish_release(store, manifests[(turn + 1) % 2])
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert [shown_by(store, channel) for channel in ("shopify", "jd")] == [{"a"}, {"a"}]


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


def test_of_two_publishers_at_once_each_wins_whole_or_is_told_to_try_again(store: LocalStore) -> None:
    manifests = [stocked(store, f"p{n}", channels=("shopify", "jd")) for n in range(6)]
    outcomes: list[str] = []
    start = threading.Barrier(len(manifests))

    def publish(manifest: Manifest) -> None:
        start.wait()
        try:
            outcomes.append(publish_release(store, manifest).release_id)
        except PublishError as error:
            outcomes.append("told" if "Another publisher" in error.sentence else error.sentence)

    threads = [threading.Thread(target=publish, args=(m,)) for m in manifests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert live(store) in outcomes
    assert set(outcomes) <= {"told", *(manifest.release_id for manifest in manifests)}
    names = {manifest.release_id: f"p{n}" for n, manifest in enumerate(manifests)}
    assert [shown_by(store, channel) for channel in ("shopify", "jd")] == [{names[str(live(store))]}] * 2
    assert len(notes(store)) >= sum(outcome != "told" for outcome in outcomes)


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


def test_files_are_checked_so_many_at_a_time_and_no_more(tmp_path: Path) -> None:
    class Counting(LocalStore):
        def __init__(self, root: Path) -> None:
            super().__init__(root, durable=False)
            self.together, self.now, self.most, self.lock = threading.Barrier(4), 0, 0, threading.Lock()

        def facts(self, key: str) -> ObjectFacts:
            with self.lock:
                self.now += 1
                self.most = max(self.most, self.now)
            self.together.wait(10)  # breaks when fewer than four are asked about at a time
            with self.lock:
                self.now -= 1
            return super().facts(key)

    store = Counting(tmp_path)
    check_files(store, stocked(store, "a", count=8), threads=4)
    assert store.most == 4


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
