"""What is live, since when, by whom; what waits; what can be gone back to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from zimage_core.publishing.history import (
    SwitchKind,
    pointed_channels,
    promotions_in,
    read_history,
    read_manifest,
    read_pointer,
)
from zimage_core.publishing.manifest import channel_manifest
from zimage_core.storage import Store

ReleaseState = Literal["live", "previous", "kept", "gone"]


@dataclass(frozen=True, slots=True)
class LivePromotion:
    """What a promotion shows. `since`, `by` and `kind` are None for switches noted before these were kept.

    `lagging` are channels whose pointer is not where the promotion's is: a publisher was killed, or is on its way.
    """

    promotion: str
    release_id: str
    files: int
    channels: tuple[str, ...]
    lagging: tuple[str, ...]
    since: datetime | None
    by: str | None
    kind: SwitchKind | None


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """One release of a promotion, by the latest switch to it; gone = retention removed it, `previous` = rollback's."""

    release_id: str
    state: ReleaseState
    files: int | None
    at: datetime | None
    by: str | None
    kind: SwitchKind | None


def live_promotions(store: Store) -> tuple[LivePromotion, ...]:
    """Return what every promotion of a store shows, by name. Raises PublishError when a manifest is gone."""
    return tuple(live for name in promotions_in(store) if (live := live_promotion(store, name)) is not None)


def live_promotion(store: Store, promotion: str) -> LivePromotion | None:
    """Return what a promotion shows, None when nothing of it is live. Raises PublishError when its manifest is gone."""
    pointer = read_pointer(store, promotion)
    if pointer is None:
        return None
    manifest = read_manifest(store, pointer.manifest_key)
    history = read_history(store, promotion)
    number = history.last_of(pointer.release_id)
    note = None if number is None else history.notes[number]
    pointed = {channel: read_pointer(store, promotion, channel) for channel in pointed_channels(store, promotion)}
    lagging = [
        channel
        for channel in sorted({*manifest.channels, *pointed})
        if (at := pointed.get(channel)) is None or at.release_id != channel_manifest(manifest, channel).release_id
    ]
    return LivePromotion(
        promotion=promotion,
        release_id=pointer.release_id,
        files=len(manifest.entries),
        channels=manifest.channels,
        lagging=tuple(lagging),
        since=None if note is None else note.at,
        by=None if note is None else note.by,
        kind=None if note is None else note.kind,
    )


def release_lines(store: Store, promotion: str) -> tuple[ReleaseLine, ...]:
    """Return a line per release of a promotion that was ever switched to and is remembered, the newest first."""
    history = read_history(store, promotion)
    pointer = read_pointer(store, promotion)
    live = None if pointer is None else pointer.release_id
    number = None if live is None else history.before(live)
    previous = None if number is None else history.notes[number].release_id
    lines: list[ReleaseLine] = []
    for note in history.newest_first():
        state: ReleaseState = "kept" if store.exists(note.manifest_key) else "gone"
        if state == "kept" and note.release_id in (live, previous):
            state = "live" if note.release_id == live else "previous"
        lines.append(ReleaseLine(note.release_id, state, note.files, note.at, note.by, note.kind))
    return tuple(lines)
