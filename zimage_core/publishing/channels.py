"""Channel rules from channels.yaml, checked before anything is planned by them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from zimage_core.domain import Channel, Language, SceneName
from zimage_core.domain.planning import AiDisclosure, AiLabel, FileFormat, Market, Slot
from zimage_core.errors import ConfigurationError

_SHIPPED = Path(__file__).with_name("channels.yaml")
_MAX_SIDE_PX = 10_000
STRENGTHS = ("official", "third party", "unverified", "our decision")
"""How sure a source is; every source of a rule begins with one of these."""
_TAKEN_OVER = "like"


class _Ai(BaseModel):
    """What a channel wants of a picture that a trained model had a part in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: tuple[AiLabel, ...] = ()
    source_type: Literal["exact", "trained"] = "exact"


class _Rules(BaseModel):
    """One entry of channels.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width_px: int = Field(gt=0, le=_MAX_SIDE_PX)
    height_px: int = Field(gt=0, le=_MAX_SIDE_PX)
    min_short_side_px: int = Field(gt=0)
    format: Literal["jpeg", "webp", "avif", "png"]
    max_bytes: int = Field(ge=10_000)
    scenes: tuple[SceneName, ...] = Field(min_length=1)
    background: Literal["any", "white"]
    min_fill_ratio: float = Field(ge=0, le=0.98)
    overlay_allowed: bool
    language: Language
    verified_on: date
    sources: dict[str, str] = Field(min_length=1)
    market: Market = "global"
    slot: Slot = "main"
    min_long_side_px: int | None = Field(default=None, gt=0)
    max_side_px: int = Field(default=_MAX_SIDE_PX, gt=0)
    allowed_formats: tuple[FileFormat, ...] = ()
    aspects: tuple[float, float] | None = None
    alpha_allowed: bool = False
    border_allowed: bool = True
    watermark_allowed: bool = True
    ai: _Ai = _Ai()
    srcset_widths_px: tuple[int, ...] = ()

    @field_validator("sources")
    @classmethod
    def _says_how_sure(cls, sources: dict[str, str]) -> dict[str, str]:
        for rule, text in sources.items():
            if not text.startswith(STRENGTHS):
                raise ValueError(f"the source of {rule} must begin with one of: {', '.join(STRENGTHS)}")
        return sources

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> _Rules:
        short, long = sorted((self.width_px, self.height_px))
        if self.min_short_side_px > short:
            raise ValueError(f"min_short_side_px {self.min_short_side_px} is larger than the picture's own short side")
        if (self.min_long_side_px or 0) > long or self.max_side_px < long:
            raise ValueError(f"the picture's own long side, {long}, is not within min_long_side_px and max_side_px")
        if self.min_fill_ratio > 0 and self.background != "white":
            raise ValueError("min_fill_ratio can only be measured on a white background")
        if self.allowed_formats and self.format not in self.allowed_formats:
            raise ValueError(f"allowed_formats does not name {self.format}, the format we deliver")
        if self.aspects and not 0 < self.aspects[0] <= self.width_px / self.height_px <= self.aspects[1]:
            raise ValueError("the picture's own width / height is not within aspects")
        if any(not 0 < width <= _MAX_SIDE_PX for width in self.srcset_widths_px):
            raise ValueError(f"srcset_widths_px holds a width that is not within 1 to {_MAX_SIDE_PX}")
        if "visible" in self.ai.labels and not self.overlay_allowed:
            raise ValueError("a visible AI label is wanted where overlay_allowed is false")
        unknown = set(self.sources) - {*type(self).model_fields, "size"}
        if unknown:
            raise ValueError(f"sources names rules that do not exist: {', '.join(sorted(unknown))}")
        return self


_FILE = TypeAdapter(dict[str, _Rules])


def load_channels(path: Path | None = None) -> dict[str, Channel]:
    """Return the channels of a file by slug, in its order; None = the file shipped with the package.

    An entry may say `like: SLUG` of a shipped channel, or of one further up in the same file, and then name only what
    differs; a rule that differs is "our decision" unless `sources` says otherwise. `Channel.source` joins all sources.
    Raises ConfigurationError saying which rule of which channel is wrong and why.
    """
    path = path or _SHIPPED
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        rules = _FILE.validate_python(_completed(entries, path))
    except OSError as error:
        raise ConfigurationError(f"The channel rules {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path.name} is not UTF-8 text: {error.reason}.") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path.name} is not YAML: {error}.") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"{path.name} cannot be used: {wrong}.") from None
    return {slug: _channel(slug, rule) for slug, rule in rules.items()}


def known_channels(own: Path | None = None) -> dict[str, Channel]:
    """Return the shipped channels with those of `own` beside them; an own channel replaces a shipped one of its name.

    Raises ConfigurationError as load_channels does.
    """
    return {**load_channels(), **(load_channels(own) if own is not None else {})}


def channel_named(slug: str, own: Path | None = None) -> Channel:
    """Return one of the known channels. Raises ConfigurationError, which names all that there are."""
    known = known_channels(own)
    if slug not in known:
        raise ConfigurationError(f"There is no channel '{slug}'; known: {', '.join(known)}.")
    return known[slug]


def _completed(entries: Any, path: Path) -> Any:
    """Return the file's entries with what `like` takes over filled in; what is no mapping is left for the model."""
    if not isinstance(entries, dict) or path == _SHIPPED:
        return entries
    shipped = yaml.safe_load(_SHIPPED.read_text(encoding="utf-8"))
    done: dict[Any, Any] = {}
    for slug, entry in entries.items():
        done[slug] = entry
        if isinstance(entry, dict) and _TAKEN_OVER in entry:
            base = entry[_TAKEN_OVER]
            found = {**shipped, **{name: one for name, one in done.items() if name != slug}}.get(base)
            if not isinstance(found, dict):
                raise ConfigurationError(f"{path.name}: {slug} is like {base!r}, which is no channel before it.")
            done[slug] = _differing(found, {key: value for key, value in entry.items() if key != _TAKEN_OVER})
    return done


def _differing(base: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    changed = {"size" if key in {"width_px", "height_px"} else key for key in entry} - {"sources", "verified_on"}
    kept = {rule: text for rule, text in base.get("sources", {}).items() if rule not in changed}
    own = entry.get("sources") or {}
    sources = {**kept, **dict.fromkeys(sorted(changed), "our decision")}
    return {**base, **entry, "sources": {**sources, **own} if isinstance(own, dict) else own}


def _channel(slug: str, rule: _Rules) -> Channel:
    if not slug or not all(c.isascii() and (c.isalnum() or c in "_-") for c in slug):
        raise ConfigurationError(f"The channel name {slug!r} may hold letters, digits, _ and - only.")
    values = rule.model_dump(exclude={"sources", "ai"})
    return Channel(
        slug=slug,
        source="; ".join(f"{name}: {text}" for name, text in rule.sources.items()),
        sources=tuple(rule.sources.items()),
        ai=AiDisclosure(labels=rule.ai.labels, source_type=rule.ai.source_type),
        **values,
    )
