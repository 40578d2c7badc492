"""A room far behind the product, drawn in simple shapes, then seen out of focus: what a lens leaves of a real room.

Drawn in light on a coarse raster. Lamps and reflections are points brighter than white; the lens turns them into discs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.engines.studio import noise, tone
from zimage_core.engines.studio.look import Look

Light3 = NDArray[np.float32]

_BLUR_RATIO = 0.030  # radius of the lens's disc, of the longer side: a wide aperture, a wall two metres behind


@dataclass(frozen=True, slots=True)
class _Canvas:
    """The raster being drawn on, in coordinates of the longer side; `floor` is the horizon."""

    light: Light3
    unit: float
    floor: float

    def quad(
        self, x: float, y: float, width: float, height: float, color: NDArray[np.float32], lean: float = 0.0
    ) -> None:
        """Fill a rectangle (leaning by `lean` at its foot)."""
        points = np.array([[x, y], [x + width, y], [x + width + lean, y + height], [x + lean, y + height]])
        self.shape(points, color)

    def shape(self, points: NDArray[np.float64], color: NDArray[np.float32]) -> None:
        """Fill a polygon."""
        cv2.fillPoly(
            self.light, [np.rint(points * self.unit * 16).astype(np.int32)], [float(c) for c in color], shift=4
        )

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: NDArray[np.float32], turn: float = 0.0) -> None:
        """Fill an ellipse."""
        angles = np.linspace(0, 2 * math.pi, 28, endpoint=False)
        points = np.stack([np.cos(angles) * rx, np.sin(angles) * ry], axis=1)
        rotate = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        self.shape(points @ rotate.T + [x, y], color)


def draw_room(
    look: Look, rng: np.random.Generator, height: int, width: int, horizon_ratio: float, bokeh_ratio: float
) -> Light3:
    """Return a room out of focus, (height, width, 3) light: a window towards the key light, furniture opposite."""
    unit = float(max(height, width))
    base = tone.light_of(look.wall)
    light = np.empty((height, width, 3), dtype=np.float32)
    light[:] = base
    side = 1.0 if math.sin(math.radians(look.light.azimuth_deg)) >= 0 else -1.0
    room = _Canvas(light, unit, horizon_ratio * height / unit)
    right = width / unit
    _wall_light(light, side, rng)
    _window(room, side, right, base, rng)
    kinds = [_shelf, _picture, _plant]
    for index in rng.permutation(len(kinds))[: int(rng.integers(2, 4))]:
        kinds[int(index)](room, side, right, look, rng)
    _sideboard(room, side, right, look, rng)
    _points_of_light(room, bokeh_ratio, right, look, rng)
    blades = int(rng.choice([0, 0, 0, 8]))
    radius = _BLUR_RATIO * unit * (1.0 + 0.5 * min(1.0, bokeh_ratio))
    return noise.lens_blur(light, radius, blades, float(rng.uniform(0, 1)))


def with_lamps(light: Light3, look: Look, rng: np.random.Generator, bokeh_ratio: float, horizon_ratio: float) -> Light3:
    """Return a plain backdrop with a few lamps far behind it, as a macro lens shows them: large faint discs."""
    height, width = light.shape[:2]
    unit = float(max(height, width))
    glow = np.zeros_like(light)
    room = _Canvas(glow, unit, max(0.3, horizon_ratio) * height / unit)
    _points_of_light(room, bokeh_ratio, width / unit, look, rng)
    return light + 1.6 * noise.lens_blur(glow, 2.2 * _BLUR_RATIO * unit)


def _wall_light(light: Light3, side: float, rng: np.random.Generator) -> None:
    x = np.linspace(-1.0, 1.0, light.shape[1], dtype=np.float32)[None, :, None]
    y = np.linspace(0.0, 1.0, light.shape[0], dtype=np.float32)[:, None, None]
    light *= 0.92 + np.float32(0.20 * side) * x - np.float32(rng.uniform(0.05, 0.18)) * y


def _window(room: _Canvas, side: float, right: float, base: NDArray[np.float32], rng: np.random.Generator) -> None:
    """A bright window, its frame and a curtain, at the edge the light comes from."""
    width = rng.uniform(0.26, 0.36)
    x = right - width * rng.uniform(0.55, 0.85) if side > 0 else -width * rng.uniform(0.15, 0.45)
    top, bottom = -0.05, room.floor * rng.uniform(0.72, 0.9)
    sky = np.array([1.05, 1.02, 0.97], dtype=np.float32) * np.float32(rng.uniform(0.85, 1.1))
    frame = np.clip(base * 1.15 + 0.06, 0, 0.95)
    room.quad(x - 0.02, top, width + 0.04, bottom - top + 0.02, frame)
    rows, columns = 3, 2
    for row in range(rows):
        for column in range(columns):
            pane_w, pane_h = width / columns, (bottom - top) / rows
            garden = np.array([0.50, 0.62, 0.42], dtype=np.float32) if row == rows - 1 and rng.random() < 0.7 else sky
            mix = sky * 0.55 + garden * 0.45
            room.quad(x + column * pane_w + 0.008, top + row * pane_h + 0.008, pane_w - 0.016, pane_h - 0.016, mix)
    folds = int(rng.integers(5, 8))
    cloth_x = x - 0.10 * side if side > 0 else x + width - 0.04
    for fold in range(folds):
        shade = np.float32(0.72 + 0.22 * (fold % 2) + rng.uniform(-0.04, 0.04))
        room.quad(cloth_x + fold * 0.026, -0.02, 0.027, room.floor + 0.05, np.clip(base * 0.35 + 0.62, 0, 1) * shade)


def _shelf(room: _Canvas, side: float, right: float, look: Look, rng: np.random.Generator) -> None:
    """A board with books and vessels, on the side away from the window."""
    length = rng.uniform(0.34, 0.5)
    x = -0.04 if side > 0 else right - length + 0.04
    y = room.floor * rng.uniform(0.36, 0.5)
    wood = tone.light_of("#8a6848") * np.float32(rng.uniform(0.6, 1.1))
    room.quad(x, y + 0.016, length, 0.03, tone.light_of(look.wall) * np.float32(0.62))
    at = x + 0.03
    while at < x + length - 0.06:
        color = tone.light_of(str(rng.choice(np.array(look.accents)))) * np.float32(rng.uniform(0.5, 1.0))
        if rng.random() < 0.45:
            for _ in range(int(rng.integers(2, 5))):
                tall, thick = rng.uniform(0.09, 0.14), rng.uniform(0.014, 0.024)
                room.quad(at, y - tall, thick, tall, color * np.float32(rng.uniform(0.6, 1.25)))
                at += thick + 0.002
        else:
            wide, tall = rng.uniform(0.025, 0.042), rng.uniform(0.04, 0.075)
            room.ellipse(at + wide, y - tall, wide, tall, color)
            room.quad(at + wide * 0.65, y - tall * 2.2, wide * 0.7, tall * 0.6, color)
            at += wide * 2
        at += rng.uniform(0.02, 0.07)
    room.quad(x, y, length, 0.016, wood)


def _picture(room: _Canvas, side: float, right: float, look: Look, rng: np.random.Generator) -> None:
    """A framed print on the wall."""
    width, height = rng.uniform(0.15, 0.22), rng.uniform(0.2, 0.28)
    x = right / 2 - side * rng.uniform(0.02, 0.2) - width / 2
    y = room.floor * rng.uniform(0.05, 0.2)
    room.quad(x, y, width, height, tone.light_of(tone.mixed(look.wall, "#6f5a44", 0.6)))
    room.quad(x + 0.012, y + 0.012, width - 0.024, height - 0.024, np.full(3, 0.82, dtype=np.float32))
    for _ in range(3):
        color = tone.light_of(str(rng.choice(np.array(look.accents))))
        room.ellipse(
            x + width * rng.uniform(0.3, 0.7),
            y + height * rng.uniform(0.35, 0.7),
            0.035,
            0.05,
            color,
            rng.uniform(0, 3),
        )


def _plant(room: _Canvas, side: float, right: float, look: Look, rng: np.random.Generator) -> None:
    """A pot plant that stands behind the table's edge."""
    x = rng.uniform(0.06, 0.2) if side > 0 else right - rng.uniform(0.06, 0.2)
    foot = room.floor + 0.02
    green = tone.light_of("#6d8a5c")
    for _ in range(int(rng.integers(16, 26))):
        angle = -math.pi / 2 + rng.normal(0.0, 0.75)
        reach = rng.uniform(0.08, 0.30)
        at_x, at_y = x + math.cos(angle) * reach, foot - 0.12 + math.sin(angle) * reach
        color = green * np.float32(rng.uniform(0.45, 1.35)) + np.float32(0.02)
        room.ellipse(at_x, at_y, rng.uniform(0.03, 0.06), rng.uniform(0.010, 0.02), color, angle + rng.normal(0, 0.4))
    pot = tone.light_of(str(rng.choice(np.array(look.accents)))) * np.float32(0.9)
    room.quad(x - 0.055, foot - 0.13, 0.11, 0.15, pot)


def _sideboard(room: _Canvas, side: float, right: float, look: Look, rng: np.random.Generator) -> None:
    """The low dark mass that every room has behind a table: a sideboard or the back of a sofa."""
    height = rng.uniform(0.07, 0.14)
    color = tone.light_of(tone.mixed(look.wall, look.floor, 0.5)) * np.float32(rng.uniform(0.42, 0.7))
    x = rng.uniform(-0.2, 0.15) if side > 0 else rng.uniform(0.25, 0.5) * right
    room.quad(x, room.floor - height, right * 0.75, height + 0.05, color)
    room.quad(x, room.floor - height, right * 0.75, 0.012, color * np.float32(1.5))


def _points_of_light(room: _Canvas, bokeh_ratio: float, right: float, look: Look, rng: np.random.Generator) -> None:
    """Lamps and glints: few, warm, mostly in the upper half, brightness spread over a decade as in real rooms."""
    for _ in range(round(24 * bokeh_ratio)):
        x, y = rng.random() * right, room.floor * rng.beta(1.4, 1.8)
        power = np.float32(1.6 * 10.0 ** rng.uniform(0.0, 1.0))
        warm = np.array([1.0, rng.uniform(0.68, 0.88), rng.uniform(0.35, 0.66)], dtype=np.float32)
        room.ellipse(x, y, 0.0042, 0.0042, warm * power)
