"""Where does a picture carry plates that were drawn over it? Told by their paint alone, when nobody says.

Paint is even and ends all at once; what is even on a photograph goes on into its neighbourhood. So blocks of 4 x 4 px
(four to a block of JPEG) are looked for that hold one colour, many of them the same one, close together, unlike all
around them, and not the backdrop. Colours, not greys: red paint may be as light as the blue bag beside it.
"""

from __future__ import annotations

from functools import reduce
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box
from zimage_core.imaging.pixels import Rgb

Bools = NDArray[np.bool_]
Colour = tuple[int, int, int]

_BLOCK_PX: Final = 4
_MIN_BLOCKS: Final = 40
_MIN_FILL: Final = 0.3  # of the box: the rest is lettering
_MAX_SHARE: Final = 0.2  # of the picture: larger is a backdrop
_ALIKE_LEVELS: Final = 6
_MAX_ALIKE: Final = 0.5  # of what surrounds it: paint ends all at once, but for a shadow that may pass its tone
_BLACKEST: Final = 5
_WHITEST: Final = 250
_GRAINS: Final = (0, 1)  # levels of a channel: paint is exactly even, or as JPEG left it
_MOST_PAINTS: Final = 12
_MIN_PEAK: Final = 0.7  # of the blocks within reach of its colour
_MOST_COLOURS: Final = 64  # that are looked at, the most frequent ones
_LETTERING_BLOCKS: Final = (25, 25)  # how far apart the paint above and below a line of text may be


def painted_plates(rgb: Rgb) -> tuple[Box, ...]:
    """Return the boxes of even paint on an (H, W, 3) picture, grown by one block; empty where nothing looks painted.

    Plates that are white or black, or written over so densely that no even block is left, are not found.
    """
    rows, columns = (side // _BLOCK_PX for side in rgb.shape[:2])
    if rows == 0 or columns == 0:
        return ()
    part = rgb[: rows * _BLOCK_PX, : columns * _BLOCK_PX]
    first = np.ascontiguousarray(part[::_BLOCK_PX, ::_BLOCK_PX])
    wide = cv2.resize(first, (part.shape[1], rows), interpolation=cv2.INTER_NEAREST)
    spread = reduce(cv2.max, (cv2.absdiff(part[line::_BLOCK_PX], wide) for line in range(_BLOCK_PX)))
    shown = (first > _BLACKEST).any(axis=2) & (first < _WHITEST).any(axis=2)
    found: list[Box] = []
    for grain in _GRAINS:
        strays = cv2.threshold(spread, grain, 255, cv2.THRESH_BINARY)[1]
        uneven = np.asarray(cv2.resize(strays, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        uneven = uneven.reshape(rows, columns, 3)
        even = ((uneven[..., 0] | uneven[..., 1] | uneven[..., 2]) == 0) & shown
        for paint in _paints(first[even], grain):
            differing = np.abs(first.astype(np.int16) - np.array(paint, np.int16)).max(axis=2)
            found += _boxes_of(even & (differing <= grain), differing)
    return tuple(dict.fromkeys(found))


def _paints(colours: NDArray[np.uint8], grain: int) -> list[Colour]:
    """Return those of (N, 3) colours that many even blocks have and few have those nearby: a tone runs through all."""
    red, green, blue = (colours[:, channel].astype(np.int32) for channel in range(3))
    packed = (red << 16) | (green << 8) | blue
    keys, counts = np.unique(packed, return_counts=True)
    known = np.stack((keys >> 16, keys >> 8 & 255, keys & 255), axis=1)
    found: list[Colour] = []
    for number in np.argsort(-counts, kind="stable")[:_MOST_COLOURS]:
        away = np.abs(known - known[number]).max(axis=1)
        near, wide = int(counts[away <= grain].sum()), int(counts[away <= _ALIKE_LEVELS].sum())
        paint: Colour = tuple(known[number].tolist())
        taken = any(max(abs(a - b) for a, b in zip(paint, other, strict=True)) <= _ALIKE_LEVELS for other in found)
        if near >= _MIN_BLOCKS and near >= _MIN_PEAK * wide and not taken:
            found.append(paint)
    return found[:_MOST_PAINTS]


def _boxes_of(painted: Bools, differing: NDArray[np.int16]) -> list[Box]:
    """Return the boxes of one paint; `differing` says by how many levels each block is of another colour."""
    rows, columns = painted.shape
    blocks = painted.view(np.uint8)
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
