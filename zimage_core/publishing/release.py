"""Releases: check every file, write the manifest, note the switch, move one pointer. And move it back.

    releases/{promotion}/{release_id}.json          the manifest, never changed
    releases/{promotion}/history/{number}.json      one note per switch, written *before* it, never changed
    current/{promotion}.json                        the pointer: release_id and manifest_key, nothing else

The pointer alone says what is live, and it is replaced atomically, so a reader sees all of the old release or all of
the new one. A kill between any two steps leaves the old release live and at most a note of a switch that did not
happen; running the same call again writes the same note (no second one) and moves the pointer. A note says which note
its release stands on (`before`), so rolling back walks down that line: A, B, C, back to B, back to A, whatever was
published in between and abandoned. Notes are created, never overwritten: of two publishers that switch the same
promotion at once, one is told to try again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from zimage_core.domain import Release
from zimage_core.errors import ObjectMissing, PublishError, StorageError
from zimage_core.publishing.manifest import Manifest, parse_manifest
from zimage_core.storage import IMMUTABLE, POINTER, Store

_JSON = "application/json"


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class _Pointer:
    release_id: str
    manifest_key: str


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class _Note:
    """One switch: to which release, standing on which earlier note (None = on nothing)."""

    release_id: str
    manifest_key: str
    before: int | None


@dataclass(frozen=True, slots=True)
class _History:
    """The notes by number, in order."""

    notes: dict[int, _Note]

    def last_of(self, release_id: str) -> int | None:
        """Return the number of the latest note that switched to this release."""
        return max((number for number, note in self.notes.items() if note.release_id == release_id), default=None)


def publish_release(store: Store, manifest: Manifest) -> Release:
    """Make a manifest's files the live release of its promotion, after checking each of them in the store.

    Idempotent: a release that is live already is left alone, and a call that was killed can be made again. Raises
    PublishError when a file is missing or is not what the manifest says, or when another publisher was faster;
    StorageError when the store fails. In every case the release before still stands.
    """
    _check_files(store, manifest)
    store.put(manifest.key, manifest.data, content_type=_JSON, cache_control=IMMUTABLE)
    pointer = _read_pointer(store, manifest.promotion)
    if pointer is None or pointer.release_id != manifest.release_id:
        history = _read_history(store, manifest.promotion)
        before = None if pointer is None else history.last_of(pointer.release_id)
        _switch(store, manifest.promotion, history, _Note(manifest.release_id, manifest.key, before))
    return _release(manifest)


def rollback(store: Store, promotion: str, to: str | None = None) -> Release:
    """Make an earlier release live again, by default the one that stood before; its files are checked first.

    A caller who may be killed and run again names `to` (see `previous_release`): naming it twice goes back once,
    leaving it out twice goes back twice. Raises PublishError when nothing is live, nothing stood before, `to` was never
    released, or files of that release are gone; the release that is live then stays.
    """
    pointer = _read_pointer(store, promotion)
    if pointer is None:
        raise PublishError(f"Nothing of {promotion} is live, so there is nothing to roll back.")
    history = _read_history(store, promotion)
    number = _number_before(history, pointer) if to is None else history.last_of(to)
    if number is None:
        if to is None:
            raise PublishError(f"No release of {promotion} stood before {pointer.release_id}.")
        known = ", ".join(dict.fromkeys(note.release_id for note in history.notes.values()))
        raise PublishError(f"{to} was never a release of {promotion}; known are: {known}.")
    target = history.notes[number]
    manifest = read_manifest(store, target.manifest_key)
    _check_files(store, manifest)
    if target.release_id != pointer.release_id:
        _switch(store, promotion, history, _Note(target.release_id, target.manifest_key, target.before))
    return _release(manifest)


def current_release(store: Store, promotion: str) -> Release | None:
    """Return the live release of a promotion, None when there is none. PublishError when its manifest is gone."""
    pointer = _read_pointer(store, promotion)
    return None if pointer is None else _release(read_manifest(store, pointer.manifest_key))


def previous_release(store: Store, promotion: str) -> Release | None:
    """Return the release that `rollback` would make live, None when nothing stood before the live one."""
    pointer = _read_pointer(store, promotion)
    if pointer is None:
        return None
    history = _read_history(store, promotion)
    number = _number_before(history, pointer)
    return None if number is None else _release(read_manifest(store, history.notes[number].manifest_key))


def list_releases(store: Store, promotion: str) -> tuple[Release, ...]:
    """Return every release that was made live (or was about to be), each once, the first first."""
    notes = _read_history(store, promotion).notes.values()
    keys = dict.fromkeys(note.manifest_key for note in notes)
    return tuple(_release(read_manifest(store, key)) for key in keys)


def read_manifest(store: Store, key: str) -> Manifest:
    """Return a stored manifest. Raises PublishError when it is missing, changed, or not stored under its own hash."""
    try:
        manifest = parse_manifest(store.get(key))
    except ObjectMissing as error:
        raise PublishError(f"The manifest {key} is not in the store.") from error
    if manifest.key != key:
        raise PublishError(f"The manifest under {key} belongs under {manifest.key}: it was changed or moved.")
    return manifest


def _check_files(store: Store, manifest: Manifest) -> None:
    for entry in manifest.entries:
        try:
            data = store.get(entry.key)
        except ObjectMissing as error:
            raise PublishError(
                f"{entry.key} is listed in the release but is not in the store.", sku=entry.sku
            ) from error
        if len(data) != entry.size_bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise PublishError(f"The bytes of {entry.key} are not those that the release lists.", sku=entry.sku)


def _switch(store: Store, promotion: str, history: _History, note: _Note) -> None:
    last = max(history.notes, default=0)
    if history.notes.get(last) != note:  # else: this very switch was noted, and then killed before the pointer moved
        key = f"{_history_prefix(promotion)}{last + 1:06d}.json"
        try:
            store.put(key, _json(note), content_type=_JSON, cache_control=IMMUTABLE)
        except StorageError as error:
            if not store.exists(key):
                raise
            raise PublishError(
                f"Another publisher is switching {promotion} at this moment; look at what is live, then try again."
            ) from error
    pointer = _Pointer(note.release_id, note.manifest_key)
    store.replace(_pointer_key(promotion), _json(pointer), content_type=_JSON, cache_control=POINTER)


def _number_before(history: _History, pointer: _Pointer) -> int | None:
    number = history.last_of(pointer.release_id)
    return None if number is None else history.notes[number].before


def _read_pointer(store: Store, promotion: str) -> _Pointer | None:
    key = _pointer_key(promotion)
    try:
        return _POINTER.validate_json(store.get(key))
    except ObjectMissing:
        return None
    except ValidationError as error:
        raise PublishError(f"The pointer {key} is not what a release writes: {error}.") from error


def _read_history(store: Store, promotion: str) -> _History:
    prefix = _history_prefix(promotion)
    notes: dict[int, _Note] = {}
    for key in store.list_keys(prefix):
        try:
            notes[int(key.removeprefix(prefix).removesuffix(".json"))] = _NOTE.validate_json(store.get(key))
        except ValueError as error:  # pydantic's ValidationError is one
            raise PublishError(f"{key} is not a note of a switch: {error}.") from error
    return _History(dict(sorted(notes.items())))


_POINTER = TypeAdapter(_Pointer)
_NOTE = TypeAdapter(_Note)


def _release(manifest: Manifest) -> Release:
    return Release(manifest.release_id, manifest.promotion, manifest.key, len(manifest.entries))


def _pointer_key(promotion: str) -> str:
    return f"current/{promotion}.json"


def _history_prefix(promotion: str) -> str:
    return f"releases/{promotion}/history/"


def _json(record: _Pointer | _Note) -> bytes:
    adapter: TypeAdapter[_Pointer] | TypeAdapter[_Note] = _POINTER if isinstance(record, _Pointer) else _NOTE
    return (json.dumps(adapter.dump_python(record, mode="json"), sort_keys=True) + "\n").encode()  # type: ignore[arg-type]
