"""From a product photo to the product alone: straight-alpha RGBA with clean edges, or a reason why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zimage_core.imaging.pixels import Rgba

FailureCode = Literal["white_on_white", "busy_background", "empty", "too_small", "touches_border"]


@dataclass(frozen=True, slots=True, eq=False)
class CutOut:
    """The product's pixels: `rgba` (h, w, 4) uint8, straight alpha, trimmed to its bounding box plus 2 px.

    Colours under partial alpha are the product's own (the backdrop is unmixed); fully transparent pixels are 0.
    `coverage_ratio` is the alpha's share of the photo it came from, `warnings` are sentences for a person.
    """

    rgba: Rgba
    coverage_ratio: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CutOutFailure:
    """Why no cut-out is given: a stable `code` and a sentence."""

    code: FailureCode
    reason: str
