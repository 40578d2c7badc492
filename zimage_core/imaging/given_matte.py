"""A cut-out by a matte from elsewhere: one that the catalogue brings beside the photo, or that another tool made.

The matte's word on what is product is taken. Its colours are worked out here: an edge pixel of the photo is a mixture
of product and backdrop, and pasted elsewhere it would carry a rim of its old backdrop along. With both sides' colours
blurred up to the edge, what is left of the pixel is shared out between them (M. Forte, "Approximate Fast Foreground
Colour Estimation", ICIP 2021: widely first, then closely).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from zimage_core.errors import ImageError
from zimage_core.imaging import pixels
from zimage_core.imaging.cutout import CutOut, CutOutFailure, at_work_size, trimmed
from zimage_core.imaging.pixels import Float, Photo, Plane, Rgb, Rgba

GIVEN_MATTE_VERSION: Final = "1"
"""Part of a kept cut-out's key: raise it when the same photo and matte would be cut out differently."""
_REACHES_PX: Final = (45, 6)
"""Half-widths of the two blurs. The paper's 90 px are for hair against scenery; product photos have plain sides."""
_PRODUCT: Final = 128
_FULL: Final = 250
_TOO_SOFT_RATIO: Final = 0.35


def matte_of(source: bytes, photo: Photo, *, max_megapixels: float) -> Plane:
    """Return (H, W) uint8, 255 = product, from a matte's file: its transparency, or its grey where it has none.

    Raises ImageError: not a readable picture, of another size than the photo, or coloured without transparency.
    """
    read = pixels.read_photo(source, max_megapixels=max_megapixels)
    height_px, width_px = photo.rgb.shape[:2]
    if read.rgb.shape[:2] != (height_px, width_px):
        raise ImageError(
            f"The matte is {read.rgb.shape[1]} x {read.rgb.shape[0]} px but the photo {width_px} x {height_px} px."
        )
    if read.alpha is not None:
        return read.alpha
    if int(np.ptp(read.rgb, axis=2).max()) > 0:
        raise ImageError("The matte is a colour picture without transparency; export it in greyscale.")
    return read.rgb[..., 0].copy()


def cut_out_by(photo: Photo, matte: Plane) -> CutOut | CutOutFailure:
    """Return the part of a photo that a matte ((H, W) uint8, 255 = product) says is the product, or why it is no use.

    Opaque pixels keep the photo's own values, bit for bit. Photos above 3200 px are reduced to that first.
    """
    most, least = int(matte.max()), int(matte.min())
    if most < _PRODUCT:
        return CutOutFailure("empty", "The matte holds no product: nowhere is it more than half opaque.")
    if least > _FULL:
        return CutOutFailure("not_cut", "The matte is opaque all over: it cuts nothing out of the photo.")
    rgb, plane, notes = at_work_size(Photo(photo.rgb, matte, photo.sha256))
    assert plane is not None, "a matte was given, so there is one at work size"
    product_px = float((plane >= _PRODUCT).sum())
    soft = float(((plane > 255 - _FULL) & (plane < _FULL)).sum()) / max(product_px, 1.0)
    if soft > _TOO_SOFT_RATIO:
        notes = (*notes, f"The matte is half transparent over an area of {soft:.0%} of the product: is that meant?")
    return trimmed(_with_own_colours(rgb, plane), notes)


def _with_own_colours(rgb: Rgb, alpha: Plane) -> Rgba:
    """Return RGBA whose half transparent pixels have the product's colour, the backdrop taken out; 0 where alpha is."""
    rgba = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
    rgba[..., 3] = alpha
    rows, columns = np.nonzero((alpha > 0) & (alpha < 255))
    if rows.size:
        margin = 2 * max(_REACHES_PX)
        part = (
            slice(max(0, int(rows.min()) - margin), int(rows.max()) + margin + 1),
            slice(max(0, int(columns.min()) - margin), int(columns.max()) + margin + 1),
        )
        share = alpha[part].astype(np.float32)[..., None] / np.float32(255.0)
        seen = rgb[part].astype(np.float32)
        front, back = seen, seen
        for reach_px in _REACHES_PX:
            front, back = _shared_out(seen, front, back, share, reach_px)
        at = (rows - part[0].start, columns - part[1].start)
        rgba[..., :3][rows, columns] = np.rint(front[at]).astype(np.uint8)
    return np.asarray(cv2.copyTo(rgba, alpha), dtype=np.uint8)


def _shared_out(seen: Float, front: Float, back: Float, share: Float, reach_px: int) -> tuple[Float, Float]:
    """Return front and back colours (H, W, 3): each side's mean nearby, and its part of what they do not explain."""
    size = (2 * reach_px + 1, 2 * reach_px + 1)

    def nearby(colours: Float, weight: Float) -> Float:
        total = cv2.blur(colours * weight, size)
        return np.asarray(total / np.maximum(cv2.blur(weight, size)[..., None], 1e-4), dtype=np.float32)

    front, back = nearby(front, share), nearby(back, 1 - share)
    rest = seen - share * front - (1 - share) * back
    return (
        np.asarray(np.clip(front + share * rest, 0, 255), dtype=np.float32),
        np.asarray(np.clip(back + (1 - share) * rest, 0, 255), dtype=np.float32),
    )
