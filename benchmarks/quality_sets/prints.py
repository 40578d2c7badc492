"""Printed labels and screens: what makes a product's surface readable, drawn with the fonts of the machine."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.quality_sets.surfaces import Floats, linear
from zimage_core.imaging.fonts import find_font

BRANDS = (
    "NUOWU",
    "LUEUR",
    "OAKFIELD",
    "Mira & Co",
    "KANTO",
    "aera",
    "SOLVEIG",
    "VELLUM",
    "北岸",
    "小满",
    "山野集",
    "知物",
)
LINES = (
    "hydrating cream",
    "COLD PRESSED",
    "No. 21",
    "since 1987",
    "extra fine",
    "保湿面霜",
    "原味",
    "经典款",
    "冷榨初榨",
    "Net wt 250 g",
    "50 ml / 1.7 fl oz",
    "净含量 250 克",
    "MADE WITH CARE",
    "organic cotton",
    "天然成分",
    "12 pcs",
)


@lru_cache(maxsize=1)
def latin_faces() -> tuple[Path, ...]:
    """Return font files without Chinese: DejaVu, as fontconfig finds it; empty where it is not installed."""
    found = []
    for style in (
        "DejaVu Sans:style=Bold",
        "DejaVu Sans:style=Book",
        "DejaVu Serif:style=Bold",
        "DejaVu Sans:style=Condensed Bold",
        "DejaVu Sans Mono:style=Bold",
        "DejaVu Serif:style=Italic",
    ):
        answer = subprocess.run(["fc-match", "-f", "%{file}", style], capture_output=True, text=True, check=False)
        path = Path(answer.stdout)
        if answer.returncode == 0 and path.is_file() and "dejavu" in path.name.lower():
            found.append(path)
    return tuple(dict.fromkeys(found))


def is_latin(text: str) -> bool:
    """Tell whether a text needs no Chinese font."""
    return all(ord(character) < 0x250 for character in text)


@lru_cache(maxsize=512)
def face(number: int, size_px: int, latin: bool) -> ImageFont.FreeTypeFont:
    """Return the `number`-th of the faces that can draw the text, at a size: four Noto CJK, then DejaVu."""
    files = [
        (find_font(family, bold).path, find_font(family, bold).index)
        for family in ("sans", "serif")
        for bold in (True, False)
    ]
    if latin:
        files += [(path, 0) for path in latin_faces()]
    path, index = files[number % len(files)]
    return ImageFont.truetype(str(path), size_px, index=index, layout_engine=ImageFont.Layout.BASIC)


def face_count(latin: bool) -> int:
    """Return how many faces can draw such a text."""
    return 4 + (len(latin_faces()) if latin else 0)


def label(
    rng: np.random.Generator,
    width_px: int,
    height_px: int,
    *,
    paper: tuple[int, int, int] | None,
    ink: tuple[int, int, int],
) -> tuple[Floats, tuple[str, ...]]:
    """Return (print (h, w, 4) linear with alpha, its texts): brand, lines, a rule, fine print, sometimes a code."""
    sheet = Image.new("RGBA", (width_px, height_px), (*(paper or (0, 0, 0)), 255 if paper else 0))
    pen = ImageDraw.Draw(sheet)
    brand, line = str(rng.choice(BRANDS)), str(rng.choice(LINES))
    fill = (*ink, 255)
    accent = tuple(int(v) for v in rng.integers(20, 235, 3))
    style = int(rng.integers(0, 4))
    if style == 0:
        pen.rectangle((0, 0, width_px, round(height_px * 0.18)), fill=(*accent, 255))
    elif style == 1:
        inset = round(0.05 * min(width_px, height_px))
        pen.rectangle((inset, inset, width_px - inset, height_px - inset), outline=fill, width=max(2, width_px // 150))
    elif style == 2:
        for _ in range(int(rng.integers(4, 9))):
            x, y = rng.uniform(0, width_px), rng.uniform(height_px * 0.55, height_px)
            r = rng.uniform(0.04, 0.14) * width_px
            pen.ellipse((x - r, y - r, x + r, y + r), fill=(*(int(v) for v in rng.integers(20, 235, 3)), 255))
    _centred(pen, brand, (width_px / 2, height_px * 0.33), round(min(width_px * 0.16, height_px * 0.16)), fill, rng)
    _centred(pen, line, (width_px / 2, height_px * 0.52), round(min(width_px * 0.075, height_px * 0.09)), fill, rng)
    pen.line(
        (width_px * 0.3, height_px * 0.44, width_px * 0.7, height_px * 0.44), fill=fill, width=max(1, height_px // 160)
    )
    small = max(7, round(height_px * 0.028))
    font = face(1, small, latin=True)
    for row in range(int(rng.integers(2, 6))):
        words = " ".join("".join(chr(int(c)) for c in rng.integers(97, 123, int(n))) for n in rng.integers(2, 9, 6))
        pen.text(
            (width_px * 0.2, height_px * (0.66 + 0.045 * row)),
            words[: int(width_px * 0.6 / (small * 0.55))],
            font=font,
            fill=fill,
        )
    if rng.random() < 0.3:
        _bars(pen, rng, (width_px * 0.62, height_px * 0.86, width_px * 0.9, height_px * 0.96))
    pixels = np.asarray(sheet, dtype=np.float32)
    return np.dstack([linear(pixels[..., :3]), pixels[..., 3] / 255]).astype(np.float32), (brand, line)


def _centred(
    pen: ImageDraw.ImageDraw,
    text: str,
    at: tuple[float, float],
    size_px: int,
    fill: tuple[int, ...],
    rng: np.random.Generator,
) -> None:
    latin = is_latin(text)
    font = face(int(rng.integers(0, face_count(latin))), max(8, size_px), latin)
    pen.text(at, text, font=font, fill=fill, anchor="mm")


def _bars(pen: ImageDraw.ImageDraw, rng: np.random.Generator, box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = box
    pen.rectangle(box, fill=(255, 255, 255, 255))
    x = left + 4
    while x < right - 6:
        width = float(rng.integers(1, 5))
        pen.rectangle((x, top + 3, x + width - 1, bottom - 3), fill=(10, 10, 10, 255))
        x += width + float(rng.integers(1, 5))


def screen(rng: np.random.Generator, width_px: int, height_px: int) -> Floats:
    """Return a lit phone screen (h, w, 4) linear: gradient, clock, cards with lines of text."""
    top, bottom = rng.uniform(10, 120, 3), rng.uniform(60, 230, 3)
    ramp = np.linspace(0, 1, height_px)[:, None, None]
    ground = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height_px, width_px, 3)).astype(np.uint8)
    sheet = Image.fromarray(np.ascontiguousarray(ground))
    pen = ImageDraw.Draw(sheet)
    pen.text(
        (width_px / 2, height_px * 0.14),
        f"{int(rng.integers(0, 24)):02d}:{int(rng.integers(0, 60)):02d}",
        font=face(0, round(width_px * 0.22), latin=True),
        fill=(250, 250, 250),
        anchor="mm",
    )
    for row in range(3):
        y = height_px * (0.3 + 0.2 * row)
        pen.rounded_rectangle(
            (width_px * 0.08, y, width_px * 0.92, y + height_px * 0.16),
            width_px // 20,
            fill=tuple(int(v) for v in rng.integers(30, 250, 3)),
        )
        pen.text(
            (width_px * 0.14, y + height_px * 0.03),
            str(rng.choice(LINES)),
            font=face(0, max(8, round(width_px * 0.06)), latin=False),
            fill=(20, 20, 20),
        )
    return np.dstack([linear(np.asarray(sheet, np.float32)), np.ones((height_px, width_px), np.float32)]).astype(
        np.float32
    )
