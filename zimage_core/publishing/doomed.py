"""What retention is about to delete, written where publishers look before they switch.

One record per store says which keys no kept release names, since when that is known, and whether they are being deleted
at this moment. The order makes the race safe: a publisher writes its manifest, *then* reads the record; retention
writes the record, *then* reads all manifests. So one of them always sees the other.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from zimage_core.errors import ObjectRefused, PublishError
from zimage_core.publishing.history import JSON, read_bytes, to_bytes
from zimage_core.publishing.manifest import Manifest, channel_manifest
from zimage_core.storage import POINTER, Store

DOOMED_KEY: Final = "releases/doomed.json"
DELETING_FOR_AT_MOST: Final = timedelta(minutes=30)
"""Retention stops by itself after this time. Publishers wait twice as long, for clocks that differ."""


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


def refuse_doomed(store: Store, manifest: Manifest, now: datetime) -> None:
    """Raise PublishError when files of a release, whose manifest is stored already, are being deleted just now."""
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
