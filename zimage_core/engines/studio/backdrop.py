"""What is behind the product: seamless paper, a sunlit wall, a room out of focus; light on a coarse raster."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Light
from zimage_core.engines.studio import gobo, tone
from zimage_core.engines.studio.camera import Camera
from zimage_core.engines.studio.interior import draw_room
from zimage_core.engines.studio.look import Look

Light3 = NDArray[np.float32]
Plane = NDArray[np.float32]

_ROOM_FROM_BOKEH = 0.15  # scenes that ask for less bokeh than this are shot against a bare wall


def grid(height: int, width: int) -> tuple[Plane, Plane]:
    """Return x -1..1 and y 0..1 of every pixel of a raster, as a row and a column."""
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)[None, :]
    return x, np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]


def side_of(light: Light) -> float:
    """Return where the light stands, -1 left .. 1 right; a light from the front counts as slightly to the left."""
    side = math.sin(math.radians(light.azimuth_deg))
    return side if abs(side) > 0.12 else math.copysign(0.12, side if side else -1.0)


def sweep_light(look: Look, rng: np.random.Generator, height: int, width: int, horizon_ratio: float) -> Plane:
    """Return how brightly a seamless sweep is lit: a pool behind the product, falloff, a hint of the cove.

    By the seed the pool wanders, and often a lamp's soft beam or the shade of a leaf lies across the wall.
    """
    x, y = grid(height, width)
    light, side = look.light, side_of(look.light)
    centre_x, centre_y = 0.22 * side + rng.normal(0, 0.16), 0.40 + rng.normal(0, 0.06)
    spread = (0.62 + 0.25 * light.softness_ratio) * rng.uniform(0.8, 1.25)
    distance = np.square((x - centre_x) * min(1.0, width / height) / spread) + np.square(
        (y - centre_y) / (0.55 * spread)
    )
    pool = rng.uniform(0.14, 0.24) * np.exp(-0.5 * distance)
    across = rng.uniform(0.03, 0.09) * side * x
    below = np.clip((y - horizon_ratio) / (1 - horizon_ratio), 0, 1)
    floor = 1.0 / (1.0 + np.exp(-(y - horizon_ratio) / 0.035))
    wall_part = (0.86 + pool + across) * _sweep_pattern(look, rng, height, width)
    floor_part = 0.99 + across - 0.22 * np.square(below - 0.25)
    cove = 0.045 * np.exp(-0.5 * np.square((y - horizon_ratio) / 0.05))
    return np.asarray(wall_part * (1 - floor) + floor_part * floor - cove, dtype=np.float32)


def _sweep_pattern(look: Look, rng: np.random.Generator, height: int, width: int) -> Plane:
    """Return what lies across a sweep's wall, around 1: mostly nothing, else a slanted beam or a leaf out of focus."""
    kind = rng.choice(["none", "beam", "leaves"], p=[0.4, 0.35, 0.25])
    sign = math.copysign(1.0, side_of(look.light))
    if not look.pattern or kind == "none":
        return np.ones((height, width), dtype=np.float32)
    if kind == "leaves":
        covered = gobo.on_wall(gobo.leaf_shapes(rng, sign), height, width, 0.018 + 0.02 * look.light.softness_ratio)
        return np.asarray(1.03 - 0.13 * covered, dtype=np.float32)
    x, y = grid(height, width)
    slope, middle, half = rng.uniform(0.5, 0.9), rng.uniform(-0.25, 0.35), rng.uniform(0.25, 0.45)
    edge = 0.05 + 0.10 * look.light.softness_ratio
    along = sign * x + slope * (2 * y - 1) - middle
    beam = 1.0 / (1.0 + np.exp(-(along + half) / edge)) - 1.0 / (1.0 + np.exp(-(along - half) / edge))
    return np.asarray(0.97 + 0.09 * beam, dtype=np.float32)


def wall(
    look: Look, rng: np.random.Generator, height: int, width: int, horizon_ratio: float, bokeh_ratio: float
) -> tuple[Light3, list[NDArray[np.float64]], str]:
    """Return a wall (h, w, 3), the shapes of the light that falls on it, and what they are: "panes", "leaves" or "".

    With bokeh a room out of focus, without it a bare wall in window light.
    """
    if look.pattern and bokeh_ratio >= _ROOM_FROM_BOKEH:
        return draw_room(look, rng, height, width, horizon_ratio, bokeh_ratio), [], ""
    side = side_of(look.light)
    x, y = grid(height, width)
    lit = 0.92 + 0.13 * side * x - 0.12 * y + 0.10 * np.exp(-(np.square(x - 0.3 * side) + np.square((y - 0.3) / 0.5)))
    shapes: list[NDArray[np.float64]] = []
    kind = ""
    if look.pattern:
        kind = "panes" if rng.random() < 0.5 else "leaves"
        sign = math.copysign(1.0, side)
        blur = 0.008 + 0.016 * look.light.softness_ratio
        if kind == "panes":
            shapes = gobo.window_panes(rng, sign)
            lit = lit * (0.80 + 0.34 * gobo.on_wall(shapes, height, width, blur))
        else:
            shapes = gobo.leaf_shapes(rng, sign)
            lit = lit * (1.06 - 0.30 * gobo.on_wall(shapes, height, width, blur))
    return tone.light_of(look.wall) * lit.astype(np.float32)[..., None], shapes, kind


def floor_light(
    look: Look,
    camera: Camera,
    rng: np.random.Generator,
    height: int,
    width: int,
    pattern: tuple[list[NDArray[np.float64]], str],
) -> Plane:
    """Return how brightly a table is lit, on the coarse raster: side falloff, a pool at the product, the gobo."""
    x, y = grid(height, width)
    side = side_of(look.light)
    contact = camera.contact_row / camera.height_px
    pool = np.exp(-(np.square((x - 0.12 * side) / 1.1) + np.square((y - contact) / 0.35)))
    lit = 0.88 + 0.18 * pool + 0.09 * side * x + rng.normal(0, 0.01)
    shapes, kind = pattern
    if kind:
        covered = gobo.on_floor(shapes, camera, height, width, 0.010 + 0.016 * look.light.softness_ratio)
        lit = lit * (0.84 + 0.26 * covered if kind == "panes" else 1.03 - 0.14 * covered)
    return np.asarray(lit, dtype=np.float32)


def table_light(look: Look, rng: np.random.Generator, height: int, width: int) -> Plane:
    """Return how brightly a surface seen from above is lit: falloff from the light's corner, often a faint gobo."""
    x, y = grid(height, width)
    side = side_of(look.light)
    lit = 0.97 + 0.09 * side * x - 0.11 * (y - 0.45) + rng.normal(0, 0.01)
    sign = math.copysign(1.0, side)
    kind = rng.choice(["none", "panes", "leaves"], p=[0.35, 0.3, 0.35])
    if not look.pattern or kind == "none":
        return np.asarray(lit, dtype=np.float32)
    blur = 0.008 + 0.012 * look.light.softness_ratio
    if kind == "panes":
        shapes = [shape * 1.25 - 0.1 for shape in gobo.window_panes(rng, sign)]
        return np.asarray(lit * (0.90 + 0.15 * gobo.on_wall(shapes, height, width, blur)), dtype=np.float32)
    covered = gobo.on_wall(gobo.leaf_shapes(rng, sign), height, width, blur)
    return np.asarray(lit * (1.03 - 0.20 * covered), dtype=np.float32)
