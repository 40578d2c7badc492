"""Could there be writing beside the product at all? Asked before a text detector is, which costs a hundred times more.

Strokes change the tone in more than one direction within a small cell; shading, shadows, horizons and table edges
change it in one or hardly at all. So the weaker of the two directions is measured, cell by cell. What has structure
(wood, linen, leaves) answers yes: this only spares plain ground the detector, in part or altogether.
"""

from __future__ import annotations

import math
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box
from zimage_core.imaging.pixels import Plane
from zimage_core.quality.edges import Bools, Floats
from zimage_core.quality.rasters import reduced

_LONG_SIDE_PX: Final = 512
_CELL_PX: Final = 16
_CLEARANCE_PX: Final = 6
_LEAST_SLOPE: Final = 0.6
"""Levels per px in the weaker direction: of 24 plain stages 5 have it somewhere, of those with a mark of 15 % all."""
_LEAST_CELLS: Final = 2
_SPARE_CELLS: Final = 4  # a line of writing goes on where its strokes are fainter


def where_writing_could_be(grey: Plane, allowed: Bools) -> Box | None:
    """Return a box with room to spare around all strokes of an (H, W) plane outside of `allowed`; None without any.

    `allowed` (H, W) bool is where writing may stand.
    """
    cells = _with_strokes(grey, allowed)
    if int(cells.sum()) < _LEAST_CELLS:
        return None
    first, last = [], []
    for axis, side in ((0, grey.shape[1]), (1, grey.shape[0])):
        at, per_cell = np.flatnonzero(cells.any(axis=axis)), side / cells.shape[1 - axis]
        first.append(max(0, math.floor((int(at[0]) - _SPARE_CELLS) * per_cell)))
        last.append(min(side, math.ceil((int(at[-1]) + 1 + _SPARE_CELLS) * per_cell)))
    return Box(first[0], first[1], last[0] - first[0], last[1] - first[1])


def _with_strokes(grey: Plane, allowed: Bools) -> Bools:
    """Return the cells whose RMS slope in the weaker direction is enough, in levels per px of the picture at 512 px."""
    scale = min(1.0, _LONG_SIDE_PX / max(grey.shape))
    columns, rows = (max(1, round(side * scale / _CELL_PX)) for side in grey.shape[::-1])
    size = (columns * _CELL_PX, rows * _CELL_PX)
    small = reduced(grey, *size).astype(np.float32)
    hidden = reduced(np.asarray(cv2.threshold(allowed.view(np.uint8), 0, 255, cv2.THRESH_BINARY)[1], np.uint8), *size)
    near = cv2.dilate(hidden, np.ones((2 * _CLEARANCE_PX + 1,) * 2, np.uint8))
    free = cv2.threshold(near, 0, 1, cv2.THRESH_BINARY_INV)[1].astype(np.float32)
    smooth = cv2.GaussianBlur(small, (5, 5), 1.0)
    across, down = (
        cv2.multiply(cv2.Sobel(smooth, cv2.CV_32F, *way, ksize=3, scale=0.125), free) for way in ((1, 0), (0, 1))
    )
    xx, yy = (_per_cell(cv2.multiply(way, way), rows, columns) for way in (across, down))
    crossed = np.asarray(np.minimum(xx, yy) >= _LEAST_SLOPE**2)  # in no direction is there less than in the weaker one
    if not crossed.any():
        return crossed
    xy = _per_cell(cv2.multiply(across, down), rows, columns)
    weaker = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    return np.asarray(np.sqrt(np.maximum(weaker, 0.0)) >= _LEAST_SLOPE)


def _per_cell(plane: NDArray[Any], rows: int, columns: int) -> Floats:
    """Return the mean of each cell."""
    by_row = plane.reshape(rows, _CELL_PX, -1).sum(axis=1)
    return np.asarray(by_row.reshape(rows, columns, _CELL_PX).sum(axis=2) / np.float32(_CELL_PX**2), dtype=np.float32)
