"""How nouns get their ids, and the one shape that several rooms share."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, cast


def content_id(*parts: object) -> str:
    """Return 16 hex digits that name these parts: sha256 over canonical JSON, so equal content has an equal id.

    Frozen dataclasses, tuples, dicts, dates, Decimals and JSON scalars may be given; anything else is a TypeError.
    64 bits: at 100 million ids the chance of any collision is below 0.03 %.
    """
    return hashlib.sha256(_CANONICAL.encode(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def to_plain(noun: Any) -> dict[str, Any]:
    """Return a noun as JSON-ready dicts and lists (Decimals, dates as text); pydantic's TypeAdapter reads it back."""
    plain: dict[str, Any] = json.loads(to_text(noun))
    return plain


def to_text(noun: Any) -> str:
    """Return what `to_plain` gives as compact JSON text."""
    return _COMPACT.encode(noun)


def _plain(value: object) -> object:
    names = _field_names(cast("Hashable", type(value)))
    if names is not None:
        return {name: getattr(value, name) for name in names}
    if isinstance(value, (Decimal, date, datetime)):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no canonical form; give content_id plain data.")


@cache
def _field_names(kind: Any) -> tuple[str, ...] | None:
    """Return the fields of a dataclass, looked up once; None for any other class."""
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


_CANONICAL = json.JSONEncoder(default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_COMPACT = json.JSONEncoder(default=_plain, separators=(",", ":"), ensure_ascii=False)


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
