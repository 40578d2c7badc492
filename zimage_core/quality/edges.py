"""How wide are the edges of a picture? What sharpness is measured by, and the noise that could pass for edges.

Blur widens every edge; noise, contrast and size of the picture do not. Only the tiles richest in edges are looked at:
they are laid into strips, so that each filter runs a few times, not once a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box
from zimage_core.imaging.pixels import Plane
from zimage_core.quality.quantiles import quantile

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

REACH_PX: Final = 9
"""An edge's height is the range of grey within a window of this side."""
TILE_PX: Final = 128
PAD_PX: Final = 8
_CELL_PX: Final = TILE_PX + 2 * PAD_PX
_AT_ONCE: Final = 5  # tiles: their planes stay in the processor's cache from filter to filter
_THUMB: Final = 4  # tiles are ranked on a thumbnail a quarter of the size
_SMOOTHING_PX: Final = 0.8
_MIN_RANGE_LEVELS: Final = 16
_MIN_SLOPE_LEVELS: Final = 2.0
_CLEAR_OF_NOISE: Final = 3.0
_NOISE_SHARE: Final = 1.0  # how much of its sigma noise adds to the range of a smoothed window
_RUN_SLACK: Final = 1.1
# to the next pixel at 0, 45, 90, 135 degrees
_STEPS_ALONG: Final[NDArray[np.int64]] = np.array((1, _CELL_PX + 1, _CELL_PX, _CELL_PX - 1))
_BEYOND: Final[NDArray[np.int64]] = _STEPS_ALONG * np.array((4, 3, 4, 3))  # to where an edge is over
_MIN_STEP_SHARE: Final = 0.5
_TAN_22_5: Final = np.float32(0.41421356)
_DIRECTION_OF: Final = np.array((3, 0, 2, 0, 1, 0, 2, 0), np.int8)  # by level + 2 upright + 4 rising
DIRECTIONS: Final = len(_STEPS_ALONG)


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Edge pixels: height in levels, steepness in levels per px, direction (index of 45 degrees), number of the tile.

    `inner` tells the product's own edges from its outline, which a clean cut-out draws crisp even over a blurred photo.
    """

    heights: Floats
    slopes: Floats
    directions: NDArray[np.int8]
    tiles: NDArray[np.int64]
    inner: Bools

    @property
    def count(self) -> int:
        """How many edge pixels there are."""
        return int(self.heights.size)

    @property
    def widths(self) -> Floats:
        """How wide each edge is, px: its height over its steepest slope."""
        return np.asarray(self.heights / self.slopes, dtype=np.float32)

    def only(self, kept: Bools) -> Edges:
        """Return the edges of a mask over them."""
        return Edges(self.heights[kept], self.slopes[kept], self.directions[kept], self.tiles[kept], self.inner[kept])


_NO_EDGES: Final = Edges(
    np.empty(0, np.float32), np.empty(0, np.float32), np.empty(0, np.int8), np.empty(0, np.int64), np.empty(0, bool)
)


def edge_rich_tiles(quarter: Plane, region: Plane, count: int) -> list[Box]:
    """Return up to `count` tiles of 128 px of an (H, W) plane, those with most edges within the region (> 0) first.

    `quarter` is the plane at a quarter of its sides, (H // 4, W // 4) and at least 1 px; `region` is (H, W).
    """
    inside = cv2.resize(region, quarter.shape[::-1], interpolation=cv2.INTER_NEAREST)
    across = cv2.convertScaleAbs(cv2.Sobel(quarter, cv2.CV_16S, 1, 0, ksize=1), alpha=0.5)
    down = cv2.convertScaleAbs(cv2.Sobel(quarter, cv2.CV_16S, 0, 1, ksize=1), alpha=0.5)
    change = cv2.copyTo(cv2.add(across, down), inside)
    change = np.asarray(cv2.threshold(change, _MIN_RANGE_LEVELS // 4 - 1, 0, cv2.THRESH_TOZERO)[1], dtype=np.uint8)
    side = TILE_PX // _THUMB
    rows, columns = -(-change.shape[0] // side), -(-change.shape[1] // side)
    filled = np.zeros((rows * side, columns * side), dtype=np.uint8)
    filled[: change.shape[0], : change.shape[1]] = change
    energy = filled.reshape(rows, side, columns, side).sum(axis=(1, 3), dtype=np.int64).ravel()
    best = np.argsort(-energy, kind="stable")[:count]
    corners = [(int(k % columns) * TILE_PX, int(k // columns) * TILE_PX) for k in best if energy[k] > 0]
    height, width = region.shape
    return [
        Box(x, y, min(TILE_PX, width - x), min(TILE_PX, height - y)) for x, y in corners if x < width and y < height
    ]


def edges_in(
    grey: Plane, region: Plane, product: Plane | None, tiles: Sequence[Box], noise: float, *, faint: bool = False
) -> Edges:
    """Return the edge pixels of some tiles of an (H, W) plane that lie within the region (> 0).

    `product` (1 = product, else 0) says which are its own: those within it, outline left out; None = all. `noise` is
    its sigma in levels: what is not clearly above it is no edge, and what it adds to an edge's height is taken off.
    `faint` takes edges of half the height too: for pictures that have no others.
    """
    groups = [
        _edges_of(grey, region, product, tiles[first : first + _AT_ONCE], noise, first, faint=faint)
        for first in range(0, len(tiles), _AT_ONCE)
    ]
    if not groups:
        return _NO_EDGES
    return Edges(*(np.concatenate([getattr(group, field.name) for group in groups]) for field in fields(Edges)))


def _edges_of(
    grey: Plane, region: Plane, product: Plane | None, tiles: Sequence[Box], noise: float, first: int, *, faint: bool
) -> Edges:
    """Return what `edges_in` does of one group of tiles, the first of which has the number `first`."""
    strip = _strip(grey, tiles, replicate=True).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(strip, (7, 7), _SMOOTHING_PX, dst=strip), dtype=np.float32)
    across = np.asarray(cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125), dtype=np.float32)
    down = np.asarray(cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125), dtype=np.float32)
    slope = np.asarray(cv2.magnitude(across, down), dtype=np.float32)
    window = np.ones((REACH_PX, REACH_PX), np.uint8)
    highest = np.asarray(cv2.dilate(smooth, window), dtype=np.float32)
    height = np.asarray(cv2.subtract(highest, cv2.erode(smooth, window), dst=highest), dtype=np.float32)
    added = _NOISE_SHARE * noise
    asked = _strip(region, tiles, replicate=False) > 0
    cells = asked.reshape(len(tiles), _CELL_PX, _CELL_PX)
    cells[:, :PAD_PX] = cells[:, -PAD_PX:] = cells[:, :, :PAD_PX] = cells[:, :, -PAD_PX:] = False
    strength = 0.5 if faint else 1.0
    asked &= slope > max(strength * _MIN_SLOPE_LEVELS, 1.5 * noise)
    asked &= height > max(strength * _MIN_RANGE_LEVELS, _CLEAR_OF_NOISE * noise) + added
    at = np.flatnonzero(asked)
    # `take` gathers in less time than indexing
    gx, gy, steep = across.take(at), down.take(at), slope.take(at)
    direction = _directions(gx, gy)
    step = _STEPS_ALONG.take(direction)
    peaks = np.flatnonzero((steep >= slope.take(at - step)) & (steep > slope.take(at + step)))
    at, direction, steep = at.take(peaks), direction.take(peaks), steep.take(peaks)
    gx, gy = gx.take(peaks), gy.take(peaks)
    tall = height.take(at) - np.float32(added)
    # an edge cannot climb higher within the window than its own slope allows: more belongs to a steeper one nearby
    climbs = tall <= np.float32(_RUN_SLACK * (REACH_PX - 1)) * (np.abs(gx) + np.abs(gy))
    # a thin stroke rises and falls within the window: blurred as much it has half the width, so only steps are asked
    beyond = _BEYOND.take(direction)
    rise = np.abs(smooth.take(at + beyond) - smooth.take(at - beyond))
    steps = np.flatnonzero(climbs & (rise >= _MIN_STEP_SHARE * tall))
    at = at.take(steps)
    own = np.ones(at.size, dtype=bool) if product is None else _within(product, tiles).ravel()[at] > 0
    return Edges(tall.take(steps), steep.take(steps), direction.take(steps), first + at // (_CELL_PX * _CELL_PX), own)


def _within(product: Plane, tiles: Sequence[Box]) -> Plane:
    """Return the strip of a product (1, else 0) without its outline; beyond the picture it goes on."""
    reach = np.ones((2 * PAD_PX - 3,) * 2, np.uint8)
    return np.asarray(cv2.erode(_strip(product, tiles, replicate=True), reach), dtype=np.uint8)


def _directions(gx: Floats, gy: Floats) -> NDArray[np.int8]:
    """Return the nearest of 0, 45, 90 and 135 degrees as 0..3."""
    wide, high = np.abs(gx), np.abs(gy)
    level, upright = high <= _TAN_22_5 * wide, wide < _TAN_22_5 * high
    rising = (gx > 0) == (gy > 0)
    kind = level.view(np.uint8) + 2 * upright.view(np.uint8) + 4 * rising.view(np.uint8)
    return np.asarray(_DIRECTION_OF.take(kind), dtype=np.int8)


def _strip(plane: Plane, tiles: Sequence[Box], *, replicate: bool) -> Plane:
    """Return the tiles with their surroundings below one another; beyond the picture its border goes on, or is 0."""
    strip = np.zeros((len(tiles) * _CELL_PX, _CELL_PX), dtype=np.uint8)
    for number, tile in enumerate(tiles):
        top, left = tile.y_px - PAD_PX, tile.x_px - PAD_PX
        part = plane[max(0, top) : top + _CELL_PX, max(0, left) : left + _CELL_PX]
        above, before = max(0, -top), max(0, -left)
        cell = strip[number * _CELL_PX : (number + 1) * _CELL_PX]
        if replicate and part.shape != cell.shape:
            below, after = _CELL_PX - above - part.shape[0], _CELL_PX - before - part.shape[1]
            cell[:] = cv2.copyMakeBorder(part, above, below, before, after, cv2.BORDER_REPLICATE)
        else:
            cell[above : above + part.shape[0], before : before + part.shape[1]] = part
    return strip


def noise_levels(grey: Plane) -> float:
    """Return the sigma of the noise in grey levels (Immerkaer 1996), from the flattest quarter of 16 px tiles.

    Every fourth band of rows is looked at; tiles that touch black or white are left out, clipping hides noise there.
    """
    tile = 16
    columns = grey.shape[1] // tile
    tops = range(0, grey.shape[0] - tile + 1, 4 * tile)
    if columns == 0 or not tops:
        return 0.0
    bands = np.concatenate([grey[y : y + tile, : columns * tile] for y in tops])
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    response = np.asarray(cv2.convertScaleAbs(cv2.filter2D(bands, cv2.CV_16S, mask)), dtype=np.uint8)
    by_rows = response.reshape(len(tops), tile, -1)[:, 1:-1].sum(axis=1, dtype=np.uint16)
    total = by_rows.reshape(len(tops), columns, tile)[:, :, 1:-1].sum(axis=2, dtype=np.uint32)
    sigma = total * (np.sqrt(np.pi / 2) / 6 / (tile - 2) ** 2)
    cells = bands.reshape(len(tops), tile, -1)
    lowest = cells.min(axis=1).reshape(len(tops), columns, tile).min(axis=2)
    highest = cells.max(axis=1).reshape(len(tops), columns, tile).max(axis=2)
    unclipped = (lowest > 2) & (highest < 253)
    if int(unclipped.sum()) < 8:
        return 0.0
    spread = (highest - lowest)[unclipped]
    return quantile(sigma[unclipped][spread <= quantile(spread, 0.25)], 0.5)
