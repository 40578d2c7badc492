"""Characters drawn again in a face, as small pictures to lay over a line of text."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from zimage_core.imaging.fonts import FontFile
from zimage_core.quality.reading.words import is_han

EM_PX = 40
"""Em size at which glyphs are compared."""
_MARGIN_EM = (0.06, 0.03)  # ground above and below, and beside: a stroke too many is seen there
_PENS_AT_PX = 100

Mono = NDArray[np.float32]


def drawn_glyphs(face: FontFile, characters: str, em_px: int, softness_px: float) -> list[Mono]:
    """Return `drawn_glyph` of each character."""
    return [drawn_glyph(face, character, em_px, softness_px) for character in characters]


@lru_cache(maxsize=1024)
def drawn_between(face: FontFile, characters: str, at: int, softness_px: float) -> Mono:
    """Return `drawn_glyph` at `EM_PX` for one of up to three characters, and what its neighbours put there."""
    font = _font(face, 2 * EM_PX)
    left, top, right, bottom = font.getbbox(characters[at], anchor="ls")
    pen = font.getlength(characters[:at])
    above, beside = (2 * round(share * EM_PX) for share in _MARGIN_EM)
    size = (max(6, int(right - left)) + 2 * beside, max(6, int(bottom - top)) + 2 * above)
    canvas = Image.new("L", size, 0)
    start = (beside - left - pen, above - top)
    ImageDraw.Draw(canvas).text(start, characters, fill=255, font=font, anchor="ls")
    large = np.asarray(canvas, dtype=np.float32) / 255.0
    small = cv2.resize(large, ((size[0] + 1) // 2, (size[1] + 1) // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), softness_px), dtype=np.float32)


@lru_cache(maxsize=4096)
def drawn_glyph(face: FontFile, character: str, em_px: int, softness_px: float) -> Mono:
    """Return a glyph's coverage 0..1 with its margin, drawn at twice the size and made smaller."""
    font = _font(face, 2 * em_px)
    left, top, right, bottom = font.getbbox(character, anchor="ls")
    canvas = Image.new("L", (max(1, int(right - left)) + 8, max(1, int(bottom - top)) + 8), 0)
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), character, fill=255, font=font, anchor="ls")
    large = np.asarray(canvas, dtype=np.float32) / 255.0
    size = (max(3, (large.shape[1] + 1) // 2), max(3, (large.shape[0] + 1) // 2))
    above, beside = (round(share * em_px) for share in _MARGIN_EM)
    small = cv2.resize(large, size, interpolation=cv2.INTER_AREA)
    glyph = cv2.copyMakeBorder(small, above, above, beside, beside, cv2.BORDER_CONSTANT, value=0)
    if softness_px > 0:
        glyph = cv2.GaussianBlur(glyph, (0, 0), softness_px)
    return np.asarray(glyph, dtype=np.float32)


@lru_cache(maxsize=1024)
def pen_middles(face: FontFile, characters: str) -> tuple[float, ...]:
    """Return the middles of the glyphs' ink along the line, in em."""
    font, pen, middles = _font(face, _PENS_AT_PX), 0.0, []
    for character in characters:
        left, _, right, _ = font.getbbox(character, anchor="ls")
        middles.append((pen + (left + right) / 2) / _PENS_AT_PX)
        pen += font.getlength(character)
    return tuple(middles)


@lru_cache(maxsize=8192)
def can_draw(face: FontFile, character: str) -> bool:
    """Tell whether a face can draw a character with ink; a Latin face is not asked for Han."""
    if is_han(character) and not face.name.startswith(("Noto", "Source")):
        return False
    font = _font(face, 32)
    mask = bytes(font.getmask(character))
    return any(mask) and mask != bytes(font.getmask("\uffff"))


@lru_cache(maxsize=64)
def _font(face: FontFile, size_px: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(face.path), size_px, index=face.index, layout_engine=ImageFont.Layout.BASIC)
