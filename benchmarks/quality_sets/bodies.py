"""Products turned or boxed: bottles, jars, cans, mugs, tumblers, cartons, phones. Each is a list of parts.

Sizes are in units of the canvas: every product spans about -1 to 1 in its longer direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.quality_sets.prints import label, screen
from benchmarks.quality_sets.surfaces import (
    Canvas,
    Finish,
    Floats,
    Part,
    Point,
    curve,
    ellipse,
    flat,
    lathe,
    noise,
    normals_of,
    painted,
    pillowed,
    polygon,
    printed,
    rounded,
    tube,
)
from zimage_core.domain import Category

Rng = np.random.Generator
Ink = tuple[int, int, int]

MATTE = Finish(0.10, 0.8)
SATIN = Finish(0.35, 0.45)
LACQUER = Finish(1.0, 0.06)
STEEL = Finish(1.0, 0.18, metal=1.0)
BRUSHED = Finish(1.0, 0.38, metal=1.0)
GLASS = Finish(1.0, 0.03, clear=1.0)
LIQUID = Finish(0.6, 0.1)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """What was modelled: parts back to front, `lying` when seen from above, `traits` it was made with."""

    parts: tuple[Part, ...]
    category: Category
    traits: frozenset[str] = frozenset()
    texts: tuple[str, ...] = ()
    lying: bool = False


def tone_of(rng: Rng, tone: str) -> Ink:
    """Return a colour (sRGB) of a tone: white, pale, dark, vivid or mid."""
    if tone == "white":
        return tuple(int(v) for v in np.clip(rng.normal(238, 4) + rng.normal(0, 2.5, 3), 222, 248))  # type: ignore[return-value]
    if tone == "dark":
        return tuple(int(v) for v in np.clip(rng.normal(34, 10) + rng.normal(0, 6, 3), 12, 70))  # type: ignore[return-value]
    hue = np.uint8(rng.integers(0, 180))
    saturation = {"pale": (18, 60), "vivid": (150, 235), "mid": (50, 140)}[tone]
    value = {"pale": (195, 232), "vivid": (110, 215), "mid": (90, 190)}[tone]
    hsv = np.array([[[hue, rng.integers(*saturation), rng.integers(*value)]]], np.uint8)
    return tuple(int(v) for v in cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])  # type: ignore[return-value]


def ink_on(rng: Rng, ground: Ink) -> Ink:
    """Return an ink that can be seen on a ground, seldom strongly."""
    away = float(rng.choice([60, 110, 170]))
    step = -away if sum(ground) > 380 else away
    return tuple(int(v) for v in np.clip(np.asarray(ground) + step + rng.normal(0, 14, 3), 6, 250))  # type: ignore[return-value]


def wrapped(
    rng: Rng,
    albedo: Floats,
    turn: Floats,
    rise: Floats,
    band: tuple[float, float],
    *,
    ground: Ink,
    paper: Ink | None,
    half: float = 0.62,
) -> tuple[Floats, tuple[str, ...]]:
    """Print a label around a turned body between two heights; `half` is how far it reaches to each side."""
    sheet, texts = label(
        rng,
        900,
        max(200, round(900 * (band[1] - band[0]) / (half * 1.1))),
        paper=paper,
        ink=ink_on(rng, paper or ground),
    )
    columns = (turn / half + 1) / 2
    rows = (rise - band[0]) / (band[1] - band[0])
    return printed(albedo, sheet, columns, rows), texts


def bottle(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A bottle of plastic or lacquered metal with cap and label."""
    color, cap = tone_of(rng, tone), tone_of(rng, str(rng.choice(["dark", "white", "mid"])))
    r, neck, shoulder = rng.uniform(0.3, 0.46), rng.uniform(0.1, 0.18), rng.uniform(-0.55, -0.3)
    cover, normal, turn, rise = lathe(
        canvas, [(-0.72, neck), (-0.66, neck), (shoulder, r), (0.94, r), (1.0, r * 0.94)], tilt=0.10
    )
    paper = None if rng.random() < 0.5 else tone_of(rng, str(rng.choice(["white", "pale", "dark", "mid"])))
    albedo, texts = wrapped(rng, painted(canvas, color), turn, rise, (shoulder + 0.2, 0.8), ground=color, paper=paper)
    finish = Finish(float(rng.uniform(0.15, 0.9)), float(rng.uniform(0.1, 0.6)))
    body = Part(cover, normal, albedo, finish)
    top, top_normal, cap_turn, _ = lathe(
        canvas, [(-1.0, neck * 1.15), (-0.97, neck * 1.25), (-0.70, neck * 1.25)], tilt=0.1
    )
    ridges = 1 + 0.12 * np.sign(np.sin(cap_turn * 60))[..., None]
    lid = Part(top, top_normal, (painted(canvas, cap) * ridges).astype(np.float32), SATIN)
    return Product((body, lid), "beauty", frozenset({"opaque"}), texts)


def jar(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A low jar with a lid of another finish."""
    color = tone_of(rng, tone)
    r = rng.uniform(0.8, 0.98)
    cover, normal, turn, rise = lathe(canvas, [(-0.35, r * 0.98), (0.5, r), (0.6, r * 0.9)], tilt=0.16)
    albedo, texts = wrapped(rng, painted(canvas, color), turn, rise, (-0.28, 0.5), ground=color, paper=None, half=0.5)
    body = Part(cover, normal, albedo, Finish(float(rng.uniform(0.2, 1)), 0.2))
    lid_cover, lid_normal, _, _ = lathe(canvas, [(-0.72, r * 0.98), (-0.68, r * 1.02), (-0.36, r * 1.02)], tilt=0.16)
    top = polygon(canvas, ellipse(0, -0.72, r * 0.98, 0.16 * r * 0.98))
    metal = rng.random() < 0.5
    lid_color = tone_of(rng, "mid") if metal else tone_of(rng, tone)
    finish = BRUSHED if metal else SATIN
    lid = Part(lid_cover, lid_normal, painted(canvas, lid_color), finish)
    face = Part(top, flat(canvas, (0, -0.9, 0.42)), painted(canvas, lid_color), finish)
    return Product((body, lid, face), "beauty", frozenset({"opaque"}), texts)


def can(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A printed tin or a bare brushed flask."""
    r = rng.uniform(0.42, 0.62)
    cover, normal, turn, rise = lathe(canvas, [(-0.98, r * 0.88), (-0.9, r), (0.92, r), (1.0, r * 0.9)], tilt=0.14)
    color = tone_of(rng, tone)
    grain = noise(rng, cover.shape, 3.0, 2)
    streaks = cv2.blur(grain, (61, 1))
    albedo = (painted(canvas, color) * (1 + 0.25 * streaks[..., None])).clip(0, 1).astype(np.float32)
    texts: tuple[str, ...] = ()
    if rng.random() < 0.75:
        albedo, texts = wrapped(rng, albedo, turn, rise, (-0.7, 0.8), ground=color, paper=tone_of(rng, tone), half=0.95)
    body = Part(cover, normal, albedo, BRUSHED if rng.random() < 0.4 else SATIN)
    lid = polygon(canvas, ellipse(0, -0.98, r * 0.86, 0.14 * r * 0.86))
    return Product(
        (body, Part(lid, flat(canvas, (0, -0.85, 0.5)), painted(canvas, (190, 190, 192)), BRUSHED)),
        "food",
        frozenset({"opaque"}),
        texts,
    )


def mug(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A mug with a handle, and a hole in it; ceramic, plain or printed."""
    r = rng.uniform(0.5, 0.62)
    color = tone_of(rng, tone)
    shift = -0.18
    ear = curve(
        [
            (shift + r * 0.9, -0.42),
            (shift + r + 0.3, -0.5),
            (shift + r + 0.46, -0.1),
            (shift + r + 0.3, 0.32),
            (shift + r * 0.9, 0.42),
        ]
    )
    ear_cover, ear_normal = tube(canvas, ear, 0.15)
    finish = Finish(float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.05, 0.4)))
    glaze = (painted(canvas, color) * (1 + 0.02 * noise(rng, ear_cover.shape, 40)[..., None])).astype(np.float32)
    cover, normal, turn, rise = lathe(canvas, [(-0.8, r), (0.6, r * 0.98), (0.8, r * 0.8)], x=shift, tilt=0.15)
    texts: tuple[str, ...] = ()
    albedo = glaze
    if rng.random() < 0.7:
        albedo, texts = wrapped(rng, glaze, turn, rise, (-0.55, 0.65), ground=color, paper=None, half=0.45)
    inside = polygon(canvas, ellipse(shift, -0.8, r * 0.94, 0.15 * r * 0.94))
    wall = Part(inside, normals_of(pillowed(inside, 30) * -1, 1.0), (glaze * 0.75).astype(np.float32), finish)
    return Product(
        (Part(ear_cover, ear_normal, glaze, finish), Part(cover, normal, albedo, finish), wall),
        "home",
        frozenset({"opaque", "hole"}),
        texts,
    )


def tumbler(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A glass or a vase, clear, sometimes with a drink in it."""
    r = rng.uniform(0.42, 0.6)
    profile: list[Point] = [(-1.0, r), (-0.2, r * rng.uniform(0.75, 1.05)), (0.9, r * 0.8), (1.0, r * 0.74)]
    cover, normal, _, _ = lathe(canvas, profile, tilt=0.12)
    glass = Part(cover, normal, painted(canvas, (236, 242, 240)), GLASS)
    parts = [glass]
    if rng.random() < 0.6:
        drink, drink_normal, _, _ = lathe(canvas, [(-0.35, r * 0.8), (0.86, r * 0.68), (0.9, r * 0.6)], tilt=0.12)
        parts.insert(
            0, Part(drink, drink_normal, painted(canvas, tone_of(rng, "vivid" if tone == "white" else tone)), LIQUID)
        )
    return Product(tuple(parts), "home", frozenset({"glass"}))


def carton(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A printed box seen from a corner: three faces, fold lines, a label on the front."""
    wide, deep, high = rng.uniform(0.5, 0.85), rng.uniform(0.2, 0.5), rng.uniform(0.6, 0.9)
    yaw, pitch = np.radians(rng.uniform(15, 40)), np.radians(rng.uniform(8, 24))
    color = tone_of(rng, tone)
    scale = 0.95 / max(wide * np.cos(yaw) + deep * np.sin(yaw), high * np.cos(pitch) + 0.4 * np.sin(pitch))

    def seen(x: float, y: float, z: float) -> Point:
        across, away = x * np.cos(yaw) + z * np.sin(yaw), -x * np.sin(yaw) + z * np.cos(yaw)
        down = y * np.cos(pitch) - away * np.sin(pitch)
        depth = 6 / (6 - away * np.cos(pitch) - y * np.sin(pitch) * 0.3)
        return float(across * depth * scale), float(down * depth * scale)

    corners = {(i, j, k): seen(i * wide, j * high, k * deep) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)}
    faces = (
        ([(-1, -1, 1), (1, -1, 1), (1, 1, 1), (-1, 1, 1)], (-0.5 * np.sin(yaw), -0.2, 0.9), 1.0),
        ([(-1, -1, -1), (-1, -1, 1), (-1, 1, 1), (-1, 1, -1)], (-0.85, -0.15, 0.5), 0.8),
        ([(-1, -1, -1), (1, -1, -1), (1, -1, 1), (-1, -1, 1)], (0.0, -0.92, 0.4), 1.0),
    )
    parts, texts = [], ()
    for number, (names, normal, shade) in enumerate(faces):
        ring = [corners[name] for name in names]
        albedo = painted(canvas, color) * shade
        albedo = (albedo * (1 + 0.015 * noise(rng, albedo.shape[:2], 2.5, 1)[..., None])).astype(np.float32)
        if number < 2:
            sheet, found = label(
                rng, 800, round(800 * high / (wide if number == 0 else deep)), paper=None, ink=ink_on(rng, color)
            )
            texts = found if number == 0 else texts
            albedo = _on_face(canvas, albedo, sheet, ring)
        cover = polygon(canvas, ring)
        parts.append(Part(cover, _bevelled(canvas, cover, normal), albedo, Finish(0.3, 0.5)))
    return Product(tuple(parts[::-1]), "food", frozenset({"opaque"}), texts)


def _on_face(canvas: Canvas, albedo: Floats, sheet: Floats, ring: list[Point]) -> Floats:
    height, width = sheet.shape[:2]
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, canvas.at(ring).astype(np.float32))
    shrink = np.linalg.norm(canvas.at(ring)[1] - canvas.at(ring)[0]) / width
    soft = cv2.GaussianBlur(sheet, (0, 0), 0.45 / shrink) if shrink < 0.8 else sheet
    laid = cv2.warpPerspective(soft, matrix, (canvas.width_px, canvas.height_px), flags=cv2.INTER_LINEAR)
    return np.asarray(albedo * (1 - laid[..., 3:]) + laid[..., :3] * laid[..., 3:], dtype=np.float32)


def _bevelled(canvas: Canvas, cover: Floats, normal: tuple[float, float, float]) -> Floats:
    edge = normals_of(pillowed(cover, 3.0), 0.5) - np.array((0, 0, 1), np.float32)
    field = flat(canvas, normal) + edge
    return np.asarray(field / np.linalg.norm(field, axis=2, keepdims=True), dtype=np.float32)


def phone(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A phone seen from the front, or its lacquered back with camera rings."""
    half = rng.uniform(0.44, 0.52)
    ring = rounded(-half, -1, half, 1, 0.13)
    cover = polygon(canvas, ring)
    rim = Part(cover, normals_of(pillowed(cover, 7), 1.0), painted(canvas, tone_of(rng, "mid")), STEEL)
    inner = polygon(canvas, rounded(-half + 0.02, -0.98, half - 0.02, 0.98, 0.115))
    if rng.random() < 0.6:
        across, down = canvas.grid()
        albedo = printed(
            painted(canvas, (12, 12, 14)),
            screen(rng, 520, 1080),
            (across + half - 0.03) / (2 * half - 0.06),
            (down + 0.97) / 1.94,
        )
        return Product(
            (rim, Part(inner, flat(canvas), albedo, Finish(0.7, 0.05))), "electronics", frozenset({"opaque"})
        )
    back = Part(inner, normals_of(pillowed(inner, 12) * 0.3, 1.0), painted(canvas, tone_of(rng, tone)), LACQUER)
    parts = [rim, back]
    for x, y in ((-0.24, -0.72), (-0.24, -0.36), (0.02, -0.54)):
        lens = polygon(canvas, ellipse(x, y, 0.13, 0.13))
        parts.append(Part(lens, normals_of(pillowed(lens, 4), 1.0), painted(canvas, (90, 90, 92)), STEEL))
        eye = polygon(canvas, ellipse(x, y, 0.10, 0.10))
        parts.append(Part(eye, normals_of(pillowed(eye, 20), 1.0), painted(canvas, (8, 9, 14)), LACQUER))
    return Product(tuple(parts), "electronics", frozenset({"opaque"}))
