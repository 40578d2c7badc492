"""Any image file held against a channel's rules: the bytes as they are, whoever made them.

What is looked at: format and name, weight, size, shape, colour, transparency, animation, orientation, white background
and fill, a frame, and what the file says of its making. What is not: words, logos and watermarks in the picture (a
product has words of its own; `zimage grade --channel` looks for those), and whether a visible AI label stands in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Channel
from zimage_core.errors import ImageError
from zimage_core.imaging.pixels import Photo
from zimage_core.publishing.borders import frame_width_px, only_product_at_border
from zimage_core.publishing.disclosure import Making
from zimage_core.publishing.label_rules import broken_label_rules
from zimage_core.publishing.opened import Opened, opened
from zimage_core.publishing.white_ground import (
    FILL_TOLERANCE,
    MIN_WHITE_RATIO,
    WHITE_LEVEL,
    fill_ratio,
    white_background,
)

ASPECT_TOLERANCE: Final = 0.01
"""Rounding of sides to whole pixels, and what a shop crops without a word."""
_EXTENSIONS: Final = {
    "jpeg": (".jpg", ".jpeg"), "png": (".png",), "webp": (".webp",), "avif": (".avif",), "gif": (".gif",),
    "tiff": (".tif", ".tiff"), "bmp": (".bmp",),
}  # fmt: skip
_COLOUR_MODES: Final = frozenset({"RGB", "RGBA", "RGBX", "L", "LA", "P", "PA"})
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
        found = opened(data)
    except ImageError as error:
        sentence = error.sentence[:1].upper() + error.sentence[1:]
        return (_broken(channel, "unreadable", sentence, "unreadable", "a picture", _OUR_DECISION),)
    return (
        *broken_file_rules(data, found, channel, name=name),
        *_white_rules(found.photo, channel),
        *(
            _broken(channel, one.code, one.sentence, one.value, one.limit, one.source or channel.source_of("ai"))
            for one in broken_label_rules(data, channel, making, on)
        ),
    )


def broken_file_rules(data: bytes, found: Opened, channel: Channel, *, name: str | None = None) -> Iterator[BrokenRule]:
    """Yield the rules that a file breaks but for the white ground, its fill and the labels.

    They are what every finished file is held to as well before it is published: format, name, weight, size, shape,
    colour, transparency, animation, orientation and a frame.
    """
    yield from _file_rules(data, found, channel, name)
    yield from _size_rules(*found.size_px, channel)
    yield from _colour_rules(found, channel)
    yield from _frame_rules(found.photo, channel)


def _broken(channel: Channel, code: str, sentence: str, value: str, limit: str, source: str) -> BrokenRule:
    return BrokenRule(code, sentence, value, limit, source, channel.verified_on)


def _file_rules(data: bytes, found: Opened, channel: Channel, name: str | None) -> Iterator[BrokenRule]:
    allowed = channel.allowed_formats or (channel.format,)
    if found.header.format not in allowed:
        limit = ", ".join(allowed)
        sentence = f"It is a {found.header.format} file; {channel.slug} takes {limit}."
        yield _broken(
            channel, "wrong_format", sentence, found.header.format, limit, channel.source_of("allowed_formats")
        )
    suffix = PurePath(name).suffix.lower() if name else ""
    if suffix and suffix not in _EXTENSIONS.get(found.header.format, (suffix,)):
        limit = _EXTENSIONS[found.header.format][0]
        sentence = (
            f"Its name ends in {suffix}, but it is a {found.header.format} file; shops go by the name or refuse it."
        )
        yield _broken(channel, "wrong_extension", sentence, suffix, limit, _OUR_DECISION)
    if len(data) > channel.max_bytes:
        value, limit = f"{len(data)} bytes", f"{channel.max_bytes} bytes"
        sentence = f"It has {value}; {channel.slug} takes at most {limit}."
        yield _broken(channel, "too_many_bytes", sentence, value, limit, channel.source_of("max_bytes"))
    if found.header.animated:
        sentence = "It has more than one frame; only the first would be a product picture."
        yield _broken(channel, "animated", sentence, "several frames", "one", channel.source_of("allowed_formats"))
    if found.header.turned:
        sentence = "It is stored on its side and turned by an EXIF tag, which shops that strip metadata lose."
        yield _broken(channel, "turned", sentence, "turned by EXIF", "stored upright", _OUR_DECISION)


def _size_rules(width_px: int, height_px: int, channel: Channel) -> Iterator[BrokenRule]:
    size = f"{width_px} x {height_px} px"
    short_px, long_px = sorted((width_px, height_px))
    if channel.min_long_side_px is not None:
        least, measured, which = channel.min_long_side_px, long_px, "long"
    else:
        least, measured, which = channel.min_short_side_px, short_px, "short"
    if measured < least and width_px not in channel.srcset_widths_px:
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


def _colour_rules(found: Opened, channel: Channel) -> Iterator[BrokenRule]:
    photo = found.photo
    if found.header.mode not in _COLOUR_MODES:
        sentence = f"It is stored as {found.header.mode} pixels; browsers and shops expect 8-bit RGB."
        yield _broken(channel, "wrong_colour_mode", sentence, found.header.mode, "RGB", _OUR_DECISION)
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


def _white_rules(photo: Photo, channel: Channel) -> Iterator[BrokenRule]:
    if channel.background != "white":
        return
    rgb = _on_white(photo)
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


def _frame_rules(photo: Photo, channel: Channel) -> Iterator[BrokenRule]:
    if not channel.border_allowed and (width_px := frame_width_px(_on_white(photo))) > 0:
        sentence = f"A frame {width_px} px wide runs around it; {channel.slug} takes none."
        source = channel.source_of("border_allowed")
        yield _broken(channel, "framed", sentence, f"{width_px} px", "no frame", source)


def _on_white(photo: Photo) -> NDArray[np.uint8]:
    if photo.alpha is None:
        return photo.rgb
    share = photo.alpha[..., None].astype(np.float32) / 255.0
    return np.asarray(np.rint(photo.rgb * share + 255.0 * (1.0 - share)), dtype=np.uint8)
