"""Releases in a bucket over a socket: readers, publishers that race, a service that fails, and a killed publisher."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from s3_on_moto import address_in, fresh_bucket, moto_url
from s3_server import BUCKET, Manners, S3Server

from zimage_core.errors import PublishError, StorageError
from zimage_core.publishing.history import read_manifest, read_pointer
from zimage_core.publishing.manifest import Manifest, ManifestEntry, build_manifest
from zimage_core.publishing.overview import live_promotion
from zimage_core.publishing.release import current_release, publish_release, rollback
from zimage_core.publishing.retention import prune
from zimage_core.storage import LocalStore, S3Store, Store

CHANNELS = ("jd", "shopify")


@pytest.fixture
def store() -> Iterator[S3Store]:
    made = S3Store(address_in(moto_url(), fresh_bucket()))
    yield made
    made.close()


def stocked(store: Store, name: str, count: int = 3) -> Manifest:
    entries = []
    for n in range(count):
        for channel in CHANNELS:
            data = f"{name} {n} {channel}".encode()
            sha256 = hashlib.sha256(data).hexdigest()
            key = f"img/{n}/{channel}.{sha256[:16]}.webp"
            store.put(key, data, content_type="image/webp")
            entries.append(
                ManifestEntry(f"S{n}", "studio", channel, key, sha256, len(data), 8, 8, "image/webp", name, "A")
            )
    return build_manifest("618", entries)


def seen_by_a_reader(store: Store, channel: str | None) -> set[str]:
    """Follow pointer, manifest and files as a shop does; return the names of the releases they are of."""
    pointer = read_pointer(store, "618", channel)
    assert pointer is not None
    manifest = read_manifest(store, pointer.manifest_key)
    return {store.get(entry.key).decode().split()[0] for entry in manifest.entries}


def test_readers_of_a_bucket_see_all_of_one_release_while_others_are_switched_to(store: S3Store) -> None:
    manifests = [stocked(store, name) for name in "ab"]
    publish_release(store, manifests[0])
    done, torn, reads = threading.Event(), [], []

    def read(channel: str | None) -> None:
        while not done.is_set():
            names = seen_by_a_reader(store, channel)
            (reads if names in ({"a"}, {"b"}) else torn).append(names)

    readers = [threading.Thread(target=read, args=(channel,)) for channel in (None, "jd", "shopify")]
    for reader in readers:
        reader.start()
    for turn in range(5):
        publish_release(store, manifests[(turn + 1) % 2])
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert {frozenset(names) for names in reads} == {frozenset("a"), frozenset("b")}
    live = live_promotion(store, "618")
    assert live is not None
    assert (live.release_id, live.lagging) == (manifests[1].release_id, ())


def test_of_publishers_that_race_each_wins_whole_or_is_told(store: S3Store) -> None:
    manifests = {name: stocked(store, name, count=1) for name in "abcd"}
    start, ends = threading.Barrier(len(manifests)), []

    def publish(manifest: Manifest) -> None:
        start.wait()
        try:
            ends.append(publish_release(store, manifest).release_id)
        except PublishError as error:
            ends.append("told" if "Another publisher" in error.sentence else error.sentence)

    threads = [threading.Thread(target=publish, args=(manifest,)) for manifest in manifests.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    live = live_promotion(store, "618")
    assert live is not None
    assert live.lagging == ()
    assert live.release_id in ends
    assert set(ends) <= {"told", *(manifest.release_id for manifest in manifests.values())}


def test_files_are_checked_without_being_fetched() -> None:
    with S3Server() as server:
        store = S3Store(address_in(server.url, BUCKET))
        manifest = stocked(store, "a", count=20)
        server.seen.clear()
        publish_release(store, manifest)
        asked = [(seen.method, seen.path) for seen in server.seen]
        store.close()
    pictures = [method for method, path in asked if "/img/" in path]
    assert pictures == ["HEAD"] * 40


def test_a_release_under_faults_is_old_or_new_and_the_same_call_again_finishes() -> None:
    ends: list[str] = []
    with S3Server() as server:
        store = S3Store(address_in(server.url, BUCKET, timeout_s=2.0))
        manifests = [stocked(store, name) for name in "ab"]
        publish_release(store, manifests[0])
        server.manners = Manners(share=0.1, faults=("slow_down", "drop_before", "drop_after"), seed=7)
        for turn in range(1, 5):
            old, new = manifests[(turn + 1) % 2], manifests[turn % 2]
            for _ in range(20):
                try:
                    publish_release(store, new)
                except (StorageError, PublishError) as error:
                    ends.append(error.code)
                    server.manners.share, share = 0.0, server.manners.share
                    live = current_release(store, "618")
                    server.manners.share = share
                    assert live is not None
                    assert live.release_id in (old.release_id, new.release_id)
                else:
                    break
            server.manners.share, share = 0.0, server.manners.share
            live = live_promotion(store, "618")
            assert live is not None
            assert (live.release_id, live.lagging) == (new.release_id, ())
            server.manners.share = share
        assert sum(server.manners.done.values()) > 5
        store.close()


def test_retention_keeps_what_is_live_in_a_bucket(store: S3Store) -> None:
    for name in "abc":
        publish_release(store, stocked(store, name, count=1))
    for _ in range(2):
        found = prune(store, 2, grace=timedelta(0), dry=False)
    assert found.kept_releases == 2
    assert {store.get(key).decode().split()[0] for key in store.list_keys("img/")} == {"b", "c"}
    assert rollback(store, "618").rendition_count == 2


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}]
from test_releases_in_a_bucket import stocked
from zimage_core.publishing.release import publish_release
from zimage_core.storage import LocalStore

store = LocalStore(Path({folder!r}))
manifests = [stocked(store, name, 40) for name in "ab"]
print("ready", flush=True)
while True:
    for manifest in manifests:
        publish_release(store, manifest)
"""


def test_a_publisher_that_is_killed_leaves_a_whole_release_and_the_next_one_goes_on(tmp_path: Path) -> None:
    support = Path(__file__).resolve().parents[1] / "support"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(support), str(support.parents[1])])}
    code = textwrap.dedent(KILLED).format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    store = LocalStore(tmp_path)
    for pause_s in (0.05, 0.11, 0.17):
        publisher = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE)
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == b"ready\n"
        while read_pointer(store, "618") is None:
            time.sleep(0.01)
        time.sleep(pause_s)
        publisher.send_signal(signal.SIGKILL)
        publisher.wait()
        publisher.stdout.close()
        live = live_promotion(store, "618")
        assert live is not None
        assert seen_by_a_reader(store, None) in ({"a"}, {"b"})
        pointed = [channel for channel in CHANNELS if (tmp_path / f"current/618/{channel}.json").exists()]
        assert all(seen_by_a_reader(store, channel) in ({"a"}, {"b"}) for channel in pointed)
        manifest = stocked(store, "c", 2)
        assert publish_release(store, manifest).release_id == manifest.release_id
        assert [seen_by_a_reader(store, channel) for channel in (None, *CHANNELS)] == [{"c"}] * 3
    assert json.loads((tmp_path / "current" / "618.json").read_text())["release_id"] == manifest.release_id
