"""Does a mark lie over the picture: a photo agency's name across it, a generator's signature in a corner?

Such marks are writing of little contrast, often repeated. They are looked for where the local contrast is brought to
the same level everywhere, so that a mark of six levels stands out as one of sixty. Writing of full contrast is left to
`unexpected_text` where the rubric asks that too. Beside a product there is mostly plain ground, and then no detector is
asked; else it is asked of the part of the picture that has strokes. A mark across the product itself is for the
fidelity checks to find. Where the product was only told from its backdrop a mark may have been taken for a part of it,
so the product is searched too.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from zimage_core.domain import Finding
from zimage_core.imaging.pixels import Plane, Rgb
from zimage_core.quality.checks import unexpected_text
from zimage_core.quality.evidence import Evidence, window
from zimage_core.quality.findings import measured
from zimage_core.quality.reading.anywhere import ReadLine
from zimage_core.quality.reading.detection import straightened
from zimage_core.quality.rubric import Rubric
from zimage_core.quality.strokes import where_writing_could_be

NAME = "watermark"
_SIDE_PX = 720
_GROUND_RATIO = 0.02  # of the short side: what is wider than this is ground, not mark
_LEAST_SPREAD_LEVELS = 3.0  # grain is not blown up to writing
_GAIN_LEVELS = 50.0
_LEAST_LETTERS = 3
_FAINT = 70.0
"""Levels between mark and ground: white of 40 % opacity on mid grey makes 50."""


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return how many lines of writing lie over the picture that nobody asked for."""
    marks = _marks(evidence)
    if rubric.rule(unexpected_text.NAME).when.holds(evidence.given.scene.name, evidence.given.mode):
        shown = evidence.given.finished_rgb
        marks = [line for line in marks if _contrast(straightened(shown, line.line)) <= _FAINT]
    if not marks:
        return (measured(rubric, NAME, 0.0, "lines", "There is no watermark."),)
    largest = max(marks, key=lambda line: line.line.box.width_px * line.line.box.height_px)
    often = f"; it is there {len(marks)} times" if len(marks) > 1 else ""
    sentence = f"There is writing over the picture, like a watermark: '{largest.text}'{often}."
    return (measured(rubric, NAME, float(len(marks)), "lines", sentence, box=largest.line.box),)


def _marks(evidence: Evidence) -> list[ReadLine]:
    """Return the lines of writing of any contrast that nobody asked for, read from the levelled picture."""
    grey = evidence.finished_grey
    allowed = unexpected_text.where_allowed(evidence, within_product=evidence.outline_known)
    part = where_writing_could_be(grey, allowed)
    if part is None:
        return []
    rows, columns = window(part, grey.shape[1], grey.shape[0])
    levelled = with_level_contrast(grey, rows, columns)
    side_px = max(1, round(_SIDE_PX * max(part.width_px, part.height_px) / max(grey.shape)))
    found = evidence.reader.find_lines(np.ascontiguousarray(levelled[rows, columns]), side_px=side_px)
    lines = [replace(line, x_px=line.x_px + part.x_px, y_px=line.y_px + part.y_px) for line in found]
    return [line for line in unexpected_text.unexplained(evidence, levelled, lines) if is_a_mark(line.text)]


def is_a_mark(text: str) -> bool:
    """Tell whether a reading is more than two rings: a lamp's rims and a pair of spectacles read as `o0` and `oo`."""
    return len(text) >= _LEAST_LETTERS or not text.isascii()


def with_level_contrast(grey: Plane, rows: slice, columns: slice) -> Rgb:
    """Return (H, W, 3) grey: some rows and columns of the picture less its ground, over the local spread, about mid
    grey; the rest is mid grey."""
    reach = max(3, round(_GROUND_RATIO * min(grey.shape)) | 1)
    top, left = (max(0, side.start - 3 * reach) for side in (rows, columns))  # what the means below reach
    near = grey[top : rows.stop + 3 * reach, left : columns.stop + 3 * reach].astype(np.float32)
    off = cv2.GaussianBlur(near - cv2.blur(near, (reach, reach)), (0, 0), 1.0)
    spread = np.sqrt(np.maximum(cv2.blur(off * off, (3 * reach, 3 * reach)), 0.0))  # running sums may dip below 0
    level = np.clip(128.0 + _GAIN_LEVELS * off / np.maximum(spread, _LEAST_SPREAD_LEVELS), 0, 255).astype(np.uint8)
    part = level[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    levelled = np.full((*grey.shape, 3), 128, np.uint8)
    levelled[rows, columns] = part[..., None]
    return levelled


def _contrast(line_rgb: Rgb) -> float:
    """Return how many levels lie between the two sides of Otsu's threshold, at their medians."""
    grey = np.asarray(cv2.cvtColor(line_rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    above = grey > threshold
    return 0.0 if above.all() or not above.any() else float(np.median(grey[above]) - np.median(grey[~above]))
