"""Does every text in the finished picture read as it should? A wrong price is the worst thing we could publish."""

from __future__ import annotations

import unicodedata

import cv2
import numpy as np

from zimage_core.domain import Box, Finding, Language, PlacedText
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.evidence import Evidence, window
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.reading import Reader, Reading, plain, same_text
from zimage_core.quality.reading.glyphs import likeness
from zimage_core.quality.rubric import Rubric

NAME = "text_truth"
_SLOP_RATIO = 0.10  # of the line's height; up to here a larger box costs the reader next to nothing
_TWO_LINES_BELOW = 0.55
_NARROW_EM = 0.5
_BAR_SHARE = 0.9
_MAX_BAR_RATIO = 0.25
_AROUND_RATIO = 0.4
_LIKE_ITSELF = 0.85  # of a glyph set in its own face; other characters stay below it or beat the text's own
_CLEARLY = 0.03
_LOOKS_RIGHT = 0.75
_DOUBT = 0.5  # between veto and cap, so that a person decides: the readers disagree, or the text may not veto


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return one finding per placed text: how far the finished pixels support exactly this text (0..1).

    Texts the reader rejects are shown to a second, unrelated reader; where it reads the expected text, the two disagree
    and a person decides instead of a veto.
    """
    texts = evidence.given.placed_texts
    if not texts:
        return (not_applicable(NAME, "No text was drawn."),)
    return tuple(read_back(evidence.given.finished_rgb, text, evidence.reader, rubric) for text in texts)


def read_back(rgb: Rgb, text: PlacedText, reader: Reader, rubric: Rubric) -> Finding:
    """Return how far a picture (H, W, 3) uint8 supports that `text` stands in its box, and a sentence of what it reads.

    Vetoed where another text stands there and the role is one that may not be wrong (a price). Also asked of files that
    are about to be published, after scaling and compression.
    """
    rule = rubric.checks.text_truth
    lines = lines_of(rgb, text)
    role = text.role.replace("_", " ")
    if not lines:
        sentence = f"The {role} '{text.text}' lies outside the picture."
        return measured(rubric, NAME, 0.0, "certainty", sentence, box=text.box, may_veto=text.role in rule.veto_roles)
    reading = reader.verify(lines, text.text, sure=rule.sure_certainty)
    if text.role == "original_price" and reading.certainty < rule.sure_certainty:
        unstruck = tuple(without_strike(line) for line in lines)
        again = reader.verify(unstruck, text.text, sure=rule.sure_certainty)
        reading = max(reading, again, key=lambda look: look.certainty)
    value, score = reading.certainty, rule.curve.score(reading.certainty)
    sentence = f"The {role} reads '{text.text}'."
    if score < rubric.cap_below and _looks_right(rgb, text, lines, reading.read, reader):
        score = max(score, _LOOKS_RIGHT)
        sentence = f"The {role} has the glyphs of '{text.text}', though one reader reads '{reading.read}'."
    elif score < rubric.cap_below:
        agrees = _second_reader_agrees(reader, lines, text)
        score = max(score, _DOUBT) if agrees or text.role not in rule.veto_roles else score
        sentence = _sentence(role, text.text, reading, agrees)
    return measured(
        rubric,
        NAME,
        value,
        "certainty",
        sentence,
        box=text.box,
        score=score,
        may_veto=text.role in rule.veto_roles,
    )


def _looks_right(finished: Rgb, text: PlacedText, lines: tuple[Rgb, ...], read: str, reader: Reader) -> bool:
    """Tell whether the glyphs are the text's, and clearly not those of what was read (減 for 减): the face is known."""
    if len(lines) != 1 or text.role == "original_price":
        return False
    box = text.box
    rows, columns = window(box, finished.shape[1], finished.shape[0], grow_px=round(_AROUND_RATIO * box.height_px))
    inner = window(box, finished.shape[1], finished.shape[0], grow_px=round(_SLOP_RATIO * box.height_px))[1]
    width_px = columns.stop - columns.start
    centres = [
        (inner.start - columns.start + centre * (inner.stop - inner.start)) / width_px
        for centre in reader.align(lines[0], text.text).centres
    ]
    around: Rgb = np.ascontiguousarray(finished[rows, columns])
    meant = likeness(around, text.text, centres, box.height_px)
    if meant.worst < _LIKE_ITSELF or same_text(read, text.text):
        return meant.worst >= _LIKE_ITSELF
    if len(plain(read)) != len(plain(text.text)):
        return False
    return likeness(around, read, centres, box.height_px).worst < meant.worst - _CLEARLY


def _second_reader_agrees(reader: Reader, lines: tuple[Rgb, ...], text: PlacedText) -> bool:
    language: Language = "zh" if any(ord(character) > 0x2E7F for character in text.text) else "en"
    read = [reader.second_opinion(line, language) for line in lines]
    return None not in read and same_text("".join(part or "" for part in read), text.text)


def _sentence(role: str, wanted: str, reading: Reading, agrees: bool) -> str:
    if agrees:
        return f"The {role} '{wanted}' is doubtful: one reader reads '{reading.read}', the other '{wanted}'."
    if not reading.read:
        return f"The {role} cannot be read; it should be '{wanted}'."
    if same_text(reading.read, wanted):
        return f"The {role} '{wanted}' can be read only with doubt ({reading.certainty:.0%} certain)."
    return f"The {role} reads '{reading.read}', it should be '{wanted}'."


def lines_of(finished: Rgb, text: PlacedText) -> tuple[Rgb, ...]:
    """Return the text's lines as pictures: one, or two where the box is far too narrow for its characters in one."""
    box = text.box
    ems = sum(1.0 if unicodedata.east_asian_width(c) in "WF" else _NARROW_EM for c in text.text)
    if len(text.text) > 1 and box.width_px < _TWO_LINES_BELOW * ems * box.height_px:
        parts = _halves(finished, box)
    else:
        parts = (box,)
    height_px, width_px = finished.shape[:2]
    crops = [finished[window(part, width_px, height_px, grow_px=round(_SLOP_RATIO * part.height_px))] for part in parts]
    return tuple(crop for crop in crops if crop.size)


def without_strike(line_rgb: Rgb) -> Rgb:
    """Return a line of text with a horizontal bar through its middle half painted over from the rows around it.

    An old price is struck through, which turns digits into others for a reader; the rows of the bar are those with ink
    nearly all the way across.
    """
    grey = cv2.cvtColor(line_rgb, cv2.COLOR_RGB2GRAY)
    _, bright = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ink = bright if float(bright.mean()) < 0.5 else 1 - bright
    height = grey.shape[0]
    columns = np.flatnonzero(ink.any(axis=0))
    if columns.size == 0 or height < 8:
        return line_rgb
    across = ink[:, columns[0] : columns[-1] + 1].mean(axis=1)
    rows = [row for row in range(height // 4, height - height // 4) if across[row] >= _BAR_SHARE]
    if not rows or rows[-1] - rows[0] + 1 > _MAX_BAR_RATIO * height:
        return line_rgb
    top, bottom = rows[0] - 2, rows[-1] + 2  # antialiased rims included
    weight = np.linspace(0.0, 1.0, bottom - top + 1)[:, None, None]
    painted = line_rgb.copy()
    painted[top : bottom + 1] = np.rint(line_rgb[top] * (1.0 - weight) + line_rgb[bottom] * weight).astype(np.uint8)
    return painted


def _halves(finished: Rgb, box: Box) -> tuple[Box, ...]:
    """Return two boxes, split at the emptiest row near the middle."""
    crop = finished[window(box, finished.shape[1], finished.shape[0])]
    if crop.shape[0] < 8 or crop.shape[1] < 2:
        return (box,)
    spread = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32).std(axis=1)
    rows = np.arange(len(spread))
    middle = (rows > 0.3 * len(rows)) & (rows < 0.7 * len(rows))
    gap = rows[middle][spread[middle] <= spread[middle].min() + 1.0]
    cut = int(np.median(gap))
    return (
        Box(box.x_px, box.y_px, box.width_px, cut),
        Box(box.x_px, box.y_px + cut, box.width_px, box.height_px - cut),
    )
