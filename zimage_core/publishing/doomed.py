"""What retention is about to delete, and which releases are about to be switched to: so that neither harms the other.

    releases/doomed.json                              keys that no kept release names, since when that is known, and
                                                      those that are being deleted at this moment
    releases/{promotion}/switching/{...}.json         a release that a publisher is checking or switching to just now

The order makes the race safe. A publisher writes that it is switching, *then* reads what is doomed; retention writes
what it deletes, *then* reads who is switching. So one of them always sees the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from zimage_core import clock
from zimage_core.errors import ObjectRefused, PublishError
from zimage_core.publishing.history import JSON, read_bytes, to_bytes
from zimage_core.publishing.manifest import Manifest, channel_manifest
from zimage_core.storage import IMMUTABLE, POINTER, Store

DOOMED_KEY: Final = "releases/doomed.json"
DELETING_FOR_AT_MOST: Final = timedelta(minutes=30)
"""Retention stops by itself after this time. Publishers wait twice as long, for clocks that differ."""


SWITCHING_FOR_AT_MOST: Final = timedelta(days=1)
"""After so long the publisher is taken to be dead."""


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Switching:
    """A publisher's word that it is about to make a release live, or to hold it."""

    manifest_key: str
    at: AwareDatetime


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Doomed:
    """Keys by the moment at which nothing was first seen to name them; `deleting` those that are going now."""

    first_seen: dict[str, AwareDatetime] = Field(default_factory=dict)
    deleting: tuple[str, ...] = ()
    deleting_since: AwareDatetime | None = None


def read_doomed(store: Store) -> tuple[Doomed, bytes | None]:
    """Return the record and its bytes; an empty one where there is none. Raises PublishError when it is not one."""
    data = read_bytes(store, DOOMED_KEY)
    if data is None:
        return Doomed(), None
    try:
        return _DOOMED.validate_json(data), data
    except ValidationError as error:
        raise PublishError(f"{DOOMED_KEY} is not what retention writes: {error}.") from error


def write_doomed(store: Store, seen: bytes | None, doomed: Doomed) -> bytes:
    """Replace the record while it holds what was `seen` and return its bytes. Raises PublishError for the second."""
    data = to_bytes(_DOOMED, doomed)
    try:
        store.swap(DOOMED_KEY, seen, data, content_type=JSON, cache_control=POINTER)
    except ObjectRefused as error:
        raise PublishError("Old files are being removed by another process at this moment.") from error
    return data


@contextmanager
def announced(store: Store, manifest: Manifest, at: datetime) -> Iterator[None]:
    """Store a manifest and keep retention off all that it names while the body runs.

    Raises PublishError when files of it are being deleted just now. A process that is killed inside leaves its word
    behind, which retention removes in time.
    """
    store.put(manifest.key, manifest.data, content_type=JSON, cache_control=IMMUTABLE)
    word = f"{switching_prefix(manifest.promotion)}{manifest.release_id}-{clock.fresh_id()}.json"
    store.put(word, to_bytes(_SWITCHING, Switching(manifest.key, at)), content_type=JSON, cache_control=POINTER)
    try:
        _refuse_doomed(store, manifest, at)
        yield
    except PublishError:
        store.delete(word)
        raise
    store.delete(word)


def switching_prefix(promotion: str) -> str:
    """Return what the keys of publishers' words start with."""
    return f"releases/{promotion}/switching/"


def read_switching(store: Store, promotion: str) -> dict[str, Switching]:
    """Return what publishers are about to switch to, by key. Raises PublishError for what is no publisher's word."""
    found: dict[str, Switching] = {}
    for key in store.list_keys(switching_prefix(promotion)):
        data = read_bytes(store, key)
        if data is None:
            continue  # it was done between the list and the look
        try:
            found[key] = _SWITCHING.validate_json(data)
        except ValidationError as error:
            raise PublishError(f"{key} is not what a publisher writes: {error}.") from error
    return found


def _refuse_doomed(store: Store, manifest: Manifest, now: datetime) -> None:
    """Raise PublishError when files of a release are being deleted just now."""
    doomed, _ = read_doomed(store)
    if doomed.deleting_since is None or now - doomed.deleting_since > 2 * DELETING_FOR_AT_MOST:
        return
    parts = (channel_manifest(manifest, channel).key for channel in manifest.channels)
    going = {manifest.key, *parts, *manifest.files()} & set(doomed.deleting)
    if going:
        raise PublishError(
            f"{len(going)} files of this release had been unused for long and are being removed at this moment "
            f"({min(going)} for one); publish again when that is over."
        )


_DOOMED = TypeAdapter(Doomed)
_SWITCHING = TypeAdapter(Switching)
