"""Marble, slate and limestone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.engines.studio.noise import fractal, smooth_field

Plane = NDArray[np.float32]
Drawn = tuple[Plane, NDArray[np.uint8]]


def _warped(field: Plane, rng: np.random.Generator, reach: float, cell: float, squash: float) -> Plane:
    """Return the field seen through moving water: sampled where smooth noise points to."""
    rows, columns = field.shape
    dx = smooth_field(rng, rows, columns, cell * squash, cell) * np.float32(reach)
    dy = smooth_field(rng, rows, columns, cell * squash, cell) * np.float32(reach * squash)
    map_x = np.arange(columns, dtype=np.float32)[None, :] + dx
    map_y = np.arange(rows, dtype=np.float32)[:, None] + dy
    return np.asarray(cv2.remap(field, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), dtype=np.float32)


def draw_marble(rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float) -> Drawn:
    """Return clouds as relief, veins as accent (0..255 how much of the vein's colour)."""
    flat = unit * squash
    clouds = fractal(rng, rows, columns, 0.42 * flat, 0.42 * unit, 5, 0.5)
    y = np.arange(rows, dtype=np.float32)[:, None] / np.float32(flat)
    x = np.arange(columns, dtype=np.float32)[None, :] / np.float32(unit)
    relief = 0.12 + 0.10 * clouds + 0.015 * smooth_field(rng, rows, columns, 1.2, 1.2)
    veins = np.zeros((rows, columns), dtype=np.float32)
    heading = rng.uniform(0.5, 1.0) * rng.choice([-1.0, 1.0])
    # veins are level lines of a slanted plane that was bent: they run one way, fork and fade
    for period, width, strength in ((0.62, 0.010, 0.85), (0.37, 0.005, 0.5), (0.21, 0.0025, 0.4)):
        bend = 0.16 * fractal(rng, rows, columns, 0.5 * flat, 0.5 * unit, 5, 0.42)
        across = (y + heading * x + bend) / period + rng.random()
        distance = np.abs(np.mod(across, 1.0) - 0.5) * np.float32(period)
        gate = np.clip(0.35 + 0.75 * smooth_field(rng, rows, columns, 0.45 * flat, 0.45 * unit), 0.0, 1.0)
        thickness = width * np.clip(0.7 + 0.6 * smooth_field(rng, rows, columns, 0.15 * flat, 0.15 * unit), 0.15, 2.0)
        veins = np.maximum(veins, strength * gate * np.exp(-np.square(distance / thickness)))
        relief -= 0.30 * strength * gate * np.exp(-distance / (6.0 * width))
    return np.clip(relief, -1, 1).astype(np.float32), (np.clip(0.8 * veins, 0, 1) * 255.0).astype(np.uint8)


def draw_slate(rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float) -> Drawn:
    """Return cleft layers lit from one side; accent is the pale dust that stays in the clefts."""
    flat = unit * squash
    height = fractal(rng, rows, columns, 0.20 * flat, 0.30 * unit, 6, 0.58)
    layers = height * 2.2 + 0.4 * fractal(rng, rows, columns, 0.05 * flat, 0.09 * unit, 3)
    steps = np.floor(layers) + np.power(np.mod(layers, 1.0), 5.0)
    slope_x = cv2.Sobel(steps, cv2.CV_32F, 1, 0, ksize=3) * np.float32(unit / 1024.0)
    slope_y = cv2.Sobel(steps, cv2.CV_32F, 0, 1, ksize=3) * np.float32(unit / 1024.0)
    lit = np.tanh(-(0.6 * slope_x + 0.8 * slope_y * max(squash, 0.4)) * 0.8)
    mottle = fractal(rng, rows, columns, 0.09 * flat, 0.14 * unit, 4, 0.6)
    grit = smooth_field(rng, rows, columns, 1.1, 1.4)
    dust = np.clip(fractal(rng, rows, columns, 0.012 * flat + 1, 0.02 * unit, 3) - 1.3, 0, 1)
    relief = 0.13 * mottle + 0.20 * lit + 0.055 * grit + 0.05 * steps / 2.0
    return np.clip(relief, -1, 1).astype(np.float32), (dust * 90.0).astype(np.uint8)


def draw_limestone(rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float) -> Drawn:
    """Return honed limestone or micro-cement: soft clouds, fine grain, a few pits (accent)."""
    flat = unit * squash
    clouds = fractal(rng, rows, columns, 0.40 * flat, 0.46 * unit, 7, 0.62)
    trowel = _warped(
        fractal(rng, rows, columns, 0.06 * flat, 0.10 * unit, 4, 0.65), rng, 0.03 * unit, 0.2 * unit, squash
    )
    grain = smooth_field(rng, rows, columns, 1.2, 1.2)
    pits = np.clip(smooth_field(rng, rows, columns, max(1.4, 0.004 * flat), 0.004 * unit) - 2.6, 0, 1)
    relief = 0.10 * clouds + 0.05 * trowel + 0.03 * grain
    return np.clip(relief, -1, 1), (np.clip(pits * 1.6, 0, 1) * 160.0).astype(np.uint8)
