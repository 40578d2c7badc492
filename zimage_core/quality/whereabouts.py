"""The product's silhouette in a picture that nobody placed it in: what stands out from a plain backdrop.

A drawn product, or a file from elsewhere, has no placement. Before a plain backdrop it can be seen all the same; before
anything else no silhouette is given, and a sentence says why: a wrong one would have the wrong pixels judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from zimage_core.domain import Placement
from zimage_core.imaging.backdrop import find_backdrop
from zimage_core.imaging.outline import depth_of, outline_points, soft_ratio, weak_ratio
from zimage_core.imaging.pixels import Plane, Rgb
from zimage_core.imaging.silhouette import Silhouette, find_silhouette
from zimage_core.quality.alignment import Likeness
from zimage_core.quality.rasters import reduced

_SIDE_PX: Final = 400
_MIN_BORDER_RATIO: Final = 0.6
_MAX_NOISE: Final = 8.0
_MAX_PIECES: Final = 12
_MIN_COVERAGE: Final = 0.004
_MAX_COVERAGE: Final = 0.9
_MAX_WEAK_RATIO: Final = 0.04
_MAX_SOFT_RATIO: Final = 0.07
_EDGE_LEVELS: Final = 3.0
_RIM_PX: Final = 2
_BORDER_LEVELS: Final = 32.0


@dataclass(frozen=True, slots=True, eq=False)
class Whereabouts:
    """`alpha` (H, W) uint8 of the product, or None and `reason`, a sentence that says why nobody knows where it is."""

    alpha: Plane | None
    reason: str = ""


def before_a_plain_backdrop(rgb: Rgb) -> Whereabouts:
    """Return what stands out from the backdrop of an (H, W, 3) picture, unless that cannot be told for sure."""
    height, width = rgb.shape[:2]
    shrink = min(1.0, _SIDE_PX / max(height, width))
    size = (max(16, round(width * shrink)), max(16, round(height * shrink)))
    small = reduced(rgb, *size)
    backdrop = find_backdrop(small)
    if backdrop.border_ratio < _MIN_BORDER_RATIO or backdrop.noise > _MAX_NOISE:
        return Whereabouts(None, "The backdrop is not plain, so the product cannot be told from it.")
    found = find_silhouette(small, backdrop)
    coverage = float(found.mask.mean())
    if coverage < _MIN_COVERAGE or coverage > _MAX_COVERAGE:
        return Whereabouts(None, f"What stands out from the backdrop covers {coverage:.1%} of the picture.")
    if len(found.pieces_px) > _MAX_PIECES:
        return Whereabouts(None, f"What stands out from the backdrop falls into {len(found.pieces_px)} pieces.")
    if _fades_at_border(found):
        return Whereabouts(None, "What stands out from the backdrop is in part the backdrop's own light and shade.")
    outline = outline_points(depth_of(found.mask))
    weak = weak_ratio(found.contrast, outline, found.limit + _EDGE_LEVELS + 2.0 * found.noise)
    soft = soft_ratio(found.contrast, outline)
    if max(weak / _MAX_WEAK_RATIO, soft / _MAX_SOFT_RATIO) > 1.0:
        return Whereabouts(None, f"The product fades into the backdrop along {max(weak, soft):.0%} of its outline.")
    # the mask begins at the foot of an edge: a pixel further in the product is whole
    edge = cv2.blur(cv2.erode(found.mask, np.ones((2, 2), np.uint8)) * np.uint8(255), (3, 3))
    return Whereabouts(np.asarray(cv2.resize(edge, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8))


def _fades_at_border(found: Silhouette) -> bool:
    """Tell whether what reaches the picture's border hardly differs from the backdrop there: shade, not product."""
    rim = np.ones_like(found.mask)
    rim[_RIM_PX:-_RIM_PX, _RIM_PX:-_RIM_PX] = 0
    touching = (rim > 0) & (found.mask > 0)
    return bool(touching.any()) and float(np.median(found.contrast[touching])) < _BORDER_LEVELS


def outline_at(likeness: Likeness, placement: Placement, width_px: int, height_px: int) -> Plane:
    """Return the alpha (height_px, width_px) uint8 of a product that was found to stand at a placement."""
    across, down = (placement.scale / per for per in likeness.per_cutout)
    to_picture = np.array(
        [
            [across, 0.0, placement.x_px + placement.scale * likeness.left + 0.5 * across - 0.5],
            [0.0, down, placement.y_px + placement.scale * likeness.top + 0.5 * down - 0.5],
        ]
    )
    alpha = cv2.warpAffine(likeness.alpha, to_picture, (width_px, height_px), flags=cv2.INTER_LINEAR)
    return np.asarray(alpha, dtype=np.uint8)
