"""Soft and smooth grounds: linen, seamless paper, acrylic."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.engines.studio.noise import fractal, smooth_field

Plane = NDArray[np.float32]
Drawn = tuple[Plane, NDArray[np.uint8]]

_THREAD_RATIO = 0.0044  # a thread's width in units: linen under a hand-sized product


def draw_linen(rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float) -> Drawn:
    """Return a plain weave whose threads differ a little (slubs), lying in a few soft folds."""
    flat = unit * squash
    thread_x = max(2.6, _THREAD_RATIO * unit)
    thread_y = max(2.6, _THREAD_RATIO * flat)
    u = _bent(rng, rows, columns, np.arange(columns, dtype=np.float32)[None, :], (flat, unit), thread_x)
    v = _bent(rng, rows, columns, np.arange(rows, dtype=np.float32)[:, None], (flat, unit), thread_y)
    over = (np.floor(u) + np.floor(v)) % 2 == 0
    across_u = 1.0 - np.square(2.0 * np.mod(u, 1.0) - 1.0)
    across_v = 1.0 - np.square(2.0 * np.mod(v, 1.0) - 1.0)
    # each thread has its own tone, which changes slowly along it
    warp = _threads(rng, u, v, thread_x)
    weft = _threads(rng, v, u, thread_y)
    top = np.where(over, across_u + 0.22 * warp, across_v + 0.22 * weft)
    weave = cv2.GaussianBlur(top.astype(np.float32), (0, 0), 0.6) - np.float32(0.66)
    fade = 1.0 if squash >= 1.0 else 0.45
    relief = 0.24 * fade * weave + 0.032 * (warp + weft) + _folds(rng, rows, columns, unit, squash)
    return np.clip(relief, -1, 1).astype(np.float32), np.zeros((rows, columns), dtype=np.uint8)


def _bent(
    rng: np.random.Generator, rows: int, columns: int, axis: Plane, cell: tuple[float, float], thread: float
) -> Plane:
    """Return the thread number (with fraction) of every pixel along one axis: threads wander by half their width."""
    wander = smooth_field(rng, rows, columns, 0.10 * cell[0] + 2, 0.10 * cell[1])
    return np.asarray((axis + 0.5 * thread * wander) / np.float32(thread), dtype=np.float32)


def _threads(rng: np.random.Generator, own: Plane, along: Plane, thread: float) -> Plane:
    """Return the tone of the thread that each pixel lies on, sigma about 1, changing slowly along the thread."""
    table = rng.standard_normal((512, 64)).astype(np.float32)
    table = cv2.GaussianBlur(table, (0, 0), 2.0, sigmaY=0.01) * np.float32(2.6)
    where = np.floor(along / 9.0).astype(np.intp) % 64
    return np.asarray(table[np.floor(own).astype(np.intp) % 512, where], dtype=np.float32)


def _folds(rng: np.random.Generator, rows: int, columns: int, unit: float, squash: float) -> Plane:
    """Return the shading of soft creases: a height field of a few long ridges, lit from the upper left."""
    flat = unit * squash
    coarse = fractal(rng, rows, columns, 0.34 * flat, 0.50 * unit, 2, 0.4)
    ridges = np.power(np.clip(1.0 - np.abs(coarse), 0.0, 1.0), 3.0)
    ridges = cv2.GaussianBlur(ridges, (0, 0), 0.012 * unit, sigmaY=0.012 * flat + 0.5)
    across = cv2.Sobel(ridges, cv2.CV_32F, 1, 0, ksize=3) * np.float32(unit)
    down = cv2.Sobel(ridges, cv2.CV_32F, 0, 1, ksize=3) * np.float32(flat)
    return np.asarray(np.tanh((across + down) * 0.010) * 0.13, dtype=np.float32)


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
