"""A known price, drawn and read back: proof that fonts and readers work here before anything rests on them."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from zimage_core.errors import QualityError
from zimage_core.imaging.fonts import load_font
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.reading import default_reader

KNOWN_TEXT = "到手价 ¥59"
SURE = 0.9


def prove_readers() -> str:
    """Return in words which readers read a known price right. Raises QualityError when the first one does not."""
    line = _drawn(KNOWN_TEXT)
    reader = default_reader()
    reading = reader.verify([line], KNOWN_TEXT, sure=SURE)
    if reading.certainty < SURE:
        raise QualityError(
            f"The reader sees '{reading.read}' where '{KNOWN_TEXT}' was drawn ({reading.certainty:.2f}); "
            "grades of texts cannot be trusted on this machine."
        )
    second = reader.second_opinion(line, "zh")
    opinion = "tesseract is not installed (second opinion)" if second is None else f"tesseract reads '{second}'"
    return f"PP-OCR reads '{reading.read}' ({reading.certainty:.2f}); {opinion}"


def _drawn(text: str) -> Rgb:
    """Return (h, w, 3): the text in black on white, cropped as an overlay's box is."""
    font = load_font("sans", True, 48)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("RGB", (int(right - left) + 12, int(bottom - top) + 12), "white")
    ImageDraw.Draw(picture).text((6 - left, 6 - top), text, font=font, fill="black")
    return np.asarray(picture, np.uint8)
