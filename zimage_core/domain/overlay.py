"""What is drawn by code over an accepted attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zimage_core.domain.identity import Box
from zimage_core.domain.names import Language, OverlayRole


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
