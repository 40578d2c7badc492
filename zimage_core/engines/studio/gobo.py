"""Patterns of light: the shadow of window bars or of leaves, on a wall and over a floor.

Light that falls through something is what makes a bare wall look like a place. Shapes are drawn on a coarse raster,
then blurred as the sun's disc and the distance would.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.engines.studio.camera import Camera

Plane = NDArray[np.float32]
Points = NDArray[np.float64]


def window_panes(rng: np.random.Generator, side: float) -> list[Points]:
    """Return the lit panes of a window as quads in a unit plane (y down), leaning away from the light's `side`."""
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    width, height = rng.uniform(0.15, 0.20), rng.uniform(0.20, 0.26)
    bar = rng.uniform(0.022, 0.034)
    lean = -side * rng.uniform(0.25, 0.5)
    left = 0.5 - side * rng.uniform(0.05, 0.18) - columns * width / 2
    top = rng.uniform(-0.10, 0.02)
    panes = []
    for row in range(rows):
        for column in range(columns):
            x, y = left + column * (width + bar), top + row * (height + bar)
            quad = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
            quad[:, 0] += lean * (quad[:, 1] - top)
            quad[:, 1] += 0.10 * abs(lean) * (quad[:, 0] - left)
            panes.append(quad)
    return panes


def leaf_shapes(rng: np.random.Generator, side: float) -> list[Points]:
    """Return the leaves of one or two fronds that hang in from the side of the light, as outlines in a unit plane."""
    shapes = []
    for _ in range(int(rng.integers(2, 4))):
        root = np.array([0.5 + side * rng.uniform(0.35, 0.75), rng.uniform(-0.15, 0.25)])
        heading = math.pi / 2 + side * rng.uniform(0.5, 1.1)
        bend = -side * rng.uniform(0.2, 0.7)
        length = rng.uniform(0.55, 0.85)
        count = int(rng.integers(9, 14))
        for index in range(count):
            along = (index + 1) / (count + 0.5)
            angle = heading + bend * along
            at = root + length * along * np.array([math.cos(angle), math.sin(angle)])
            size = length * 0.42 * math.sin(math.pi * min(0.92, 0.25 + 0.75 * along)) + 0.04
            shapes += [
                _leaf(at, angle + turn * rng.uniform(0.65, 0.95), size * rng.uniform(0.8, 1.1)) for turn in (-1.0, 1.0)
            ]
    return shapes


def _leaf(at: Points, angle: float, length: float) -> Points:
    along = np.linspace(0.0, 1.0, 9)
    half = 0.085 * length * np.sin(math.pi * along**0.8)
    x = np.concatenate([along * length, along[::-1] * length])
    y = np.concatenate([half, -half[::-1]])
    droop = 0.22 * x * x / max(length, 1e-6)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    outline = np.stack([x, y], axis=1) @ turn.T
    outline[:, 1] += droop
    return np.asarray(at + outline)


def on_wall(shapes: list[Points], height: int, width: int, blur_ratio: float) -> Plane:
    """Return how much of each pixel the shapes cover, (height, width) 0..1, for shapes in units of the longer side."""
    unit = max(height, width)
    offset = np.array([(width - unit) / 2.0, 0.0])
    return _filled([shape * unit + offset for shape in shapes], height, width, blur_ratio * unit)


def on_floor(shapes: list[Points], camera: Camera, height: int, width: int, blur_ratio: float) -> Plane:
    """Return the same over the floor: the shapes laid on it (y becomes distance) and seen by the camera."""
    unit = max(camera.height_px, camera.width_px)
    ratio = height / camera.height_px
    laid = []
    for shape in shapes:
        ground = np.stack([(shape[:, 0] - 0.5) * unit * 1.3, (0.55 - shape[:, 1]) * unit * 2.2], axis=1)
        laid.append(camera.project(ground) * ratio)
    return _filled(laid, height, width, blur_ratio * max(height, width), flat=0.45)


def _filled(outlines: list[Points], height: int, width: int, sigma: float, flat: float = 1.0) -> Plane:
    canvas = np.zeros((height, width), dtype=np.uint8)
    for outline in outlines:
        cv2.fillPoly(canvas, [np.rint(outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    covered = canvas.astype(np.float32) / np.float32(255.0)
    return np.asarray(
        cv2.GaussianBlur(covered, (0, 0), max(0.6, sigma), sigmaY=max(0.5, sigma * flat)), dtype=np.float32
    )
