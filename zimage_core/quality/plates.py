"""Where does a picture carry plates that were drawn over it? Told by their paint alone, when nobody says.

Paint is exactly even, photographs never are: blocks of 8 x 8 px (the blocks of JPEG, which keeps an even block even)
that hold one grey level, many of them the same one, close together, and not the backdrop.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box
from zimage_core.imaging.pixels import Plane

Bools = NDArray[np.bool_]

_BLOCK_PX: Final = 8
_MIN_BLOCKS: Final = 10
_MIN_FILL: Final = 0.3  # of the box: the rest is lettering
_MAX_SHARE: Final = 0.2  # of the picture: larger is a backdrop
_ALIKE_LEVELS: Final = 6
_MAX_ALIKE: Final = 0.3  # of what surrounds it: paint ends all at once
_BLACKEST: Final = 5
_WHITEST: Final = 250
_MOST_PAINTS: Final = 12
_LETTERING_BLOCKS: Final = (13, 13)  # how far apart the paint above and below a line of text may be


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
    uneven = cv2.resize((spread > 0).view(np.uint8) * 255, (columns, rows), interpolation=cv2.INTER_AREA)
    even = (uneven == 0) & (level > _BLACKEST) & (level < _WHITEST)
    counts = np.bincount(level[even], minlength=256)
    paints = [int(paint) for paint in np.argsort(-counts, kind="stable")[:_MOST_PAINTS] if counts[paint] >= _MIN_BLOCKS]
    return tuple(
        box for paint in paints for box in _boxes_of(even & (level == paint), np.abs(level.astype(np.int16) - paint))
    )


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
