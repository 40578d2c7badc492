"""Channel rules from channels.yaml, checked before anything is planned by them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from zimage_core.domain import Channel, Language, SceneName
from zimage_core.errors import ConfigurationError

_SHIPPED = Path(__file__).with_name("channels.yaml")
_MAX_SIDE_PX = 10_000


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

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> _Rules:
        if self.min_short_side_px > min(self.width_px, self.height_px):
            raise ValueError(f"min_short_side_px {self.min_short_side_px} is larger than the picture's own short side")
        if self.min_fill_ratio > 0 and self.background != "white":
            raise ValueError("min_fill_ratio can only be measured on a white background")
        unknown = set(self.sources) - {*type(self).model_fields, "size"}
        if unknown:
            raise ValueError(f"sources names rules that do not exist: {', '.join(sorted(unknown))}")
        return self


_FILE = TypeAdapter(dict[str, _Rules])


def load_channels(path: Path | None = None) -> dict[str, Channel]:
    """Return the channels of a file by slug, in its order; None = the file shipped with the package.

    `Channel.source` joins the sources of all rules. Raises ConfigurationError saying which rule of which channel is
    wrong and why.
    """
    path = path or _SHIPPED
    try:
        text = path.read_text(encoding="utf-8")
        rules = _FILE.validate_python(yaml.safe_load(text))
    except OSError as error:
        raise ConfigurationError(f"The channel rules {path} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path.name} is not YAML: {error}.") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"{path.name} cannot be used: {wrong}.") from None
    return {slug: _channel(slug, rule) for slug, rule in rules.items()}


def _channel(slug: str, rule: _Rules) -> Channel:
    if not slug or not all(c.isascii() and (c.isalnum() or c in "_-") for c in slug):
        raise ConfigurationError(f"The channel name {slug!r} may hold letters, digits, _ and - only.")
    values = rule.model_dump(exclude={"sources"})
    return Channel(slug=slug, source="; ".join(f"{name}: {text}" for name, text in rule.sources.items()), **values)
