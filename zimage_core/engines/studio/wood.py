"""Oak and its kin: boards with growth rings, fibre streaks and pores, each board cut from another place of the tree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zimage_core.engines.studio.noise import fractal, smooth_field

Plane = NDArray[np.float32]


def draw(
    rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float
) -> tuple[Plane, NDArray[np.uint8]]:
    """Return (relief -1..1, accent 0..255 = depth of the seam between boards); boards run along the columns."""
    flat = unit * squash
    relief = np.zeros((rows, columns), dtype=np.float32)
    seam = np.zeros((rows, columns), dtype=np.float32)
    streaks = fractal(rng, rows, columns, 0.012 * flat + 1.0, 0.9 * unit, 4, 0.75)
    fibre = smooth_field(rng, rows, columns, max(1.0, 0.0022 * flat), 0.10 * unit)
    pores = smooth_field(rng, rows, columns, max(1.0, 0.0016 * flat), 0.016 * unit)
    drift = fractal(rng, rows, columns, 0.12 * flat, 0.55 * unit, 3, 0.5)
    x = np.arange(columns, dtype=np.float32)[None, :] / np.float32(unit)
    board_width = rng.uniform(0.26, 0.40)
    top = -rng.uniform(0.0, board_width)
    while top * flat < rows:
        width = board_width * rng.uniform(0.85, 1.15)
        first, last = max(0, round(top * flat)), min(rows, round((top + width) * flat))
        if last > first:
            y = (np.arange(first, last, dtype=np.float32)[:, None] / np.float32(flat) - top) / width
            roll = int(rng.integers(columns))
            pick = [np.roll(field[first:last], roll, axis=1) for field in (streaks, fibre, pores, drift)]
            relief[first:last] = _board(rng, x, y, pick)
            edge_px = np.minimum(y, 1.0 - y) * width * flat
            seam[first:last] = np.clip(1.0 - edge_px / max(0.9, 0.0035 * flat), 0.0, 1.0)
            # where the rolled fields meet, this board ends and the next of its row begins
            end_px = np.abs(np.arange(columns, dtype=np.float32)[None, :] - np.float32(roll))
            np.maximum(
                seam[first:last], np.clip(1.4 - end_px / max(0.9, 0.0012 * unit), 0.0, 1.0), out=seam[first:last]
            )
        top += width
    return np.clip(relief, -1, 1), (seam * 255.0).astype(np.uint8)


def _board(rng: np.random.Generator, x: Plane, y: Plane, fields: list[Plane]) -> Plane:
    """Return one board: rings are level lines of a paraboloid cut near or far from the heart of the tree."""
    streaks, fibre, pores, drift = fields
    heart = rng.uniform(-0.6, 1.6)
    flat_sawn = rng.random() < 0.6
    slope = rng.uniform(0.6, 1.4) * rng.choice([-1.0, 1.0])
    if flat_sawn:
        phase = 7.0 * np.square(y - heart) + slope * x * 2.2 + 0.24 * drift
    else:
        phase = 7.5 * y + 0.25 * slope * x + 0.22 * drift
    rings = np.mod(phase * 1.6, 1.0)
    late_wood = np.power(rings, 3.0) * np.clip((1.0 - rings) / 0.10, 0.0, 1.0)
    dark_pores = np.clip(pores - 1.15, 0.0, 1.2)
    board = rng.normal(0.0, 0.10)
    return np.asarray(
        0.10 + board - 0.40 * late_wood + 0.10 * streaks + 0.05 * fibre - 0.24 * dark_pores, dtype=np.float32
    )
