"""Soft and smooth grounds: linen, seamless paper, acrylic."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.engines.studio.noise import fractal, smooth_field

Plane = NDArray[np.float32]
Drawn = tuple[Plane, NDArray[np.uint8]]

_THREAD_RATIO = 0.0056  # a thread's width in units: coarse linen under a hand-sized product


def draw_linen(rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float) -> Drawn:
    """Return a plain weave with slubs (threads of uneven thickness) that lies in a few soft folds."""
    flat = unit * squash
    thread_x = max(2.6, _THREAD_RATIO * unit)
    thread_y = max(2.6, _THREAD_RATIO * flat)
    bend_x = 0.35 * thread_x * smooth_field(rng, rows, columns, 0.12 * flat, 0.12 * unit)
    bend_y = 0.35 * thread_y * smooth_field(rng, rows, columns, 0.12 * flat, 0.12 * unit)
    u = (np.arange(columns, dtype=np.float32)[None, :] + bend_x) / np.float32(thread_x)
    v = (np.arange(rows, dtype=np.float32)[:, None] + bend_y) / np.float32(thread_y)
    over = np.where((np.floor(u) + np.floor(v)) % 2 == 0, 1.0, -1.0).astype(np.float32)
    across_u = 1.0 - np.square(2.0 * np.mod(u, 1.0) - 1.0)
    across_v = 1.0 - np.square(2.0 * np.mod(v, 1.0) - 1.0)
    weave = np.where(over > 0, across_u, across_v) - 0.66
    weave = cv2.GaussianBlur(weave, (0, 0), 0.7)
    warp = smooth_field(rng, rows, columns, 0.20 * flat + 4, thread_x)
    weft = smooth_field(rng, rows, columns, thread_y, 0.16 * unit)
    folds = fractal(rng, rows, columns, 0.22 * flat, 0.75 * unit, 2, 0.4)
    slope = cv2.Sobel(folds, cv2.CV_32F, 0, 1, ksize=3) * np.float32(flat * 0.014)
    fade = min(1.0, squash * 2.2)
    relief = 0.20 * fade * weave + 0.075 * warp * max(fade, 0.6) + 0.075 * weft + 0.11 * np.tanh(slope)
    return np.clip(relief, -1, 1).astype(np.float32), np.zeros((rows, columns), dtype=np.uint8)


def draw_paper(rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float) -> Drawn:
    """Return matt paper: a breath of fibre, no more."""
    flat = unit * squash
    clouds = fractal(rng, rows, columns, 0.25 * flat, 0.25 * unit, 3)
    tooth = smooth_field(rng, rows, columns, 1.5, 1.5)
    return np.clip(0.05 * clouds + 0.07 * tooth, -1, 1), np.zeros((rows, columns), dtype=np.uint8)


def draw_smooth(rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float) -> Drawn:
    """Return polished acrylic: nothing but the faintest unevenness."""
    clouds = fractal(rng, rows, columns, 0.4 * unit * squash, 0.4 * unit, 2)
    return np.clip(0.03 * clouds, -1, 1), np.zeros((rows, columns), dtype=np.uint8)
