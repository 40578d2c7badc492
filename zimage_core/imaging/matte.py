"""From a silhouette to a matte: how much of each edge pixel is product, and what colour that part has.

An edge pixel is a mixture, I = a F + (1 - a) B (Porter and Duff 1984). B is known, the backdrop. F is taken from the
product just inside the edge: the colour that departs most from the backdrop within the width of the edge's blur. Then
`a` is the projection of I - B on F - B, and the pixel's own colour is what is left when B is taken out of it, so a
cut-out pasted on black shows no rim of its old backdrop. What no such mixture explains is product of another colour.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.outline import Points, beside, points_where, ramp_width
from zimage_core.imaging.pixels import Float, Plane, Rgb, Rgba
from zimage_core.imaging.silhouette import Silhouette

_START: Final = 0.5
"""The mask begins where an edge's foot rises above the limit, half a ramp before the ramp proper; alpha is surely full
one ramp further in."""
_FLOOR: Final = 0.03
"""Alpha below this is JPEG ringing, and above one minus this is full: both ends are snapped."""
_FRONT_RATIO: Final = 0.85
_MOST_STEPS: Final = 5
_BLANK_LIMITS: Final = 1.5
_BLANK_RATIO: Final = 0.12
"""What grain (in limits) and JPEG (as a share of the edge's height) may add to a pixel that no mixture explains."""


def make_matte(rgb: Rgb, found: Silhouette, outline: Points, depth: Float) -> Rgba:
    """Return (H, W, 4) straight-alpha RGBA of the product that was found in the photo `rgb`.

    `outline` and `depth` are of the silhouette's mask. Pixels deeper inside than the edge's blur keep the photo's own
    values, bit for bit; where alpha is 0 all are 0.
    """
    ramp_px = ramp_width(found.contrast, outline)
    near = cv2.dilate(found.mask, np.ones((3, 3), np.uint8)) > 0
    band = points_where(depth, near & (depth <= (1.0 + _START) * ramp_px))
    at = (band.rows, band.columns)
    own, calm = rgb[at].astype(np.float32), found.calm[at].astype(np.float32)
    front = _front_colours(found.calm, found.contrast, depth, band, ramp_px)
    back = found.backdrop.surface[at].astype(np.float32)
    height = np.maximum(np.abs(front - back).max(axis=1), np.float32(1.0))
    # the photo itself where the edge stands high above its grain, else the photo without its grain
    sharp = np.clip(1.5 - 15.0 * np.float32(found.backdrop.noise) / height, 0, 1)[:, None]
    shown = calm + sharp * (own - calm)
    cover = np.maximum(
        _cover(shown, front, back, band.depth_px, ramp_px),
        _cover_by_third_colour(shown, front, back, band, depth.shape, ramp_px, found.limit),
    )
    cover = _settled(cover, np.float32(max(found.noise, 1.0)) / height, depth, band)
    colour = _unmixed(own, front, back, cover)
    alpha = found.mask * np.uint8(255)
    alpha[at] = np.rint(cover * np.float32(255.0)).astype(np.uint8)
    rgba = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
    rgba[..., 3] = alpha
    rgba[..., :3][at] = np.rint(np.clip(colour, 0, 255)).astype(np.uint8)
    return np.asarray(cv2.copyTo(rgba, alpha), dtype=np.uint8)


def _front_colours(calm: Rgb, contrast: Plane, depth: Float, band: Points, ramp_px: float) -> Float:
    """Return (N, 3): for each band pixel the product's colour just inside the edge.

    Among the neighbours not deeper than the blur, the mean of those whose contrast is within 15 % of the strongest.
    The limit on depth keeps a dark screen from standing in for the bright rim around it; on parts thinner than the
    blur, their ridge stands for them.
    """
    reach = int(np.ceil((1.0 + _START) * ramp_px - 0.5))
    height, width = contrast.shape
    shallow = np.where(depth <= (1.0 + _START) * ramp_px, contrast, 0).ravel()
    colours = calm.reshape(-1, 3)
    indices = [
        np.clip(band.rows + dy, 0, height - 1) * width + np.clip(band.columns + dx, 0, width - 1)
        for dy, dx in _disc(reach, 1 + reach // _MOST_STEPS)
    ]
    strongest = np.zeros(band.rows.shape, dtype=np.uint8)
    for index in indices:
        np.maximum(strongest, shallow[index], out=strongest)
    least = strongest * np.float32(_FRONT_RATIO)
    total = np.zeros((band.rows.size, 3), dtype=np.float32)
    count = np.zeros(band.rows.size, dtype=np.float32)
    for index in indices:
        chosen = np.nonzero(shallow[index] >= least)[0]
        total[chosen] += colours[index[chosen]]
        count[chosen] += 1.0
    return np.asarray(total / np.maximum(count, np.float32(1.0))[:, None], dtype=np.float32)


def _disc(reach: int, stride: int) -> list[tuple[int, int]]:
    steps = [step for step in range(-reach, reach + 1) if step % stride == 0]
    return [(dy, dx) for dy in steps for dx in steps if dy * dy + dx * dx <= (reach + 0.5) ** 2]


def _cover(seen: Float, front: Float, back: Float, depth_px: Float, ramp_px: float) -> Float:
    """Return (N,) alpha 0..1 by projection, never less than the depth inside the outline already proves."""
    span = front - back
    length = np.maximum((span * span).sum(axis=1), np.float32(1.0))
    projected = ((seen - back) * span).sum(axis=1) / length
    proven = depth_px / np.float32(ramp_px) - np.float32(_START)
    return np.asarray(np.maximum(np.clip(projected, 0, 1), np.clip(proven, 0, 1)), dtype=np.float32)


def _cover_by_third_colour(
    seen: Float, front: Float, back: Float, band: Points, shape: tuple[int, ...], ramp_px: float, limit: int
) -> Float:
    """Return (N,) alpha 0..1 from what no mixture of front and back explains: it must be a third colour, the product's.

    The lit side of a thin part whose other side is dark is such a colour. How much of it a pixel has follows from the
    most that is seen of it within the edge's blur, beyond what grain and the ringing of JPEG account for.
    """
    span = front - back
    length = np.maximum((span * span).sum(axis=1), np.float32(1.0))
    share = np.clip(((seen - back) * span).sum(axis=1) / length, 0, 1)[:, None]
    rest = np.abs(seen - back - share * span).max(axis=1)
    plane = np.zeros(shape, dtype=np.float32)
    plane[band.rows, band.columns] = rest
    size = 2 * int(np.ceil(ramp_px)) + 1
    most = cv2.dilate(plane, np.ones((size, size), np.uint8))[band.rows, band.columns]
    blank = np.float32(_BLANK_LIMITS * limit) + np.float32(_BLANK_RATIO) * np.abs(span).max(axis=1)
    cover = np.clip((rest - blank) / np.maximum(most - blank, np.float32(1.0)), 0, 1)
    return np.asarray(np.where(most > np.float32(1.5) * blank, cover, 0), dtype=np.float32)


def _settled(cover: Float, error: Float, depth: Float, band: Points) -> Float:
    """Return alpha made to agree along the outline: it never falls on the way in, and grain does not fray it.

    A bright rim inside a dark line would else turn translucent: so each pixel takes at least what its neighbour one px
    further out has. Along the outline alpha is averaged, the more the larger its `error`: grain over the edge's height.
    """
    plane = (depth > 0).astype(np.float32)
    plane[band.rows, band.columns] = cover
    for _ in range(3):
        cover = np.maximum(cover, beside(plane, band, -1.0))
        plane[band.rows, band.columns] = cover
    for step in (1.0, 2.0, 3.0):
        along = np.float32(0.5) * (beside(plane, band, 0.0, step) + beside(plane, band, 0.0, -step))
        frayed = np.abs(along - cover) * np.minimum(np.float32(20.0) * error, np.float32(1.0))
        cover = cover + np.clip(np.float32(3.0) * error + frayed, 0.05, 0.6) * (along - cover)
        plane[band.rows, band.columns] = cover
    return np.asarray(np.clip((cover - _FLOOR) / (1 - 2 * _FLOOR), 0, 1), dtype=np.float32)


def _unmixed(seen: Float, front: Float, back: Float, cover: Float) -> NDArray[np.float32]:
    """Return (N, 3): the pixel with the backdrop taken out; where little of it is product, the front colour instead."""
    whole = cover[:, None]
    own = back + (seen - back) / np.maximum(whole, np.float32(0.05))
    trust = np.clip((whole - np.float32(0.35)) / np.float32(0.45), 0, 1)
    mixed = front + trust * (np.clip(own, 0, 255) - front)
    return np.asarray(np.where(whole >= 1.0, seen, mixed), dtype=np.float32)
