"""Where a channel's file lies in the master: what is cropped, to what size it goes, and where a box of it comes out.

Nothing is ever scaled up: a master smaller than the channel's size gives the largest file of the channel's shape that
it can fill, and below the channel's smallest useful size it is refused.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zimage_core.domain import Box, Channel
from zimage_core.imaging.encode import Format

# Masters are multiples of 16 px, so a 790 px square comes from 800 px and loses nothing; 3 % is trimmed at most.
MAX_CROP_RATIO = 0.03

SRCSET_WIDTHS_PX = (480, 800, 1200, 1600)  # phones at 1x and 2x, tablets, desktops


@dataclass(frozen=True, slots=True)
class RenditionRefusal:
    """Why a channel gets no file of this picture. `code` is one of no_free_corner, label_lost, or one of `lint`'s: such
    as too_small, wrong_shape, not_white, too_little_fill, too_many_bytes, unreadable."""

    channel: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What of the master a file shows: `crop` is in pixels of the master, `width_px` x `height_px` is the file."""

    crop: Box
    width_px: int
    height_px: int

    def map(self, box: Box) -> Box:
        """Return where a box of the master lies in the file, grown to whole pixels and cut at the file's border.

        A box that lies wholly outside the crop comes out with a width or height of 0.
        """
        across, down = self.width_px / self.crop.width_px, self.height_px / self.crop.height_px
        left = _within(math.floor((box.x_px - self.crop.x_px) * across), self.width_px)
        top = _within(math.floor((box.y_px - self.crop.y_px) * down), self.height_px)
        right = _within(math.ceil((box.right_px - self.crop.x_px) * across), self.width_px)
        bottom = _within(math.ceil((box.bottom_px - self.crop.y_px) * down), self.height_px)
        return Box(left, top, right - left, bottom - top)

    def cut(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the file's pixels of a master: (H, W), (H, W, 3), or (H, W, 4) with straight alpha."""
        crop = self.crop
        cropped = np.ascontiguousarray(pixels[crop.y_px : crop.bottom_px, crop.x_px : crop.right_px])
        if (self.width_px, self.height_px) == (crop.width_px, crop.height_px):
            return cropped
        # Pillow's Lanczos widens its kernel with the factor; OpenCV's does not and aliases (12 dB on a zone plate).
        # It weighs colours by their alpha.
        size = (self.width_px, self.height_px)
        return np.asarray(Image.fromarray(cropped).resize(size, Image.Resampling.LANCZOS))


def frame_of(width_px: int, height_px: int, channel: Channel) -> Frame | RenditionRefusal:
    """Return where the channel's file lies in a master of this size, or why there is none (wrong_shape, too_small)."""
    scale = min(width_px / channel.width_px, height_px / channel.height_px)
    crop_w, crop_h = round(channel.width_px * scale), round(channel.height_px * scale)
    lost = 1.0 - (crop_w * crop_h) / (width_px * height_px)
    if lost > MAX_CROP_RATIO:
        return RenditionRefusal(
            channel.slug,
            "wrong_shape",
            f"The master is {width_px} x {height_px} px; to get the shape {channel.width_px} x {channel.height_px} of "
            f"{channel.slug}, {lost:.0%} of it would be cut away, and at most {MAX_CROP_RATIO:.0%} may.",
        )
    out_w, out_h = min(channel.width_px, crop_w), min(channel.height_px, crop_h)
    if min(out_w, out_h) < channel.min_short_side_px:
        return RenditionRefusal(
            channel.slug,
            "too_small",
            f"The master is {width_px} x {height_px} px and is not scaled up; {channel.slug} needs a short side of at "
            f"least {channel.min_short_side_px} px.",
        )
    return Frame(Box((width_px - crop_w) // 2, (height_px - crop_h) // 2, crop_w, crop_h), out_w, out_h)


def srcset_channels(
    width_px: int,
    height_px: int,
    channel: Channel,
    *,
    widths_px: Sequence[int] = SRCSET_WIDTHS_PX,
    formats: Sequence[Format] = ("avif", "webp", "jpeg"),
) -> tuple[Channel, ...]:
    """Return the channel once per further file of a `srcset`: of its shape, at each width and format, smallest first.

    The master is `width_px` x `height_px`; widths it cannot fill are left out, and so is the channel's own file. Hand
    each to `rendition_id_of` and `make_rendition` as if it were a channel: slug and rules are the channel's own but for
    size and format, so the smallest sides are those of the file itself. Formats that the channel does not take are
    left out. Empty where the channel gets no file at all.
    """
    frame = frame_of(width_px, height_px, channel)
    if isinstance(frame, RenditionRefusal):
        return ()
    taken = channel.allowed_formats or (channel.format,)
    found = []
    for width in sorted(set(widths_px)):
        height = max(1, round(width * channel.height_px / channel.width_px))
        if width > frame.crop.width_px or height > frame.crop.height_px:
            continue
        for file_format in dict.fromkeys(formats):
            if file_format in taken and (width, file_format) != (frame.width_px, channel.format):
                further = dataclasses.replace(
                    channel,
                    width_px=width,
                    height_px=height,
                    min_short_side_px=min(width, height),
                    min_long_side_px=None,
                    format=file_format,
                )
                found.append(further)
    return tuple(found)


def _within(at_px: int, side_px: int) -> int:
    return min(max(at_px, 0), side_px)
