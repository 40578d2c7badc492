"""Painting one overlay card: its shape, a soft shadow, flat colour cells and text that is always readable on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from zimage_core.domain import Box, OverlayText
from zimage_core.errors import ConfigurationError
from zimage_core.imaging.overlay_text import TextBlock

Shape = Literal["pill", "card", "keyline"]

MIN_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3 (AA), for text of any size
_OVERSAMPLING = 4
_CARD_RADIUS_RATIO = 0.24
_KEYLINE_INSET_RATIO = 0.09
_KEYLINE_OPACITY = 0.55
_SHADOW_OPACITY = 0.26
_SHADOW_SIGMA_RATIO = 0.10
_SHADOW_DROP_RATIO = 0.07
_STRIKE_RATIO = 0.06


@dataclass(frozen=True, slots=True)
class Cell:
    """One coloured field of a card with one text. Sizes include its padding."""

    text: OverlayText
    block: TextBlock
    width_px: int
    height_px: int
    plate_color: str
    text_color: str
    struck: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """Cells side by side under one outline; a keyline is a card with a thin line inside its edge."""

    cells: tuple[Cell, ...]
    shape: Shape
    width_px: int
    height_px: int

    @property
    def shadow_px(self) -> int:
        """How far the shadow reaches beyond the card, on every side."""
        return round(3 * _SHADOW_SIGMA_RATIO * self.height_px + _SHADOW_DROP_RATIO * self.height_px) + 1


def parse_color(color: str) -> tuple[int, int, int]:
    """Return the red, green and blue of `#rrggbb`. Raises ConfigurationError for anything else."""
    digits = color.removeprefix("#")
    if len(color) != 7 or not color.startswith("#") or any(c not in "0123456789abcdefABCDEF" for c in digits):
        raise ConfigurationError(f"{color!r} is not a colour; overlay colours are written #rrggbb.")
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def contrast(one: str, other: str) -> float:
    """Return the WCAG 2.2 contrast ratio of two colours, 1 (equal) to 21 (black on white)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def readable_on(plate: str, wanted: str) -> str:
    """Return `wanted` if it can be read on the plate, else white, near black or black: the first that can.

    Black or white always can: where white's ratio falls below 4.5, black's is above 4.58.
    """
    for color in (wanted, "#ffffff", "#161616"):
        if contrast(plate, color) >= MIN_CONTRAST:
            return color
    return "#000000"


def paint(layer: NDArray[np.uint8], card: Card, x_px: int, y_px: int) -> tuple[NDArray[np.uint8], tuple[Box, ...]]:
    """Return a copy of a layer with the card's upper left corner at (x_px, y_px), and each cell's ink box.

    The layer is (H, W, 4) uint8, colour multiplied by alpha. Inside the card's outline it becomes opaque.
    """
    pad = card.shadow_px
    size = (card.width_px + 2 * pad, card.height_px + 2 * pad)
    outline = _outline(card)
    placed = Image.new("L", size, 0)
    placed.paste(outline, (pad, pad))
    shadow = Image.new("L", size, 0)
    shadow.paste(outline, (pad, pad + round(_SHADOW_DROP_RATIO * card.height_px)))
    shadow = shadow.filter(ImageFilter.GaussianBlur(_SHADOW_SIGMA_RATIO * card.height_px))

    window = _Window(layer, x_px - pad, y_px - pad, size)
    window.blend(np.asarray(shadow), (0, 0, 0), _SHADOW_OPACITY)
    shape = np.asarray(placed)
    inks = []
    left = pad
    for number, cell in enumerate(card.cells):
        last = number == len(card.cells) - 1
        right = size[0] if last else left + cell.width_px
        field = np.zeros_like(shape)
        field[:, (0 if number == 0 else left) : right] = shape[:, (0 if number == 0 else left) : right]
        window.blend(field, parse_color(cell.plate_color))
        if card.shape == "keyline":
            line = Image.new("L", size, 0)
            line.paste(_keyline(card), (pad, pad))
            window.blend(np.asarray(line), parse_color(cell.text_color), _KEYLINE_OPACITY)
        ink = Image.new("L", size, 0)
        cell.block.draw(
            ink,
            left + (cell.width_px - cell.block.width_px) // 2,
            pad + (cell.height_px - cell.block.height_px) // 2,
            centred=True,
        )
        found = ink.getbbox()
        assert found is not None, "a text without ink never gets here"
        if cell.struck:
            _strike(ink, found, cell.block)
        window.blend(np.asarray(ink), parse_color(cell.text_color))
        inks.append(Box(x_px - pad + found[0], y_px - pad + found[1], found[2] - found[0], found[3] - found[1]))
        left += cell.width_px
    return window.layer, tuple(inks)


class _Window:
    """A part of a layer that may reach over its border; blends are clipped to what is inside."""

    def __init__(self, layer: NDArray[np.uint8], x_px: int, y_px: int, size: tuple[int, int]) -> None:
        height, width = layer.shape[:2]
        self.layer = layer.copy()
        self._rows = slice(max(0, y_px), min(height, y_px + size[1]))
        self._columns = slice(max(0, x_px), min(width, x_px + size[0]))
        self._mask_rows = slice(self._rows.start - y_px, self._rows.stop - y_px)
        self._mask_columns = slice(self._columns.start - x_px, self._columns.stop - x_px)

    def blend(self, mask: NDArray[np.uint8], color: tuple[int, int, int], opacity: float = 1.0) -> None:
        """Lay a colour over the window where the mask says, in integers so that every machine agrees."""
        weight = (mask[self._mask_rows, self._mask_columns, None].astype(np.uint32) * round(opacity * 256)) >> 8
        below = self.layer[self._rows, self._columns].astype(np.uint32)
        mixed = (below * (255 - weight) + np.array((*color, 255), np.uint32) * weight + 127) // 255
        self.layer[self._rows, self._columns] = mixed.astype(np.uint8)


def _outline(card: Card, inset_px: int = 0) -> Image.Image:
    """Return the card's shape as an "L" mask of the card's size, shrunk by `inset_px` on every side."""
    n = _OVERSAMPLING
    width, height, inset = card.width_px * n, card.height_px * n, inset_px * n
    mask = Image.new("L", (width, height), 0)
    radius = height // 2 if card.shape == "pill" else round(_CARD_RADIUS_RATIO * height)
    box = (inset, inset, width - 1 - inset, height - 1 - inset)
    ImageDraw.Draw(mask).rounded_rectangle(box, max(0, min(radius, width // 2) - inset), fill=255)
    return mask.reduce(n)


def _keyline(card: Card) -> Image.Image:
    inset_px = max(2, round(_KEYLINE_INSET_RATIO * card.height_px))
    width_px = max(1, round(0.02 * card.height_px))
    return ImageChops.subtract(_outline(card, inset_px), _outline(card, inset_px + width_px))


def _strike(ink: Image.Image, found: tuple[int, int, int, int], block: TextBlock) -> None:
    left, top, right, bottom = found
    overhang = round(0.12 * block.size_px)
    thickness = max(2, round(_STRIKE_RATIO * block.size_px))
    middle = (top + bottom) // 2
    ImageDraw.Draw(ink).rectangle(
        (left - overhang, middle - thickness // 2, right + overhang, middle - thickness // 2 + thickness - 1), fill=255
    )


def _luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2.2, 0 (black) to 1 (white)."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in parse_color(color))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
