"""Hard shadows: told from the product by their flatness, so that a person hears of them; they cannot be taken away.

A shadow with a sharp rim is as much of a shape as the product is. But it is the backdrop's colour at one brightness
all over, borders on the backdrop, and leans on something that has another colour.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from zimage_core.imaging.pixels import Plane
from zimage_core.imaging.regions import Seen, as_plane, grown
from zimage_core.imaging.soft_shadow import ratio_range

_STRIDE: Final = 4
_DARKEST: Final = 60
_BRIGHTEST: Final = 180
"""Of 200, the backdrop's own brightness."""
_HUE_LEVELS: Final = 11
_STEP_LEVELS: Final = 5
_LEAST_RATIO: Final = 0.01
_MOST_RATIO: Final = 0.8
"""Where all of the product has the backdrop's hue, nothing tells it from its shadow."""
_SPREAD: Final = 6.0
"""Standard deviation of the shadow's brightness, of 200."""
_BESIDE_BACKDROP: Final = 0.2
_BESIDE_PRODUCT: Final = 0.1


def hard_shadow_ratio(seen: Seen, mask: Plane) -> float:
    """Return the share of the mask (H, W) that may be a hard shadow: flat, the backdrop's hue, beside a product.

    Measured on made-up products: 0.06 to 0.28 with a hard shadow that is not cropped, up to 0.06 without.
    """
    few = (slice(None, None, _STRIDE), slice(None, None, _STRIDE))
    calm, surface, inside = (np.ascontiguousarray(plane[few]) for plane in (seen.calm, seen.backdrop.surface, mask))
    low, high = ratio_range(calm, surface)
    shade = (cv2.subtract(high, low) <= _HUE_LEVELS + 2.0 * seen.noise) & (low >= _DARKEST) & (high <= _BRIGHTEST)
    steps = cv2.morphologyEx(low, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    flat = as_plane(shade & (inside > 0) & (steps <= _STEP_LEVELS + 2.0 * seen.noise))
    flat = as_plane(cv2.morphologyEx(flat, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))
    if float((shade & (inside > 0)).sum()) > _MOST_RATIO * float(inside.sum()):
        return 0.0
    count, components, stats, _ = cv2.connectedComponentsWithStats(flat, connectivity=4)
    labels, area_px = np.asarray(components), int(inside.sum())
    shadow_px = 0
    for label in range(1, count):
        part_px = int(stats[label, cv2.CC_STAT_AREA])
        if part_px >= _LEAST_RATIO * area_px and _leans(as_plane(labels == label), low, as_plane(shade), inside):
            shadow_px += part_px
    return shadow_px / max(area_px, 1)


def _leans(part: Plane, level: Plane, shade: Plane, inside: Plane) -> bool:
    """Tell whether a part is of one brightness, borders on the backdrop, and on something of another colour."""
    if float(level[part > 0].std()) > _SPREAD:
        return False
    rim = cv2.subtract(grown(part, 7), grown(part, 5)) > 0
    outside = float((inside[rim] == 0).mean())
    product = float(((inside[rim] > 0) & (shade[rim] == 0)).mean())
    return outside >= _BESIDE_BACKDROP and product >= _BESIDE_PRODUCT
