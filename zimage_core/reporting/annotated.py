"""A graded picture for people: what was found is framed in it, and said beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zimage_core.domain import Finding, Grade
from zimage_core.imaging.fonts import load_font
from zimage_core.imaging.pixels import Rgb, encode_png

MAX_SIDE_PX = 1600
"""Larger pictures are shown smaller: this is for looking at, not for publishing."""
PANEL_PX = 520
TEXT_PX = 20
_PAD_PX = 16
_INK = (34, 34, 34)
_PAPER = (250, 249, 247)
_COLOURS = {"veto": (196, 30, 30), "failed": (214, 120, 0), "passed": (30, 130, 70)}


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    finding: Finding
    colour: tuple[int, int, int]


def annotated_png(rgb: Rgb, grade: Grade) -> bytes:
    """Return a PNG of the picture, (H, W, 3) uint8, with failed findings framed and numbered, and a panel saying them.

    Red is a veto, orange keeps the picture from an A. Findings without a place are listed only. Equal arguments give
    equal bytes.
    """
    picture = Image.fromarray(rgb)
    scale = min(1.0, MAX_SIDE_PX / max(picture.size))
    if scale < 1.0:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    lines = _numbered(grade.findings)
    panel = _panel(grade, lines)
    sheet = Image.new("RGB", (picture.width + PANEL_PX, max(picture.height, panel.height)), _PAPER)
    sheet.paste(picture, (0, 0))
    sheet.paste(panel, (picture.width, 0))
    draw = ImageDraw.Draw(sheet)
    for line in lines:
        _frame(draw, line, scale, picture.size)
    return encode_png(np.asarray(sheet, dtype=np.uint8))


def _numbered(findings: Sequence[Finding]) -> list[_Line]:
    failing = sorted((one for one in findings if not one.passed), key=lambda one: (not one.veto, one.score or 0.0))
    return [
        _Line(number, finding, _COLOURS["veto" if finding.veto else "failed"])
        for number, finding in enumerate(failing, start=1)
    ]


def _frame(draw: ImageDraw.ImageDraw, line: _Line, scale: float, size: tuple[int, int]) -> None:
    box = line.finding.box
    if box is None:
        return
    left, top = max(0, round(box.x_px * scale)), max(0, round(box.y_px * scale))
    right = min(size[0] - 1, round(box.right_px * scale))
    bottom = min(size[1] - 1, round(box.bottom_px * scale))
    if right <= left or bottom <= top:
        return
    draw.rectangle((left, top, right, bottom), outline=line.colour, width=3)
    font = load_font("sans", bold=True, size_px=TEXT_PX)
    words = f" {line.number} "
    width = round(font.getlength(words))
    y = top if top + TEXT_PX + 6 <= bottom else max(0, top - TEXT_PX - 6)
    draw.rectangle((left, y, left + width, y + TEXT_PX + 6), fill=line.colour)
    draw.text((left, y), words, fill=(255, 255, 255), font=font)


def _panel(grade: Grade, lines: Sequence[_Line]) -> Image.Image:
    bold, plain = load_font("sans", bold=True, size_px=TEXT_PX), load_font("sans", bold=False, size_px=TEXT_PX)
    big = load_font("sans", bold=True, size_px=2 * TEXT_PX)
    passed = [one for one in grade.findings if one.state == "measured" and one.passed]
    texts: list[tuple[str, ImageFont.FreeTypeFont, tuple[int, int, int]]] = [
        (f"{grade.letter}   {grade.score:.2f}", big, _COLOURS["passed" if grade.letter == "A" else "failed"])
    ]
    texts += [(f"{line.number}  {line.finding.sentence}", plain, line.colour) for line in lines]
    texts.append((f"{len(passed)} checks passed: {', '.join(_words(one) for one in passed)}", plain, _INK))
    texts.append((f"rubric {grade.rubric_hash}", bold, _INK))
    rows = [(row, font, colour) for text, font, colour in texts for row in _wrapped(text, font)]
    height = 2 * _PAD_PX + sum(round(font.size * 1.5) for _, font, _ in rows)
    panel = Image.new("RGB", (PANEL_PX, height), _PAPER)
    draw = ImageDraw.Draw(panel)
    y = _PAD_PX
    for row, font, colour in rows:
        draw.text((_PAD_PX, y), row, fill=colour, font=font)
        y += round(font.size * 1.5)
    return panel


def _words(finding: Finding) -> str:
    return finding.check.replace("_", " ")


def _wrapped(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """Return a text as rows that fit the panel; between Chinese characters a row may end anywhere."""
    rows, row = [], ""
    for part in _parts(text):
        if row and font.getlength(row + part.rstrip()) > PANEL_PX - 2 * _PAD_PX:
            rows.append(row.rstrip())
            row = part.lstrip()
        else:
            row += part
    return [*rows, row.rstrip()]


def _parts(text: str) -> list[str]:
    """Return the pieces a text may be broken between: words with the space behind them, wide characters singly."""
    parts, word = [], ""
    for character in text:
        word += character
        if character.isspace() or ord(character) > 0x2E7F:
            parts.append(word)
            word = ""
    return [*parts, word] if word else parts
