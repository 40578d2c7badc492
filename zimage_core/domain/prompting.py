"""Scenes, brands and promotions, and the prompts composed from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from zimage_core.domain.names import Category, Language, Mode, SceneName


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
    """Why a run exists, from prompts/promotions/. Its days begin and end at midnight in `time_zone` (IANA)."""

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
    time_zone: str = "Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class ProductionWindow:
    """When a promotion's pictures are made, as aware datetimes in its time zone: from `opens_at` to `deadline_at`.

    From the deadline on nothing is produced any more: a person still looks, holds, goes back. Both are the same moment
    where nothing is made ahead.
    """

    opens_at: datetime
    deadline_at: datetime
