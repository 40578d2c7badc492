"""An expected text whose place is not known: found among the lines of a picture, read, and compared glyph by glyph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from zimage_core.domain import Box
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.reading.alignment import Letter
from zimage_core.quality.reading.detection import TextLine, straightened
from zimage_core.quality.reading.glyphs import Likeness, likeness, shown_characters
from zimage_core.quality.reading.reader import Reader, Reading
from zimage_core.quality.reading.words import closeness, plain, same_text

_RECOGNISABLE = 0.34
"""A line with less of the expected text is another text."""
_MOST_LINES = 3
_LEAST_LETTERS = 2
_LEAST_PROBABILITY = 0.4
_SAME_ROW = 0.5
_GAP_ACROSS = 2.5
_GAP_DOWN = 1.5
_WORD_GAP = 1.7
"""A gap between letters this much wider than usual parts two texts on one line."""
_AROUND_RATIO = 0.5
_SOFTENED_RATIO = 0.04
"""Blur, in heights of the line, that takes grain and ringing off letters without closing them."""

# In a face that is not installed all glyphs are less like ours, the right ones too: where the reader is steady, scores
# are made good by twice what the best face lacks. Where a face fits all but perfectly, as much is taken off. On seed A,
# set in 77 faces not compared with (Lato, Roboto, Open Sans, EB Garamond, Liberation, WenQuanYi, AR PL Kai and others),
# 8 of 110 right lines stay below 0.83 instead of 32, and 2 of 16 garbled texts reach it instead of 1.
_OWN_FACE_FIT = 0.96
_LEEWAY = 2.0
_LEAST_LEEWAY, _MOST_LEEWAY = -0.05, 0.20
_STEADY_STRETCHES = (1.0, 0.6, 0.8, 1.25)
_STEADY = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class ReadLine:
    """A found line, cut out level, with its free reading."""

    line: TextLine
    rgb: Rgb
    letters: tuple[Letter, ...]

    @property
    def text(self) -> str:
        """The free reading, spaces left out."""
        return "".join(letter.character for letter in self.letters)


@dataclass(frozen=True, slots=True)
class Part:
    """A line and the part of the expected text that should stand on it."""

    line: ReadLine
    expected: str


def read_lines(reader: Reader, rgb: Rgb, lines: Sequence[TextLine]) -> tuple[ReadLine, ...]:
    """Return the lines with what they read as."""
    cuts = [straightened(rgb, line) for line in lines]
    return tuple(ReadLine(line, cut, reader.letters(cut)) for line, cut in zip(lines, cuts, strict=True))


def is_writing(line: ReadLine) -> bool:
    """Tell whether a found line reads as letters; a disc, a bar or a fold reads as one letter at most, and poorly."""
    sure = [letter.probability for letter in line.letters]
    return len(sure) >= _LEAST_LETTERS and float(np.mean(sure)) >= _LEAST_PROBABILITY


def best_parts(lines: Sequence[ReadLine], expected: str) -> tuple[tuple[Part, ...], float]:
    """Return where the expected text most probably stands, and how close the free reading comes to it (0..1).

    It may be part of a line, set off by a gap, or stand on up to three lines that follow each other.
    """
    wanted = plain(expected)
    shown = shown_characters(expected)
    best: tuple[tuple[Part, ...], float] = ((), 0.0)
    for group in _groups([_words_of(line, wanted) for line in lines]):
        read = "".join(line.text for line in group)
        close = closeness(read, expected)
        if close > best[1] and close >= _RECOGNISABLE:
            best = (_shared_out(group, shown if len(shown) == len(wanted) else wanted), close)
    return best


def verified(reader: Reader, parts: Sequence[Part], *, sure: float) -> Reading:
    """Return how far the lines support their parts of the expected text: the weakest of them.

    A line that leaves doubt is read again softened, for grain and ringing; the surer reading counts.
    """
    readings = []
    for part in parts:
        reading = reader.verify((part.line.rgb,), part.expected, sure=sure)
        if reading.certainty < sure:
            blur_px = _SOFTENED_RATIO * part.line.rgb.shape[0]
            soft: Rgb = np.asarray(cv2.GaussianBlur(part.line.rgb, (0, 0), blur_px), dtype=np.uint8)
            again = reader.verify((soft,), part.expected, sure=sure)
            reading = max(reading, again, key=lambda look: look.certainty)
        readings.append(reading)
    weakest = min(readings, key=lambda reading: reading.certainty)
    return Reading("".join(reading.read for reading in readings), weakest.certainty)


def shapes(reader: Reader, rgb: Rgb, parts: Sequence[Part]) -> Likeness:
    """Return how much the glyphs look like the expected text's; without scores where no face can say.

    A text that reads as it should, steadily, is not held to a face that is not installed here.
    """
    scores: list[float] = []
    face: str | None = None
    fit = 1.0
    for part in parts:
        alike = same_text(part.line.text, part.expected) and len(part.line.text) == len(part.expected)
        spelled = part.line.text if alike else part.expected  # in the case that was written
        found = shape_of_line(reader, rgb, part.line.line, part.line.rgb, spelled)
        if not found.scores:
            return found
        leeway = _leeway(reader, part, found.fit) if alike else 0.0
        scores += [min(1.0, score + leeway) for score in found.scores]
        face, fit = found.face, min(fit, found.fit)
    return Likeness(tuple(scores), face, fit)


def _leeway(reader: Reader, part: Part, fit: float) -> float:
    """Return what is added to a line's scores for how well the best face fits it."""
    leeway = float(np.clip(_LEEWAY * (_OWN_FACE_FIT - fit), _LEAST_LEEWAY, _MOST_LEEWAY))
    return leeway if leeway < 0.0 or _is_steady(reader, part) else 0.0


def _is_steady(reader: Reader, part: Part) -> bool:
    """Tell whether a line supports its text however wide it is shown: right glyphs do, half of the garbled do not."""
    height, width = part.line.rgb.shape[:2]
    for stretch in _STEADY_STRETCHES:
        size = (max(1, round(stretch * width)), height)
        shown: Rgb = np.asarray(cv2.resize(part.line.rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        if reader.align(shown, part.expected).certainty < _STEADY:
            return False
    return True


def shape_of_line(reader: Reader, rgb: Rgb, line: TextLine, cut: Rgb, expected: str) -> Likeness:
    """Return how much the glyphs of one line look like a text's; `cut` is the line cut out level."""
    around = straightened(rgb, line, grow_ratio=_AROUND_RATIO)
    grown_px = _AROUND_RATIO * line.height_px
    centres = [(grown_px + c * line.width_px) / around.shape[1] for c in reader.align(cut, expected).centres]
    return likeness(around, expected, centres, line.height_px)


def box_of(parts: Sequence[Part]) -> Box | None:
    """Return the box around all parts, None when there are none."""
    if not parts:
        return None
    boxes = [part.line.line.box for part in parts]
    left, top = min(box.x_px for box in boxes), min(box.y_px for box in boxes)
    right, bottom = max(box.right_px for box in boxes), max(box.bottom_px for box in boxes)
    return Box(left, top, right - left, bottom - top)


def _words_of(line: ReadLine, wanted: str) -> ReadLine:
    """Return the part of a line that reads as the wanted text when gaps set it off, else the whole line."""
    read = "".join(plain(letter.character) for letter in line.letters)
    start = read.find(wanted)
    if start < 0 or read == wanted or len(read) != len(line.letters):
        return line
    centres = np.array([letter.centre for letter in line.letters])
    steps = np.diff(centres)
    usual = float(np.median(steps))
    end = start + len(wanted)
    before_parts = start == 0 or steps[start - 1] >= _WORD_GAP * usual
    after_parts = end == len(read) or steps[end - 1] >= _WORD_GAP * usual
    if not (before_parts and after_parts):
        return line
    left = 0.0 if start == 0 else float(centres[start - 1] + centres[start]) / 2
    right = 1.0 if end == len(read) else float(centres[end - 1] + centres[end]) / 2
    return _cut_down(line, left, right, slice(start, end))


def _cut_down(line: ReadLine, left: float, right: float, kept: slice) -> ReadLine:
    """Return a line between two shares of its width, with the letters kept there."""
    whole, width = line.line, line.rgb.shape[1]
    turn = np.deg2rad(whole.angle_deg)
    shift_px = ((left + right) / 2 - 0.5) * whole.width_px
    part = TextLine(
        whole.x_px + shift_px * float(np.cos(turn)),
        whole.y_px + shift_px * float(np.sin(turn)),
        (right - left) * whole.width_px,
        whole.height_px,
        whole.angle_deg,
        whole.probability,
    )
    letters = tuple(
        Letter(letter.character, (letter.centre - left) / (right - left), letter.probability)
        for letter in line.letters[kept]
    )
    return ReadLine(
        part, line.rgb[:, round(left * width) : max(round(left * width) + 1, round(right * width))], letters
    )


def _groups(lines: Sequence[ReadLine]) -> Iterator[tuple[ReadLine, ...]]:
    """Yield every line, and every run of up to three lines that follow each other, shorter runs first."""
    runs: list[tuple[ReadLine, ...]] = [(line,) for line in lines]
    for _ in range(_MOST_LINES):
        yield from runs
        runs = [(*run, line) for run in runs for line in lines if line not in run and _follows(run[-1].line, line.line)]


def _follows(one: TextLine, other: TextLine) -> bool:
    """Tell whether a line goes on where another ends: beside it on the same row, or below it."""
    height = max(one.height_px, other.height_px)
    if min(one.height_px, other.height_px) < 0.4 * height:
        return False
    across = other.x_px - other.width_px / 2 - (one.x_px + one.width_px / 2)
    if abs(one.y_px - other.y_px) < _SAME_ROW * height:
        return -0.5 * height < across < _GAP_ACROSS * height
    down = other.y_px - one.y_px
    overlap = abs(one.x_px - other.x_px) < (one.width_px + other.width_px) / 2
    return overlap and 0.5 * height < down < _GAP_DOWN * height


def _shared_out(group: Sequence[ReadLine], wanted: str) -> tuple[Part, ...]:
    """Return the lines with the share of the wanted text that suits each best."""
    if len(group) == 1 or len(wanted) < len(group):
        return tuple(Part(line, wanted) for line in group[:1])
    first, rest = group[0], group[1:]
    rest_text = "".join(line.text for line in rest)

    def fit(cut: int) -> float:
        return cut * closeness(first.text, wanted[:cut]) + (len(wanted) - cut) * closeness(rest_text, wanted[cut:])

    cut = max(range(1, len(wanted) - len(rest) + 1), key=fit)
    return (Part(first, wanted[:cut]), *_shared_out(rest, wanted[cut:]))
