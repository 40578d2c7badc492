"""Soft shadows on a plain backdrop: told from the product, and followed up to its edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.backdrop import Backdrop, contrast_with, follow
from zimage_core.imaging.outline import depth_of, outline_points, ramp_width
from zimage_core.imaging.pixels import Plane, Rgb
from zimage_core.imaging.regions import Seen, as_plane, grown, reached_from_border, shrunk, widely_reached

_DARKEST_RATIO: Final = 0.45
"""A shadow darker than this share of the backdrop is not soft, and is left to the checks on the outline."""
_RIM_SHARP: Final = 0.2
"""A shadow fades out: no more than this share of its outer rim is sharp."""
_SLOW: Final = 5.0
_SLOW_SIDE_PX: Final = 1600
"""Levels within 3 px that a soft shadow changes at most in a photo of that size, more in a smaller one; the edge of a
product 12 levels from white changes 10."""
_STEEPER: Final = 2.4
_STEEP_MAX_NOISE: Final = 0.5
_SHARP_RAMP_PX: Final = 3.0
_EDGE_STEPS: Final = 3
_EDGE_SIGMA_PX: Final = 2.5
_EDGE_LEVELS: Final = 4


@dataclass(frozen=True, slots=True)
class _Proof:
    """What a region must show to be a shadow: its share of the photo's area, the share of its core that ends at a sharp
    edge, and how dark it is at its darkest and on average, in limits. Clear glass is pale on average."""

    area: float
    core_sharp: float
    darkest: float
    mean: float


_SOFT: Final = _Proof(area=0.001, core_sharp=0.8, darkest=3.0, mean=0.0)
_STEEP: Final = _Proof(area=0.003, core_sharp=0.9, darkest=6.0, mean=4.0)


def soft_shadow(seen: Seen, outside: Plane) -> Plane:
    """Return 1 where a soft shadow or a slow vignette borders on `outside`.

    They are what can be reached from the border over slowly changing pixels of the backdrop's hue, through passages
    wider than a broken edge. A region whose outer rim is sharp, which is pale all over or which passes into the product
    without an edge may be a product whose outline leaks or fades somewhere, and stays. A steeper shadow is looked for
    only in a sharp photo without grain, and must be dark.
    """
    slope = _channel_range(seen.calm)
    bar = _SLOW * max(1.0, _SLOW_SIDE_PX / max(outside.shape)) ** 0.5 + 2.0 * seen.noise
    added = _slowly_reached(seen, outside, slope <= bar)
    if cv2.countNonZero(added) < _SOFT.area * outside.size:
        return np.zeros_like(outside)
    # in a photo out of focus the product's own edges are slow too
    ramp_px = ramp_width(seen.contrast, outline_points(depth_of(1 - outside)), quantile=0.25)
    if ramp_px > _SHARP_RAMP_PX:
        bar *= _SHARP_RAMP_PX / ramp_px
        added = _slowly_reached(seen, outside, slope <= bar)
    shadow = _shadows_among(seen, outside, added, slope, bar, _SOFT)
    if shadow.any() or ramp_px > _SHARP_RAMP_PX or seen.noise > _STEEP_MAX_NOISE:
        return shadow
    bar *= _STEEPER
    return _shadows_among(seen, outside, _slowly_reached(seen, outside, slope <= bar), slope, bar, _STEEP)


def _shadows_among(seen: Seen, outside: Plane, added: Plane, slope: Plane, bar: float, proof: _Proof) -> Plane:
    """Return those regions of `added` that give proof of being a shadow."""
    count, components, stats, _ = cv2.connectedComponentsWithStats(added, connectivity=4)
    labels = np.asarray(components, dtype=np.int32)
    outer = _sharp_share(labels, grown(outside, 3) & added, slope, 2.0 * bar, 5, count)
    front = (1 - outside) & (1 - added)
    inner = _sharp_share(labels, grown(front, 9) & added, slope, 2.0 * bar, 13, count)
    inside = added > 0
    area = np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    mean = np.bincount(labels[inside], weights=seen.contrast[inside], minlength=count) / area
    darkest = np.zeros(count, dtype=np.uint8)
    np.maximum.at(darkest, labels[inside], seen.contrast[inside])
    accepted = (area >= proof.area * outside.size) & (outer <= _RIM_SHARP) & (inner >= proof.core_sharp)
    accepted &= (darkest >= proof.darkest * seen.limit) & (mean >= proof.mean * seen.limit)
    accepted[0] = False
    return as_plane(accepted[labels])


def _sharp_share(
    labels: NDArray[np.int32], rim: Plane, slope: Plane, bar: float, window: int, count: int
) -> NDArray[np.float64]:
    """Return for each label the share of its rim where the slope within a window exceeds the bar."""
    at = np.nonzero(rim)
    owner, steep = labels[at], grown(slope, window)[at] > bar
    rims = np.bincount(owner, minlength=count)
    return np.asarray(np.bincount(owner[steep], minlength=count) / np.maximum(rims, 1), dtype=np.float64)


def _slowly_reached(seen: Seen, outside: Plane, slow: NDArray[np.bool_]) -> Plane:
    """Return 1 for what is reached from `outside` over slow pixels of the backdrop's hue, 5 px wide at least."""
    shade = _shade_of(seen.calm, seen.backdrop.surface, seen.limit)
    passable = as_plane(cv2.max(as_plane(slow) & shade, outside))
    # specks of grain are no fence; an edge, 3 px wide and long, stays one
    passable = as_plane(cv2.medianBlur(passable, 5))
    core = reached_from_border(shrunk(passable, 5))
    return as_plane(cv2.subtract(grown(core, 7) & passable, outside))


def up_to_the_edge(calm: Rgb, backdrop: Backdrop, outside: Plane, shadow: Plane, limit: int) -> tuple[Backdrop, Plane]:
    """Return the backdrop and `outside` followed through the last few px of a shadow, where it is darkest.

    Step by step: the surface is continued a little further in, and what agrees with it belongs to it. Nothing further
    than 12 px from the shadow is touched.
    """
    close = grown(shadow, 25)
    rows, columns = np.nonzero(close.any(axis=1))[0], np.nonzero(close.any(axis=0))[0]
    part = (slice(max(0, rows[0] - 8), rows[-1] + 9), slice(max(0, columns[0] - 8), columns[-1] + 9))
    surface, reached = backdrop.surface.copy(), outside.copy()
    for _ in range(_EDGE_STEPS):
        surface[part] = follow(calm[part], surface[part], shrunk(reached[part], 3), _EDGE_SIGMA_PX)
        agrees = as_plane(contrast_with(calm[part], surface[part]) <= limit + _EDGE_LEVELS) & close[part]
        reached[part] = cv2.max(reached[part], cv2.bitwise_and(agrees, grown(reached[part], 7)))
        reached = widely_reached(reached_from_border(reached))
    surface[part] = follow(calm[part], surface[part], shrunk(reached[part], 3), _EDGE_SIGMA_PX)
    return Backdrop(surface, backdrop.noise, backdrop.border_ratio), reached


def _channel_range(calm: Rgb) -> Plane:
    """Return per pixel the range of levels in its 3 x 3 neighbourhood, the largest of the channels."""
    red, green, blue = cv2.split(cv2.morphologyEx(calm, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)))
    return np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)


def _shade_of(calm: Rgb, surface: Rgb, limit: int) -> Plane:
    """Return 1 where a pixel is the backdrop's colour at another brightness (45 % to 110 %)."""
    ratio = cv2.divide(calm, surface, scale=200.0)  # 200 = as bright as the backdrop, per channel
    red, green, blue = cv2.split(ratio)
    high, low = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    same_hue = cv2.subtract(high, low) <= max(8, 2 * limit)
    return as_plane(same_hue & (low >= 200 * _DARKEST_RATIO) & (high <= 220))
