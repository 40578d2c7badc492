"""The last px of a shadow, or crumbs of JPEG: a silhouette that includes a rim is drawn in to the product's edge."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.outline import Points, beside, depth_of, outline_points
from zimage_core.imaging.pixels import Plane
from zimage_core.imaging.regions import Seen, as_plane, grown

_REACH_PX: Final = 12
_BEFORE_PX: Final = 3
_NEAR_PX: Final = 31
_FIRST_RATIO: Final = 0.35
"""The first step this high, as a share of the highest, is the product's edge and not the shadow's slope."""
_LEAST_STEP: Final = 5.0
_SURE_STEP: Final = 7.0
"""In a shadow a step of so many levels more is an edge even where one ten times as high follows: a white phone's dark
frame."""
_FOOT_PX: Final = 1.5
_ALONG_PX: Final = 3.0
_INSIDE_PX: Final = 2.5
_WEAK_LEVELS: Final = 6
_BESIDE_PX: Final = (9, 21)
_RINGING_SHARE: Final = 0.98
_RINGING_LEVELS: Final = 1.5
_RINGING_PER_NOISE: Final = 2.2
"""JPEG that leaves crumbs leaves this much contrast just beside the product too, where nothing but backdrop is."""
_STRONG_STEP: Final = 12.0
"""So little above the limit, 2.5 px inside, the outline runs along a crumb that JPEG left beside an edge of so many
levels per px; without such an edge it is a pale product's own."""


def beyond_first_edge(mask: Plane, seen: Seen, shadow: Plane) -> Plane:
    """Return 1 for what of the mask (H, W) lies outside its first edge, near a `shadow` or where contrast is weak.

    Along lines across the outline the first high step is looked for, not beyond the middle of a thin part, since its
    far side is an edge too. Neighbours along the outline agree on where it is.
    """
    depth = depth_of(mask)
    points, in_shadow = _doubtful(outline_points(depth), mask, seen, shadow)
    if not points.rows.size:
        return np.zeros_like(mask)
    steps = range(-_BEFORE_PX, _REACH_PX + 2)
    rise = np.zeros((points.rows.size, len(steps) - 1), dtype=np.float32)
    for channel in cv2.split(seen.calm):
        levels = cv2.GaussianBlur(channel, (0, 0), 0.8).astype(np.float32)
        profile = np.stack([beside(levels, points, float(step)) for step in steps], axis=1)
        np.maximum(rise, np.abs(np.diff(profile, axis=1)), out=rise)
    inwards = np.diff(np.stack([beside(depth, points, float(step)) for step in steps], axis=1), axis=1)
    rise = np.where(np.minimum.accumulate(inwards >= -0.25, axis=1), rise, np.float32(0.0))
    least = _LEAST_STEP + 2.0 * seen.noise
    high = np.maximum(rise.max(axis=1, keepdims=True) * _FIRST_RATIO, least)
    high = np.where(in_shadow[:, None], np.minimum(high, _SURE_STEP + least), high)
    peak = (rise >= high) & (rise >= np.roll(rise, 1, axis=1)) & (rise >= np.roll(rise, -1, axis=1))
    peak[:, 0] = False
    foot = peak.argmax(axis=1) + 0.5 - _BEFORE_PX - _FOOT_PX
    trusted = peak.any(axis=1) & (in_shadow | (rise.max(axis=1) >= _STRONG_STEP))
    shift = np.where(trusted, np.maximum(foot, 0.0), 0.0)
    sums, weights = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.float32)
    sums[points.rows, points.columns] = shift
    weights[points.rows, points.columns] = 1.0
    total, weight = (cv2.GaussianBlur(plane, (0, 0), _ALONG_PX) for plane in (sums, weights))
    drawn_in = np.minimum(total / np.maximum(weight, 1e-6), _REACH_PX)
    return as_plane((mask > 0) & (weight > 1e-6) & (depth <= drawn_in))


def _doubtful(points: Points, mask: Plane, seen: Seen, shadow: Plane) -> tuple[Points, NDArray[np.bool_]]:
    """Return the points whose outline may not be the product's, and which of them are near a shadow."""
    near = grown(shadow, _NEAR_PX)[points.rows, points.columns] > 0
    chosen = near
    beyond = seen.contrast[(grown(mask, _BESIDE_PX[1]) > 0) & (grown(mask, _BESIDE_PX[0]) == 0)]
    if beyond.size and float(np.quantile(beyond, _RINGING_SHARE)) > max(
        _RINGING_LEVELS, _RINGING_PER_NOISE * seen.noise
    ):
        inside = beside(seen.contrast.astype(np.float32), points, _INSIDE_PX)
        chosen = near | (inside <= seen.limit + _WEAK_LEVELS)
    picked = Points(
        points.rows[chosen],
        points.columns[chosen],
        points.depth_px[chosen],
        points.inward_x[chosen],
        points.inward_y[chosen],
    )
    return picked, near[chosen]
