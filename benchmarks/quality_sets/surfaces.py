"""What the made products consist of: parts with an edge, a shape and a surface, all in pixels of one canvas.

Edges are drawn four times too large and reduced, so that their coverage is exact; shapes are normal fields; surfaces
are linear-light colours. Nothing here knows light or camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.float32]
Point = tuple[float, float]
_FINE = 4


@dataclass(frozen=True, slots=True)
class Canvas:
    """A frame of `width_px` x `height_px`; products are written in units: (0, 0) the middle, 1 = `unit_px`, y down."""

    width_px: int
    height_px: int
    unit_px: float
    x_px: float
    y_px: float

    def at(self, points: Sequence[Point]) -> NDArray[np.float64]:
        """Return (n, 2) pixel places of points in units."""
        return np.asarray(points, dtype=np.float64) * self.unit_px + (self.x_px, self.y_px)

    def grid(self) -> tuple[Floats, Floats]:
        """Return (x, y) of every pixel in units, (H, W) each."""
        x = (np.arange(self.width_px, dtype=np.float32) + 0.5 - self.x_px) / self.unit_px
        y = (np.arange(self.height_px, dtype=np.float32) + 0.5 - self.y_px) / self.unit_px
        return np.broadcast_arrays(x[None, :].astype(np.float32), y[:, None].astype(np.float32))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Finish:
    """How a surface answers light: `gloss` 0 matte to 1 lacquer, `rough` 0 mirror to 1 dull, `metal`, `clear` glass."""

    gloss: float = 0.2
    rough: float = 0.5
    metal: float = 0.0
    clear: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One body: `cover` (H, W) 0..1, `normal` (H, W, 3) unit vectors towards the camera, `albedo` (H, W, 3) linear."""

    cover: Floats
    normal: Floats
    albedo: Floats
    finish: Finish


# ---------------------------------------------------------------- edges


def polygon(canvas: Canvas, *rings: Sequence[Point]) -> Floats:
    """Return the coverage of the first ring less the others."""
    plane = Image.new("L", (canvas.width_px * _FINE, canvas.height_px * _FINE), 0)
    pen = ImageDraw.Draw(plane)
    for number, ring in enumerate(rings):
        pen.polygon([tuple(p) for p in (canvas.at(ring) * _FINE).tolist()], fill=0 if number else 255)
    return _reduced(plane)


def stroke(canvas: Canvas, path: Sequence[Point], width: float, *, closed: bool = False) -> Floats:
    """Return the coverage of a line of some width (units), its ends round."""
    plane = Image.new("L", (canvas.width_px * _FINE, canvas.height_px * _FINE), 0)
    pen = ImageDraw.Draw(plane)
    points = canvas.at([*path, path[0]] if closed else path) * _FINE
    thick = max(1.0, width * canvas.unit_px * _FINE)
    pen.line([tuple(p) for p in points.tolist()], fill=255, width=round(thick), joint="curve")
    for x, y in (points[0], points[-1]):
        pen.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)
    return _reduced(plane)


def _reduced(plane: Image.Image) -> Floats:
    return np.asarray(plane.reduce(_FINE), dtype=np.float32) / np.float32(255.0)


def curve(points: Sequence[Point], *, closed: bool = False, steps: int = 24) -> list[Point]:
    """Return a Catmull-Rom curve through the points."""
    knots = np.asarray(points, dtype=np.float64)
    around = (
        np.concatenate([knots[-1:], knots, knots[:2]]) if closed else np.concatenate([knots[:1], knots, knots[-1:]])
    )
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for k in range(len(around) - 3):
        a, b, c, d = around[k : k + 4]
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    line = np.concatenate(pieces if closed else [*pieces, knots[-1:]])
    return [(float(x), float(y)) for x, y in line]


def ellipse(x: float, y: float, across: float, down: float, steps: int = 120) -> list[Point]:
    """Return a ring of points."""
    t = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return [(float(x + across * np.cos(a)), float(y + down * np.sin(a))) for a in t]


def rounded(left: float, top: float, right: float, bottom: float, radius: float) -> list[Point]:
    """Return a rectangle with round corners as a ring."""
    r = min(radius, (right - left) / 2, (bottom - top) / 2)
    ring: list[Point] = []
    for cx, cy, start in (
        (right - r, top + r, -90),
        (right - r, bottom - r, 0),
        (left + r, bottom - r, 90),
        (left + r, top + r, 180),
    ):
        ring += [
            (float(cx + r * np.cos(angle)), float(cy + r * np.sin(angle)))
            for angle in np.radians(np.linspace(start, start + 90, 12))
        ]
    return ring


# ---------------------------------------------------------------- shapes


def flat(canvas: Canvas, direction: tuple[float, float, float] = (0.0, 0.0, 1.0)) -> Floats:
    """Return one normal for all pixels."""
    vector = np.asarray(direction, dtype=np.float32)
    return np.broadcast_to(vector / np.linalg.norm(vector), (canvas.height_px, canvas.width_px, 3))


def normals_of(height: Floats, strength: float) -> Floats:
    """Return the normals of a height field (pixels) scaled by `strength`."""
    dx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3) / 8 * strength
    dy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3) / 8 * strength
    normal = np.dstack([-dx, -dy, np.ones_like(height)])
    return np.asarray(normal / np.linalg.norm(normal, axis=2, keepdims=True), dtype=np.float32)


def pillowed(cover: Floats, radius_px: float) -> Floats:
    """Return a height field that falls off round towards the edge over `radius_px`."""
    inside = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    t = np.clip(inside / max(radius_px, 1.0), 0, 1)
    height = radius_px * np.sqrt(np.maximum(1 - (1 - t) ** 2, 0))
    return np.asarray(cv2.GaussianBlur(height.astype(np.float32), (0, 0), max(0.6, radius_px * 0.06)))


def noise(
    rng: np.random.Generator, shape: tuple[int, int], cell_px: float, octaves: int = 3, stretch: float = 1.0
) -> Floats:
    """Return smooth noise of mean 0 and deviation 1, (H, W); `stretch` lengthens it downwards."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cell = max(1.0, cell_px / 2**octave)
        size = (max(2, round(shape[1] / cell) + 2), max(2, round(shape[0] / (cell * stretch)) + 2))
        coarse = rng.standard_normal((size[1], size[0])).astype(np.float32)
        total += cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.asarray((total - total.mean()) / max(float(total.std()), 1e-6), dtype=np.float32)


def lathe(
    canvas: Canvas, profile: Sequence[Point], *, x: float = 0.0, tilt: float = 0.12
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return (cover, normal, turn -1..1, height in units) of a body turned around an upright axis at `x`.

    `profile` are (y, radius) from top to bottom; `tilt` is how far its circles show as ellipses.
    """
    across, down = canvas.grid()
    ys = np.linspace(profile[0][0], profile[-1][0], 600)
    radii = np.interp(ys, [p[0] for p in profile], [p[1] for p in profile])
    kernel = np.hanning(17)
    smooth = np.convolve(np.pad(radii, 8, mode="edge"), kernel / kernel.sum(), mode="valid")
    side = [(float(x - r), float(y)) for y, r in zip(ys, smooth, strict=True)]
    other = [(float(x + r), float(y)) for y, r in zip(ys, smooth, strict=True)][::-1]
    cover = polygon(canvas, [*side, *other])
    for end in (0, -1):
        r = float(smooth[end])
        cover = np.maximum(cover, polygon(canvas, ellipse(x, float(ys[end]), r, tilt * r)))
    rise = down
    for _ in range(2):
        radius = np.interp(rise, ys, smooth).astype(np.float32)
        u = np.clip((across - np.float32(x)) / np.maximum(radius, 1e-4), -0.999, 0.999)
        rise = down - np.float32(tilt) * radius * np.sqrt(1 - u * u)
    slope = np.gradient(smooth, ys)
    lean = np.interp(rise, ys, slope).astype(np.float32)
    normal = np.dstack([u, -lean - np.float32(tilt) * 0.5, np.sqrt(1 - u * u)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    return cover, normal.astype(np.float32), (np.arcsin(u) / np.float32(np.pi / 2)).astype(np.float32), rise


def tube(canvas: Canvas, path: Sequence[Point], width: float, *, closed: bool = False) -> tuple[Floats, Floats]:
    """Return (cover, normal) of a round bar along a path."""
    cover = stroke(canvas, path, width, closed=closed)
    radius = max(1.0, width * canvas.unit_px / 2)
    return cover, normals_of(pillowed(cover, radius), 1.0)


# ---------------------------------------------------------------- colours


def linear(color: Sequence[float]) -> Floats:
    """Return an sRGB colour (0..255) in linear light."""
    level = np.asarray(color, dtype=np.float32) / 255
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(np.float32)


def painted(canvas: Canvas, color: Sequence[float]) -> Floats:
    """Return one colour (sRGB 0..255) for all pixels."""
    return np.broadcast_to(linear(color), (canvas.height_px, canvas.width_px, 3)).astype(np.float32)


def printed(albedo: Floats, print_rgba: Floats, columns: Floats, rows: Floats) -> Floats:
    """Return the albedo with a print over it: `print_rgba` (h, w, 4) linear, looked up at (columns, rows) 0..1."""
    height, width = print_rgba.shape[:2]
    x = (columns * width - 0.5).astype(np.float32)
    y = (rows * height - 0.5).astype(np.float32)
    found = cv2.remap(print_rgba, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 0, 0))
    return np.asarray(albedo * (1 - found[..., 3:]) + found[..., :3] * found[..., 3:], dtype=np.float32)
