"""From the bytes a server sent to pixels, or a sentence about what came instead."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from zimage_core.engines.wire.replies import kind_of
from zimage_core.errors import BadImage, ImageError
from zimage_core.imaging.pixels import Rgb, read_photo

FORMATS: Final = {"a PNG": "PNG", "a JPEG": "JPEG", "a WebP": "WEBP"}
MAX_PICTURE_MEGAPIXELS: Final = 40.0
"""No engine draws more than 2048 x 2048, twice enlarged at most."""
_DAMAGED: Final = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, RuntimeError)


def decode_picture(body: bytes, engine: str, *, width_px: int, height_px: int) -> Rgb:
    """Return the pixels (height_px, width_px, 3) uint8 sRGB of a PNG, JPEG or WebP; nothing else of the file is kept.

    The format is taken from the first bytes, never from a name or a header, and the size is read before anything is
    decoded. Raises BadImage saying what came: another size, a damaged or cut-off file, a page of HTML, transparency.
    """
    kind = kind_of(body)
    size = picture_size(body, engine)
    if size != (width_px, height_px):
        raise BadImage(
            f"Engine '{engine}' answered with a picture of {size[0]} x {size[1]} px where {width_px} x {height_px} "
            "were asked for.",
            engine=engine,
        )
    try:
        photo = read_photo(body, max_megapixels=MAX_PICTURE_MEGAPIXELS)
    except ImageError as error:
        raise BadImage(
            f"Engine '{engine}' answered with {kind} of {len(body):,} bytes that cannot be decoded, or is cut off: "
            f"{error.sentence}",
            engine=engine,
        ) from error
    if photo.alpha is not None or photo.rgb.shape != (height_px, width_px, 3):
        wrong = "transparency" if photo.alpha is not None else "an EXIF turn"
        raise BadImage(
            f"Engine '{engine}' answered with a picture that has {wrong}, which no drawing has.", engine=engine
        )
    return np.ascontiguousarray(photo.rgb)


def picture_size(body: bytes, engine: str) -> tuple[int, int]:
    """Return (width_px, height_px) from the header of a PNG, JPEG or WebP. Raises BadImage for anything else."""
    kind = kind_of(body)
    if kind not in FORMATS:
        raise BadImage(f"Engine '{engine}' answered with {kind} where a picture was due.", engine=engine)
    try:
        with Image.open(io.BytesIO(body), formats=(FORMATS[kind],)) as opened:
            width, height = opened.size
            return int(width), int(height)
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning, *_DAMAGED) as error:
        raise BadImage(
            f"Engine '{engine}' answered with {kind} of {len(body):,} bytes whose header cannot be read; it is cut off "
            "or damaged.",
            engine=engine,
        ) from error
