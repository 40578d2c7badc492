"""Every noun of the project, frozen. Nothing here reads a clock, a file, a network or a random number.

Identity. Ids are hashes of content (`content_id`), so the same promise made twice is the same row:

    product_key   everything the catalogue says about a product, its price included
    shot_id       what decides the pixels before any try is made: SKU, scene, mode, size, prompt, reference photo,
                  engine fingerprint. The price is *not* part of it, so a new price costs no engine call; neither is
                  the promotion, so two promotions that want the same picture share it.
    attempt_id    shot_id + attempt number + what was changed for this attempt; the seed follows from these
    finished_key  the attempt's pixels + the overlay drawn over them
    rendition_id  finished pixels + channel rules + encoder settings
    release_id    the manifest's own bytes

Pixels are not nouns of this module: they live in `imaging` as arrays and in a `Store` as bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

Mode = Literal["packshot", "stage", "inpaint", "text"]
SceneName = Literal["packshot", "studio", "lifestyle", "detail", "flat_lay", "model_wear"]
Category = Literal["fashion", "electronics", "home", "beauty", "food", "default"]
GradeLetter = Literal["A", "B", "C"]
VerdictKind = Literal["accept", "review", "regenerate", "give_up"]
DecisionKind = Literal["approve", "reject", "regenerate"]
ShotState = Literal["promised", "accepted", "doubtful", "given_up", "failed"]
OverlayRole = Literal["badge", "price", "original_price", "caption"]
Language = Literal["zh", "en"]


def content_id(*parts: object) -> str:
    """Return 16 hex digits that name these parts: sha256 over canonical JSON, so equal content has an equal id.

    Frozen dataclasses, tuples, dicts, dates, Decimals and JSON scalars may be given; anything else is a TypeError.
    64 bits: at 100 million ids the chance of any collision is below 0.03 %.
    """
    text = json.dumps(parts, default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def to_plain(noun: Any) -> dict[str, Any]:
    """Return a noun as JSON-ready dicts and lists (Decimals, dates as text); pydantic's TypeAdapter reads it back."""
    plain: dict[str, Any] = json.loads(json.dumps(noun, default=_plain, ensure_ascii=False))
    return plain


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, (Decimal, date, datetime)):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no canonical form; give content_id plain data.")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; x to the right, y down, from the image's upper left corner."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int

    @property
    def right_px(self) -> int:
        """First column to the right of the box."""
        return self.x_px + self.width_px

    @property
    def bottom_px(self) -> int:
        """First row below the box."""
        return self.y_px + self.height_px

    def overlaps(self, other: Box) -> bool:
        """Tell whether the two boxes share at least one pixel."""
        return (
            self.x_px < other.right_px
            and other.x_px < self.right_px
            and self.y_px < other.bottom_px
            and other.y_px < self.bottom_px
        )


# ---------------------------------------------------------------- catalogue


@dataclass(frozen=True, slots=True)
class Product:
    """The thing sold, as the catalogue says. `image` is a path relative to the catalogue; None if it has no photo."""

    sku: str
    name: str
    record_no: int
    name_en: str | None = None
    category: Category = "default"
    color: str | None = None
    material: str | None = None
    price: Decimal | None = None
    original_price: Decimal | None = None
    currency: str = "CNY"
    selling_points: tuple[str, ...] = ()
    brand: str | None = None
    image: str | None = None
    image_sha256: str | None = None

    @property
    def product_key(self) -> str:
        """The id of everything the catalogue says; `record_no` is where it stood, not what it is."""
        return content_id("product", dataclasses.replace(self, record_no=0))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row, product or shot that is not taken, and why. A value, not an error: it is stored and shown."""

    stage: Literal["extract", "plan", "generate"]
    code: str
    reason: str
    sku: str | None = None
    record_no: int | None = None
    field: str | None = None
    value: str | None = None

    @property
    def refusal_id(self) -> str:
        """The id under which the same refusal is kept once."""
        return content_id("refusal", self)


# ---------------------------------------------------------------- prompting


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of a prompt, and which file and version it came from."""

    text: str
    file: str
    version: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an engine is told. Provenance stays with it: `clauses` in order make up `text`."""

    text: str
    negative: str
    language: Language
    clauses: tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Light:
    """The key light. Azimuth 0 = from the camera, 90 = from the right, -90 = from the left; elevation 90 = overhead."""

    azimuth_deg: float
    elevation_deg: float
    softness_ratio: float = 0.6
    warmth_ratio: float = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """How a scene is built: what the CPU renderer draws, and what the words of a prompt describe."""

    backdrop: Literal["white", "sweep", "wall", "surface", "closeup"]
    floor: Literal["none", "paper", "wood", "stone", "fabric", "gloss", "tile"]
    palette: tuple[str, ...]
    light: Light
    fill_ratio: float = 0.70
    horizon_ratio: float = 0.62
    reflection_ratio: float = 0.0
    bokeh_ratio: float = 0.0
    text_room: Literal["none", "top", "left", "right", "bottom"] = "none"


@dataclass(frozen=True, slots=True)
class Scene:
    """A setting from prompts/scenes/, already resolved for one category."""

    name: SceneName
    category: Category
    mode: Mode
    stage: Stage
    camera: str
    version: str
    file: str


@dataclass(frozen=True, slots=True)
class Brand:
    """Palette, type and words of a brand, from prompts/brands/. Colours are #rrggbb."""

    slug: str
    name: str
    palette: tuple[str, ...]
    badge_color: str
    badge_text_color: str
    price_color: str
    font: Literal["sans", "serif"]
    logo: str | None
    style_words_zh: tuple[str, ...]
    style_words_en: tuple[str, ...]
    version: str


@dataclass(frozen=True, slots=True)
class PriceStyle:
    """How a promotion writes a price: whether at all, the words before it, whether the old price is struck through."""

    show: bool = True
    label_zh: str = ""
    label_en: str = ""
    show_original: bool = False


@dataclass(frozen=True, slots=True)
class Promotion:
    """Why a run exists, from prompts/promotions/."""

    slug: str
    name_zh: str
    name_en: str
    starts: date
    ends: date
    scenes: tuple[SceneName, ...]
    channels: tuple[str, ...]
    brand: str
    badge_zh: str
    badge_en: str
    price_style: PriceStyle
    language: Language
    version: str


# ---------------------------------------------------------------- planning


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


# ---------------------------------------------------------------- generation


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine says of itself. `fingerprint` names all that decides its pixels (weights, precision, steps, code).

    `seconds_per_image` and `cost_usd_per_image` are for forecasts; what really happened is in each Attempt.
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


@dataclass(frozen=True, slots=True)
class Change:
    """How an attempt departs from the shot's plan. Attempt 1 changes nothing; `why` says which finding asked for it.

    `backdrop`: contrast = a backdrop that sets the product off; plain = one quiet tone, no pattern.
    `wording`: which paraphrase of the prompt; the model varies little by seed alone.
    `layout`: which overlay layout. `mode`: a safer way to make the picture, None = as planned.
    """

    wording: int = 0
    backdrop: Literal["as_planned", "contrast", "plain"] = "as_planned"
    layout: int = 0
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
    """One try at a shot, immutable. `object_key` is where its pixels are (PNG), None when the engine failed."""

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


def seed_of(shot_id: str, number: int) -> int:
    """Return the seed of an attempt: 32 bits from (shot_id, attempt number), so any machine draws the same image."""
    digest = hashlib.sha256(f"seed:{shot_id}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


# ---------------------------------------------------------------- overlay


@dataclass(frozen=True, slots=True)
class OverlayText:
    """One piece of text that must stand in the picture, exactly as written here."""

    role: OverlayRole
    text: str
    language: Language


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is drawn by code over an accepted attempt; empty `texts` means nothing is drawn."""

    texts: tuple[OverlayText, ...]
    badge_color: str
    badge_text_color: str
    price_color: str
    font: Literal["sans", "serif"]
    layout: int = 0


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A text as drawn: its box hugs the ink (for reading it back), `plate` is all that was painted for it."""

    role: OverlayRole
    text: str
    box: Box
    plate: Box
    covers_product_ratio: float


# ---------------------------------------------------------------- quality


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's measured answer. `score` is None when it does not apply or could not be done (`state` says which)."""

    check: str
    state: Literal["measured", "not_applicable", "error"]
    sentence: str
    value: float | None = None
    unit: str = ""
    limit: float | None = None
    score: float | None = None
    passed: bool = True
    veto: bool = False
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Grade:
    """Score 0..1 and letter of one attempt under one rubric, with every finding that led there."""

    attempt_id: str
    finished_key: str
    rubric_hash: str
    score: float
    letter: GradeLetter
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]

    @property
    def grade_id(self) -> str:
        """One grade per attempt, overlay and rubric: judging again by the same rubric is the same row."""
        return content_id("grade", self.attempt_id, self.finished_key, self.rubric_hash)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policy decides next for a shot. `change` is set only for regenerate."""

    kind: VerdictKind
    reason: str
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's judgement of a doubtful attempt."""

    attempt_id: str
    kind: DecisionKind
    who: str
    why: str
    decided_at: datetime


# ---------------------------------------------------------------- publishing


@dataclass(frozen=True, slots=True)
class Rendition:
    """A sized, encoded, labelled file for one channel."""

    rendition_id: str
    shot_id: str
    attempt_id: str
    sku: str
    scene: SceneName
    channel: str
    object_key: str
    sha256: str
    size_bytes: int
    width_px: int
    height_px: int
    media_type: str
    alt_text: str


@dataclass(frozen=True, slots=True)
class Release:
    """One published set. `manifest_key` lists its files; the pointer of its promotion names at most one release."""

    release_id: str
    promotion: str
    manifest_key: str
    rendition_count: int


# ---------------------------------------------------------------- reporting


@dataclass(frozen=True, slots=True)
class ShotOutcome:
    """Where a promised shot stands, with all that a person needs to judge it."""

    promise: Promise
    state: ShotState
    reason: str
    attempts: tuple[Attempt, ...] = ()
    grades: tuple[Grade, ...] = field(default=())
    chosen: Attempt | None = None
    grade: Grade | None = None
    decision: Decision | None = None
    renditions: tuple[Rendition, ...] = ()
