"""Does each glyph look like the character it is read as? A recogniser alone forgives a quarter of garbled glyphs.

The text is drawn again in the faces installed here that come nearest, laid over the line glyph by glyph at the size,
width and softness that fit the whole line best, and compared by normalised correlation on the axis that tells ink from
ground. Each glyph counts as in the face that shows it best: nobody knows the line's own. Right glyphs reach 0.93 there
and mostly 0.8 in a face that is not installed; one that was mirrored, spliced, warped or lost a stroke nearly always
stays below 0.75. Not seen: a lost decimal point, and a change of less than a fifth of the ink.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.fonts import FontFile, printed_faces
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.reading.redrawn import (
    EM_PX,
    Mono,
    can_draw,
    drawn_between,
    drawn_glyph,
    drawn_glyphs,
    pen_middles,
)

_SCAN_HEIGHT_PX = 36
"""Line height at which face and size are looked for."""
_SCAN_EMS_PX = (15, 17, 19, 21, 23, 26, 29, 32, 35, 39, 43, 47)
_SCAN_SOFTNESS_PX = 0.7
_SCAN_REACH_EM = 0.3
_REACH_EM = 0.2
_SIZES = (0.92, 0.95, 0.98, 1.0, 1.02, 1.05, 1.08)
_ASPECTS = (0.90, 0.95, 1.0, 1.05, 1.10)
_SOFTNESS_PX = (0.5, 0.9, 1.4, 2.0)
_FACES_COMPARED = 5
_VIEW_SIZES = (0.93, 1.07, 0.86, 1.15)
_VIEW_TURNS_DEG = (-2.5, 2.5)
_VIEW_SLANTS = (-0.1, 0.1)
_GOOD_AT_ONCE = 0.88  # nothing is gained by looking on
_GOOD_FACE = 0.90  # nor by another face
_INK, _GROUND = 0.85, 0.05
_AXIS_NOISE = 20.0  # variance in levels that keeps the axis steady on flat ink

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How much each glyph of a line looks like its character: correlations -1..1 in the face that shows it best.

    `face` is the name of the face that fits the whole line best, and `fit` how well it does (the mean of its better two
    thirds); None and 0 when no installed face holds all characters, then there are no scores.
    """

    scores: tuple[float, ...]
    face: str | None
    fit: float = 0.0

    @property
    def worst(self) -> float:
        """The least of the scores, 0 when nothing could be compared."""
        return max(0.0, min(self.scores, default=0.0))

    @property
    def typical(self) -> float:
        """The median of the scores: how well the face itself fits."""
        return max(0.0, float(np.median(self.scores))) if self.scores else 0.0


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a glyph was found: its score and its upper left corner."""

    score: float
    x_px: int
    y_px: int


@dataclass(frozen=True, slots=True)
class _Setting:
    """How a text is set to lie over a line: face, and the line's scale at which the em is `EM_PX`."""

    face: FontFile
    scale: float
    sign: float


def shown_characters(text: str) -> str:
    """Return the characters of a text that leave ink, one per glyph the recogniser aligns."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def likeness(line_rgb: Rgb, text: str, centres: Sequence[float], line_height_px: float) -> Likeness:
    """Return how much the glyphs of a level line look like a text's characters.

    `line_rgb` is (h, w, 3) with some ground around the text, `centres` say where each character is looked for (0..1 of
    the width), `line_height_px` is about the height of the text.
    """
    characters = shown_characters(text)
    faces = [face for face in printed_faces() if all(can_draw(face, c) for c in characters)]
    if not faces or len(centres) != len(characters) or line_rgb.size == 0:
        return Likeness((), None)
    best = np.full(len(characters), -1.0)
    fits: list[tuple[float, str]] = []
    for setting in _settings(line_rgb, characters, centres, line_height_px, faces):
        scores = _compared(line_rgb, characters, centres, setting)
        if scores is None:
            continue
        fits.append((_fit(scores), setting.face.name))
        best = np.maximum(best, scores)
        if best.min() >= _GOOD_FACE:
            break
    if not fits:
        return Likeness((), None)
    fit, name = max(fits)
    return Likeness(tuple(float(score) for score in best), name, fit)


def _settings(
    line_rgb: Rgb, characters: str, centres: Sequence[float], line_height_px: float, faces: Sequence[FontFile]
) -> list[_Setting]:
    """Return the settings that fit best, each of another face: two faces find the size, sizes find the face."""
    scale = _SCAN_HEIGHT_PX / line_height_px
    grey = _resized(cv2.cvtColor(line_rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), scale, scale)

    def fit(face: FontFile, em_px: int) -> tuple[float, float]:
        glyphs = drawn_glyphs(face, characters, em_px, _SCAN_SOFTNESS_PX)
        spots = _found(grey, glyphs, centres, _SCAN_REACH_EM * em_px, sign=0.0)
        scores = np.array([spot.score for spot in spots])
        sign = 1.0 if scores.sum() >= 0 else -1.0
        return _fit(scores * sign), sign

    scouts = [faces[0], faces[len(faces) // 2]]
    ranked_ems = sorted(_SCAN_EMS_PX, key=lambda em_px: -max(fit(face, em_px)[0] for face in scouts))
    tries = [(*fit(face, em_px), face, em_px) for em_px in ranked_ems[:4] for face in faces]
    chosen: dict[str, _Setting] = {}
    for _, sign, face, em_px in sorted(tries, key=lambda entry: -entry[0]):
        chosen.setdefault(face.name, _Setting(face, scale * EM_PX / em_px, sign))
        if len(chosen) == _FACES_COMPARED:
            break
    return list(chosen.values())


def _compared(line_rgb: Rgb, characters: str, centres: Sequence[float], setting: _Setting) -> Numbers | None:
    """Return the glyphs' correlations at the best size, width and softness; None when ink and ground are not told."""
    rgb = _resized(line_rgb.astype(np.float32), setting.scale, setting.scale)
    ink = _ink(rgb, characters, centres, setting)
    if ink is None:
        return None

    @lru_cache(maxsize=16)
    def stretched(size: float, aspect: float) -> Mono:
        return _resized(ink, size * aspect, size)

    def fit(size: float, aspect: float, softness_px: float) -> float:
        glyphs = drawn_glyphs(setting.face, characters, EM_PX, softness_px)
        spots = _found(stretched(size, aspect), glyphs, centres, _REACH_EM * EM_PX)
        return _fit(np.array([spot.score for spot in spots]))

    size, aspect, softness_px = 1.0, 1.0, 1.4
    for _ in range(2):
        size = _best(_SIZES, lambda value, a=aspect, s=softness_px: fit(value, a, s))  # type: ignore[misc]
        aspect = _best(_ASPECTS, lambda value, z=size, s=softness_px: fit(z, value, s))  # type: ignore[misc]
        softness_px = _best(_SOFTNESS_PX, lambda value, z=size, a=aspect: fit(z, a, value))  # type: ignore[misc]
    return _final(stretched(size, aspect), characters, centres, setting.face, softness_px)


def _best(values: Sequence[float], fit: Callable[[float], float]) -> float:
    return max(values, key=fit)


def _fit(scores: Numbers) -> float:
    """Return how well a face fits a line: the mean of the better two thirds, so that no garbled glyph decides."""
    return float(np.sort(scores)[len(scores) // 3 :].mean())


def _final(ink: Mono, characters: str, centres: Sequence[float], face: FontFile, softness_px: float) -> Numbers:
    """Return the scores, looked for also where the face's advances say, in a letter's other case, and with neighbours.

    With neighbours, because slanted and tightly set letters reach into each other's boxes.
    """
    reach_px = _REACH_EM * EM_PX
    spots = _found(ink, drawn_glyphs(face, characters, EM_PX, softness_px), centres, reach_px)
    set_out = _centres_by_advance(ink.shape[1], characters, spots, face)
    scores = np.array([spot.score for spot in spots])
    spellings = {characters, characters.swapcase(), characters.replace("¥", "￥")}
    tries = [
        drawn_glyphs(face, spelling, EM_PX, softness_px)
        for spelling in sorted(spellings)
        if len(spelling) == len(characters) and all(can_draw(face, c) for c in spelling)
    ]
    tries.append(
        [drawn_between(face, characters[max(0, i - 1) : i + 2], min(i, 1), softness_px) for i in range(len(spots))]
    )
    for view in _views(ink):
        for glyphs in tries:
            for places in (centres, set_out):
                scores = np.maximum(scores, [spot.score for spot in _found(view, glyphs, places, reach_px)])
        if scores.min() >= _GOOD_AT_ONCE:
            break
    return scores


def _views(ink: Mono) -> Iterator[Mono]:
    """Yield a line as it is, larger, smaller, turned and slanted a little: perspective changes glyphs along it."""
    yield ink
    height, width = ink.shape
    for size in _VIEW_SIZES:
        yield _resized(ink, size, size)
    for degrees in _VIEW_TURNS_DEG:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        yield np.asarray(cv2.warpAffine(ink, turn, (width, height)), dtype=np.float32)
    for slant in _VIEW_SLANTS:
        shear = np.array([[1.0, slant, -slant * height / 2], [0.0, 1.0, 0.0]])
        yield np.asarray(cv2.warpAffine(ink, shear, (width, height)), dtype=np.float32)


def _found(
    plane: Mono, glyphs: Sequence[Mono], centres: Sequence[float], reach_px: float, *, sign: float = 1.0
) -> list[_Spot]:
    """Return where each glyph correlates best within reach of its centre; sign 0: dark or light ink, whichever more."""
    width = plane.shape[1]
    spots = []
    for glyph, centre in zip(glyphs, centres, strict=True):
        reach = glyph.shape[1] / 2 + reach_px
        left, right = max(0, int(centre * width - reach)), min(width, int(centre * width + reach) + 1)
        part = plane[:, left:right]
        if part.shape[0] < glyph.shape[0] or part.shape[1] < glyph.shape[1]:
            spots.append(_Spot(0.0, left, 0))
            continue
        scores = cv2.matchTemplate(part, glyph, cv2.TM_CCOEFF_NORMED)
        at = int(np.argmax(np.abs(scores) if sign == 0.0 else scores * sign))
        y_px, x_px = divmod(at, scores.shape[1])
        spots.append(_Spot(float(scores[y_px, x_px]), left + x_px, y_px))
    return spots


def _ink(rgb: Mono, characters: str, centres: Sequence[float], setting: _Setting) -> Mono | None:
    """Return (h, w): 1 where the line has its ink's colour, 0 where its ground's, by Fisher's linear discriminant.

    What is ink is told by the glyphs laid over the line at their first places; a busy ground then hardly matters.
    """
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32)
    glyphs = drawn_glyphs(setting.face, characters, EM_PX, 1.0)
    spots = _found(grey, glyphs, centres, _SCAN_REACH_EM * EM_PX, sign=setting.sign)
    cover, near = np.zeros(grey.shape, np.float32), np.zeros(grey.shape, bool)
    for character, spot in zip(characters, spots, strict=True):
        if spot.score * setting.sign < 0.3:
            continue
        glyph = drawn_glyph(setting.face, character, EM_PX, 0.0)
        rows = slice(spot.y_px, spot.y_px + glyph.shape[0])
        columns = slice(spot.x_px, spot.x_px + glyph.shape[1])
        cover[rows, columns] = np.maximum(cover[rows, columns], glyph)
        near[rows, columns] = True
    painted = rgb[cover > _INK]
    ground = rgb[near & (cv2.dilate(cover, np.ones((3, 3), np.uint8)) < _GROUND)]
    if len(painted) < 20 or len(ground) < 20:
        return None
    middle_ink, middle_ground = np.median(painted, axis=0), np.median(ground, axis=0)
    spread = np.cov(painted.T) + np.cov(ground.T) + _AXIS_NOISE * np.eye(3)
    axis = np.linalg.solve(spread, middle_ink - middle_ground)
    length = float((middle_ink - middle_ground) @ axis)
    if length <= 0.0:
        return None
    ink: Mono = np.clip((rgb - middle_ground) @ axis / length, -0.5, 1.5).astype(np.float32)
    return ink


def _centres_by_advance(
    width_px: int, characters: str, spots: Sequence[_Spot], face: FontFile
) -> tuple[float, ...] | list[float]:
    """Return where the glyphs should stand by the face's advances, from those that fit (a robust line through them)."""
    pens = np.array(pen_middles(face, characters)) * EM_PX
    widths = np.array([drawn_glyph(face, c, EM_PX, 0.0).shape[1] for c in characters])
    seen = np.array([spot.x_px for spot in spots]) + widths / 2
    scores = np.array([spot.score for spot in spots])
    sure = np.flatnonzero(scores >= np.median(scores) - 0.05)
    slopes = [(seen[b] - seen[a]) / (pens[b] - pens[a]) for a in sure for b in sure if pens[b] - pens[a] > 0.4 * EM_PX]
    if not slopes:
        return [float(at) / width_px for at in seen]
    slope = float(np.median(slopes))
    start = float(np.median(seen[sure] - slope * pens[sure]))
    return [float(at) / width_px for at in slope * pens + start]


def _resized(plane: Mono, across: float, down: float) -> Mono:
    size = (max(1, round(plane.shape[1] * across)), max(1, round(plane.shape[0] * down)))
    shrinks = across < 1.0
    resized = cv2.resize(plane, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(resized, dtype=np.float32)
