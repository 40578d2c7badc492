"""What every store promises: `Store`, and what it knows of an object without its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

IMMUTABLE = "public, max-age=31536000, immutable"  # RFC 8246: content-hashed names never change
POINTER = "public, max-age=60, stale-while-revalidate=300"  # RFC 5861: a new release is seen within a minute

LONGEST_PRESIGNED_S = 604_800  # seven days: the most that Signature V4 allows


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What a store knows of an object. `sha256` is None for objects of others that carry none; a folder keeps no
    headers, so `content_type` is what a web server derives from the name there, and `cache_control` is None.
    """

    key: str
    size_bytes: int
    sha256: str | None
    content_type: str | None
    cache_control: str | None


@runtime_checkable
class Store(Protocol):
    """A flat map from keys to bytes. Keys are relative posix paths; see `check_key`."""

    def put(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> bool:
        """Create an object. True = written, False = the same bytes were already there.

        Raises ObjectRefused when the key holds different bytes, StorageError when the bytes cannot be written.
        """
        ...

    def replace(self, key: str, data: bytes, *, content_type: str, cache_control: str | None = None) -> None:
        """Set an object whatever was there; durable on return. Readers see the old bytes or the new, never a mix."""
        ...

    def swap(
        self, key: str, seen: bytes | None, data: bytes, *, content_type: str, cache_control: str | None = None
    ) -> None:
        """Replace an object only while it still holds what the caller has `seen` (None = nothing).

        Raises ObjectRefused when it holds something else: of callers that have seen the same bytes, one succeeds.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return an object's bytes; ObjectMissing when the key holds nothing."""
        ...

    def exists(self, key: str) -> bool:
        """Tell whether the key holds an object."""
        ...

    def facts(self, key: str) -> ObjectFacts:
        """Return size, checksum and headers; ObjectMissing when the key holds nothing."""
        ...

    def list_keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that start with `prefix` (a string, not a folder), in sorted order."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when the key holds none."""
        ...

    def presigned_url(self, key: str, valid_s: int) -> str:
        """Return a URL under which anybody can read the object for so long; of a folder, its file URL.

        The URL is a secret while it is valid: hand it out, never log it. Raises ObjectRefused for more than seven days.
        """
        ...
