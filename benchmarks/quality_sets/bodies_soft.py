"""Products of cloth, leather, wire and bars: shirts, towels, bags, headphones, watches, spectacles, lamps, bowls."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.quality_sets.bodies import (
    BRUSHED,
    GLASS,
    LACQUER,
    MATTE,
    SATIN,
    STEEL,
    Product,
    Rng,
    ink_on,
    tone_of,
)
from benchmarks.quality_sets.prints import face, label
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
    linear,
    noise,
    normals_of,
    painted,
    pillowed,
    polygon,
    printed,
    rounded,
    stroke,
    tube,
)


def woven(rng: Rng, canvas: Canvas, color: tuple[int, int, int], strength: float) -> Floats:
    """Return the albedo of cloth: threads of 2.5 to 6 px with irregular thickness, seldom stripes or checks."""
    across, down = (plane * canvas.unit_px for plane in canvas.grid())
    period = rng.uniform(2.6, 6.0)
    shape = (canvas.height_px, canvas.width_px)
    sway = 1.2 * noise(rng, shape, 60, 2)
    warp, weft = np.sin(2 * np.pi * (across + sway) / period), np.sin(2 * np.pi * (down + sway) / period)
    threads = 0.5 * (warp * weft) + 0.5 * noise(rng, shape, 3.0, 2)
    tint = 1 + strength * threads[..., None]
    base = painted(canvas, color)
    pattern = rng.random()
    if pattern < 0.35:
        other = painted(canvas, ink_on(rng, color))
        stripe = rng.uniform(14, 60)
        where = np.sin(2 * np.pi * (down + 3 * sway) / stripe) > rng.uniform(-0.3, 0.6)
        if pattern < 0.12:
            where ^= np.sin(2 * np.pi * (across + 3 * sway) / stripe) > 0.2
        mix = cv2.GaussianBlur(where.astype(np.float32), (0, 0), 0.6)[..., None]
        base = base * (1 - mix) + other * mix
    return np.asarray(np.clip(base * tint, 0.002, 0.98), dtype=np.float32)


def folded(rng: Rng, cover: Floats, radius_px: float, depth: float) -> Floats:
    """Return the normals of a lying cloth: a soft rim and folds across it."""
    folds = noise(rng, cover.shape, cover.shape[1] / 5, 3, stretch=float(rng.choice([0.6, 1.0, 2.6])))
    ridges = 1 - np.abs(folds)
    height = pillowed(cover, radius_px) * 0.6 + depth * cv2.GaussianBlur(ridges, (0, 0), 3.0) * radius_px
    threads = noise(rng, cover.shape, 2.2, 1)
    return normals_of((height + 0.25 * threads).astype(np.float32), 1.0)


def shirt(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A T-shirt laid flat, with collar, seams and now and then a print."""
    sleeve = rng.uniform(0.0, 0.35)
    right: list[Point] = [
        (0.2, -0.88),
        (0.52, -0.78),
        (0.98, -0.3 + sleeve),
        (0.74, -0.1 + sleeve),
        (0.56, -0.34),
        (0.56, 0.3),
        (0.58, 0.92),
    ]
    left = [(-x, y) for x, y in right][::-1]
    ring = curve([*right, (0.0, 0.95), *left, (0.0, -0.74)], closed=True, steps=10)
    cover = polygon(canvas, ring)
    color = tone_of(rng, tone)
    albedo = woven(rng, canvas, color, rng.uniform(0.02, 0.08))
    texts: tuple[str, ...] = ()
    if rng.random() < 0.5:
        across, down = canvas.grid()
        sheet, texts = label(rng, 500, 500, paper=None, ink=ink_on(rng, color))
        albedo = printed(albedo, sheet, (across + 0.32) / 0.64, (down + 0.45) / 0.64)
    normal = folded(rng, cover, 0.06 * canvas.unit_px, rng.uniform(0.15, 0.5))
    parts = [Part(cover, normal, albedo, MATTE)]
    neck = curve([(-0.2, -0.87), (-0.1, -0.76), (0.0, -0.72), (0.1, -0.76), (0.2, -0.87)])
    collar = stroke(canvas, neck, 0.05) * cover
    parts.append(Part(collar, normals_of(pillowed(collar, 6), 1.0), (albedo * 0.92).astype(np.float32), MATTE))
    for seam in (neck, [(-0.54, 0.86), (0.54, 0.86)], [(0.53, -0.76), (0.55, -0.3)], [(-0.53, -0.76), (-0.55, -0.3)]):
        line = stroke(canvas, seam, 0.006) * cover
        parts.append(Part(line, normal, (albedo * 0.7).astype(np.float32), MATTE))
    return Product(tuple(parts), "fashion", frozenset({"opaque", "cloth"}), texts, lying=True)


def towel(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A folded towel or a cushion: all texture, hardly an edge inside."""
    half = rng.uniform(0.7, 0.95)
    bulge = rng.uniform(-0.06, 0.08)
    ring = curve(
        [
            (-0.92, -half),
            (0, -half - bulge),
            (0.92, -half),
            (0.92 + bulge, 0),
            (0.92, half),
            (0, half + bulge),
            (-0.92, half),
            (-0.92 - bulge, 0),
        ],
        closed=True,
    )
    cover = polygon(canvas, ring)
    color = tone_of(rng, tone)
    albedo = woven(rng, canvas, color, rng.uniform(0.05, 0.2))
    normal = folded(rng, cover, rng.uniform(0.08, 0.5) * canvas.unit_px, rng.uniform(0.02, 0.15))
    parts = [Part(cover, normal, albedo, MATTE)]
    hem = stroke(canvas, [(x * 0.93, y * 0.93) for x, y in ring], 0.008, closed=True) * cover
    parts.append(Part(hem, normal, (albedo * 0.75).astype(np.float32), MATTE))
    return Product(tuple(parts), "home", frozenset({"opaque", "cloth"}), lying=True)


def bag(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A bag of grained leather or canvas, with handles that show the backdrop through them."""
    color = tone_of(rng, tone)
    top, bottom = rng.uniform(0.6, 0.75), rng.uniform(0.75, 0.95)
    body = polygon(
        canvas,
        curve(
            [
                (-top, -0.25),
                (0, -0.28),
                (top, -0.25),
                (bottom, 0.85),
                (0.7 * bottom, 0.97),
                (0, 0.98),
                (-0.7 * bottom, 0.97),
                (-bottom, 0.85),
            ],
            closed=True,
        ),
    )
    grain = noise(rng, body.shape, rng.uniform(4, 8), 2)
    leather = rng.random() < 0.6
    albedo = (
        painted(canvas, color) * (1 - 0.08 * np.clip(-grain, 0, 2)[..., None])
        if leather
        else woven(rng, canvas, color, 0.12)
    )
    height = pillowed(body, 0.12 * canvas.unit_px) + (0.9 * grain if leather else 0.2 * grain)
    finish = Finish(0.4, 0.4) if leather else MATTE
    arch = curve([(-0.38, -0.2), (-0.36, -0.62), (0, -0.95), (0.36, -0.62), (0.38, -0.2)])
    handle, handle_normal = tube(canvas, arch, rng.uniform(0.035, 0.085))
    parts = [
        Part(handle, handle_normal, painted(canvas, tone_of(rng, tone)), finish),
        Part(body, normals_of(height.astype(np.float32), 1.0), albedo.astype(np.float32), finish),
    ]
    for offset in (-0.2, 0.86):
        stitches = _stitches(canvas, [(-bottom + 0.12, offset), (bottom - 0.12, offset)])
        parts.append(Part(stitches * body, flat(canvas), painted(canvas, ink_on(rng, color)), MATTE))
    for x in (-0.38, 0.38):
        ring = polygon(canvas, ellipse(x, -0.19, 0.05, 0.05), ellipse(x, -0.19, 0.03, 0.03))
        parts.append(Part(ring, normals_of(pillowed(ring, 4), 1.0), painted(canvas, (200, 180, 130)), STEEL))
    return Product(tuple(parts), "fashion", frozenset({"opaque", "hole", "thin"}))


def _stitches(canvas: Canvas, line: list[Point]) -> Floats:
    (x0, y0), (x1, y1) = line
    plane = np.zeros((canvas.height_px, canvas.width_px), np.float32)
    count = round((x1 - x0) * canvas.unit_px / 9)
    for k in range(max(2, count)):
        a, b = (k + 0.15) / count, (k + 0.75) / count
        start, end = canvas.at([(x0 + a * (x1 - x0), y0), (x0 + b * (x1 - x0), y1)])
        cv2.line(plane, tuple(int(v) for v in start), tuple(int(v) for v in end), 1.0, 1, cv2.LINE_AA)
    return plane


def headphones(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A headband with two cups and a thin cable; the backdrop shows between them."""
    color = tone_of(rng, tone)
    band = curve([(-0.62, 0.2), (-0.66, -0.4), (-0.4, -0.85), (0, -0.97), (0.4, -0.85), (0.66, -0.4), (0.62, 0.2)])
    cover, normal = tube(canvas, band, rng.uniform(0.06, 0.11))
    cable = curve([(-0.6, 0.62), (-0.55, 0.85), (-0.2, 0.93), (0.1, 0.8), (0.4, 0.95), (0.85, 0.9)])
    wire, wire_normal = tube(canvas, cable, rng.uniform(0.014, 0.026))
    parts = [
        Part(wire, wire_normal, painted(canvas, tone_of(rng, "dark")), SATIN),
        Part(cover, normal, painted(canvas, color), SATIN),
    ]
    for side in (-1, 1):
        cushion = polygon(canvas, rounded(side * 0.62 - 0.2, 0.0, side * 0.62 + 0.2, 0.66, 0.18))
        grain = noise(rng, cushion.shape, 5, 2)
        pad = normals_of((pillowed(cushion, 0.17 * canvas.unit_px) + 0.7 * grain).astype(np.float32), 1.0)
        parts.append(Part(cushion, pad, painted(canvas, tone_of(rng, tone)), Finish(0.25, 0.5)))
        plate = polygon(canvas, ellipse(side * 0.66, 0.33, 0.12, 0.25))
        parts.append(
            Part(
                plate,
                normals_of(pillowed(plate, 10), 0.6),
                painted(canvas, color),
                BRUSHED if rng.random() < 0.5 else LACQUER,
            )
        )
    return Product(tuple(parts), "electronics", frozenset({"opaque", "hole", "thin"}), lying=True)


def watch(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A watch from above: dial with numerals and hands, steel case, grained strap with holes."""
    color = tone_of(rng, tone)
    half = rng.uniform(0.2, 0.27)
    holes = [ellipse(0, 0.66 + 0.07 * k, 0.016, 0.016) for k in range(4)]
    strap = polygon(canvas, rounded(-half, -1.0, half, 1.0, 0.1), *holes)
    grain = noise(rng, strap.shape, 5, 2)
    parts = [
        Part(
            strap,
            normals_of((pillowed(strap, 0.05 * canvas.unit_px) + 0.8 * grain).astype(np.float32), 1.0),
            painted(canvas, color),
            Finish(0.3, 0.45),
        )
    ]
    for x in (-half + 0.03, half - 0.03):
        for ends in ((-0.97, -0.4), (0.4, 0.97)):
            line = stroke(canvas, [(x, ends[0]), (x, ends[1])], 0.008)
            parts.append(Part(line, flat(canvas), painted(canvas, ink_on(rng, color)), MATTE))
    case = polygon(canvas, ellipse(0, 0, 0.45, 0.45))
    parts.append(
        Part(case, normals_of(pillowed(case, 0.06 * canvas.unit_px), 1.0), painted(canvas, (205, 205, 208)), STEEL)
    )
    dial = polygon(canvas, ellipse(0, 0, 0.38, 0.38))
    across, down = canvas.grid()
    albedo = printed(
        painted(canvas, (0, 0, 0)), _dial(rng, tone_of(rng, tone)), (across + 0.38) / 0.76, (down + 0.38) / 0.76
    )
    parts.append(Part(dial, flat(canvas), albedo, Finish(0.35, 0.08)))
    return Product(tuple(parts), "fashion", frozenset({"opaque"}), lying=True)


def _dial(rng: Rng, color: tuple[int, int, int]) -> Floats:
    side = 700
    sheet = Image.new("RGB", (side, side), color)
    pen = ImageDraw.Draw(sheet)
    ink = ink_on(rng, color)
    for k in range(60):
        angle = k * np.pi / 30
        inner = 0.80 if k % 5 else 0.74
        ends = [(side / 2 * (1 + s * np.sin(angle)), side / 2 * (1 - s * np.cos(angle))) for s in (inner, 0.9)]
        pen.line(ends, fill=ink, width=3 if k % 5 else 8)
        if k % 5 == 0:
            pen.text(
                (side / 2 * (1 + 0.6 * np.sin(angle)), side / 2 * (1 - 0.6 * np.cos(angle))),
                str(k // 5 or 12),
                font=face(0, 64, latin=True),
                fill=ink,
                anchor="mm",
            )
    for angle, length, width in (
        (rng.uniform(0, 6.3), 0.45, 16),
        (rng.uniform(0, 6.3), 0.68, 10),
        (rng.uniform(0, 6.3), 0.75, 3),
    ):
        pen.line(
            [(side / 2, side / 2), (side / 2 * (1 + length * np.sin(angle)), side / 2 * (1 - length * np.cos(angle)))],
            fill=ink,
            width=width,
        )
    return np.dstack([linear(np.asarray(sheet, np.float32)), np.ones((side, side), np.float32)]).astype(np.float32)


def spectacles(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """Spectacles: a thin frame around clear or tinted lenses."""
    color = tone_of(rng, tone)
    width = rng.uniform(0.03, 0.075)
    parts = []
    clear = rng.random() < 0.5
    for side in (-1, 1):
        ring = rounded(side * 0.5 - 0.4, -0.28, side * 0.5 + 0.4, 0.32, rng.uniform(0.15, 0.3))
        lens = polygon(canvas, ring)
        tint = (225, 232, 235) if clear else tone_of(rng, "dark")
        parts.append(
            Part(lens, normals_of(pillowed(lens, 60), 0.15), painted(canvas, tint), GLASS if clear else LACQUER)
        )
    finish = LACQUER if rng.random() < 0.5 else STEEL
    for side in (-1, 1):
        ring = rounded(side * 0.5 - 0.4, -0.28, side * 0.5 + 0.4, 0.32, 0.22)
        frame, normal = tube(canvas, ring, width, closed=True)
        parts.append(Part(frame, normal, painted(canvas, color), finish))
        arm, arm_normal = tube(canvas, curve([(side * 0.9, -0.18), (side * 0.97, -0.3), (side * 0.99, -0.55)]), width)
        parts.append(Part(arm, arm_normal, painted(canvas, color), finish))
    bridge, normal = tube(canvas, curve([(-0.12, -0.08), (0, -0.16), (0.12, -0.08)]), width)
    parts.append(Part(bridge, normal, painted(canvas, color), finish))
    return Product(
        tuple(parts), "fashion", frozenset({"thin", "hole", "glass"} if clear else {"opaque", "thin"}), lying=True
    )


def lamp(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A table lamp: shade, thin pole, base and a cable."""
    color = tone_of(rng, tone)
    x = rng.uniform(-0.1, 0.1)
    cable = curve([(x + 0.2, 0.94), (0.5, 0.9), (0.6, 0.97), (0.95, 0.88)])
    wire, wire_normal = tube(canvas, cable, rng.uniform(0.012, 0.02))
    pole, pole_normal = tube(canvas, [(x, -0.5), (x, 0.9)], rng.uniform(0.022, 0.045))
    base, base_normal, _, _ = lathe(canvas, [(0.86, 0.3), (0.97, 0.32)], x=x, tilt=0.2)
    shade, shade_normal, _, _ = lathe(
        canvas, [(-1.0, rng.uniform(0.2, 0.36)), (-0.35, rng.uniform(0.42, 0.6))], x=x, tilt=0.12
    )
    cloth = woven(rng, canvas, color, 0.08) if rng.random() < 0.5 else painted(canvas, color)
    metal = painted(canvas, (196, 170, 120))
    parts = (
        Part(wire, wire_normal, painted(canvas, (40, 40, 42)), MATTE),
        Part(pole, pole_normal, metal, STEEL),
        Part(base, base_normal, metal, BRUSHED),
        Part(shade, shade_normal, cloth, MATTE),
    )
    return Product(parts, "home", frozenset({"opaque", "thin"}))


def bowl(rng: Rng, canvas: Canvas, tone: str) -> Product:
    """A bowl, its inside seen from above; plain glaze or a painted rim."""
    color = tone_of(rng, tone)
    cover, normal, _, _ = lathe(canvas, [(-0.25, 0.98), (0.1, 0.86), (0.42, 0.5), (0.5, 0.42)], tilt=0.3)
    speckle = (noise(rng, cover.shape, 3, 1) > 2.6).astype(np.float32)[..., None] * (rng.random() < 0.5)
    glaze = painted(canvas, color) * (1 - 0.6 * cv2.GaussianBlur(speckle, (0, 0), 0.8).reshape(*cover.shape, 1))
    finish = Finish(0.8, 0.15)
    inside = polygon(canvas, ellipse(0, -0.25, 0.93, 0.3 * 0.93))
    rim = polygon(canvas, ellipse(0, -0.25, 0.98, 0.3 * 0.98), ellipse(0, -0.25, 0.93, 0.3 * 0.93))
    hollow = normals_of(-1.5 * pillowed(inside, 0.4 * canvas.unit_px), 1.0)
    parts = (
        Part(cover, normal, glaze.astype(np.float32), finish),
        Part(inside, hollow, (glaze * 0.85).astype(np.float32), finish),
        Part(rim, flat(canvas, (0, -0.5, 0.8)), painted(canvas, ink_on(rng, color)), finish),
    )
    return Product(parts, "home", frozenset({"opaque"}))
