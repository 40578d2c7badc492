"""What was promised, for which channels, made by what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from zimage_core.domain.catalogue import Product
from zimage_core.domain.names import Language, Mode, SceneName
from zimage_core.domain.prompting import Prompt, Scene

Market = Literal["cn", "us", "eu", "global"]
Slot = Literal["main", "secondary", "detail", "social", "feed"]
FileFormat = Literal["jpeg", "png", "webp", "avif", "gif", "tiff", "bmp"]
AiLabel = Literal["digital_source_type", "aigc", "visible"]
"""IPTC DigitalSourceType in XMP, the TC260 `AIGC` field in XMP, and words in the picture that anyone can read."""


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
class AiDisclosure:
    """What a channel wants of a picture that a trained model had a part in.

    `labels` it must carry. `source_type` says which IPTC type: "exact" = the one that fits how it was made, "trained" =
    always trainedAlgorithmicMedia, for a channel whose rules name no other.
    """

    labels: tuple[AiLabel, ...] = ()
    source_type: Literal["exact", "trained"] = "exact"


@dataclass(frozen=True, slots=True)
class Channel:
    """Where images go and its rules, from publishing/channels.yaml. `scenes` are the ones it takes.

    What we deliver: `width_px` x `height_px` in `format`. What the channel takes, for judging any file: no side above
    `max_side_px`; `allowed_formats` (empty: ours alone); width / height within `aspects` (None: our own shape); a short
    side of `min_short_side_px`, or where `min_long_side_px` is given a long side of that. A web page is given the same
    picture at each of `srcset_widths_px` too, in those of AVIF, WebP and JPEG that it takes. `sources` is the origin of
    each rule by name, `source` the same as one text; both were looked at on `verified_on`.
    """

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
    market: Market = "global"
    slot: Slot = "main"
    min_long_side_px: int | None = None
    max_side_px: int = 10_000
    allowed_formats: tuple[FileFormat, ...] = ()
    aspects: tuple[float, float] | None = None
    alpha_allowed: bool = False
    border_allowed: bool = True
    watermark_allowed: bool = True
    ai: AiDisclosure = AiDisclosure()
    srcset_widths_px: tuple[int, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def drawing_rules(self) -> dict[str, object]:
        """The rules that decide a rendition's bytes, for its id: editing a source or a rule for judging changes none.

        `source` and `verified_on` stand at fixed values, as they always did, so ids from before stay what they were.
        """
        names = (
            "slug", "width_px", "height_px", "min_short_side_px", "format", "max_bytes", "scenes", "background",
            "min_fill_ratio", "overlay_allowed", "language",
        )  # fmt: skip
        more = {"srcset_widths_px": self.srcset_widths_px} if self.srcset_widths_px else {}
        return {"source": "", "verified_on": date.min, **{name: getattr(self, name) for name in names}, **more}

    def source_of(self, rule: str) -> str:
        """Return where a rule comes from, its strength first; "our decision" where the file names no source."""
        return dict(self.sources).get(rule, "our decision")


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
