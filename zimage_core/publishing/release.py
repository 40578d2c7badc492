"""Releases: write the manifest, check every file, note the switch, move one pointer. And move it back.

    releases/{promotion}/{release_id}.json                        the manifest, never changed
    releases/{promotion}/channels/{channel}/{release_id}.json     its part for one channel, never changed
    releases/{promotion}/history/{number}.json                    one note per switch, written *before* it
    current/{promotion}.json                                      the pointer: release_id and manifest_key, nothing else
    current/{promotion}/{channel}.json                            the same for one channel, moved after it

The promotion's pointer alone says what is live, and it is swapped atomically, so a reader sees all of the old release
or all of the new one. A kill between any two steps before that leaves the old release live and at most a note of a
switch that did not happen; running the same call again writes the same note (no second one) and moves the pointer. A
note says which note its release stands on (`before`), so rolling back walks down that line: A, B, C, back to B, back to
A, whatever was published in between and abandoned. Notes are created, never overwritten, and the pointer is moved only
while it holds what was seen: of two publishers that switch the same promotion at once, one is told to try again.

The channels' pointers follow one after another, each atomically: a reader of one channel sees all of that channel's old
files or all of the new ones. *Between* channels nothing is atomic: for the moment it takes to move them, two channels
may show two releases. Whoever shows several channels together reads the promotion's pointer. A publisher that is killed
on the way leaves channels behind; the next call for the promotion, the same one again included, moves them on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

from zimage_core import clock
from zimage_core.domain import Release
from zimage_core.errors import ObjectMissing, PublishError
from zimage_core.publishing.doomed import announced
from zimage_core.publishing.history import (
    JSON,
    THREADS,
    Note,
    Pointer,
    SwitchKind,
    another_publisher,
    in_parallel,
    move_pointer,
    pointed_channels,
    pointer_key,
    pointer_of,
    read_bytes,
    read_history,
    read_manifest,
    read_pointer,
    release_of,
    write_note,
)
from zimage_core.publishing.manifest import Manifest, channel_manifest
from zimage_core.storage import IMMUTABLE, Store

__all__ = [
    "check_files",
    "current_release",
    "follow_channels",
    "list_releases",
    "previous_release",
    "prove",
    "publish_release",
    "read_manifest",
    "rollback",
]

Look = Callable[[Manifest], object]
"""Looks at a release before it goes live, and raises PublishError when it must not (see `canary`)."""

_ROUNDS = 20


def publish_release(
    store: Store,
    manifest: Manifest,
    *,
    by: str | None = None,
    kind: SwitchKind = "published",
    threads: int = THREADS,
    look: Look | None = None,
    now: Callable[[], datetime] = clock.now,
) -> Release:
    """Make a manifest's files the live release of its promotion, after checking each of them in the store.

    `by` names a run or a person for those who ask later; `threads` files are asked about at a time; `look` sees the
    manifest when its files are in the store and nothing is live yet.

    Idempotent: a release that is live already is left alone, and a call that was killed can be made again. Raises
    PublishError when a file is missing or is not what the manifest says, when `look` says so, or when another publisher
    was faster; StorageError when the store fails. Whatever is raised before the promotion's pointer was moved leaves
    the release before standing; after it, the same call again moves the channels that are left.
    """
    with announced(store, manifest, now()):
        prove(store, manifest, threads=threads, look=look)
        key = pointer_key(manifest.promotion)
        seen = read_bytes(store, key)
        live = None if seen is None else pointer_of(key, seen)
        if live is None or live.release_id != manifest.release_id:
            history = read_history(store, manifest.promotion)
            before = None if live is None else history.last_of(live.release_id)
            note = Note(manifest.release_id, manifest.key, before, kind, len(manifest.entries), now(), by)
            write_note(store, history, note)
            if not move_pointer(store, key, seen, Pointer(manifest.release_id, manifest.key)):
                raise another_publisher(manifest.promotion)
        follow_channels(store, manifest.promotion, manifest)
    return release_of(manifest)


def rollback(
    store: Store,
    promotion: str,
    to: str | None = None,
    *,
    by: str | None = None,
    threads: int = THREADS,
    look: Look | None = None,
    now: Callable[[], datetime] = clock.now,
) -> Release:
    """Make an earlier release live again, by default the one that stood before; its files are checked first.

    A caller who may be killed and run again names `to` (see `previous_release`): naming it twice goes back once,
    leaving it out twice goes back twice. Raises PublishError when nothing is live, nothing stood before, `to` was never
    released, files of that release are gone, or another publisher was faster; the release that is live then stays.
    """
    key = pointer_key(promotion)
    seen = read_bytes(store, key)
    if seen is None:
        raise PublishError(f"Nothing of {promotion} is live, so there is nothing to roll back.")
    live = pointer_of(key, seen)
    history = read_history(store, promotion)
    number = history.before(live.release_id) if to is None else history.last_of(to)
    if number is None:
        if to is None:
            raise PublishError(f"No release of {promotion} stood before {live.release_id}, or none that was kept.")
        known = ", ".join(dict.fromkeys(note.release_id for note in history.notes.values()))
        raise PublishError(f"{to} was never a release of {promotion}; known are: {known}.")
    target = history.notes[number]
    manifest = read_manifest(store, target.manifest_key)
    with announced(store, manifest, now()):
        prove(store, manifest, threads=threads, look=look)
        if target.release_id != live.release_id:
            files = len(manifest.entries)
            note = Note(target.release_id, target.manifest_key, target.before, "rolled_back", files, now(), by)
            write_note(store, history, note)
            if not move_pointer(store, key, seen, Pointer(target.release_id, target.manifest_key)):
                raise another_publisher(promotion)
        follow_channels(store, promotion, manifest)
    return release_of(manifest)


def prove(store: Store, manifest: Manifest, *, threads: int = THREADS, look: Look | None = None) -> None:
    """Prove that all a manifest names is in the store and may go live. Raises PublishError, StorageError."""
    check_files(store, manifest, threads=threads)
    if look is not None:
        look(manifest)


def check_files(store: Store, manifest: Manifest, *, threads: int = THREADS) -> None:
    """Raise PublishError when a file of the manifest is missing, or is not what the manifest says.

    Size, checksum and content type are asked of the store; a file it knows no checksum of is read.
    """
    listed = manifest.files()
    skus = {file.key: entry.sku for entry in manifest.entries for file in entry.files()}

    def check(key: str) -> None:
        file, sku = listed[key], skus[key]
        try:
            facts = store.facts(key)
            sha256 = facts.sha256
            if sha256 is None and facts.size_bytes == file.size_bytes:
                sha256 = hashlib.sha256(store.get(key)).hexdigest()
        except ObjectMissing as error:
            raise PublishError(f"{key} is listed in the release but is not in the store.", sku=sku) from error
        if facts.size_bytes != file.size_bytes or sha256 != file.sha256:
            raise PublishError(f"The bytes of {key} are not those that the release lists.", sku=sku)
        if facts.content_type is not None and facts.content_type.partition(";")[0].strip() != file.media_type:
            raise PublishError(
                f"{key} is kept as {facts.content_type}, but the release lists it as {file.media_type}.", sku=sku
            )

    in_parallel(check, list(listed), threads)


def follow_channels(store: Store, promotion: str, known: Manifest | None = None) -> None:
    """Move the channels' pointers to where the promotion's points, those of channels it has no files for included.

    May be called at any time, by any number of processes: the last of them to write looks again at the promotion's
    pointer afterwards, so that in the end all agree with it. `known` saves reading the manifest that is live.

    Raises PublishError when the promotion is switched again and again meanwhile; StorageError.
    """
    for _ in range(_ROUNDS):
        live = read_pointer(store, promotion)
        if live is None:
            return
        if known is None or known.release_id != live.release_id:
            known = read_manifest(store, live.manifest_key)
        channels = sorted({*known.channels, *pointed_channels(store, promotion)})
        moved = [_point_channel(store, known, channel) for channel in channels]
        if all(moved) and read_pointer(store, promotion) == live:
            return
    raise PublishError(f"The channels of {promotion} cannot follow: it is being switched again and again; try later.")


def current_release(store: Store, promotion: str) -> Release | None:
    """Return the live release of a promotion, None when there is none. PublishError when its manifest is gone."""
    pointer = read_pointer(store, promotion)
    return None if pointer is None else release_of(read_manifest(store, pointer.manifest_key))


def previous_release(store: Store, promotion: str) -> Release | None:
    """Return the release that `rollback` would make live, None when nothing stood before the live one."""
    pointer = read_pointer(store, promotion)
    if pointer is None:
        return None
    history = read_history(store, promotion)
    number = history.before(pointer.release_id)
    return None if number is None else release_of(read_manifest(store, history.notes[number].manifest_key))


def list_releases(store: Store, promotion: str) -> tuple[Release, ...]:
    """Return every kept release that was made live (or was about to be), each once, the first first."""
    notes = read_history(store, promotion).notes.values()
    keys = [key for key in dict.fromkeys(note.manifest_key for note in notes) if store.exists(key)]
    return tuple(in_parallel(lambda key: release_of(read_manifest(store, key)), keys))


def _point_channel(store: Store, manifest: Manifest, channel: str) -> bool:
    """Move one channel's pointer to its part of a release; False when another publisher moved it meanwhile."""
    key = pointer_key(manifest.promotion, channel)
    part = channel_manifest(manifest, channel)
    seen = read_bytes(store, key)
    wanted = Pointer(part.release_id, part.key)
    if seen is not None and pointer_of(key, seen) == wanted:
        return True
    store.put(part.key, part.data, content_type=JSON, cache_control=IMMUTABLE)
    return move_pointer(store, key, seen, wanted)
