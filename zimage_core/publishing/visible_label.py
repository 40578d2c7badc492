"""The AI label that people see: "AI生成" or "AI-generated" in a corner of the file that nothing else needs.

GB 45438-2025 (China, in force since 2025-09-01) asks for clear text, its height at least 5 % of the picture's shortest
side. It is drawn at the file's own size, after cropping and shrinking, so that the ratio holds in what is published.
White letters stand on a dark plate that lets a little of the picture through: the contrast is 7 : 1 on pure white and
higher on all else (WCAG 2.2 asks for 4.5 : 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from zimage_core.domain import Box, Language
from zimage_core.imaging.fonts import find_font, load_font

LABEL_TEXTS: dict[Language, str] = {"zh": "AI生成", "en": "AI-generated"}
LABEL_VERSION: Final = "1"
"""Part of a rendition's id: raise it when the same label would be drawn differently."""
MIN_HEIGHT_RATIO = 0.05  # GB 45438-2025, of the shortest side; the height of the ink is meant here
_MIN_EM_PX = 8  # below, glyphs are specks
_MARGIN_RATIOS = (0.03, 0.015)  # of the short side, the liked one first: marketplaces crop 1-2 %
_SLIDE_STEP_RATIO = 0.02  # of the short side
_MAX_SLIDE_RATIO = 0.25  # of the height
_GAP_RATIO = 0.01  # to the product and to other texts
_PAD_RATIOS = (0.42, 0.30)  # of the ink's height, beside it and above
_RADIUS_RATIO = 0.22  # of the plate's height
_PLATE_LEVEL = 22
_PLATE_OPACITY = 0.74
_INK = 128  # a mask's level from which a pixel counts as ink
_PRODUCT_ALPHA = 32  # a pixel at least this opaque belongs to the product
_SUPERSAMPLING = 4
_STRUCTURE_STEP = 0.25  # levels: corners closer than this are alike, and the order below decides


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A picture with its label: `pixels` of the shape given, `box` hugs the ink, `plate` is all that was painted."""

    pixels: NDArray[np.uint8]
    text: str
    box: Box
    plate: Box


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """A label apart from any picture: the letters' and the plate's masks, both of the plate's size, and the ink."""

    letters: NDArray[np.uint8]
    plate: NDArray[np.uint8]
    ink: Box


def draw_visible_label(
    pixels: NDArray[np.uint8],
    *,
    language: Language,
    product_alpha: NDArray[np.uint8] | None = None,
    taken: Sequence[Box] = (),
) -> Labelled | None:
    """Return a copy with the label in the free corner of least structure; None when no corner is free.

    `pixels` are (H, W, 3), or (H, W, 4) with straight alpha; `product_alpha` is (H, W), where the product is, None
    where that is not known; `taken` are boxes of other texts. A corner is free when the plate and a gap around it touch
    neither; where none is, the label stands closer to the border, and then up or down the side from its corner, by a
    quarter of the height at most. Alike corners are taken in the order lower right, lower left, upper right, upper
    left. Equal arguments give equal bytes. Raises ConfigurationError when the font is not on this machine.
    """
    height_px, width_px = pixels.shape[:2]
    drawn = _draw(LABEL_TEXTS[language], math.ceil(MIN_HEIGHT_RATIO * min(width_px, height_px)))
    free: list[Box] = []
    for boxes in _tiers(width_px, height_px, drawn):
        free = [box for box in boxes if _is_free(box, pixels, product_alpha, taken)]
        if free:
            break
    else:
        return None
    grey = np.asarray(Image.fromarray(pixels[..., :3]).convert("L"))
    place = min(free, key=lambda box: round(_structure(grey, box) / _STRUCTURE_STEP))  # the first of equals
    ink = Box(place.x_px + drawn.ink.x_px, place.y_px + drawn.ink.y_px, drawn.ink.width_px, drawn.ink.height_px)
    return Labelled(_painted(pixels, drawn, place), LABEL_TEXTS[language], ink, place)


def label_fingerprint() -> str:
    """Return what decides a label's pixels beside the picture: how it is drawn, and the font."""
    return f"label-{LABEL_VERSION}:{find_font('sans', bold=True).fingerprint}"


@lru_cache(maxsize=32)
def _draw(text: str, height_px: int) -> _Drawn:
    """Return the label at the smallest size whose ink is at least this high."""
    size_px = max(height_px, _MIN_EM_PX)
    while (ink := _ink_of(text, size_px))[1].height_px < height_px:
        size_px += 1
    letters, box = ink
    pad_x, pad_y = (math.ceil(ratio * box.height_px) for ratio in _PAD_RATIOS)
    size = (box.width_px + 2 * pad_x, box.height_px + 2 * pad_y)
    whole = Image.new("L", size, 0)
    whole.paste(letters.crop((box.x_px, box.y_px, box.right_px, box.bottom_px)), (pad_x, pad_y))
    large = Image.new("L", (size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING), 0)
    corner = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(corner, radius=round(_RADIUS_RATIO * large.height), fill=255)
    plate = np.asarray(large.reduce(_SUPERSAMPLING))
    return _Drawn(np.asarray(whole), plate, Box(pad_x, pad_y, box.width_px, box.height_px))


def _ink_of(text: str, size_px: int) -> tuple[Image.Image, Box]:
    font = load_font("sans", True, size_px)
    canvas = Image.new("L", (len(text) * size_px * 2, size_px * 3), 0)
    ImageDraw.Draw(canvas).text((size_px // 2, 2 * size_px), text, fill=255, font=font, anchor="ls")
    inked = np.argwhere(np.asarray(canvas) >= _INK)
    (top, left), (bottom, right) = inked.min(axis=0), inked.max(axis=0)
    return canvas, Box(int(left), int(top), int(right - left) + 1, int(bottom - top) + 1)


def _tiers(width_px: int, height_px: int, drawn: _Drawn) -> Iterator[tuple[Box, ...]]:
    """Yield places for the plate, the best liked first, each tier one place per corner in order of preference.

    Nothing is yielded where the plate is wider or higher than the picture.
    """
    plate_h, plate_w = drawn.plate.shape
    short = min(width_px, height_px)
    step = max(1, round(_SLIDE_STEP_RATIO * short))
    slides = range(step, round(_MAX_SLIDE_RATIO * height_px) + 1, step)
    for margin_ratio, slide in (
        (_MARGIN_RATIOS[0], 0),
        (_MARGIN_RATIOS[1], 0),
        *((_MARGIN_RATIOS[0], s) for s in slides),
    ):
        margin = round(margin_ratio * short)
        right, bottom = width_px - margin - plate_w, height_px - margin - plate_h
        if right >= margin and bottom - slide >= margin:
            rows = (bottom - slide, margin + slide)
            yield tuple(Box(x, y, plate_w, plate_h) for y in rows for x in (right, margin))


def _is_free(box: Box, pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, taken: Sequence[Box]) -> bool:
    gap = max(1, round(_GAP_RATIO * min(pixels.shape[:2])))
    left, top = max(0, box.x_px - gap), max(0, box.y_px - gap)
    grown = Box(left, top, box.right_px + gap - left, box.bottom_px + gap - top)
    if any(grown.overlaps(other) for other in taken):
        return False
    return alpha is None or not bool((alpha[top : grown.bottom_px, left : grown.right_px] >= _PRODUCT_ALPHA).any())


def _structure(grey: NDArray[np.uint8], box: Box) -> float:
    """Return the mean steepness under the box, in levels a pixel, fine grain smoothed away."""
    under = grey[box.y_px : box.bottom_px, box.x_px : box.right_px].astype(np.float32)
    smooth = cv2.GaussianBlur(under, (0, 0), 1.5)
    return float(np.abs(np.diff(smooth, axis=0)).mean() + np.abs(np.diff(smooth, axis=1)).mean())


def _painted(pixels: NDArray[np.uint8], drawn: _Drawn, place: Box) -> NDArray[np.uint8]:
    painted = pixels.copy()
    window = painted[place.y_px : place.bottom_px, place.x_px : place.right_px]
    cover = drawn.plate[..., None].astype(np.float32) / 255.0
    if window.shape[2] == 4:  # a plate that lets nothing through: what is behind a hole is not known
        window[..., 3] = np.maximum(window[..., 3], drawn.plate)
    else:
        cover = cover * _PLATE_OPACITY
    ink = drawn.letters[..., None].astype(np.float32) / 255.0
    below = window[..., :3].astype(np.float32)
    plated = below + cover * (_PLATE_LEVEL - below)
    window[..., :3] = np.rint(plated + ink * (255.0 - plated)).astype(np.uint8)
    return painted
