"""Retention: what no kept release names is deleted, after it has been unused for a while, and never before.

Kept are, of every promotion: what is live (of the promotion and of each channel), what is held, what a publisher is
just switching to, and the latest `keep` releases to roll back to; with them their notes, their channels' parts and
every file they name. All else under `img/` and `releases/` is unused. A store does not tell how old an object is, so
the first run that finds something unused writes that down (`doomed`), and it is deleted by a run that finds it unused
still, `grace` later. Files of a run that is under way are so left alone, and so is all that a manifest names which was
written and did not go live yet. Other keys are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from zimage_core import clock
from zimage_core.errors import PublishError
from zimage_core.publishing.doomed import (
    DELETING_FOR_AT_MOST,
    SWITCHING_FOR_AT_MOST,
    Doomed,
    read_doomed,
    read_switching,
    write_doomed,
)
from zimage_core.publishing.history import (
    THREADS,
    held_prefix,
    history_prefix,
    in_parallel,
    pointed_channels,
    promotions_in,
    read_held,
    read_history,
    read_manifest,
    read_pointer,
)
from zimage_core.publishing.manifest import channel_manifest, empty_part_key
from zimage_core.storage import Store

GRACE: Final = timedelta(days=7)
"""Longer than any run: its files are in the store before a manifest names them."""
_MANIFEST: Final = re.compile(r"releases/[^/]+/[0-9a-f]{16}\.json")


@dataclass(frozen=True, slots=True)
class Pruning:
    """What a look at a store found. `waiting` are unused keys whose grace is not over, `doomed` those whose is.

    `deleted` is how many of the doomed went: none in a dry run.
    """

    kept_releases: int
    kept_objects: int
    waiting: tuple[str, ...]
    doomed: tuple[str, ...]
    deleted: int


@dataclass(frozen=True, slots=True)
class _Use:
    """What is in use at one moment. `manifests` are the kept releases, `others` those that are stored beside them."""

    kept: frozenset[str]
    manifests: frozenset[str]
    others: frozenset[str]


def prune(
    store: Store,
    keep: int,
    *,
    grace: timedelta = GRACE,
    dry: bool = True,
    threads: int = THREADS,
    now: Callable[[], datetime] = clock.now,
) -> Pruning:
    """Delete what has been unused for `grace`, keeping `keep` releases per promotion; dry = only say what.

    Killed anywhere it leaves every kept release whole, and the next run goes on. Raises PublishError when a manifest,
    note or pointer cannot be read (then nobody knows what is in use, and nothing is deleted), or when another process
    prunes; StorageError.
    """
    if keep < 1:
        raise PublishError("At least the live release of a promotion is kept.")
    at = now()
    record, seen = read_doomed(store)
    if not dry and record.deleting_since is not None and at - record.deleting_since < 2 * DELETING_FOR_AT_MOST:
        raise PublishError(f"Old files are being removed by another process, since {record.deleting_since}.")
    present = _present(store)
    use = _use_of(store, keep, at, threads)
    unused = sorted(present - use.kept)
    first_seen = {key: record.first_seen.get(key, at) for key in unused}
    ripe = {key for key in unused if at - first_seen[key] >= grace}
    doomed = _spared_by_others(store, use, ripe, threads)
    waiting = tuple(key for key in unused if key not in doomed)
    found = Pruning(len(use.manifests), len(present) - len(unused), waiting, tuple(sorted(doomed)), 0)
    if dry:
        return found
    if not doomed:
        write_doomed(store, seen, Doomed(first_seen))
        return found
    seen = write_doomed(store, seen, Doomed(first_seen, found.doomed, at))
    try:
        use = _use_of(store, keep, at, threads)  # again, now that publishers see what is going
        going = _spared_by_others(store, use, doomed - use.kept, threads)
    except PublishError:
        write_doomed(store, seen, Doomed(first_seen))
        raise
    gone = _delete(store, going, at + DELETING_FOR_AT_MOST, threads, now)
    left = {key: since for key, since in first_seen.items() if key not in gone}
    write_doomed(store, seen, Doomed(left))
    return Pruning(len(use.manifests), found.kept_objects, waiting, found.doomed, len(gone))


def _present(store: Store) -> set[str]:
    """Return the keys that retention answers for: files, manifests, channels' parts, notes, publishers' words."""
    found = set(store.list_keys("img/"))
    for promotion in promotions_in(store):
        keys = store.list_keys(f"releases/{promotion}/")
        found |= {key for key in keys if not key.startswith(held_prefix(promotion))}
    return found


def _use_of(store: Store, keep: int, at: datetime, threads: int) -> _Use:
    """Return what is in use by what every pointer, note, waiting release and publisher says."""
    kept: set[str] = set()
    wanted: set[str] = set()
    maybe: set[str] = set()
    for promotion in promotions_in(store):
        history = read_history(store, promotion)
        # in the order in which a release goes from one to the next, so that none is missed on its way
        switching = read_switching(store, promotion)
        active = {key for key, word in switching.items() if at - word.at < SWITCHING_FOR_AT_MOST}
        wanted |= {held.manifest_key for held in read_held(store, promotion)}
        live = read_pointer(store, promotion)
        wanted |= {switching[key].manifest_key for key in active}
        wanted |= set() if live is None else {live.manifest_key}
        latest = history.newest_first()[:keep]
        maybe |= {note.manifest_key for note in latest}  # may be gone, where fewer were kept before
        standing = {note.release_id for note in latest} | ({live.release_id} if live else set())
        oldest = min((number for id_ in standing if (number := history.last_of(id_)) is not None), default=0)
        prefix = history_prefix(promotion)
        kept |= active | {f"{prefix}{number:06d}.json" for number in history.notes if number >= oldest}
        for channel in pointed_channels(store, promotion):
            kept.add(empty_part_key(promotion, channel))
            part = read_pointer(store, promotion, channel)
            if part is not None:
                kept |= {part.manifest_key, *read_manifest(store, part.manifest_key).files()}
    stored = {key for key in store.list_keys("releases/") if _MANIFEST.fullmatch(key)}
    manifests = wanted | (maybe & stored)
    return _Use(
        kept=frozenset(kept | manifests | _named_by(store, manifests, threads)),
        manifests=frozenset(manifests),
        others=frozenset(stored - manifests),
    )


def _spared_by_others(store: Store, use: _Use, ripe: set[str], threads: int) -> set[str]:
    """Return what is ripe, less all that is named by a manifest which is not: it may be about to go live."""
    return ripe - _named_by(store, use.others - ripe, threads)


def _named_by(store: Store, manifests: Iterable[str], threads: int) -> set[str]:
    """Return every key that these manifests name: files, other sizes, and the parts of their channels."""

    def named(key: str) -> set[str]:
        manifest = read_manifest(store, key)
        return {*manifest.files(), *(channel_manifest(manifest, channel).key for channel in manifest.channels)}

    return set().union(*in_parallel(named, sorted(manifests), threads))


def _delete(store: Store, going: set[str], until: datetime, threads: int, now: Callable[[], datetime]) -> set[str]:
    """Delete keys, manifests before the files they name, and return those that went before the time was over."""

    def delete(key: str) -> str | None:
        if now() >= until:
            return None
        store.delete(key)
        return key

    first = sorted(key for key in going if key.startswith("releases/"))
    then = sorted(going.difference(first))
    gone = [*in_parallel(delete, first, threads), *in_parallel(delete, then, threads)]
    return {key for key in gone if key is not None}
