"""The line between product and backdrop: its pixels, which way is in, and what the photo shows across it.

Three questions are asked here before a cut-out is trusted: how wide is the photo's blur (`ramp_width`), is there an
edge at all where the outline runs (`weak_ratio`), and is it a product's edge or a shadow's (`soft_ratio`)?
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.pixels import Float, Plane

MIN_RAMP_PX: Final = 1.6
MAX_RAMP_PX: Final = 9.0
_PROFILES: Final = 2000
_CLEAR_LEVELS: Final = 24.0
"""Edges lower than this say more about grain than about blur."""
_FOCUS_RAMP_PX: Final = 2.7
_STEADY_RATIO: Final = 0.1
_LOOK_INSIDE_PX: Final = 2.5
_SHADE_PX: Final = 4.0
_MAP_COLUMNS: Final = 1024
"""cv2.remap takes two-dimensional maps whose sides are below 32768."""


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Pixels near the outline, each (N,): where, how deep inside in px (0 = outside), and the unit vector inwards."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    depth_px: Float
    inward_x: Float
    inward_y: Float


def depth_of(mask: Plane) -> Float:
    """Return (H, W) float32: the distance in px from outside the mask, 0 outside."""
    return np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 3), dtype=np.float32)


def points_where(depth: Float, chosen: NDArray[np.bool_]) -> Points:
    """Return the chosen (H, W) pixels with their normals, taken from the smoothed depth."""
    rows, columns = np.nonzero(chosen)
    smooth = cv2.GaussianBlur(np.minimum(depth, np.float32(12.0)), (0, 0), 1.5)
    x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3)[rows, columns]
    y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3)[rows, columns]
    length = np.maximum(np.hypot(x, y), np.float32(1e-3))
    return Points(rows, columns, depth[rows, columns], _float(x / length), _float(y / length))


def outline_points(depth: Float) -> Points:
    """Return the outermost pixels of the product, those on the photo's own border left out."""
    edge = (depth > 0) & (depth < 1.5)
    edge[:2] = edge[-2:] = False
    edge[:, :2] = edge[:, -2:] = False
    return points_where(depth, edge)


def beside(plane: Float, points: Points, inward_px: float, along_px: float = 0.0) -> Float:
    """Return (N,) values of a plane at a distance from each point, inwards and along the outline; bilinear."""
    x = points.columns + inward_px * points.inward_x + along_px * points.inward_y
    y = points.rows + inward_px * points.inward_y - along_px * points.inward_x
    padding = (0, -x.size % _MAP_COLUMNS)
    maps = [np.pad(_float(axis), padding).reshape(-1, _MAP_COLUMNS) for axis in (x, y)]
    if not x.size:
        return np.zeros(0, dtype=np.float32)
    values = cv2.remap(plane, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _float(values.ravel()[: x.size])


def weak_ratio(contrast: Plane, outline: Points, limit: float) -> float:
    """Return the share of the outline without an edge: 2.5 px inside it, contrast is still below `limit` levels.

    A true edge rises to the product's contrast at once. An outline that merely runs where a pale product fades into
    a pale backdrop, or through the glass into which the backdrop leaked, does not.
    """
    inside = beside(contrast.astype(np.float32), outline, _LOOK_INSIDE_PX)
    return float((inside < limit).mean()) if inside.size else 1.0


def soft_ratio(contrast: Plane, outline: Points, shade: Plane | None = None) -> float:
    """Return the share of the outline that is the rim of a shadow taken for product: contrast rises without an edge.

    And it is a shadow's colour that rises, since fur rises slowly too: `shade` is 1 where the photo has the backdrop's
    hue; without it any hue may be a shadow's.

    Within 12 px it rises by 12 levels with no step above 5, or by 30 with no step above an eighth of that. Measured on
    the example photos: at most 0.003, with grain 0.06; with the hard shadow of an ellipse under them 0.08 and more.
    In a photo out of focus every edge is like that: then 0.
    """
    if not outline.rows.size or ramp_width(contrast, outline) > _FOCUS_RAMP_PX:
        return 0.0
    levels = _float(cv2.GaussianBlur(contrast.astype(np.float32), (0, 0), 0.8))
    profile = np.stack([beside(levels, outline, float(step)) for step in range(-2, 13)], axis=1)
    rise, step = profile.max(axis=1), np.diff(profile, axis=1).max(axis=1)
    slow = ((rise >= 12.0) & (step <= 5.0)) | ((rise >= 30.0) & (step <= 0.12 * rise))
    if shade is not None:
        slow &= beside(shade.astype(np.float32), outline, _SHADE_PX) > 0.5
    return float(slow.mean())


def ramp_width(contrast: Plane, outline: Points, quantile: float = 0.5) -> float:
    """Return how many px the photo takes from backdrop to product, from 1.6 (pin sharp) to 9 (far out of focus).

    Along lines across the outline: the height of the first steady rise over its steepest step, the median (or another
    `quantile`) of those high enough to tell.
    """
    levels = contrast.astype(np.float32)
    few = _every(outline, max(1, outline.rows.size // _PROFILES))
    profile = np.stack([beside(levels, few, float(step)) for step in range(-3, 17)], axis=1)
    step = np.diff(profile, axis=1)
    peak, at_peak = step.max(axis=1), step.argmax(axis=1)[:, None]
    broken = step <= _STEADY_RATIO * peak[:, None]
    index = np.arange(step.shape[1])[None, :]
    starts_after = np.where(broken & (index < at_peak), index, -1).max(axis=1)[:, None]
    ends_before = np.where(broken & (index > at_peak), index, step.shape[1]).min(axis=1)[:, None]
    height = (step * ((index > starts_after) & (index < ends_before))).sum(axis=1)
    clear = height >= max(_CLEAR_LEVELS, float(np.median(height)) / 2) if height.size else np.zeros(0, dtype=np.bool_)
    if not clear.any():
        return MIN_RAMP_PX
    return float(np.clip(np.quantile(height[clear] / peak[clear], quantile), MIN_RAMP_PX, MAX_RAMP_PX))


def _every(points: Points, stride: int) -> Points:
    part = slice(None, None, stride)
    return Points(
        points.rows[part],
        points.columns[part],
        points.depth_px[part],
        points.inward_x[part],
        points.inward_y[part],
    )


def _float(values: NDArray[Any]) -> Float:
    return np.asarray(values, dtype=np.float32)
