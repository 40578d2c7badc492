"""The second, unrelated reader: tesseract, asked only where the first one doubts (its own process costs 250 ms)."""

from __future__ import annotations

import cv2

from zimage_core.domain import Language
from zimage_core.imaging.pixels import Rgb

_HEIGHT_PX = 64
_FRAME_PX = 16


def read_with_tesseract(line_rgb: Rgb, language: Language) -> str | None:
    """Return what tesseract reads as one line, None when it is not installed or breaks.

    It wants black on white: the line is enlarged, split by Otsu's threshold, its larger side taken for the ground.
    """
    import pytesseract

    line = cv2.cvtColor(line_rgb, cv2.COLOR_RGB2GRAY)
    scale = _HEIGHT_PX / max(1, line.shape[0])
    line = cv2.resize(line, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    _, ink = cv2.threshold(line, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if float(ink.mean()) < 127.5:
        ink = cv2.bitwise_not(ink)
    ink = cv2.copyMakeBorder(ink, _FRAME_PX, _FRAME_PX, _FRAME_PX, _FRAME_PX, cv2.BORDER_CONSTANT, value=255)
    try:
        languages = "chi_sim+eng" if language == "zh" else "eng"
        return str(pytesseract.image_to_string(ink, lang=languages, config="--psm 7")).strip()
    except (pytesseract.TesseractNotFoundError, pytesseract.TesseractError, RuntimeError):
        return None
