"""Could there be writing beside the product at all? Asked before a text detector is, which costs a hundred times more.

Strokes change the tone in more than one direction within a small cell; shading, shadows, horizons and table edges
change it in one or hardly at all. So the weaker of the two directions is measured, cell by cell. What has structure
(wood, linen, leaves) answers yes: this only spares plain ground the detector.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from zimage_core.imaging.pixels import Plane, Rgb
from zimage_core.quality.edges import Bools, Floats

_LONG_SIDE_PX: Final = 512
_CELL_PX: Final = 16
_CLEARANCE_PX: Final = 6
_LEAST_SLOPE: Final = 0.6
"""Levels per px in the weaker direction: of 24 plain stages 5 have it somewhere, of those with a mark of 15 % all."""
_LEAST_CELLS: Final = 2


def could_bear_writing(rgb: Rgb, allowed: Bools) -> bool:
    """Tell whether an (H, W, 3) picture has strokes outside of `allowed`, (H, W) bool: where writing may stand."""
    return int((crossing_slopes(rgb, allowed) >= _LEAST_SLOPE).sum()) >= _LEAST_CELLS


def crossing_slopes(rgb: Rgb, allowed: Bools) -> Floats:
    """Return the RMS slope in each cell's weaker direction, levels per px of the picture at 512 px; 0 where allowed."""
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    scale = min(1.0, _LONG_SIDE_PX / max(grey.shape))
    columns, rows = (max(1, round(side * scale / _CELL_PX)) for side in grey.shape[::-1])
    size = (columns * _CELL_PX, rows * _CELL_PX)
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    hidden: Plane = np.asarray(cv2.resize(allowed.view(np.uint8) * 255, size, interpolation=cv2.INTER_AREA), np.uint8)
    free = cv2.dilate(hidden, np.ones((2 * _CLEARANCE_PX + 1,) * 2, np.uint8)) == 0
    smooth = cv2.GaussianBlur(small, (5, 5), 1.0)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125) * free
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125) * free
    xx, yy, xy = (
        cv2.resize(product, (columns, rows), interpolation=cv2.INTER_AREA)
        for product in (across * across, down * down, across * down)
    )
    weaker = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    return np.asarray(np.sqrt(np.maximum(weaker, 0.0)), dtype=np.float32)
