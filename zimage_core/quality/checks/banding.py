"""Do smooth tones fall into bands? Plateaus with steps between them, where a gradient should be."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Finding
from zimage_core.imaging.pixels import Plane
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

NAME = "banding"
_TILE_PX: Final = 32
_SEEN_STEP: Final = 3  # levels; a step of one or two cannot be avoided in 8 bits, and is not seen
_EDGE_STEP: Final = 20  # more is the edge of something
_FLAT_SHARE: Final = 0.75
_MIN_STEPS: Final = 0.01
_MAX_EDGES: Final = 0.006
_MAX_SOFT_STEPS: Final = 0.35  # of the seen ones: a gradient has mostly soft steps

Shares = NDArray[np.float32]


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the share of 32 px tiles that are plateaus with visible steps between them, and the box around them."""
    grey = evidence.grey
    if min(grey.shape) < _TILE_PX:
        return (not_applicable(NAME, "The picture is too small to show bands."),)
    banded = banded_tiles(grey)
    value = float(banded.mean())
    if value <= rubric.limit(NAME):
        return (measured(rubric, NAME, value, "share of tiles", "Smooth tones are smooth."),)
    sentence = f"Smooth tones fall into bands on {value:.0%} of the picture."
    return (measured(rubric, NAME, value, "share of tiles", sentence, box=_around(banded)),)


def banded_tiles(grey: Plane) -> NDArray[np.bool_]:
    """Return which 32 px tiles of an (H, W) plane are banded; every second row of them is looked at."""
    width = grey.shape[1] - grey.shape[1] % _TILE_PX
    tops = range(0, grey.shape[0] - _TILE_PX + 1, 2 * _TILE_PX)
    part = np.concatenate([grey[top : top + _TILE_PX, :width] for top in tops])
    across, down = np.zeros_like(part), np.zeros_like(part)
    across[:, :-1] = cv2.absdiff(part[:, 1:], part[:, :-1])
    down[:-1] = cv2.absdiff(part[1:], part[:-1])
    down[_TILE_PX - 1 :: _TILE_PX] = 0  # there the next row looked at begins
    flat = np.minimum(_share(across, 0, 0), _share(down, 0, 0)) > _FLAT_SHARE
    if not flat.any():
        return flat
    step = np.maximum(across, down)
    soft, edge = _share(step, 1, _SEEN_STEP - 1), _share(step, _EDGE_STEP + 1, 255)
    seen = _share(step, _SEEN_STEP, _EDGE_STEP)
    return np.asarray(flat & (seen > _MIN_STEPS) & (edge < _MAX_EDGES) & (soft < _MAX_SOFT_STEPS * seen))


def _share(step: Plane, least: int, most: int) -> Shares:
    """Return per tile the share of pixels whose step is within bounds."""
    rows, columns = step.shape[0] // _TILE_PX, step.shape[1] // _TILE_PX
    inside = np.asarray(cv2.inRange(step, np.array(least, np.uint8), np.array(most, np.uint8)), dtype=np.uint8) & 1
    by_column = inside.reshape(rows, _TILE_PX, -1).sum(axis=1, dtype=np.uint8).reshape(rows, columns, _TILE_PX)
    return np.asarray(by_column.sum(axis=2, dtype=np.float32) / np.float32(_TILE_PX * _TILE_PX), dtype=np.float32)


def _around(banded: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(banded.any(axis=1)), np.flatnonzero(banded.any(axis=0))
    top, left = 2 * int(rows[0]), int(columns[0])
    height, width = 2 * int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
    return Box(left * _TILE_PX, top * _TILE_PX, width * _TILE_PX, height * _TILE_PX)
