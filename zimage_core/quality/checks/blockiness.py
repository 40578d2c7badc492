"""Was the picture compressed until the 8 x 8 px blocks of JPEG show? Steps on their grid that are not beside it."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from zimage_core.domain import Finding
from zimage_core.imaging.pixels import Plane
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

NAME = "blockiness"
_BLOCK_PX: Final = 8
_STEEPEST: Final = 16  # levels from pixel to pixel that count: more is the edge of something
_CALM_LEVELS: Final = 0.4  # added below the line, so that hardly any steps beside the grid do not make a few on it many
_WHITEST: Final = 252
_BLACKEST: Final = 3
_MIN_SIDE_PX: Final = 64


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return by how much the steps on the grid of JPEG exceed those beside it, as a multiple of these."""
    grey = evidence.grey
    if min(grey.shape) < _MIN_SIDE_PX:
        return (not_applicable(NAME, "The picture is too small to show blocks."),)
    value = blockiness(grey)
    if value <= rubric.limit(NAME):
        sentence = "No blocks of a strong compression can be seen."
    else:
        sentence = "Blocks of 8 x 8 px can be seen: the picture was compressed too strongly."
    return (measured(rubric, NAME, value, "x excess", sentence),)


def blockiness(grey: Plane) -> float:
    """Return the excess of steps on the 8 px grid of an (H, W) plane over those beside it, 0.0 and more.

    The smaller of both directions, and nothing where any other raster than the grid has more: a weave has its steps
    where it likes. Each direction is looked at on every second line; white and black say nothing, they are clipped.
    """
    return min(_excess(grey[::2]), _excess(np.asarray(cv2.transpose(grey), dtype=np.uint8)[::2]))


def _excess(lines: Plane) -> float:
    steps = cv2.threshold(cv2.absdiff(lines[:, 1:], lines[:, :-1]), _STEEPEST, 0, cv2.THRESH_TRUNC)[1]
    width = steps.shape[1] // _BLOCK_PX * _BLOCK_PX
    inside = cv2.inRange(lines[:, :width], np.array(_BLACKEST + 1, np.uint8), np.array(_WHITEST - 1, np.uint8))
    counted = cv2.bitwise_and(steps[:, :width], inside)
    by_column = cv2.reduce(counted, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
    asked = int(cv2.countNonZero(inside))
    if asked < _BLOCK_PX * lines.shape[0] // 4:
        return 0.0
    mean = by_column.reshape(-1, _BLOCK_PX).sum(axis=0) / (asked / _BLOCK_PX)
    beside = mean[:-1]
    if mean[-1] <= beside.max():
        return 0.0
    usual = float(np.median(beside))
    return float((mean[-1] - usual) / (usual + _CALM_LEVELS))
