"""Does the backdrop show where a picture was put together: the rim of a pasted rectangle, the joint of two tiles?

A seam is a faint step along the picture's rows or columns: sharp, straight, with calm ground on both sides. Scenes have
such steps too (the edge of a table, the corner of a room), so a step alone is none. It counts where two of them meet in
a corner of one rectangle, or where one runs through the whole picture from top to bottom, floor and backdrop alike;
from side to side it counts only beside another seam, for that is what a horizon looks like. Strong steps are things.

On a texture (linen, wood) no block of a step is seen, but all of it is: a rectangle whose four sides, each averaged
over the whole picture, are about as high and all lighter (or all darker) inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Finding
from zimage_core.imaging.pixels import Plane
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured
from zimage_core.quality.quantiles import quantile
from zimage_core.quality.rasters import Reductions
from zimage_core.quality.rubric import Rubric

NAME = "seams"

_SIDE_PX: Final = 512
_BLOCK_PX: Final = 16  # rows (of the raster) that are averaged: what slants by a pixel over them is no seam
_LEAST_LEVELS: Final = 1.4
_MOST_LEVELS: Final = 24.0
_NOISE_FACTOR: Final = 6.0
_FLANK_PX: Final = 7
_CALM_SHARE: Final = 0.45
_LEAST_BLOCKS: Final = 4
_THROUGH_RATIO: Final = 0.92
_CORNER_PX: Final = 20
_CLEARANCE_PX: Final = 6
_RIM_REACH_PX: Final = 6  # on either side, averaged
_RIM_GROUND_PX: Final = 10 * _RIM_REACH_PX + 1  # averaged for the ground's own slope; smaller pictures have no rim
_RIM_ZONE: Final = 0.25  # of the side: where a rim may run
_RIM_SEEN_RATIO: Final = 0.25
_RIM_LEVELS: Final = 3.0
_RIM_TIMES_NOISE: Final = (2.2, 3.2)  # each side, and their mean
_RIM_MOST_UNLIKE: Final = 2.0

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Step:
    """A straight step in raster px: at `at` across its run from `start` to `end`; `levels` > 0 = lighter behind it.

    `share` is how much of the picture's visible ground along that line it covers.
    """

    at: int
    start: int
    end: int
    levels: float
    share: float


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the height in levels of the most visible seam in the backdrop, 0 where there is none."""
    found = worst_seam(evidence.greys, evidence.alphas)
    if found is None:
        return (measured(rubric, NAME, 0.0, "levels", "The backdrop shows no seam."),)
    levels, kind, box = found
    sentence = (
        f"The backdrop shows the rim of a rectangle that was put in, a step of {levels:.1f} levels."
        if kind == "rectangle"
        else f"A straight seam of {levels:.1f} levels runs through the whole picture."
    )
    return (measured(rubric, NAME, levels, "levels", sentence, box=box),)


def worst_seam(grey: Reductions[np.uint8], alpha: Reductions[np.uint8] | None) -> tuple[float, str, Box] | None:
    """Return (levels, "rectangle" or "joint", box) of the most visible seam of a picture; None without one."""
    height, width = grey.whole.shape
    shrink = min(1.0, _SIDE_PX / max(height, width))
    size = (max(2 * _BLOCK_PX, round(width * shrink)), max(2 * _BLOCK_PX, round(height * shrink)))
    small, cover = grey.reduced(*size), None if alpha is None else alpha.reduced(*size)
    turned, turned_cover = _transposed(small), None if cover is None else _transposed(cover)
    upright, level = _steps(small, cover), _steps(turned, turned_cover)
    seams = [*_rectangles(upright, level), *_joints(upright, level, size)] or _rims(small, turned, cover)
    if not seams:
        return None
    levels, kind, (left, top, right, bottom) = max(seams, key=lambda seam: seam[0])
    across, down = width / size[0], height / size[1]
    box = Box(round(left * across), round(top * down), round((right - left) * across), round((bottom - top) * down))
    return levels, kind, box


def _transposed(plane: Plane) -> Plane:
    return np.asarray(cv2.transpose(plane), dtype=np.uint8)


# ---------------------------------------------------------------- steps


def _steps(plane: Plane, cover: Plane | None) -> list[Step]:
    """Return the straight upright steps of a plane; for level ones hand in the transposed plane."""
    height, width = plane.shape
    blocks = height // _BLOCK_PX
    sums = plane[: blocks * _BLOCK_PX].reshape(blocks, _BLOCK_PX, width).sum(axis=1, dtype=np.uint16)
    means = sums.astype(np.float32) / np.float32(_BLOCK_PX)
    seen = _seen(cover, (blocks, width))
    step, marked = _marked(means, seen)
    return [
        found
        for sign in (1.0, -1.0)
        for column in np.flatnonzero((marked & (step * sign > 0)).any(axis=0)).tolist()
        for found in _runs(step, marked & (step * sign > 0), seen, column)
    ]


def _seen(cover: Plane | None, shape: tuple[int, int]) -> Bools:
    """Return (blocks, width) where ground is seen: no product in the block nor within a few px of it."""
    if cover is None:
        return np.ones(shape, dtype=bool)
    near = cv2.dilate(cover, np.ones((3, 2 * _CLEARANCE_PX + 1), np.uint8))[: shape[0] * _BLOCK_PX]
    return np.asarray(near.reshape(shape[0], _BLOCK_PX, shape[1]).max(axis=1) < 8)


def _marked(means: Floats, seen: Bools) -> tuple[Floats, Bools]:
    """Return (step in levels, where it is a step): (blocks, width), at the column right of it."""
    width = means.shape[1]
    step = np.zeros_like(means)
    step[:, 2:-1] = (means[:, 2:-1] + means[:, 3:] - means[:, :-3] - means[:, 1:-2]) / 2
    size = np.abs(step)
    high = seen & (size >= _LEAST_LEVELS) & (size <= _MOST_LEVELS)
    high[:, :8] = high[:, width - 8 :] = False
    if high.any():
        high &= size >= _NOISE_FACTOR * quantile(size[seen], 0.5) / 0.6745
    if not high.any():
        return step, high
    wide = np.zeros_like(means)
    ahead, behind = (sum(means[:, 7 + o : width - 7 + o] for o in offs) / 3 for offs in ((3, 4, 5), (-4, -5, -6)))
    wide[:, 7 : width - 7] = ahead - behind
    lone = np.ones((1, 2 * _FLANK_PX + 1), np.uint8)
    lone[0, _FLANK_PX - 2 : _FLANK_PX + 3] = 0  # the step itself reaches so far
    calm = cv2.dilate(size, lone) <= _CALM_SHARE * size
    peak = size >= cv2.dilate(size, np.ones((1, 5), np.uint8))
    holds = (wide * step > 0) & (np.abs(wide) > 0.5 * size) & (np.abs(wide) < 1.8 * size)
    return step, np.asarray(high & calm & peak & holds)


def _runs(step: Floats, marked: Bools, seen: Bools, column: int) -> list[Step]:
    """Return the runs of marked blocks along a column, a neighbour's counted too; blocks that are hidden bridge."""
    near = slice(max(0, column - 1), column + 2)
    hit: Bools = np.asarray(marked[:, near].any(axis=1), dtype=bool)
    if int(marked[:, column].sum()) < int(marked[:, near].sum(axis=0).max()):
        return []  # the neighbour tells it
    visible = seen[:, column]
    runs, start, last, missed = [], None, 0, 0
    for block in [*range(hit.size), None]:
        if block is not None and hit[block]:
            start, last, missed = (block if start is None else start), block, 0
            continue
        missed += 0 if block is not None and not visible[block] else 1
        if start is not None and (block is None or missed > 1):
            inside = hit[start : last + 1]
            if int(inside.sum()) >= _LEAST_BLOCKS:
                heights = np.abs(step[start : last + 1, near]).max(axis=1)[inside]
                sign = float(np.sign(step[start : last + 1, near][marked[start : last + 1, near]].sum()))
                share = float(inside.sum()) / max(1, int(visible.sum()))
                runs.append(
                    Step(column, start * _BLOCK_PX, (last + 1) * _BLOCK_PX, sign * float(np.median(heights)), share)
                )
            start, missed = None, 0
    return runs


# ---------------------------------------------------------------- seams


Seam = tuple[float, str, tuple[int, int, int, int]]


def _rectangles(upright: list[Step], level: list[Step]) -> list[Seam]:
    """Return the corners in which an upright and a level step end together, the inside lighter (or darker) for both."""
    found: list[Seam] = []
    for side in upright:
        for edge in level:
            at_left, at_right = abs(side.at - edge.start) <= _CORNER_PX, abs(side.at - edge.end) <= _CORNER_PX
            at_top, at_bottom = abs(edge.at - side.start) <= _CORNER_PX, abs(edge.at - side.end) <= _CORNER_PX
            if not (at_left or at_right) or not (at_top or at_bottom):
                continue
            inside_lighter = side.levels * (1 if at_left else -1), edge.levels * (1 if at_top else -1)
            if inside_lighter[0] * inside_lighter[1] > 0:
                levels = max(abs(side.levels), abs(edge.levels))
                box = (
                    min(side.at, edge.start),
                    min(edge.at, side.start),
                    max(side.at, edge.end),
                    max(edge.at, side.end),
                )
                found.append((levels, "rectangle", box))
    return found


def _joints(upright: list[Step], level: list[Step], size: tuple[int, int]) -> list[Seam]:
    """Return the steps that run through the whole picture: upright ones, and level ones where there is one of those."""
    width, height = size
    through = [step for step in upright if step.share >= _THROUGH_RATIO and step.end - step.start >= 0.8 * height]
    found: list[Seam] = [(abs(s.levels), "joint", (s.at - 1, s.start, s.at + 1, s.end)) for s in through]
    if found:
        beside = [step for step in level if step.share >= _THROUGH_RATIO and step.end - step.start >= 0.8 * width]
        found += [(abs(s.levels), "joint", (s.start, s.at - 1, s.end, s.at + 1)) for s in beside]
    return found


def _rims(plane: Plane, turned: Plane, cover: Plane | None) -> list[Seam]:
    """Return the rectangle whose four sides stand out, each averaged over all ground that is seen; [] if none does.

    `turned` is the plane transposed.
    """
    if min(plane.shape) <= _RIM_GROUND_PX:
        return []
    bare = np.full_like(plane, 255)
    if cover is not None:
        near = cv2.dilate(cover, np.ones((2 * _CLEARANCE_PX + 1,) * 2, np.uint8))
        bare = np.asarray(cv2.threshold(near, 7, 255, cv2.THRESH_BINARY_INV)[1], dtype=np.uint8)
    sides = [*_outer_steps(plane, bare), *_outer_steps(turned, _transposed(bare))]
    inward = np.array([sides[0][0], -sides[1][0], sides[2][0], -sides[3][0]])
    heights = np.abs(inward)
    clear = heights / np.array([noise for _, noise, _ in sides])
    if clear.min() < _RIM_TIMES_NOISE[0] or clear.mean() < _RIM_TIMES_NOISE[1]:
        return []
    if abs(np.sign(inward).sum()) < 4 or heights.min() < _RIM_LEVELS:
        return []
    if heights.max() > min(_MOST_LEVELS, _RIM_MOST_UNLIKE * heights.min()):
        return []
    left, right, top, bottom = (side[2] for side in sides)
    return [(float(np.median(heights)), "rectangle", (left, top, right, bottom))]


def _outer_steps(plane: Plane, bare: Plane) -> list[tuple[float, float, int]]:
    """Return (levels, noise, column) of the highest upright step near the left and near the right border.

    `bare` is 255 where ground is seen, else 0.
    """
    width = plane.shape[1]
    both = cv2.bitwise_and(bare[:, 1:], bare[:, :-1])
    behind, before = (_column_sums(cv2.bitwise_and(part, both)) for part in (plane[:, 1:], plane[:, :-1]))
    rows = _column_sums(both) // 255
    change = (behind - before) / np.maximum(rows, 1)
    change[rows < _RIM_SEEN_RATIO * plane.shape[0]] = 0.0
    weight = 1.0 - np.abs(np.arange(1 - _RIM_REACH_PX, _RIM_REACH_PX)) / _RIM_REACH_PX
    step = np.convolve(change, weight, "same")  # mean of the reach behind less that before
    step -= np.convolve(step, np.full(_RIM_GROUND_PX, 1.0 / _RIM_GROUND_PX), "same")
    noise = max(0.1, quantile(np.abs(step), 0.5) / 0.6745)
    zone, skip = round(_RIM_ZONE * width), 2 * _RIM_REACH_PX
    found = []
    for first, last in ((skip, zone), (width - zone, width - skip)):
        at = first + int(np.abs(step[first:last]).argmax()) if last > first else 0
        found.append((float(step[at]), noise, at + 1))
    return found


def _column_sums(plane: NDArray[Any]) -> NDArray[np.int64]:
    return cv2.reduce(plane, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel().astype(np.int64)
