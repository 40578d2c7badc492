"""What a bucket promises whoever talks to it: the contract of a store over six calls of a client.

A create is one conditional PUT where the service honours If-None-Match; where it does not (found out once per process,
by a small object that is removed again), the key is asked for before it is written, which is no protection against two
writers in the same moment: content-hashed keys need none.
"""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from zimage_core.clock import fresh_id
from zimage_core.errors import ObjectMissing, ObjectRefused, StorageError
from zimage_core.storage.base import LONGEST_PRESIGNED_S, ObjectFacts
from zimage_core.storage.keys import TEMPORARY, check_content_type, check_prefix
from zimage_core.storage.providers import BucketAddress

log = logging.getLogger("zimage_core.storage")

PART_BYTES = 16 * 2**20
"""Larger objects are sent in parts of this size, so that a fault costs one part; S3 asks for 5 MiB at least."""
READ_TRIES = 3
"""A body that arrives cut short or changed is asked for again: botocore retries answers, not bodies."""

_MD5 = re.compile(r"[0-9a-f]{32}(-\d+)?")


@dataclass(frozen=True, slots=True)
class Headers:
    """What is kept beside an object's bytes; `sha256` is in hex."""

    content_type: str
    cache_control: str | None
    sha256: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of a write: `etag` None = the condition did not hold. `retried`: an earlier try may have arrived."""

    etag: str | None
    retried: bool = False
    supported: bool = True


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object as it arrived; `whole` is False when the body broke off."""

    data: bytes
    etag: str
    sha256: str | None
    whole: bool = True


class Wire(Protocol):
    """A client of one bucket. Keys are full; every failure is a StorageError but a condition that does not hold."""

    def write(self, key: str, data: bytes, headers: Headers, *, absent: bool = False, match: str | None = None) -> Sent:
        """PUT an object: only if there is none (`absent`), or only over the one with this ETag (`match`)."""
        ...

    def read(self, key: str) -> Fetched:
        """GET an object; ObjectMissing when there is none."""
        ...

    def head(self, key: str) -> tuple[ObjectFacts, str]:
        """Return an object's facts and its ETag; ObjectMissing when there is none."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield full keys that start with this string in byte order; more than asked for does not matter."""
        ...

    def remove(self, key: str) -> None:
        """DELETE one object."""
        ...

    def sign(self, key: str, valid_s: int) -> str:
        """Return a presigned GET URL."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class BucketStore:
    """A bucket, or a prefix in one, as a Store. Safe to use from many threads."""

    def __init__(self, address: BucketAddress, wire: Wire) -> None:
        self.address = address
        self._wire = wire
        self._conditional = address.provider.conditional
        self._probing = threading.Lock()
        self._etags_are_md5 = True

    def __repr__(self) -> str:
        """Name the bucket; a store's repr may end up in a log."""
        return f"{type(self).__name__}({self.address.where}, prefix={self.address.prefix!r})"

    def close(self) -> None:
        """Close the connections; the store is of no use afterwards."""
        self._wire.close()

    def put(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> bool:
        """Create an object by a conditional PUT; see `Store.put`. What arrived is held against the ETag."""
        full, headers = self._prepared(key, data, content_type, cache_control)
        sent = Sent(None)
        if self._is_conditional() or self._held(full, data) is None:
            sent = self._wire.write(full, data, headers, absent=self._is_conditional())
        if sent.etag is not None:
            self._verify(key, data, sent.etag, undo=True)
            return True
        held = self._held(full, data)
        if held is None:
            raise StorageError(f"{key} is being written or deleted by others in {self.address.where}; try again.")
        if not held:
            raise ObjectRefused(
                f"{key} already holds different bytes in {self.address.where}; an object is never overwritten."
            )
        return sent.retried

    def replace(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> None:
        """Set an object by a plain PUT, which services do atomically."""
        full, headers = self._prepared(key, data, content_type, cache_control)
        self._overwrite(key, full, data, headers)

    def swap(
        self, key: str, seen: bytes | None, data: bytes, *, content_type: str, cache_control: str | None = None
    ) -> None:
        """Replace an object by a PUT with If-Match; where the service has none, read and write without a promise."""
        full, headers = self._prepared(key, data, content_type, cache_control)
        try:
            found = self._read(full)
        except ObjectMissing:
            found = None
        if (None if found is None else found.data) != seen:
            raise self._changed(key)
        if not self._is_conditional():
            self._overwrite(key, full, data, headers)
            return
        sent = self._wire.write(full, data, headers, absent=found is None, match=None if found is None else found.etag)
        if sent.etag is not None:
            self._verify(key, data, sent.etag, undo=False)
        elif not (sent.retried and self._held(full, data)):
            raise self._changed(key)

    def get(self, key: str) -> bytes:
        """Return an object's bytes, held against the SHA-256 they were put with."""
        return self._read(self.address.full_key(key)).data

    def exists(self, key: str) -> bool:
        """Tell whether the key holds an object."""
        try:
            self._wire.head(self.address.full_key(key))
        except ObjectMissing:
            return False
        return True

    def facts(self, key: str) -> ObjectFacts:
        """Return what a HEAD request says of an object."""
        found, _ = self._wire.head(self.address.full_key(key))
        return ObjectFacts(key, found.size_bytes, found.sha256, found.content_type, found.cache_control)

    def list_keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix`, page by page, without probes and folders' markers of consoles."""
        root = f"{self.address.prefix}/" if self.address.prefix else ""
        for full in self._wire.keys(root + check_prefix(prefix)):
            key = full.removeprefix(root)
            if key.startswith(prefix) and not key.startswith(TEMPORARY) and not key.endswith("/"):
                yield key

    def delete(self, key: str) -> None:
        """Remove an object, by a request of its own: batches need a Content-MD5 that boto3 no longer sends."""
        self._wire.remove(self.address.full_key(key))

    def presigned_url(self, key: str, valid_s: int) -> str:
        """Return a URL under which anybody can read the object for `valid_s` seconds; signed here, nothing is asked."""
        if not 0 < valid_s <= LONGEST_PRESIGNED_S:
            raise ObjectRefused(f"A URL can be signed for 1 to {LONGEST_PRESIGNED_S} seconds, not for {valid_s}.")
        return self._wire.sign(self.address.full_key(key), valid_s)

    # ------------------------------------------------------------ behind the verbs

    def _prepared(self, key: str, data: bytes, content_type: str, cache_control: str | None) -> tuple[str, Headers]:
        check_content_type(key, content_type)
        return self.address.full_key(key), Headers(content_type, cache_control, hashlib.sha256(data).hexdigest())

    def _changed(self, key: str) -> ObjectRefused:
        return ObjectRefused(f"{key} was changed in {self.address.where} meanwhile; look at what it holds now.")

    def _overwrite(self, key: str, full: str, data: bytes, headers: Headers) -> None:
        sent = self._wire.write(full, data, headers)
        self._verify(key, data, sent.etag or "", undo=False)

    def _held(self, full: str, data: bytes) -> bool | None:
        """Tell whether the key holds these bytes; None when it holds nothing. The service's own ETag says most."""
        try:
            found, etag = self._wire.head(full)
            if found.size_bytes != len(data):
                return False
            verdict = self._matches(etag, data)
            if verdict is None and found.sha256 is not None:
                return found.sha256 == hashlib.sha256(data).hexdigest()
            return verdict or self._fetched(full).data == data
        except ObjectMissing:
            return None

    def _matches(self, etag: str, data: bytes) -> bool | None:
        """Tell whether an ETag is that of these bytes; None where it says nothing (it is no MD5 of them)."""
        if not self._etags_are_md5 or not _MD5.fullmatch(etag.lower()):
            return None
        return etag.lower() == etag_of(data, parts="-" in etag)

    def _read(self, full: str) -> Fetched:
        """Return an object that is what it was put as."""
        return self._fetched(full, lambda found: found.sha256 in (None, hashlib.sha256(found.data).hexdigest()))

    def _fetched(self, full: str, is_right: Callable[[Fetched], bool] = lambda _: True) -> Fetched:
        for _ in range(READ_TRIES):
            found = self._wire.read(full)
            if found.whole and is_right(found):
                return found
        raise StorageError(
            f"{self.address.short_key(full)} came from {self.address.where} cut short or changed {READ_TRIES} times: "
            "look at what stands between, and at the object's metadata sha256."
        )

    def _verify(self, key: str, data: bytes, etag: str, *, undo: bool) -> None:
        """Hold what the service says it stored against what was sent; an ETag that is no MD5 asks for the bytes."""
        if self._matches(etag, data) is not False:
            return
        full = self.address.full_key(key)
        if self._fetched(full).data == data:
            self._etags_are_md5 = False
            return
        if undo:
            self._wire.remove(full)
        raise StorageError(f"{key} did not arrive in {self.address.where} as it was sent; try again.")

    def _is_conditional(self) -> bool:
        if self._conditional is None:
            with self._probing:
                if self._conditional is None:
                    self._conditional = self._probe()
        return self._conditional

    def _probe(self) -> bool:
        """Find out whether the service refuses to overwrite, with an object of a few bytes that is removed again."""
        key = self.address.full_key("probe").removesuffix("probe") + f"{TEMPORARY}probe-{fresh_id()}"
        headers = Headers("application/octet-stream", None, hashlib.sha256(b"first").hexdigest())
        first = self._wire.write(key, b"first", headers, absent=True)
        if not first.supported:
            found = False
        else:
            try:
                again = self._wire.write(key, b"second", headers, absent=True)
                over = self._wire.write(key, b"third", headers, match="0" * 32)
            finally:
                self._wire.remove(key)
            found = again.supported and over.supported and again.etag is None and over.etag is None
        if not found:
            log.warning(
                "%s ignores or refuses conditions on writing: keys are asked for before they are written, and of two "
                "publishers that switch one promotion in the same moment both may believe they did.",
                self.address.where,
            )
        return found


def etag_of(data: bytes, *, parts: bool) -> str:
    """Return the ETag that S3 gives unencrypted bytes: their MD5, or that of the parts' MD5s and how many they are."""
    if not parts:
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    view = memoryview(data)
    digests = [
        hashlib.md5(view[start : start + PART_BYTES], usedforsecurity=False).digest()
        for start in range(0, len(data), PART_BYTES)
    ]
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"
