"""Releases of made-up files in a store, how readers see them, and a store that dies when it is told to."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator

from zimage_core.publishing.manifest import Manifest, ManifestEntry, build_manifest
from zimage_core.publishing.release import current_release, read_manifest
from zimage_core.storage import ObjectFacts, Store

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


def live(store: Store) -> str | None:
    release = current_release(store, PROMOTION)
    return None if release is None else release.release_id


def notes(store: Store) -> list[str]:
    return list(store.list_keys(f"releases/{PROMOTION}/history/"))
