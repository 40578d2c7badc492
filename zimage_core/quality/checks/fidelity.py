"""Is it still this product? The product's pixels are made again from cut-out and placement and compared.

Nothing is aligned or searched for: where the product stands is known, so every departure is a change to the product.
Structure (contrast and shape) and colour are asked apart, because a recoloured product keeps all of its structure.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Finding
from zimage_core.imaging.composite import OPAQUE_ALPHA
from zimage_core.quality.colour import delta_e, lab_of
from zimage_core.quality.evidence import Evidence, window
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

STRUCTURE = "fidelity_structure"
COLOUR = "fidelity_colour"

_MAX_SIDE_PX = 512
_WINDOW_PX = 7
_CELLS = 7
_CELL_PX = 16
_MIN_CELL_SHARE = 0.2
_C2 = (0.03 * 255) ** 2  # Wang et al. 2004: keeps flat regions from dividing noise by noise
_COLOUR_QUANTILE = 0.95

Floats = NDArray[np.float32]


def measure_structure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the contrast-structure part of SSIM (Wang et al. 2004) of the worst of 7 x 7 cells over the product."""
    pair = _pair(evidence)
    if pair is None:
        return (not_applicable(STRUCTURE, "There is no photo to compare the product with."),)
    attempt, wanted, mask, box = pair
    map_, solid = _structure_map(_grey(attempt), _grey(wanted)), _eroded(mask, _WINDOW_PX)
    value, where = _worst_cell(map_, solid, box)
    if where is None:
        return (not_applicable(STRUCTURE, "Too little of the product is opaque to compare."),)
    passes = value >= rubric.limit(STRUCTURE)
    sentence = (
        "The product's pixels are those of the photo."
        if passes
        else f"The product is not that of the photo: its worst part agrees to {value:.2f} only (1 = the same)."
    )
    return (measured(rubric, STRUCTURE, value, "similarity", sentence, box=None if passes else where),)


def measure_colour(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return CIEDE2000 between product and photo, over cells of 16 px, at the 95th percentile of the cells."""
    pair = _pair(evidence)
    if pair is None:
        return (not_applicable(COLOUR, "There is no photo to compare the product with."),)
    attempt, wanted, mask, _ = pair
    means = [_cell_means(plane, mask) for plane in (attempt, wanted)]
    if means[0].shape[0] == 0:
        return (not_applicable(COLOUR, "Too little of the product is opaque to compare."),)
    value = float(np.quantile(delta_e(lab_of(means[0]), lab_of(means[1])), _COLOUR_QUANTILE))
    passes = value <= rubric.limit(COLOUR)
    sentence = (
        "The product has the colours of the photo."
        if passes
        else f"The product's colour is off by {value:.1f} from the photo (CIEDE2000, limit {rubric.limit(COLOUR):.0f})."
    )
    return (measured(rubric, COLOUR, value, "dE2000", sentence),)


def _pair(evidence: Evidence) -> tuple[Floats, Floats, Floats, Box] | None:
    """Return (attempt, product from the photo, 0..1 mask of opaque pixels, box) of the product,
    at most 512 px large."""
    placed, box = evidence.placed, evidence.product_box
    if placed is None or box is None:
        return None
    rows, columns = window(box, evidence.width_px, evidence.height_px)
    factor = math.ceil(max(box.width_px, box.height_px) / _MAX_SIDE_PX)
    opaque = (placed[rows, columns, 3] == OPAQUE_ALPHA).astype(np.float32)
    attempt = _shrunk_by(evidence.given.attempt_rgb[rows, columns], factor)
    wanted = _shrunk_by(placed[rows, columns, :3], factor)
    return attempt, wanted, (_shrunk_by(opaque, factor) >= 1.0).astype(np.float32), box


def _shrunk_by(plane: NDArray[Any], factor: int) -> Floats:
    """Return means over factor x factor blocks, the remainder at the lower right left out (a whole factor is fast)."""
    height, width = max(1, plane.shape[0] // factor), max(1, plane.shape[1] // factor)
    whole = np.ascontiguousarray(plane[: height * factor, : width * factor])
    if factor > 1:
        whole = np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))
    return whole.astype(np.float32)


def _grey(rgb: Floats) -> Floats:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def _eroded(mask: Floats, by_px: int) -> Floats:
    return np.asarray(cv2.erode(mask, np.ones((by_px, by_px), np.uint8), borderValue=0), dtype=np.float32)


def _structure_map(first: Floats, second: Floats) -> Floats:
    window_shape = (_WINDOW_PX, _WINDOW_PX)
    first, second = first - 128.0, second - 128.0  # float32 keeps its digits when the mean is small
    m1, m2 = cv2.blur(first, window_shape), cv2.blur(second, window_shape)
    v1 = cv2.blur(first * first, window_shape) - m1 * m1
    v2 = cv2.blur(second * second, window_shape) - m2 * m2
    both = cv2.blur(first * second, window_shape) - m1 * m2
    return np.asarray((2 * both + _C2) / (v1 + v2 + _C2), dtype=np.float32)


def _worst_cell(map_: Floats, mask: Floats, box: Box) -> tuple[float, Box | None]:
    height, width = map_.shape
    rows = np.linspace(0, height, _CELLS + 1).astype(int)
    columns = np.linspace(0, width, _CELLS + 1).astype(int)
    worst, where = 1.0, None
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            part = mask[top:bottom, left:right]
            if part.size == 0 or float(part.mean()) < _MIN_CELL_SHARE:
                continue
            value = float((map_[top:bottom, left:right] * part).sum() / part.sum())
            if where is None or value < worst:
                worst, where = value, _scaled_back((left, top, right, bottom), (width, height), box)
    return worst, where


def _scaled_back(part: tuple[int, int, int, int], size: tuple[int, int], box: Box) -> Box:
    across, down = box.width_px / size[0], box.height_px / size[1]
    left, top, right, bottom = part
    return Box(
        box.x_px + round(left * across),
        box.y_px + round(top * down),
        round((right - left) * across),
        round((bottom - top) * down),
    )


def _cell_means(rgb: Floats, mask: Floats) -> Floats:
    """Return (n, 3) mean colours of the 16 px cells that the product covers, the mask as weight."""
    height, width = mask.shape
    size = (max(1, width // _CELL_PX), max(1, height // _CELL_PX))
    weight = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(rgb * mask[..., None], size, interpolation=cv2.INTER_AREA)
    known = weight >= _MIN_CELL_SHARE
    return np.asarray(total[known] / weight[known][:, None], dtype=np.float32)
