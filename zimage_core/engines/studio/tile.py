"""Terrazzo and square ceramic tiles."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.engines.studio.noise import fractal, smooth_field

Plane = NDArray[np.float32]
Drawn = tuple[Plane, NDArray[np.uint8]]

CHIP_COLORS = 4
"""Terrazzo's accent is 1..CHIP_COLORS, one number per kind of chip."""


def draw_terrazzo(rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float) -> Drawn:
    """Return cement with broken chips: few large ones, many small; no two of the large ones touch."""
    flat = unit * squash
    accent = np.zeros((rows, columns), dtype=np.uint8)
    taken = np.zeros((rows, columns), dtype=np.uint8)
    area = rows / flat * columns / unit
    for radius_units, per_area in ((0.022, 45), (0.013, 150), (0.007, 520), (0.0035, 1500)):
        for _ in range(int(per_area * area)):
            x, y = rng.random() * columns, rng.random() * rows
            radius = radius_units * rng.uniform(0.65, 1.35)
            corners = int(rng.integers(4, 8))
            angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
            reach = rng.uniform(0.6, 1.15, corners) * radius
            kind = int(rng.choice(CHIP_COLORS, p=[0.4, 0.3, 0.2, 0.1])) + 1
            if taken[int(y), int(x)]:
                continue
            outline = np.stack([x + np.cos(angles) * reach * unit, y + np.sin(angles) * reach * flat], axis=1)
            hull = cv2.convexHull(np.rint(outline * 16).astype(np.int32))
            cv2.fillConvexPoly(accent, hull, kind, lineType=cv2.LINE_8, shift=4)
            halo = np.rint((outline - [x, y]) * 1.35 * 16 + np.array([x, y]) * 16).astype(np.int32)
            cv2.fillConvexPoly(taken, cv2.convexHull(halo), 1, lineType=cv2.LINE_8, shift=4)
    clouds = fractal(rng, rows, columns, 0.3 * flat, 0.3 * unit, 3)
    within = smooth_field(rng, rows, columns, max(1.5, 0.01 * flat), 0.01 * unit)
    return np.clip(0.05 * clouds + 0.12 * within * (accent > 0) + 0.02 * within, -1, 1).astype(np.float32), accent


def draw_tiles(rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float) -> Drawn:
    """Return square glazed tiles, each of its own shade, with a soft edge; accent 255 = grout."""
    flat = unit * squash
    side = rng.uniform(0.15, 0.2)
    x = np.arange(columns, dtype=np.float32)[None, :] / np.float32(unit * side) + np.float32(rng.random())
    y = np.arange(rows, dtype=np.float32)[:, None] / np.float32(flat * side) + np.float32(rng.random())
    shades = rng.normal(0.0, 0.13, (64, 64)).astype(np.float32)
    shade = shades[np.floor(y).astype(int) % 64, np.floor(x).astype(int) % 64]
    edge_x = np.minimum(np.mod(x, 1), 1 - np.mod(x, 1)) * np.float32(side * unit)
    edge_y = np.minimum(np.mod(y, 1), 1 - np.mod(y, 1)) * np.float32(side * flat)
    joint = 0.0032
    grout = np.maximum(
        np.clip(1.5 - edge_x / max(0.7, joint * unit), 0, 1), np.clip(1.5 - edge_y / max(0.7, joint * flat), 0, 1)
    )
    rounding = np.exp(-edge_x / (0.012 * unit)) * 0.15 + np.exp(-edge_y / (0.012 * flat + 0.6)) * 0.15
    glaze = fractal(rng, rows, columns, 0.07 * flat, 0.07 * unit, 3)
    return np.clip(shade + 0.06 * glaze - rounding, -1, 1).astype(np.float32), (grout * 255).astype(np.uint8)
