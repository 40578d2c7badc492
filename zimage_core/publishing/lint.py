"""Any image file held against a channel's rules: the bytes as they are, whoever made them.

What is looked at: format and name, weight, size, shape, colour, transparency, animation, orientation, white background
and fill, a frame, and what the file says of its making. What is not: words, logos and watermarks in the picture (a
product has words of its own; `zimage grade --channel` looks for those), and whether a visible AI label stands in it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zimage_core.domain import Channel
from zimage_core.errors import ImageError
from zimage_core.imaging.jpeg_scans import MAX_SCANS, scan_count
from zimage_core.imaging.pixels import Photo, read_photo
from zimage_core.publishing.borders import frame_width_px, only_product_at_border
from zimage_core.publishing.disclosure import Making
from zimage_core.publishing.label_rules import broken_label_rules
from zimage_core.publishing.renditions import MIN_WHITE_RATIO, WHITE_LEVEL, fill_ratio, white_background

MAX_MEGAPIXELS: Final = 128.0
"""Twice what the most generous channel takes (64, Google); above it a file is refused before it is decoded."""
ASPECT_TOLERANCE: Final = 0.01
"""Rounding of sides to whole pixels, and what a shop crops without a word."""
FILL_TOLERANCE: Final = 0.005
"""The product's edge is soft over a pixel or two."""
_EXTENSIONS: Final = {
    "jpeg": (".jpg", ".jpeg"), "png": (".png",), "webp": (".webp",), "avif": (".avif",), "gif": (".gif",),
    "tiff": (".tif", ".tiff"), "bmp": (".bmp",),
}  # fmt: skip
_READ: Final = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP")
_COLOUR_MODES: Final = frozenset({"RGB", "RGBA", "RGBX", "L", "LA", "P", "PA"})
_EXIF_ORIENTATION: Final = 0x0112
_DAMAGED: Final = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, RuntimeError, struct.error,
    UserWarning,
)  # fmt: skip
"""What Pillow's readers raise at damaged or hostile bytes."""
_OUR_DECISION: Final = "our decision"


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """One rule that a file breaks. `value` is what was found, `limit` what the rule asks for, both in `sentence` too.

    `source` begins with its strength (official, third party, unverified, our decision); it was looked at on
    `verified_on`.
    """

    code: str
    sentence: str
    value: str
    limit: str
    source: str
    verified_on: date


@dataclass(frozen=True, slots=True)
class _Header:
    """What a file says before its pixels are decoded."""

    format: str
    width_px: int
    height_px: int
    mode: str
    animated: bool
    turned: bool


def broken_rules(
    data: bytes,
    channel: Channel,
    *,
    name: str | None = None,
    making: Making | None = None,
    on: date | None = None,
) -> tuple[BrokenRule, ...]:
    """Return the rules of a channel that an image file breaks, in the order they are looked at; empty = it fits.

    `name` is the file's name, for its extension. `making` is how the picture was made where that is known: then the
    labels it needs must be there; without, a file is only held to what it says of itself. With `on`, the rules of
    disclosure.yaml of that day hold too: makings that are not taken at all, labels that a market's law wants. A file
    that cannot be read breaks one rule, `unreadable`. Nothing is raised for bytes, however broken or hostile.
    """
    try:
        header = _header_of(data)
        photo = _pixels_of(data, header)
    except ImageError as error:
        sentence = error.sentence[:1].upper() + error.sentence[1:]
        return (_broken(channel, "unreadable", sentence, "unreadable", "a picture", _OUR_DECISION),)
    upright = photo.rgb.shape[1], photo.rgb.shape[0]
    return (
        *_file_rules(data, header, channel, name),
        *_size_rules(*upright, channel),
        *_colour_rules(header, photo, channel),
        *_picture_rules(photo, channel),
        *(
            _broken(channel, one.code, one.sentence, one.value, one.limit, one.source or channel.source_of("ai"))
            for one in broken_label_rules(data, channel, making, on)
        ),
    )


def _broken(channel: Channel, code: str, sentence: str, value: str, limit: str, source: str) -> BrokenRule:
    return BrokenRule(code, sentence, value, limit, source, channel.verified_on)


def _header_of(data: bytes) -> _Header:
    if scan_count(data) > MAX_SCANS:
        raise ImageError(f"It is a JPEG of more than {MAX_SCANS} scans and was not decoded.")
    try:
        with Image.open(io.BytesIO(data), formats=_READ) as image:
            # Phones write JPEGs of several pictures (MPO); every reader shows the first, so they count as one.
            kind = "jpeg" if image.format == "MPO" else (image.format or "").lower()
            header = _Header(kind, *image.size, image.mode, kind != "jpeg" and _has_second(image), _is_turned(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"It is far above {MAX_MEGAPIXELS:g} megapixels and was not decoded.") from None
    except _DAMAGED as error:
        what = str(error).rstrip(".") or type(error).__name__
        raise ImageError(f"It is not a readable {', '.join(_READ[:-1])} or {_READ[-1]} file: {what}.") from error
    if header.width_px * header.height_px > MAX_MEGAPIXELS * 1e6:
        raise ImageError(f"It is {header.width_px} x {header.height_px} px, above {MAX_MEGAPIXELS:g} megapixels.")
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


def _pixels_of(data: bytes, header: _Header) -> Photo:
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


def _file_rules(data: bytes, header: _Header, channel: Channel, name: str | None) -> Iterator[BrokenRule]:
    allowed = channel.allowed_formats or (channel.format,)
    if header.format not in allowed:
        limit = ", ".join(allowed)
        sentence = f"It is a {header.format} file; {channel.slug} takes {limit}."
        yield _broken(channel, "wrong_format", sentence, header.format, limit, channel.source_of("allowed_formats"))
    suffix = PurePath(name).suffix.lower() if name else ""
    if suffix and suffix not in _EXTENSIONS.get(header.format, (suffix,)):
        limit = _EXTENSIONS[header.format][0]
        sentence = f"Its name ends in {suffix}, but it is a {header.format} file; shops go by the name or refuse it."
        yield _broken(channel, "wrong_extension", sentence, suffix, limit, _OUR_DECISION)
    if len(data) > channel.max_bytes:
        value, limit = f"{len(data)} bytes", f"{channel.max_bytes} bytes"
        sentence = f"It has {value}; {channel.slug} takes at most {limit}."
        yield _broken(channel, "too_many_bytes", sentence, value, limit, channel.source_of("max_bytes"))
    if header.animated:
        sentence = "It has more than one frame; only the first would be a product picture."
        yield _broken(channel, "animated", sentence, "several frames", "one", channel.source_of("allowed_formats"))
    if header.turned:
        sentence = "It is stored on its side and turned by an EXIF tag, which shops that strip metadata lose."
        yield _broken(channel, "turned", sentence, "turned by EXIF", "stored upright", _OUR_DECISION)


def _size_rules(width_px: int, height_px: int, channel: Channel) -> Iterator[BrokenRule]:
    size = f"{width_px} x {height_px} px"
    short_px, long_px = sorted((width_px, height_px))
    if channel.min_long_side_px is not None:
        least, measured, which = channel.min_long_side_px, long_px, "long"
    else:
        least, measured, which = channel.min_short_side_px, short_px, "short"
    if measured < least:
        sentence = f"It is {size}; {channel.slug} needs a {which} side of at least {least} px."
        source = channel.source_of(f"min_{which}_side_px")
        yield _broken(channel, "too_small", sentence, f"{measured} px", f"at least {least} px", source)
    if long_px > channel.max_side_px:
        limit = f"at most {channel.max_side_px} px"
        sentence = f"It is {size}; {channel.slug} takes sides of {limit}."
        yield _broken(channel, "too_large", sentence, f"{long_px} px", limit, channel.source_of("max_side_px"))
    own = channel.width_px / channel.height_px
    low, high = channel.aspects or (own, own)
    aspect = width_px / height_px
    if not low * (1 - ASPECT_TOLERANCE) <= aspect <= high * (1 + ASPECT_TOLERANCE):
        limit = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
        sentence = f"It is {size}, width / height {aspect:.3f}; {channel.slug} takes {limit}."
        source = channel.source_of("aspects" if channel.aspects else "size")
        yield _broken(channel, "wrong_shape", sentence, f"{aspect:.3f}", limit, source)


def _colour_rules(header: _Header, photo: Photo, channel: Channel) -> Iterator[BrokenRule]:
    if header.mode not in _COLOUR_MODES:
        sentence = f"It is stored as {header.mode} pixels; browsers and shops expect 8-bit RGB."
        yield _broken(channel, "wrong_colour_mode", sentence, header.mode, "RGB", _OUR_DECISION)
    elif (profile := _other_profile(photo)) is not None:
        sentence = f"Its colour profile is not sRGB ({profile}); where the profile is dropped, its colours change."
        yield _broken(channel, "not_srgb", sentence, profile, "sRGB", _OUR_DECISION)
    if photo.alpha is not None and not channel.alpha_allowed:
        share = float((photo.alpha < 255).mean())
        sentence = f"{share:.1%} of it is transparent; {channel.slug} shows that in a colour of its own choice."
        source = channel.source_of("alpha_allowed")
        yield _broken(channel, "transparent", sentence, f"{share:.1%}", "opaque", source)


def _other_profile(photo: Photo) -> str | None:
    """Return what reading the photo noted of a profile that is not sRGB."""
    for note in photo.notes:
        if note.startswith("Converted to sRGB from "):
            return note.removeprefix("Converted to sRGB from ").rstrip(".")
        if note.startswith("Its colour profile "):
            return "damaged or for other pixels"
    return None


def _picture_rules(photo: Photo, channel: Channel) -> Iterator[BrokenRule]:
    rgb = _on_white(photo)
    if channel.background == "white":
        level, share = white_background(rgb)
        filled_to_the_edge = level < WHITE_LEVEL and only_product_at_border(rgb, white_level=WHITE_LEVEL)
        if share < MIN_WHITE_RATIO or (level < WHITE_LEVEL and not filled_to_the_edge):
            value = f"border {level:.0f}, white {share:.2%}"
            limit = f"border {WHITE_LEVEL}, white {MIN_WHITE_RATIO:.1%}"
            sentence = (
                f"{channel.slug} wants pure white: the border's darkest level is {level:.0f} (at least {WHITE_LEVEL}), "
                f"and {share:.2%} of the background is white (at least {MIN_WHITE_RATIO:.1%})."
            )
            yield _broken(channel, "not_white", sentence, value, limit, channel.source_of("background"))
        elif (filled := fill_ratio(rgb)) < channel.min_fill_ratio - FILL_TOLERANCE:
            limit = f"at least {channel.min_fill_ratio:.0%}"
            sentence = f"The product fills {filled:.1%} of the frame; {channel.slug} wants {limit}."
            source = channel.source_of("min_fill_ratio")
            yield _broken(channel, "too_little_fill", sentence, f"{filled:.1%}", limit, source)
    if not channel.border_allowed and (width_px := frame_width_px(rgb)) > 0:
        sentence = f"A frame {width_px} px wide runs around it; {channel.slug} takes none."
        source = channel.source_of("border_allowed")
        yield _broken(channel, "framed", sentence, f"{width_px} px", "no frame", source)


def _on_white(photo: Photo) -> NDArray[np.uint8]:
    if photo.alpha is None:
        return photo.rgb
    share = photo.alpha[..., None].astype(np.float32) / 255.0
    return np.asarray(np.rint(photo.rgb * share + 255.0 * (1.0 - share)), dtype=np.uint8)
