"""One picture to one channel file: choose, crop, scale down, encode within the limit, seal, and read it all back.

A channel that allows no overlay gets the bare attempt. Nothing is ever scaled up: a master smaller than the channel's
size gives the largest file of the channel's shape that it can fill, and below the channel's smallest useful size it is
refused. The channel's rules are held against the decoded bytes, not against what we meant to write.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zimage_core.domain import Channel, content_id
from zimage_core.errors import ImageError, PublishError
from zimage_core.imaging.encode import FORMATS, Encoded, encode, encoder_fingerprint
from zimage_core.publishing.seal import SealFacts, expected_seal, read_seal, seal_packet

# Masters are multiples of 16 px, so a 790 px square comes from 800 px and loses nothing; 3 % is trimmed at most.
MAX_CROP_RATIO = 0.03

# White background, measured on JPEGs of 49 cut-outs on pure white: the share of true background at >= 250 was >= .9992
# at any quality >= 75, while exactly 255 fails on every JPEG because of ringing (.9945 at q92).
WHITE_LEVEL = 250
MIN_WHITE_RATIO = 0.995
_BORDER_RATIO = 0.02
_RIM_RATIO = 0.003  # of the short side: so close to the product a pixel is its soft outline or the light in its glass
_FOREGROUND_LEVEL = 243  # 255 - 12: what differs from white by more than 12 is product or shadow
_MIN_RUN_PX = 3  # rows and columns with fewer foreground pixels are specks
_FILL_TOLERANCE = 0.005  # the product's edge is soft over a pixel or two


@dataclass(frozen=True, slots=True)
class RenditionBytes:
    """A finished channel file. `overlay_drawn` says whether it shows the finished picture or the bare attempt."""

    channel: str
    data: bytes
    sha256: str
    media_type: str
    extension: str
    width_px: int
    height_px: int
    quality: int
    overlay_drawn: bool


@dataclass(frozen=True, slots=True)
class RenditionRefusal:
    """Why a channel gets no file of this picture. `code` is one of too_small, wrong_shape, not_white, too_little_fill,
    too_many_bytes, label_lost, unreadable."""

    channel: str
    code: str
    reason: str


def rendition_id_of(finished_key: str, channel: Channel, seal: SealFacts) -> str:
    """Return the id of a rendition before it is made: the pixels, the channel's rules, the labels, the encoder.

    Where and when the rules were looked up is not part of it; an encoder update is.
    """
    rules = dataclasses.replace(channel, source="", verified_on=channel.verified_on.min)
    return content_id("rendition", finished_key, rules, seal, encoder_fingerprint(channel.format))


def make_rendition(
    attempt_rgb: NDArray[np.uint8], finished_rgb: NDArray[np.uint8], channel: Channel, *, seal: SealFacts
) -> RenditionBytes | RenditionRefusal:
    """Return the channel's file of a picture, or why it gets none. Both arrays are (H, W, 3) uint8 sRGB masters.

    `seal.text_drawn` is set here, from whether the channel gets the finished picture and that differs from the attempt.
    """
    overlay_drawn = channel.overlay_allowed and not np.array_equal(attempt_rgb, finished_rgb)
    facts = dataclasses.replace(seal, text_drawn=overlay_drawn)
    sized = _sized(finished_rgb if channel.overlay_allowed else attempt_rgb, channel)
    if isinstance(sized, RenditionRefusal):
        return sized
    try:
        encoded = encode(sized, channel.format, max_bytes=channel.max_bytes, xmp=seal_packet(facts))
    except ImageError as error:
        return RenditionRefusal(channel.slug, "too_many_bytes", error.sentence)
    refusal = _broken_rule(encoded, sized, channel, facts)
    if refusal is not None:
        return refusal
    return RenditionBytes(
        channel=channel.slug,
        data=encoded.data,
        sha256=hashlib.sha256(encoded.data).hexdigest(),
        media_type=encoded.media_type,
        extension=encoded.extension,
        width_px=sized.shape[1],
        height_px=sized.shape[0],
        quality=encoded.quality,
        overlay_drawn=overlay_drawn,
    )


def white_background(rgb: NDArray[np.uint8]) -> tuple[float, float]:
    """Return (border's darkest level, share of the background at >= 250) of a picture that should stand on white.

    The background is what is joined to the border, no more than 12 levels from white, and not right at the product.
    """
    darkest = rgb.min(axis=2)
    band = max(1, round(_BORDER_RATIO * min(darkest.shape)))
    outside = (darkest >= _FOREGROUND_LEVEL).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    rim = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    joined = np.isin(labels, rim[rim > 0]).astype(np.uint8)
    reach = 2 * round(_RIM_RATIO * min(darkest.shape)) + 1
    background = cv2.erode(joined, np.ones((reach, reach), np.uint8)) > 0
    share = float((darkest[background] >= WHITE_LEVEL).mean()) if background.any() else 0.0
    border = np.ones(darkest.shape, bool)
    border[band:-band, band:-band] = False
    return float(darkest[border].min()), share


def fill_ratio(rgb: NDArray[np.uint8]) -> float:
    """Return the long side of the product's bounding box over that of the picture along the same axis, on white."""
    foreground = rgb.min(axis=2) < _FOREGROUND_LEVEL
    height, width = foreground.shape
    rows = np.flatnonzero(foreground.sum(axis=1) >= _MIN_RUN_PX)
    columns = np.flatnonzero(foreground.sum(axis=0) >= _MIN_RUN_PX)
    if not rows.size or not columns.size:
        return 0.0
    return float(max((rows[-1] - rows[0] + 1) / height, (columns[-1] - columns[0] + 1) / width))


def _sized(rgb: NDArray[np.uint8], channel: Channel) -> NDArray[np.uint8] | RenditionRefusal:
    height, width = rgb.shape[:2]
    scale = min(width / channel.width_px, height / channel.height_px)
    crop_w, crop_h = round(channel.width_px * scale), round(channel.height_px * scale)
    lost = 1.0 - (crop_w * crop_h) / (width * height)
    if lost > MAX_CROP_RATIO:
        return RenditionRefusal(
            channel.slug,
            "wrong_shape",
            f"The master is {width} x {height} px; to get the shape {channel.width_px} x {channel.height_px} of "
            f"{channel.slug}, {lost:.0%} of it would be cut away, and at most {MAX_CROP_RATIO:.0%} may.",
        )
    out_w, out_h = min(channel.width_px, crop_w), min(channel.height_px, crop_h)
    if min(out_w, out_h) < channel.min_short_side_px:
        return RenditionRefusal(
            channel.slug,
            "too_small",
            f"The master is {width} x {height} px and is not scaled up; {channel.slug} needs a short side of at least "
            f"{channel.min_short_side_px} px.",
        )
    left, top = (width - crop_w) // 2, (height - crop_h) // 2
    cropped = rgb[top : top + crop_h, left : left + crop_w]
    if (out_w, out_h) == (crop_w, crop_h):
        return np.ascontiguousarray(cropped)
    # Pillow's Lanczos widens its kernel with the factor; OpenCV's does not and aliases (12 dB on a zone plate).
    return np.asarray(Image.fromarray(cropped).resize((out_w, out_h), Image.Resampling.LANCZOS))


def _broken_rule(
    encoded: Encoded, sized: NDArray[np.uint8], channel: Channel, facts: SealFacts
) -> RenditionRefusal | None:
    height, width = sized.shape[:2]
    try:
        with Image.open(io.BytesIO(encoded.data)) as image:
            written = (image.format or "").lower(), image.size
            decoded = np.asarray(image.convert("RGB"))
    except OSError as error:
        return RenditionRefusal(channel.slug, "unreadable", f"The encoded file cannot be decoded again: {error}.")
    if written != (channel.format, (width, height)) or FORMATS[channel.format].media_type != encoded.media_type:
        return RenditionRefusal(
            channel.slug, "unreadable", f"A {width} x {height} px {channel.format} was written, but {written} was read."
        )
    try:
        kept = read_seal(encoded.data) == expected_seal(facts)
        reason = "The labels read back from the file are not those that were written."
    except PublishError as error:
        kept, reason = False, error.sentence
    if not kept:
        return RenditionRefusal(channel.slug, "label_lost", reason)
    return _broken_white_rule(decoded, channel) if channel.background == "white" else None


def _broken_white_rule(decoded: NDArray[np.uint8], channel: Channel) -> RenditionRefusal | None:
    border_level, share = white_background(decoded)
    if border_level < WHITE_LEVEL or share < MIN_WHITE_RATIO:
        return RenditionRefusal(
            channel.slug,
            "not_white",
            f"{channel.slug} wants pure white: the border's darkest level is {border_level:.0f} (at least "
            f"{WHITE_LEVEL}), and {share:.2%} of the background is white (at least {MIN_WHITE_RATIO:.1%}).",
        )
    filled = fill_ratio(decoded)
    if filled < channel.min_fill_ratio - _FILL_TOLERANCE:
        return RenditionRefusal(
            channel.slug,
            "too_little_fill",
            f"The product fills {filled:.1%} of the frame; {channel.slug} wants at least {channel.min_fill_ratio:.0%}.",
        )
    return None
