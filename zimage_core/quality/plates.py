"""Where does a picture carry plates that were drawn over it? Told by their paint alone, when nobody says.

Paint is even and ends all at once; what is even on a photograph goes on into its neighbourhood. So blocks of 4 x 4 px
(four to a block of JPEG) are looked for that hold one grey level, many of them the same one, close together, unlike all
around them, and not the backdrop.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box
from zimage_core.imaging.pixels import Plane

Bools = NDArray[np.bool_]

_BLOCK_PX: Final = 4
_MIN_BLOCKS: Final = 40
_MIN_FILL: Final = 0.3  # of the box: the rest is lettering
_MAX_SHARE: Final = 0.2  # of the picture: larger is a backdrop
_ALIKE_LEVELS: Final = 6
_MAX_ALIKE: Final = 0.5  # of what surrounds it: paint ends all at once, but for a shadow that may pass its tone
_BLACKEST: Final = 5
_WHITEST: Final = 250
_GRAINS: Final = (0, 1)  # levels: paint is exactly even, or as JPEG left it
_MOST_PAINTS: Final = 12
_MIN_PEAK: Final = 0.7  # of the blocks within reach of its level
_LETTERING_BLOCKS: Final = (25, 25)  # how far apart the paint above and below a line of text may be


def painted_plates(grey: Plane) -> tuple[Box, ...]:
    """Return the boxes of even paint on an (H, W) plane, grown by one block; empty where nothing looks painted.

    Plates that are white or black, or written over so densely that no even block is left, are not found.
    """
    rows, columns = (side // _BLOCK_PX for side in grey.shape)
    if rows == 0 or columns == 0:
        return ()
    part = grey[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
    level = part[::_BLOCK_PX, ::_BLOCK_PX]
    spread = cv2.absdiff(part, cv2.resize(level, part.shape[::-1], interpolation=cv2.INTER_NEAREST))
    shown = (level > _BLACKEST) & (level < _WHITEST)
    found: list[Box] = []
    for grain in _GRAINS:
        uneven = cv2.resize((spread > grain).view(np.uint8) * 255, (columns, rows), interpolation=cv2.INTER_AREA)
        even = (uneven == 0) & shown
        for paint in _paints(level[even], grain):
            off = np.abs(level.astype(np.int16) - paint)
            found += _boxes_of(even & (off <= grain), off)
    return tuple(dict.fromkeys(found))


def _paints(levels: Plane, grain: int) -> list[int]:
    """Return the levels that many even blocks have and few have those nearby: a tone runs through all of them."""
    counts = np.bincount(levels, minlength=256)
    near = np.convolve(counts, np.ones(2 * grain + 1, np.int64), "same")
    wide = np.convolve(counts, np.ones(2 * _ALIKE_LEVELS + 1, np.int64), "same")
    peaks = (near >= _MIN_BLOCKS) & (near >= _MIN_PEAK * wide)
    found: list[int] = []
    for paint in np.argsort(-counts, kind="stable"):
        if peaks[paint] and all(abs(int(paint) - known) > _ALIKE_LEVELS for known in found):
            found.append(int(paint))
    return found[:_MOST_PAINTS]


def _boxes_of(painted: Bools, differing: NDArray[np.int16]) -> list[Box]:
    """Return the boxes of one paint; `differing` is by how many levels each block starts with something else."""
    rows, columns = painted.shape
    blocks = painted.astype(np.uint8)
    reach = max(_LETTERING_BLOCKS)
    wide = cv2.copyMakeBorder(blocks, reach, reach, reach, reach, cv2.BORDER_CONSTANT)
    joined = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, np.ones(_LETTERING_BLOCKS, np.uint8))[reach:-reach, reach:-reach]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(joined), connectivity=8)
    own = np.bincount(labels[painted], minlength=count)
    found = []
    for number in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[number])
        too_large = width * height > _MAX_SHARE * rows * columns
        if own[number] < _MIN_BLOCKS or area < _MIN_FILL * width * height or too_large:
            continue
        here = (labels == number).view(np.uint8)
        ring = cv2.dilate(here, np.ones((5, 5), np.uint8)) > cv2.dilate(here, np.ones((3, 3), np.uint8))
        if float((differing[ring] <= _ALIKE_LEVELS).mean()) > _MAX_ALIKE:
            continue  # it goes on beyond: an even place of a smooth tone
        left, top = max(0, x - 1), max(0, y - 1)
        right, bottom = min(columns, x + width + 1), min(rows, y + height + 1)
        found.append(Box(*(_BLOCK_PX * side for side in (left, top, right - left, bottom - top))))
    return found
