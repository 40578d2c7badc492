"""The shape of each file under prompts/: pydantic models that refuse unknown keys and impossible values.

Structure is judged here, while a file is read; content (does the light in the words come from where the lamp stands,
can the badge be read) is judged by `lint`, which lists everything it finds instead of stopping at the first.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, get_args
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from zimage_core.domain import Category, Language, Mode, SceneName

SCENE_NAMES: tuple[SceneName, ...] = get_args(SceneName)
CATEGORIES: tuple[Category, ...] = get_args(Category)
LANGUAGES: tuple[Language, ...] = get_args(Language)

Camera = Literal["eye_level", "three_quarter", "top_down", "close_up", "full_body"]
ClauseKind = Literal["subject", "vacant", "setting", "light", "camera", "mood"]
CLAUSE_KINDS: tuple[ClauseKind, ...] = get_args(ClauseKind)

MIN_PRODUCTION_DAYS = 1
"""Between opening and freeze; our own choice: with less a late start is a missed one."""

# Colours are plain text in these models, so that lint can name each wrong one.
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Paraphrases = Annotated[tuple[Words, ...], Field(min_length=1, max_length=6)]
Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class FileModel(BaseModel):
    """What all files share: unknown keys are refused, values cannot change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VersionedFile(FileModel):
    """A whole file; its editors raise `version` when they mean a change."""

    version: int = Field(ge=1)


class LightShape(FileModel):
    """The key light; see domain.Light. Degrees and ratios."""

    azimuth_deg: float = Field(ge=-180, le=180)
    elevation_deg: float = Field(ge=0, le=90)
    softness_ratio: Ratio = 0.6
    warmth_ratio: float = Field(0.0, ge=-1.0, le=1.0)


class StageShape(FileModel):
    """How the scene is built; see domain.Stage. `palette` is backdrop, then floor, then accents for what is blurred."""

    backdrop: Literal["white", "sweep", "wall", "surface", "closeup"]
    floor: Literal["none", "paper", "wood", "stone", "fabric", "gloss", "tile"]
    palette: tuple[str, ...] = Field(min_length=1, max_length=6)
    light: LightShape
    fill_ratio: float = Field(0.70, gt=0.1, le=2.0)
    horizon_ratio: Ratio = 0.62
    reflection_ratio: Ratio = 0.0
    bokeh_ratio: Ratio = 0.0
    text_room: Literal["none", "top", "left", "right", "bottom"] = "none"


class WordsShape(FileModel):
    """The clause templates of a scene in one language; the items of a list are paraphrases of each other.

    `subject` names the product and is used where the engine draws it (modes text and inpaint); `vacant` describes the
    empty place the cut-out is put into (modes packshot and stage), or the engine would paint a second product there.
    """

    subject: Paraphrases
    vacant: Paraphrases
    setting: Paraphrases
    light: Paraphrases
    camera: Paraphrases
    mood: Paraphrases
    negative: Words
    vacant_negative: Words

    def of(self, kind: ClauseKind) -> tuple[str, ...]:
        """Return the paraphrases of one kind of clause."""
        paraphrases: tuple[str, ...] = getattr(self, kind)
        return paraphrases


class SceneShape(FileModel):
    """A scene for one category, after the category's overrides were laid over the default."""

    camera: Camera
    stage: StageShape
    zh: WordsShape | None = None
    en: WordsShape | None = None

    def words(self, language: Language) -> WordsShape | None:
        """Return the templates of that language, None where the file has none."""
        return self.zh if language == "zh" else self.en


class SceneFile(VersionedFile):
    """prompts/scenes/<scene>.yaml as it stands on disk; `categories` holds only what differs from `default`."""

    scene: SceneName
    mode: Mode
    suits: tuple[Category, ...] = Field(min_length=1)
    default: dict[str, object]
    categories: dict[Category, dict[str, object]] = Field(default_factory=dict)


class BrandFile(VersionedFile):
    """prompts/brands/<slug>.yaml; see domain.Brand."""

    name: Words
    palette: tuple[str, ...] = Field(min_length=1, max_length=8)
    badge_color: str
    badge_text_color: str
    price_color: str
    font: Literal["sans", "serif"] = "sans"
    logo: str | None = None
    style_words_zh: tuple[Words, ...] = ()
    style_words_en: tuple[Words, ...] = ()


class PriceStyleShape(FileModel):
    """How prices are written; see domain.PriceStyle."""

    show: bool = True
    label_zh: str = ""
    label_en: str = ""
    show_original: bool = False


class PromotionFile(VersionedFile):
    """prompts/promotions/<slug>.yaml. Its days begin and end at midnight in `time_zone`, where its customers live.

    `lead_days` before `starts` production opens; in the last `freeze_days` before it nothing is produced any more, so
    that a person can still look, hold and go back. Both 0: nothing is made ahead, as for a promotion without end.
    """

    name_zh: Words
    name_en: Words
    starts: date
    ends: date
    time_zone: str = "Asia/Shanghai"
    lead_days: int = Field(14, ge=0, le=365)
    freeze_days: int = Field(2, ge=0, le=364, validate_default=True)
    scenes: tuple[SceneName, ...] = Field(min_length=1)
    channels: tuple[Words, ...] = Field(min_length=1)
    brand: Words
    badge_zh: str = ""
    badge_en: str = ""
    price_style: PriceStyleShape = PriceStyleShape()
    language: Language = "zh"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"there is no time zone {name!r}; an example is Asia/Shanghai")
        return name

    @field_validator("freeze_days")
    @classmethod
    def _time_to_produce(cls, freeze_days: int, info: ValidationInfo) -> int:
        """A day at least lies between opening and freeze; nothing is frozen that is not made ahead."""
        lead_days = info.data.get("lead_days")
        if lead_days is None or lead_days >= freeze_days + MIN_PRODUCTION_DAYS or lead_days == freeze_days == 0:
            return freeze_days
        raise ValueError(
            f"with {lead_days} lead_days no day is left to produce in; lead_days must be at least freeze_days + "
            f"{MIN_PRODUCTION_DAYS}, or both 0 where nothing is made ahead"
        )


class BlockedShape(FileModel):
    """Words of the blocklist that share a reason."""

    words: tuple[Words, ...] = Field(min_length=1)
    reason: Words


class BlocklistFile(VersionedFile):
    """prompts/blocklist.yaml: what no text may say, and what only texts drawn over pictures may not."""

    blocked: tuple[BlockedShape, ...] = ()
    blocked_in_overlays: tuple[BlockedShape, ...] = ()
