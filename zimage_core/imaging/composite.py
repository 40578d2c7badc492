"""Where a cut-out lands in a picture, and its pixels there; all of it follows from (cut-out, placement, picture size).

Every function is pure, so whoever keeps a `Placement` can make the very same pixels again: that is how quality proves
that an image still shows the product of the photo.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zimage_core.domain import Box, Placement
from zimage_core.errors import ImageError
from zimage_core.imaging.cutout import CutOut

Pixels = NDArray[np.uint8]

VISIBLE_ALPHA = 64
"""Alpha from which a pixel counts when the product's extent is measured: a quarter covered is where eyes see it."""

OPAQUE_ALPHA = 255
"""Where the placed alpha has this value, the picture holds exactly the resampled photo."""

_LANCZOS_TAPS_PX = 3


def visible_box(alpha: Pixels) -> Box:
    """Return the bounding box of the product in an (H, W) alpha. Raises ImageError when there is none."""
    rows = np.flatnonzero((alpha >= VISIBLE_ALPHA).any(axis=1))
    columns = np.flatnonzero((alpha >= VISIBLE_ALPHA).any(axis=0))
    if rows.size == 0:
        raise ImageError("The cut-out is empty: no pixel of the product is left to place.")
    return Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)


def place_in(
    cutout: CutOut,
    width_px: int,
    height_px: int,
    fill_ratio: float,
    centre: tuple[float, float] = (0.5, 0.5),
    *,
    baseline_ratio: float | None = None,
) -> Placement:
    """Return where the product lands so that it fills `fill_ratio` of the picture.

    Fill is the larger of (box width / picture width) and (box height / picture height), box being the product's
    visible box: in a square picture that is the long side over the image side, the measure of Amazon's 85 % rule.
    `centre` is where the middle of the box stands, as shares of the picture; with `baseline_ratio` the lowest row of
    the product stands at that share of the height instead. Raises ImageError when the cut-out is empty.
    """
    box = visible_box(cutout.rgba[..., 3])
    scale = fill_ratio * min(width_px / box.width_px, height_px / box.height_px)
    x_px = centre[0] * width_px - scale * (box.x_px + box.width_px / 2)
    if baseline_ratio is None:
        y_px = centre[1] * height_px - scale * (box.y_px + box.height_px / 2)
    else:
        y_px = baseline_ratio * height_px - scale * box.bottom_px
    return Placement(scale=scale, x_px=x_px, y_px=y_px)


def placed_rgba(cutout: CutOut, placement: Placement, width_px: int, height_px: int) -> Pixels:
    """Return the cut-out as it stands in the picture: (H, W, 4) uint8, straight alpha, transparent elsewhere.

    Resampled by Lanczos in premultiplied space, so no colour leaks in from transparent pixels. Colour is meaningful
    only where alpha is not zero; where alpha is 255 it is exactly what `paste` writes into the picture.
    """
    premultiplied = placed_premultiplied(cutout, placement, width_px, height_px)
    alpha = premultiplied[..., 3:]
    colour = (premultiplied[..., :3].astype(np.uint16) * 255 + (alpha >> 1)) // np.maximum(alpha, 1)
    return np.concatenate([np.minimum(colour, 255).astype(np.uint8), alpha], axis=2)


def placed_alpha(cutout: CutOut, placement: Placement, width_px: int, height_px: int) -> Pixels:
    """Return the alpha of the placed product, (H, W) uint8: where the picture shows the product, and how much."""
    return np.ascontiguousarray(placed_premultiplied(cutout, placement, width_px, height_px)[..., 3])


def paste(background_rgb: Pixels, cutout: CutOut, placement: Placement) -> Pixels:
    """Return the background with the product over it, (H, W, 3) uint8; pixels of alpha 0 stay untouched."""
    height_px, width_px = background_rgb.shape[:2]
    return paste_premultiplied(background_rgb, placed_premultiplied(cutout, placement, width_px, height_px))


def paste_premultiplied(background_rgb: Pixels, premultiplied: Pixels) -> Pixels:
    """Return the background with an already placed, premultiplied (H, W, 4) picture over it: out = p + (1 - a) * b."""
    through = cv2.bitwise_not(cv2.extractChannel(premultiplied, 3))
    shaded = cv2.multiply(background_rgb, cv2.merge([through] * 3), scale=1.0 / 255.0)
    return np.asarray(cv2.add(shaded, cv2.cvtColor(premultiplied, cv2.COLOR_RGBA2RGB)), dtype=np.uint8)


def placed_premultiplied(cutout: CutOut, placement: Placement, width_px: int, height_px: int) -> Pixels:
    """Return `placed_rgba` with colour already multiplied by alpha: the form in which pictures are laid over others.

    Raises ImageError when the placement puts the whole product outside the picture.
    """
    photo_height_px, photo_width_px = cutout.rgba.shape[:2]
    scale = placement.scale
    left, top = max(0, math.floor(placement.x_px)), max(0, math.floor(placement.y_px))
    right = min(width_px, math.ceil(placement.x_px + scale * photo_width_px))
    bottom = min(height_px, math.ceil(placement.y_px + scale * photo_height_px))
    if right <= left or bottom <= top:
        raise ImageError(f"The product at {placement} lies outside a picture of {width_px} x {height_px} pixels.")
    # the filter may look past the photo's edge, where there is nothing: pad by its reach
    pad_px = math.ceil((_LANCZOS_TAPS_PX + 1) * max(1.0, 1.0 / scale))
    window = (
        (left - placement.x_px) / scale + pad_px,
        (top - placement.y_px) / scale + pad_px,
        (right - placement.x_px) / scale + pad_px,
        (bottom - placement.y_px) / scale + pad_px,
    )
    size = (right - left, bottom - top)
    opacity = cutout.rgba[..., 3] * np.float32(1.0 / 255.0)
    overshot = _resampled(opacity, pad_px, size, window)
    alpha = np.clip(overshot, 0.0, 1.0)
    # Lanczos overshoots beside an edge, in colour as in alpha: dividing one by the other leaves no ring
    share = alpha / np.maximum(overshot, np.float32(1e-3))
    canvas = np.zeros((height_px, width_px, 4), dtype=np.uint8)
    patch = canvas[top:bottom, left:right]
    patch[..., 3] = np.rint(alpha * 255.0)
    for channel in range(3):
        colour = _resampled(cutout.rgba[..., channel] * opacity, pad_px, size, window) * share
        patch[..., channel] = np.rint(np.clip(colour, 0.0, alpha * 255.0))
    return canvas


def _resampled(
    plane: NDArray[np.float32], pad_px: int, size: tuple[int, int], window: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """Return a float plane, surrounded by zeros, resampled: its `window` (left, top, right, bottom) fills `size`."""
    source = Image.fromarray(np.pad(plane, pad_px))
    return np.asarray(source.resize(size, Image.Resampling.LANCZOS, box=window), dtype=np.float32)
