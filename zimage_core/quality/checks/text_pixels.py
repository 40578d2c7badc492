"""Does every text stand in the finished picture pixel for pixel as the overlay painted it?

This is the first of two proofs; the other, `text_truth`, reads the text. A picture in memory may differ by rounding
only. Compression changes every edge a little: then what counts is ink that is missing or too much over the width of a
stroke, measured in the text's own contrast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Finding, PlacedText
from zimage_core.imaging.composite import OPAQUE_ALPHA, paste_premultiplied
from zimage_core.imaging.pixels import Plane, Rgba
from zimage_core.quality.evidence import Evidence, window
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.quantiles import quantile
from zimage_core.quality.rubric import Rubric

NAME = "text_pixels"
_ROUNDING_LEVELS = 1.0
_COMPRESSION_SHARE = 0.16
"""Of the text's contrast; what compression does to an edge averages out over the width of a stroke."""
_COLOUR_SHARE = 0.40
"""The same of one channel over three strokes: colour is stored at half the size, and bleeds further."""
_LEAST_COMPRESSION_LEVELS = 8.0
_LUMA = np.array([[0.299, 0.587, 0.114]], dtype=np.float32)
_STROKE_RATIO = 0.07  # of the text's height
_EDGE_LEVELS = 24
_SLIGHT_LEVELS = 48
_SLIGHT_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class _Deviation:
    """How far a text strays from its layer, in levels, how far it may, and the box of where it strays further."""

    levels: float
    tolerance_levels: float
    box: Box

    @property
    def times(self) -> float:
        """The deviation over what is tolerated."""
        return self.levels / self.tolerance_levels


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return one finding per placed text: its largest deviation from the layer, over what is tolerated."""
    texts, layer = evidence.given.placed_texts, evidence.given.overlay
    if not texts:
        return (not_applicable(NAME, "No text was drawn."),)
    if layer is None:
        return (not_applicable(NAME, "What the overlay painted is not known; only reading can tell."),)
    return tuple(_check(evidence, rubric, text, layer) for text in texts)


def _check(evidence: Evidence, rubric: Rubric, text: PlacedText, layer: Rgba) -> Finding:
    role = text.role.replace("_", " ")
    may_veto = text.role in rubric.checks.text_truth.veto_roles
    found = _deviation(evidence, text, layer)
    if found is None:
        sentence = f"The {role} '{text.text}' was not painted on the overlay's layer."
        return measured(rubric, NAME, 1e6, "x tolerance", sentence, box=text.box, may_veto=may_veto)
    if rubric.rule(NAME).curve.score(found.times) >= rubric.cap_below:
        sentence = f"The {role} '{text.text}' stands as it was painted."
        return measured(rubric, NAME, found.times, "x tolerance", sentence, box=text.box, may_veto=may_veto)
    at = f"{found.box.width_px} x {found.box.height_px} px at ({found.box.x_px}, {found.box.y_px})"
    sentence = f"The {role} '{text.text}' is not as it was painted: {found.levels:.0f} levels off over {at}."
    return measured(rubric, NAME, found.times, "x tolerance", sentence, box=found.box, may_veto=may_veto)


def _deviation(evidence: Evidence, text: PlacedText, layer: Rgba) -> _Deviation | None:
    """Return how far the plate strays from its layer; None when the layer has nothing opaque there."""
    finished, attempt = evidence.given.finished_rgb, evidence.given.attempt_rgb
    height_px, width_px = finished.shape[:2]
    rows, columns = window(text.plate, width_px, height_px)
    shown, painted = finished[rows, columns], layer[rows, columns]
    cover = np.asarray(painted[..., 3])
    opaque = (cover == OPAQUE_ALPHA).view(np.uint8)
    if not opaque.any():
        return None
    if attempt.shape == finished.shape:
        meant, mattering = paste_premultiplied(attempt[rows, columns], painted), (cover > 0).view(np.uint8)
    else:
        meant, mattering = np.asarray(cv2.cvtColor(painted, cv2.COLOR_RGBA2RGB), dtype=np.uint8), opaque
    off, luma = _most(cv2.absdiff(shown, meant)), np.asarray(cv2.cvtColor(meant, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    if not _is_compressed(off, luma, opaque):
        return _worst(cv2.copyTo(off, mattering), _ROUNDING_LEVELS, rows.start, columns.start)
    reach = max(3, round(_STROKE_RATIO * text.box.height_px) | 1)
    difference = cv2.copyTo(cv2.subtract(shown, meant, dtype=cv2.CV_32F), opaque)
    light = np.abs(cv2.blur(cv2.transform(difference, _LUMA), (reach, reach)))
    colour = _most(np.abs(cv2.blur(difference, (3 * reach, 3 * reach))))
    spread = np.maximum(light, np.float32(_COMPRESSION_SHARE / _COLOUR_SHARE) * colour)
    tolerance = max(_LEAST_COMPRESSION_LEVELS, _COMPRESSION_SHARE * _contrast(luma, opaque))
    return _worst(spread, tolerance, rows.start, columns.start)


def _most(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the largest of each pixel's three channels, (H, W)."""
    red, green, blue = cv2.split(pixels)
    return np.asarray(cv2.max(cv2.max(red, green), blue))


def _is_compressed(off: Plane, luma: Plane, opaque: Plane) -> bool:
    """Tell whether the picture went through a lossy file: then pixels beside edges are off by little nearly all over.

    Something painted over a picture in memory changes few pixels, and those by much.
    """
    spread = cv2.morphologyEx(luma, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8))
    beside = np.asarray((spread > _EDGE_LEVELS) & (opaque > 0))
    if not beside.any():
        beside = np.asarray(opaque > 0)
    slight = beside & (off > 0) & (off <= _SLIGHT_LEVELS)
    return int(np.count_nonzero(slight)) > _SLIGHT_SHARE * int(np.count_nonzero(beside))


def _worst(off: NDArray[Any], tolerance: float, top_px: int, left_px: int) -> _Deviation:
    """Return the largest deviation and the box of everything beyond the tolerance that belongs to it."""
    worst = float(off.max())
    y_px, x_px = divmod(int(off.argmax()), off.shape[1])
    if worst <= tolerance:
        return _Deviation(worst, tolerance, Box(left_px + x_px, top_px + y_px, 1, 1))
    _, labels, stats, _ = cv2.connectedComponentsWithStats((off > tolerance).astype(np.uint8), connectivity=8)
    x, y, width, height, _ = (int(side) for side in stats[labels[y_px, x_px]])
    return _Deviation(worst, tolerance, Box(left_px + x, top_px + y, width, height))


def _contrast(luma: Plane, opaque: Plane) -> float:
    """Return how many levels of luma lie between the card's darkest and brightest paint."""
    painted = luma[opaque > 0]
    return quantile(painted, 0.99) - quantile(painted, 0.01)
