"""Is the product sharp? Measured as the width of its strong edges, which noise cannot fake.

Measures of high-frequency energy (Laplacian variance and its kin) pass blurred pictures that are noisy and fail clean
studio shots. The width of an edge (its height over its steepest slope) does neither: over 2,552 degraded photos it told
sharp from blurred with AUC 0.995, where Laplacian variance had 0.787, and 0.069 on blur under noise.

Only the product votes (a crisp backdrop or badge must not hide a soft product), measured before the overlay is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Finding
from zimage_core.imaging.pixels import Plane
from zimage_core.quality.evidence import Bools, Evidence, window
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

NAME = "sharpness"

_TILE_PX = 128
_THUMB = 4  # tiles are ranked on a thumbnail a quarter of the size
_PAD_PX = 6
_SMOOTHING_PX = 0.8
_REACH_PX = 9  # an edge's height is the range of grey within this window
_MIN_RANGE_LEVELS = 16
_MIN_SLOPE_LEVELS = 2.0
_STRONGEST_SHARE = 0.4
_MIN_DIRECTION_EDGES = 60
_MIN_DIRECTION_SHARE = 0.02
_MIN_HEIGHT_SHARE = 0.4
_RUN_SLACK = 1.1
_MIN_INNER_EDGES = 1000
_INNER_MARGIN = 0.02  # reflections and shading make a sharp product's inner edges a little softer than its outline
_WORST_MARGIN = 0.06  # sharp photos keep their worst direction within this of the mean; motion blur does not
_STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))  # (rows, columns) along the gradient: 0, 45, 90, 135 degrees

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Edge pixels: how wide each is (px), how steep (levels per px), its direction (index of 45 degrees).

    `inner` tells the product's own edges from its outline, which a clean cut-out draws crisp even over a blurred photo.
    """

    widths: Floats
    slopes: Floats
    directions: NDArray[np.int64]
    inner: Bools

    def only(self, kept: Bools) -> Edges:
        """Return the edges of a mask over them."""
        return Edges(self.widths[kept], self.slopes[kept], self.directions[kept], self.inner[kept])


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the sharpness of the product's edges in 1/px, and the softest tile's box where it is too low."""
    rule = rubric.checks.sharpness
    grey, region, inner = evidence.grey, _region(evidence), _inner(evidence)
    if not region.any():
        return (not_applicable(NAME, "No part of the product is free of text plates."),)
    noise = noise_levels(grey)
    tiles = edge_rich_tiles(grey, region, rule.tiles)
    found = [_edges_in(grey, region, inner, tile, noise) for tile in tiles]
    edges = _joined(found)
    if edges is None or edges.widths.size < rule.min_edges:
        count = 0 if edges is None else int(edges.widths.size)
        sentence = f"The product shows no edge to judge sharpness by ({count} edge pixels, {rule.min_edges} needed)."
        return (measured(rubric, NAME, 0.0, "1/px", sentence),)
    value = product_sharpness(edges)
    limit_px = 1.0 / rubric.limit(NAME)
    width = f"{1.0 / value:.1f} px wide (sharp: up to {limit_px:.1f} px)"
    if value >= rubric.limit(NAME):
        return (measured(rubric, NAME, value, "1/px", f"The product is sharp: its edges are {width}."),)
    sentence = f"The product is blurred: its edges are {width}."
    return (measured(rubric, NAME, value, "1/px", sentence, box=_softest(tiles, found, rule.min_edges)),)


def _region(evidence: Evidence) -> Bools:
    """Return where edges may vote: the product and its outline, else the whole frame; never a text plate."""
    alpha = evidence.product_alpha
    if alpha is None:
        region = np.ones(evidence.grey.shape, dtype=bool)
    else:
        region = cv2.dilate(alpha, np.ones((5, 5), np.uint8)) >= 16
    for text in evidence.given.placed_texts:
        region[window(text.plate, evidence.width_px, evidence.height_px, grow_px=_REACH_PX)] = False
    return region


def _inner(evidence: Evidence) -> Bools:
    """Return the product without its outline; everything where nobody knows the product."""
    if evidence.product is None:
        return np.ones(evidence.grey.shape, dtype=bool)
    reach = np.ones((2 * _PAD_PX + 1,) * 2, np.uint8)
    return np.asarray(cv2.erode(evidence.product.astype(np.uint8), reach, borderValue=1) > 0)


def product_sharpness(edges: Edges) -> float:
    """Return the sharpness of all edges, held down by that of the inner ones where there are enough to speak."""
    value = edge_sharpness(edges)
    if int(edges.inner.sum()) >= _MIN_INNER_EDGES:
        value = min(value, edge_sharpness(edges.only(edges.inner)) + _INNER_MARGIN)
    return value


def edge_sharpness(edges: Edges) -> float:
    """Return 1 / median edge width (1/px), averaged over all strong edges and the worst direction (motion blur).

    Within a direction only edges of some height vote: blur lowers an edge's slope but hardly its height, so what is low
    is fine texture (a weave), not a blurred outline.
    """
    overall = _median_sharpness(edges.widths, edges.slopes)
    heights = edges.widths * edges.slopes
    tall = heights >= _MIN_HEIGHT_SHARE * float(np.median(heights[edges.slopes >= _strong_from(edges.slopes)]))
    enough = max(_MIN_DIRECTION_EDGES, _MIN_DIRECTION_SHARE * int(tall.sum()))
    worst = overall
    for direction in range(len(_STEPS)):
        here = tall & (edges.directions == direction)
        if int(here.sum()) >= enough:
            worst = min(worst, _median_sharpness(edges.widths[here], edges.slopes[here]))
    return min((overall + worst) / 2, worst + _WORST_MARGIN)


def _median_sharpness(widths: Floats, slopes: Floats) -> float:
    return 1.0 / float(np.median(widths[slopes >= _strong_from(slopes)]))


def _strong_from(slopes: Floats) -> float:
    return float(np.quantile(slopes, 1.0 - _STRONGEST_SHARE))


def edge_rich_tiles(grey: Plane, region: Bools, count: int) -> list[Box]:
    """Return up to `count` tiles of 128 px over the region, those with most edges first."""
    size = (max(4, grey.shape[1] // _THUMB), max(4, grey.shape[0] // _THUMB))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.int16)
    inside = cv2.resize(region.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    change = np.zeros_like(small)
    change[:, 1:-1] += np.abs(small[:, 2:] - small[:, :-2])
    change[1:-1] += np.abs(small[2:] - small[:-2])
    change[~inside | (change < _MIN_RANGE_LEVELS // 2)] = 0
    columns, rows = np.flatnonzero(region.any(axis=0)), np.flatnonzero(region.any(axis=1))
    ranked = []
    for y in range(int(rows[0]), int(rows[-1]) + 1, _TILE_PX):
        for x in range(int(columns[0]), int(columns[-1]) + 1, _TILE_PX):
            part = change[y // _THUMB : (y + _TILE_PX) // _THUMB, x // _THUMB : (x + _TILE_PX) // _THUMB]
            energy = int(part.sum())
            if energy:
                box = Box(x, y, min(_TILE_PX, grey.shape[1] - x), min(_TILE_PX, grey.shape[0] - y))
                ranked.append((-energy, y, x, box))
    return [entry[3] for entry in sorted(ranked, key=lambda entry: entry[:3])[:count]]


def _edges_in(grey: Plane, region: Bools, inner: Bools, tile: Box, noise: float) -> Edges:
    rows, columns = window(tile, grey.shape[1], grey.shape[0], grow_px=_PAD_PX)
    smooth = cv2.GaussianBlur(grey[rows, columns].astype(np.float32), (0, 0), _SMOOTHING_PX)
    across = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    down = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    slope = cv2.magnitude(across, down)
    candidate = slope > max(_MIN_SLOPE_LEVELS, 1.5 * noise)
    candidate &= region[rows, columns]
    candidate[:_PAD_PX] = candidate[-_PAD_PX:] = candidate[:, :_PAD_PX] = candidate[:, -_PAD_PX:] = False
    y, x = np.nonzero(candidate)
    steep = slope[y, x]
    direction = np.rint(np.arctan2(down[y, x], across[y, x]) / (np.pi / 4)).astype(np.int64) % len(_STEPS)
    step = np.array(_STEPS)[direction]
    peak = (steep >= slope[y - step[:, 0], x - step[:, 1]]) & (steep > slope[y + step[:, 0], x + step[:, 1]])
    window_shape = np.ones((_REACH_PX, _REACH_PX), np.uint8)
    height = (cv2.dilate(smooth, window_shape) - cv2.erode(smooth, window_shape))[y, x]
    # an edge cannot climb higher within the window than its own slope allows: more belongs to a steeper one nearby
    run = (_REACH_PX - 1) * (np.abs(across[y, x]) + np.abs(down[y, x]))
    kept = peak & (height > _MIN_RANGE_LEVELS) & (height <= _RUN_SLACK * run)
    within = inner[rows, columns][y[kept], x[kept]]
    return Edges(height[kept] / steep[kept], steep[kept], direction[kept], within)


def _joined(found: list[Edges]) -> Edges | None:
    if not found:
        return None
    return Edges(
        np.concatenate([edges.widths for edges in found]),
        np.concatenate([edges.slopes for edges in found]),
        np.concatenate([edges.directions for edges in found]),
        np.concatenate([edges.inner for edges in found]),
    )


def _softest(tiles: list[Box], found: list[Edges], min_edges: int) -> Box | None:
    known = [
        (_median_sharpness(edges.widths, edges.slopes), i)
        for i, edges in enumerate(found)
        if edges.widths.size >= min_edges
    ]
    return tiles[min(known)[1]] if known else None


def noise_levels(grey: Plane) -> float:
    """Return the sigma of the noise in grey levels (Immerkaer 1996), from the flattest quarter of 16 px tiles.

    Every fourth band of rows is looked at; tiles that touch black or white are left out, clipping hides noise there.
    """
    tile = 16
    columns = grey.shape[1] // tile
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    sigmas, spreads = [], []
    for y in range(0, grey.shape[0] - tile + 1, 4 * tile):
        band = grey[y : y + tile, : columns * tile]
        if columns == 0:
            break
        response = np.abs(cv2.filter2D(band, cv2.CV_32F, mask)).reshape(tile, columns, tile)[1:-1, :, 1:-1]
        cells = band.reshape(tile, columns, tile)
        unclipped = (cells.min(axis=(0, 2)) > 2) & (cells.max(axis=(0, 2)) < 253)
        sigmas.append(response.mean(axis=(0, 2))[unclipped] * np.sqrt(np.pi / 2) / 6)
        spreads.append(cells.std(axis=(0, 2))[unclipped])
    if not sigmas or sum(part.size for part in sigmas) < 8:
        return 0.0
    sigma, spread = np.concatenate(sigmas), np.concatenate(spreads)
    return float(np.median(sigma[spread <= np.quantile(spread, 0.25)]))
