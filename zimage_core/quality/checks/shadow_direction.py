"""Does the shadow fall where the scene's light would throw it? A product shaded on its lit side looks cut in.

The floor just beside the product's foot is compared left and right: away from the light it lies in the shadow. Light
that falls off across the whole floor is no shadow: what is still seen further out is taken off, and where the two
accounts disagree, or no side is darker, nothing is said. Packshots, closeups and flat lays are not asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Finding
from zimage_core.imaging.composite import VISIBLE_ALPHA, visible_box
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rasters import Reductions, reduced
from zimage_core.quality.rubric import Rubric

NAME = "shadow_direction"

_SIDE_PX: Final = 256
_LEAST_ASIDE: Final = 0.3  # sine of the azimuth: light from 17 degrees and less aside throws no shadow to a side
_HIGHEST_DEG: Final = 75.0
_CLEAR: Final = 0.02
_CLEAR_ALPHA: Final = 6
_REACH_RATIO: Final = 0.45
_ABOVE_RATIO: Final = 0.16
_BELOW_RATIO: Final = 0.05
_FAR_FROM: Final = 1.3
_LEAST_SEEN: Final = 0.35
_BLACK: Final = 4.0  # keeps the logarithm of deep shadows calm

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Darkness:
    """How much darker the floor right of the product is than left of it, log of luma; `local` without the fall-off."""

    near: float
    local: float


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return how much darker the floor is on the side away from the light: negative where the shadow is opposite."""
    light, alphas = evidence.given.scene.stage.light, evidence.alphas
    aside = math.sin(math.radians(light.azimuth_deg))
    if abs(aside) < _LEAST_ASIDE or light.elevation_deg > _HIGHEST_DEG:
        return (not_applicable(NAME, "The scene's light throws no shadow to either side."),)
    if alphas is None or evidence.product_box is None:
        return (not_applicable(NAME, evidence.product_unknown or "The product does not show."),)
    seen = darker_to_the_right(evidence.greys, alphas)
    if seen is None:
        return (not_applicable(NAME, "Too little floor is seen beside the product to look for its shadow."),)
    if abs(seen.near) < _CLEAR or seen.near * seen.local < 0.0:
        return (not_applicable(NAME, "The product throws no clear shadow to one side."),)
    away = "right" if aside < 0.0 else "left"
    value = seen.near if away == "right" else -seen.near
    passes = value >= rubric.limit(NAME)
    fallen = away if value > 0.0 else {"right": "left", "left": "right"}[away]
    sentence = (
        f"The shadow falls to the {fallen}, away from the scene's light."
        if value > 0.0
        else f"The shadow falls to the {fallen}, but the scene is lit from the {fallen}."
    )
    return (measured(rubric, NAME, value, "log luma", sentence, box=None if passes else evidence.product_box),)


def darker_to_the_right(grey: Reductions[np.uint8], alpha: Reductions[np.uint8]) -> Darkness | None:
    """Return the floor's darkness beside the product's foot, right against left; None where too little is seen."""
    height_px, width_px = grey.whole.shape
    shrink = _SIDE_PX / max(height_px, width_px)
    size = (max(8, round(width_px * shrink)), max(8, round(height_px * shrink)))
    cover = alpha.reduced(*size)
    if not (cover >= VISIBLE_ALPHA).any():
        return None
    box = visible_box(cover)
    reach = max(6, round(_REACH_RATIO * min(box.width_px, 1.2 * box.height_px)))
    foot = _foot(box, size[1])
    free = cv2.dilate(cover, np.ones((3, 3), np.uint8))[foot] < _CLEAR_ALPHA
    floor = np.where(free, np.log(_rows_of(grey, size, foot) + np.float32(_BLACK)), np.float32(np.nan))
    thick = cv2.dilate(cover, np.ones((3, 1), np.uint8))[foot] >= VISIBLE_ALPHA
    left, right = (_beside(floor, thick, box, reach, side) for side in (-1, 1))
    near = [_middle(part[:, :reach]) for part in (left, right)]
    if near[0] is None or near[1] is None:
        return None
    darker = near[0] - near[1]
    far = [_middle(part[:, round(_FAR_FROM * reach) :]) for part in (left, right)]
    if far[0] is None or far[1] is None:
        return Darkness(darker, darker)
    nearness = (box.width_px / 2 + 0.5 * reach) / (box.width_px / 2 + 1.65 * reach)
    return Darkness(darker, darker - nearness * (far[0] - far[1]))


def _foot(box: Box, height: int) -> slice:
    """Return the rows in which the product stands on the floor."""
    size = min(box.width_px, 1.2 * box.height_px)
    first = max(0, box.bottom_px - max(4, round(_ABOVE_RATIO * size)))
    return slice(first, min(height, box.bottom_px + max(2, round(_BELOW_RATIO * size))))


def _rows_of(grey: Reductions[np.uint8], size: tuple[int, int], rows: slice) -> Floats:
    """Return some rows of a plane reduced to `size` (width, height).

    Where a whole factor that is no power of two allows, these alone are reduced: at once, or nearly.
    """
    plane = grey.whole
    factor = plane.shape[0] // size[1]
    halved_evenly = factor & (factor - 1) == 0
    if factor > 0 and not halved_evenly and plane.shape == (factor * size[1], factor * size[0]):
        part = plane[rows.start * factor : rows.stop * factor]
        return reduced(part, size[0], rows.stop - rows.start).astype(np.float32)
    return grey.reduced(*size)[rows].astype(np.float32)


def _beside(floor: Floats, thick: NDArray[np.bool_], box: Box, reach: int, side: int) -> Floats:
    """Return the floor, (rows, 2 * reach), outwards from the product's edge (`thick`); NaN = not seen."""
    width = floor.shape[1]
    if side < 0:
        edge = np.where(thick.any(axis=1), thick.argmax(axis=1), box.x_px)
    else:
        edge = np.where(thick.any(axis=1), width - 1 - thick[:, ::-1].argmax(axis=1), box.right_px - 1)
    at = edge[:, None] + side * (2 + np.arange(2 * reach))
    seen = np.take_along_axis(floor, np.clip(at, 0, width - 1), axis=1)
    return np.where((at >= 0) & (at < width), seen, np.float32(np.nan)).astype(np.float32)


def _middle(part: Floats) -> float | None:
    """Return the median of what is seen, None where that is too little."""
    known = part[np.isfinite(part)]
    return float(np.median(known)) if known.size >= max(8.0, _LEAST_SEEN * part.size) else None
