"""Tries at a shot: their numbers, seeds, changes and results."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from typing import Literal

from zimage_core.domain.identity import content_id
from zimage_core.domain.names import Mode


@dataclass(frozen=True, slots=True)
class Change:
    """How an attempt departs from the shot's plan. Attempt 1 changes nothing; `why` says which finding asked for it.

    `backdrop`: contrast = a backdrop that sets the product off; plain = one quiet tone, no pattern; palette = the
    scene's own colours, named (to a model) or exact (in the studio).
    `size`: smaller = fewer pixels than planned, for a photo that is not sharp enough for more (see `attempt_size`).
    `wording`: which paraphrase of the prompt; the model varies little by seed alone.
    `layout`: which overlay layout. `mode`: a safer way to make the picture, None = as planned.
    """

    wording: int = 0
    backdrop: Literal["as_planned", "contrast", "plain", "palette"] = "as_planned"
    layout: int = 0
    size: Literal["as_planned", "smaller"] = "as_planned"
    mode: Mode | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the cut-out landed: image_px = scale * cutout_px + (x_px, y_px), for the cut-out's own array."""

    scale: float
    x_px: float
    y_px: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a shot, immutable. `object_key` is where its pixels are (PNG), None when the engine failed.

    `engine` is the one that drew, wherever it did: behind a server it is the engine inside.
    """

    attempt_id: str
    shot_id: str
    number: int
    seed: int
    change: Change
    engine: str
    engine_fingerprint: str
    object_key: str | None
    sha256: str | None
    width_px: int | None
    height_px: int | None
    placement: Placement | None
    seconds: float
    cost_usd: float
    notes: tuple[str, ...] = ()
    error_code: str | None = None
    error: str | None = None
    error_retryable: bool = False


def attempt_id_of(shot_id: str, number: int, change: Change) -> str:
    """Return the id of one try: the shot, which try it is, and what it changes (its words of explanation aside)."""
    return content_id("attempt", shot_id, number, dataclasses.replace(change, why=""))


def attempt_size(width_px: int, height_px: int, change: Change) -> tuple[int, int]:
    """Return the size an attempt is made at: the shot's own, or three quarters of it, on the 16 px grid of all engines.

    Three quarters: 1600 becomes 1200 and 1024 becomes 768, still above what most channels ask for; an edge that was
    5 px wide becomes less than 4. A channel that needs more pixels refuses its rendition with the reason.
    """
    if change.size == "as_planned":
        return width_px, height_px
    return max(16, round(width_px * 0.75 / 16) * 16), max(16, round(height_px * 0.75 / 16) * 16)


def seed_of(shot_id: str, number: int) -> int:
    """Return the seed of an attempt: 32 bits from (shot_id, attempt number), so any machine draws the same image."""
    digest = hashlib.sha256(f"seed:{shot_id}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
