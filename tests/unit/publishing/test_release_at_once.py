"""Releases while others read, switch and die: readers see all or nothing, publishers win whole or are told."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path

import pytest
from kept_releases import PROMOTION, Crash, CrashingStore, live, notes, shown_by, stocked

from zimage_core.errors import PublishError
from zimage_core.publishing.manifest import Manifest
from zimage_core.publishing.release import (
    check_files,
    publish_release,
    read_manifest,
    rollback,
)
from zimage_core.storage import LocalStore, ObjectFacts


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, durable=False)


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
