"""Noise that looks like matter and light: smooth fields, fractal sums, lens blur. All from a numpy Generator."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]


def smooth_field(rng: np.random.Generator, height: int, width: int, cell_y: float, cell_x: float) -> Plane:
    """Return an (height, width) field of about unit variance whose bumps are `cell_y` x `cell_x` pixels large."""
    rows, columns = math.ceil(height / cell_y) + 3, math.ceil(width / cell_x) + 3
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    shift = rng.random(2)
    # sample the coarse lattice at a random phase; cubic keeps slopes smooth
    scale = np.array([[1 / cell_x, 0, 1.0 + shift[0]], [0, 1 / cell_y, 1.0 + shift[1]]], dtype=np.float64)
    return np.asarray(
        cv2.warpAffine(
            coarse, scale, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        ),
        dtype=np.float32,
    )


def fractal(
    rng: np.random.Generator, height: int, width: int, cell_y: float, cell_x: float, octaves: int, gain: float = 0.5
) -> Plane:
    """Return a sum of smooth fields, each half as large and `gain` as strong as the one before; unit variance."""
    total = np.zeros((height, width), dtype=np.float32)
    power = 0.0
    for octave in range(octaves):
        weight = gain**octave
        total += np.float32(weight) * smooth_field(
            rng, height, width, max(1.0, cell_y / 2**octave), max(1.0, cell_x / 2**octave)
        )
        power += weight * weight
    return total / np.float32(math.sqrt(power))


def lens_kernel(radius_px: float, blades: int = 0, turn_rad: float = 0.0) -> Plane:
    """Return the image of a point out of focus: a disc, or a polygon of `blades` sides; sum 1, rim a bit brighter."""
    half = math.ceil(radius_px) + 1
    axis = np.arange(-half, half + 1, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    distance = np.hypot(x, y)
    if blades:
        sector = 2.0 * math.pi / blades
        angle = np.mod(np.arctan2(y, x) + turn_rad, sector) - sector / 2.0
        # between a true polygon and a disc: real blades are curved
        distance = distance * (0.35 + 0.65 * np.cos(angle) / math.cos(sector / 4.0))
    disc = np.clip(np.float32(radius_px) + 0.5 - distance, 0.0, 1.0)
    disc *= 0.85 + 0.3 * np.clip(distance / radius_px, 0.0, 1.0) ** 3
    return np.asarray(disc / disc.sum(), dtype=np.float32)


def lens_blur(
    light: NDArray[np.float32], radius_px: float, blades: int = 0, turn_rad: float = 0.0
) -> NDArray[np.float32]:
    """Return a picture (in light, not codes) as a lens shows it out of focus: highlights become discs."""
    if radius_px < 0.7:
        return light
    return np.asarray(
        cv2.filter2D(light, cv2.CV_32F, lens_kernel(radius_px, blades, turn_rad), borderType=cv2.BORDER_REPLICATE),
        dtype=np.float32,
    )
