"""Soft shadows on a plain backdrop: told from the product, and followed up to its edge.

A shadow, however dark, fades; a product's edge does not, however pale. So the photo is asked how sharply it bends
(`bends_of`), not how much it changes: from the backdrop in view everything of its hue is reached over which the photo
nowhere bends as at an edge. Where that leads through a gap in a pale outline into the product itself, most of what
borders on the region lies behind an edge; that gives the leak away.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.backdrop import Backdrop, contrast_with, follow
from zimage_core.imaging.pixels import Plane, Rgb
from zimage_core.imaging.regions import Seeds, Seen, as_plane, grown, reached_from_border, shrunk, widely_reached

_DARKEST_RATIO: Final = 0.3
"""A shadow darker than this share of the backdrop is not soft, and is left to the checks on the outline."""
_BRIGHTEST_RATIO: Final = 1.25
"""... and a spotlight brightens by a quarter at most."""
_HUE_LEVELS: Final = 14
"""Of 200: the most that the three channels' ratios to the backdrop may differ; products throw their colour around."""
_SLOW: Final = 5.0
_SLOW_SIDE_PX: Final = 1600
"""Levels within 3 px that a soft shadow changes at most in a photo of that size, more in a smaller one; the edge of a
product 12 levels from white changes 10."""
_BEND: Final = 1.6
_BEND_PER_NOISE: Final = 0.7
"""Levels between the photo smoothed by 1.0 and by 2.5 px, in a photo of that size. The shadow 80 levels deep that fades
over 20 px has 0.8 to 1.2; an edge has a quarter of its height, so edges of 7 levels are seen."""
_WIDE_PASSAGE_RATIO: Final = 1 / 32
_PASSAGE_PX: Final = 7
_SMALLEST_RATIO: Final = 0.0003
_BEHIND_EDGES: Final = 0.7
_LONG_RATIO: Final = 0.2
_LONG_BEHIND_EDGES: Final = 0.78
"""Of a region's border, the share that has an edge and, within 11 px, backdrop. Measured on made-up products: shadows
up to 0.62, beside straps and spokes too; leaks into a product from 0.8; narrow shadows that border on the backdrop over
a fifth of the side up to 0.77."""
_ENDS_AT_EDGES: Final = 0.35
_TOUCHING: Final = 0.05
_ACROSS_PX: Final = 23
_EDGE_STEPS: Final = 3
_EDGE_SIGMA_PX: Final = 2.5
_EDGE_LEVELS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Bends:
    """Where the photo has edges ((H, W) uint8, 1 = within 1 px of one) and where it is smooth ((H, W) bool)."""

    edges: Plane
    smooth: NDArray[np.bool_]


def bends_of(seen: Seen) -> Bends:
    """Return the photo's edges: where smoothing it a little more changes it, beyond what shadows and grain explain."""
    small = max(1.0, _SLOW_SIDE_PX / max(seen.contrast.shape)) ** 0.5
    fine, coarse = (cv2.GaussianBlur(seen.calm, (0, 0), sigma) for sigma in (1.0, 2.5))
    bend = contrast_with(np.asarray(fine, dtype=np.uint8), np.asarray(coarse, dtype=np.uint8))
    edges = grown(as_plane(bend > _BEND * small + _BEND_PER_NOISE * seen.noise), 3)
    slow = _channel_range(seen.calm) <= _SLOW * small + 2.0 * seen.noise
    return Bends(edges, slow | (edges == 0))


def soft_shadow(seen: Seen, outside: Plane, bends: Bends, *, wide: bool) -> Plane:
    """Return 1 where a soft shadow or a slow vignette borders on `outside`.

    With `wide`, only what is reached through passages of a 32nd of the photo's side, which no gap in an outline is;
    else through 7 px.
    """
    passage_px = _PASSAGE_PX
    if wide:
        passage_px = max(passage_px, 2 * round(max(outside.shape) * _WIDE_PASSAGE_RATIO / 2) + 1)
    shade = shade_of(seen)
    added = _smoothly_reached(outside, as_plane(bends.smooth) & shade, passage_px)
    if cv2.countNonZero(added) < _SMALLEST_RATIO * outside.size:
        return np.zeros_like(outside)
    return _shadows_among(outside, added, bends.edges, as_plane(cv2.max(bends.edges, 1 - shade)))


def _shadows_among(outside: Plane, added: Plane, edges: Plane, ends: Plane) -> Plane:
    """Return those regions of `added` that pass softly into the backdrop and end where the product begins.

    `ends` are edges, and what has another hue.
    """
    count, components, stats, _ = cv2.connectedComponentsWithStats(added, connectivity=4)
    labels = np.asarray(components, dtype=np.int32)

    def along(rim: Plane) -> NDArray[np.int64]:
        return np.asarray(np.bincount(labels[(rim & added) > 0], minlength=count), dtype=np.int64)

    soft = along(grown(outside, 3))
    behind = along(grown(edges, 3) & grown(outside, _ACROSS_PX))
    front = (1 - outside) & (1 - added)
    touching = along(grown(front, 3))
    near_front = grown(front, 9)
    sharp = along(near_front & grown(ends, 13)) / np.maximum(along(near_front), 1)
    accepted = stats[:, cv2.CC_STAT_AREA] >= _SMALLEST_RATIO * outside.size
    most_behind = np.where(soft >= _LONG_RATIO * max(outside.shape), _LONG_BEHIND_EDGES, _BEHIND_EDGES)
    accepted &= behind <= most_behind * np.maximum(soft + behind, 1)
    accepted &= (sharp >= _ENDS_AT_EDGES) | (touching <= _TOUCHING * soft)
    accepted[0] = False
    return as_plane(accepted[labels])


def _smoothly_reached(outside: Plane, smooth: Plane, passage_px: int) -> Plane:
    """Return 1 for what is reached from `outside` over smooth pixels of the backdrop's hue."""
    passable = as_plane(cv2.max(smooth, outside))
    # specks of grain are no fence; an edge, 3 px wide and long, stays one
    passable = as_plane(cv2.medianBlur(passable, 5))
    core = reached_from_border(shrunk(passable, passage_px))
    return as_plane(cv2.subtract(grown(core, passage_px + 2) & passable, outside))


def up_to_the_edge(seen: Seen, outside: Plane, shadow: Plane, seeds: Seeds) -> tuple[Backdrop, Plane]:
    """Return the backdrop and `outside` followed through the last few px of a shadow, where it is darkest.

    Step by step: the surface is continued a little further in, and what agrees with it belongs to it. Nothing further
    than 12 px from the shadow is touched.
    """
    close = grown(shadow, 25)
    rows, columns = np.nonzero(close.any(axis=1))[0], np.nonzero(close.any(axis=0))[0]
    part = (slice(max(0, rows[0] - 8), rows[-1] + 9), slice(max(0, columns[0] - 8), columns[-1] + 9))
    calm = seen.calm[part]
    surface, reached = seen.backdrop.surface.copy(), outside.copy()
    for _ in range(_EDGE_STEPS):
        surface[part] = follow(calm, surface[part], shrunk(reached[part], 3), _EDGE_SIGMA_PX)
        agrees = as_plane(contrast_with(calm, surface[part]) <= seen.limit + _EDGE_LEVELS) & close[part]
        reached[part] = cv2.max(reached[part], cv2.bitwise_and(agrees, grown(reached[part], 7)))
        reached = widely_reached(reached_from_border(reached, seeds), seeds)
    surface[part] = follow(calm, surface[part], shrunk(reached[part], 3), _EDGE_SIGMA_PX)
    return dataclasses.replace(seen.backdrop, surface=surface), reached


def _channel_range(calm: Rgb) -> Plane:
    """Return per pixel the range of levels in its 3 x 3 neighbourhood, the largest of the channels."""
    red, green, blue = cv2.split(cv2.morphologyEx(calm, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
    return np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)


def shade_of(seen: Seen) -> Plane:
    """Return 1 where a pixel is the backdrop's colour at another brightness."""
    low, high = ratio_range(seen.calm, seen.backdrop.surface)
    same_hue = cv2.subtract(high, low) <= max(_HUE_LEVELS, 2 * seen.limit)
    return as_plane(same_hue & (low >= 200 * _DARKEST_RATIO) & (high <= 200 * _BRIGHTEST_RATIO))


def ratio_range(calm: Rgb, surface: Rgb) -> tuple[Plane, Plane]:
    """Return the least and the largest of the channels' ratios to the backdrop, 200 = as bright as it."""
    red, green, blue = cv2.split(cv2.divide(calm, surface, scale=200.0))
    return as_plane(cv2.min(cv2.min(red, green), blue)), as_plane(cv2.max(cv2.max(red, green), blue))
