"""Releases that are prepared now and go live later: stored and checked, held back, switched when their time has come.

Preparing changes nothing that a reader sees. Going live checks every file once more, because days may lie between. One
promotion may hold several releases; the latest that is due goes live, and those it overtook are let go of.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from zimage_core import clock
from zimage_core.domain import Release
from zimage_core.errors import PublishError
from zimage_core.publishing.doomed import announced
from zimage_core.publishing.history import (
    THREADS,
    Held,
    forget_held,
    read_held,
    read_manifest,
    read_pointer,
    write_held,
)
from zimage_core.publishing.manifest import Manifest
from zimage_core.publishing.release import Look, prove, publish_release
from zimage_core.storage import Store

__all__ = ["Held", "due_releases", "go_live", "let_go", "prepare_release", "read_held"]


def prepare_release(
    store: Store,
    manifest: Manifest,
    *,
    not_before: datetime | None = None,
    by: str | None = None,
    threads: int = THREADS,
    look: Look | None = None,
    now: Callable[[], datetime] = clock.now,
) -> Held:
    """Store a release and check its files, without making it live; `not_before` None = when a person says so.

    The same release again changes its time. Raises PublishError when a file is missing or is not what the manifest
    says, when `look` says so, or for a time without a time zone; StorageError.
    """
    if not_before is not None and not_before.tzinfo is None:
        raise PublishError("The moment of going live needs a time zone, as in 2027-06-01T00:00+08:00.")
    with announced(store, manifest, now()):
        prove(store, manifest, threads=threads, look=look)
        held = Held(manifest.release_id, manifest.key, manifest.promotion, len(manifest.entries), not_before, now(), by)
        write_held(store, held)
    return held


def due_releases(store: Store, now: datetime) -> tuple[Held, ...]:
    """Return, for every promotion, the latest held release whose time has come. Those without a time are never due."""
    due = {held.promotion: held for held in read_held(store) if held.not_before is not None and held.not_before <= now}
    return tuple(due[promotion] for promotion in sorted(due))


def go_live(
    store: Store,
    promotion: str,
    release_id: str | None = None,
    *,
    early: bool = False,
    by: str | None = None,
    threads: int = THREADS,
    look: Look | None = None,
    now: Callable[[], datetime] = clock.now,
) -> Release:
    """Make a held release live: the one that is named, else the only one there is. Its files are checked again.

    `early` = although its time has not come. A call that was killed can be made again. Raises PublishError when none
    is held, several are and none is named, its time has not come, or for what `publish_release` raises; what is live
    then stays, and the release stays held.
    """
    held = chosen(store, promotion, release_id)
    if held is None:  # it went live, and the call was killed before it could say so
        live = read_pointer(store, promotion)
        if live is None or live.release_id != release_id:
            raise PublishError(f"No release {release_id} of {promotion} is held.")
        return publish_release(store, read_manifest(store, live.manifest_key), threads=threads, look=look, now=now)
    if held.not_before is not None and held.not_before > now() and not early:
        raise PublishError(
            f"{held.release_id} of {promotion} may not go live before {held.not_before.isoformat(timespec='minutes')}; "
            "say so if it shall all the same."
        )
    manifest = read_manifest(store, held.manifest_key)
    release = publish_release(store, manifest, by=by or held.by, kind="went_live", threads=threads, look=look, now=now)
    for other in read_held(store, promotion):
        if other.release_id == held.release_id or _is_overtaken(other, held):
            forget_held(store, other)
    return release


def let_go(store: Store, promotion: str, release_id: str | None = None) -> Held:
    """Hold a release no longer; its files are left to retention. Raises PublishError when no such release is held."""
    held = chosen(store, promotion, release_id)
    if held is None:
        raise PublishError(f"No release {release_id} of {promotion} is held.")
    forget_held(store, held)
    return held


def chosen(store: Store, promotion: str, release_id: str | None) -> Held | None:
    """Return the held release of that id, None where there is none; without an id the only one that is held.

    Raises PublishError when no id is given and none is held, or several are.
    """
    held = read_held(store, promotion)
    if release_id is not None:
        return next((one for one in held if one.release_id == release_id), None)
    if not held:
        raise PublishError(f"No release of {promotion} is held.")
    if len(held) > 1:
        known = ", ".join(one.release_id for one in held)
        raise PublishError(f"Several releases of {promotion} are held, say which: {known}.")
    return held[0]


def _is_overtaken(other: Held, held: Held) -> bool:
    return other.not_before is not None and held.not_before is not None and other.not_before < held.not_before
