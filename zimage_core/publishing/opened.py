"""Any image file as it is read, its name and maker unheard: what its bytes say it is, and its pixels."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Final

from PIL import Image

from zimage_core.errors import ImageError
from zimage_core.imaging.encode import srgb_profile
from zimage_core.imaging.jpeg_scans import MAX_SCANS, scan_count
from zimage_core.imaging.pixels import Photo, read_photo

MAX_MEGAPIXELS: Final = 128.0
"""Twice what the most generous channel takes (64, Google); above it a file is refused before it is decoded."""
_READ: Final = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")
_EXIF_ORIENTATION: Final = 0x0112
_DAMAGED: Final = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, RuntimeError, struct.error,
    UserWarning,
)  # fmt: skip
"""What Pillow's readers raise at damaged or hostile bytes."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says before its pixels are decoded.

    `format` goes by the bytes, whatever the name says: jpeg, png, webp, avif, gif, tiff or bmp. `turned`: an EXIF tag
    turns it. `tagged_srgb`: it carries the very sRGB profile that we write.
    """

    format: str
    mode: str
    animated: bool
    turned: bool
    tagged_srgb: bool


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An image file as it was read: what its header says, and its pixels, upright and in sRGB."""

    header: Header
    photo: Photo

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height as it is shown."""
        height_px, width_px = self.photo.rgb.shape[:2]
        return width_px, height_px


def opened(data: bytes) -> Opened:
    """Return an image file as it is read. Raises ImageError for bytes that are no picture, damaged or hostile."""
    header = _header_of(data)
    return Opened(header, _pixels_of(data, header))


def _header_of(data: bytes) -> Header:
    if scan_count(data) > MAX_SCANS:
        raise ImageError(f"It is a JPEG of more than {MAX_SCANS} scans and was not decoded.")
    try:
        with Image.open(io.BytesIO(data), formats=_READ) as image:
            # Phones write JPEGs of several pictures (MPO); every reader shows the first, so they count as one.
            kind = "jpeg" if image.format == "MPO" else (image.format or "").lower()
            (width_px, height_px), tagged = image.size, image.info.get("icc_profile") == srgb_profile()
            second = kind != "jpeg" and _has_second(image)
            header = Header(kind, image.mode, second, _is_turned(image), tagged)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"It is far above {MAX_MEGAPIXELS:g} megapixels and was not decoded.") from None
    except _DAMAGED as error:
        what = str(error).rstrip(".") or type(error).__name__
        raise ImageError(f"It is not a readable {', '.join(_READ[:-1])} or {_READ[-1]} file: {what}.") from error
    if width_px * height_px > MAX_MEGAPIXELS * 1e6:
        raise ImageError(f"It is {width_px} x {height_px} px, above {MAX_MEGAPIXELS:g} megapixels.")
    return header


def _has_second(image: Image.Image) -> bool:
    """Tell whether there is a second frame; Pillow counts all of them in a TIFF only by walking to its end."""
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _is_turned(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1) not in {0, 1}
    except _DAMAGED:
        return False  # a damaged block turns nothing


def _pixels_of(data: bytes, header: Header) -> Photo:
    if header.format != "gif":
        return read_photo(data, max_megapixels=MAX_MEGAPIXELS)
    try:
        with Image.open(io.BytesIO(data), formats=("GIF",)) as image:
            first = image.convert("RGBA")
    except _DAMAGED as error:
        raise ImageError(f"It is a damaged GIF: {error}.") from error
    still = io.BytesIO()
    first.save(still, "PNG", compress_level=1)
    return read_photo(still.getvalue(), max_megapixels=MAX_MEGAPIXELS)
