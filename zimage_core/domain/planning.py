"""What was promised, for which channels, made by what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from zimage_core.domain.catalogue import Product
from zimage_core.domain.names import Language, Mode, SceneName
from zimage_core.domain.prompting import Prompt, Scene


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of itself. `fingerprint` names all that decides its pixels (weights, precision, steps, code).

    `seconds_per_image` and `cost_usd_per_image` are for forecasts; what really happened is in each Attempt.
    `concurrent_calls` is how many `render` calls it takes at the same time: with two, its own lock guards the device
    and one batch is drawn while the one before is encoded and stored. `batch_tolerance_levels` is the mean absolute
    difference, in 8-bit levels, that a picture made in a batch may show to itself made alone; 0 = the very same bytes.
    `planned_area_px`: about how many pixels a generated picture is planned with. `drawn_by` names the engine in another
    process whose pictures these are, where that is known: attempts and AI labels speak of what drew, not of the wire.
    """

    name: str
    fingerprint: str
    modes: tuple[Mode, ...]
    needs_reference: bool
    size_multiple_px: int
    max_side_px: int
    batch_limit: int
    seconds_per_image: float
    cost_usd_per_image: float
    concurrent_calls: int = 1
    batch_tolerance_levels: float = 0.0
    planned_area_px: int = 1024 * 1024
    drawn_by: str | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """Where images go and its rules, from publishing/channels.yaml. `scenes` are the ones it takes."""

    slug: str
    width_px: int
    height_px: int
    min_short_side_px: int
    format: Literal["jpeg", "webp", "avif", "png"]
    max_bytes: int
    scenes: tuple[SceneName, ...]
    background: Literal["any", "white"]
    min_fill_ratio: float
    overlay_allowed: bool
    language: Language
    source: str
    verified_on: date


@dataclass(frozen=True, slots=True)
class Shot:
    """One product in one scene at one size: what we promised to deliver. `channels` are the ones it is for."""

    shot_id: str
    sku: str
    scene: Scene
    mode: Mode
    width_px: int
    height_px: int
    prompt: Prompt
    reference: str | None
    reference_sha256: str | None
    engine: str
    engine_fingerprint: str
    matte: str | None = None
    matte_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """A run's promise of a shot: the product as it was in the catalogue then, and the shard that answers for it."""

    run_id: str
    shot: Shot
    product: Product
    channels: tuple[str, ...]
    shard_id: str
    ordinal: int


@dataclass(frozen=True, slots=True)
class Run:
    """One production: a promotion over a catalogue with given settings. The same three make the same run_id."""

    run_id: str
    promotion: str
    catalogue: str
    settings: str
    started_at: datetime | None = None
