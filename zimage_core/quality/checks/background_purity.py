"""Is the background of a packshot pure white? Marketplaces check the border; shoppers see the rest."""

from __future__ import annotations

import cv2
import numpy as np

from zimage_core.domain import Finding
from zimage_core.quality.evidence import Bools, Evidence
from zimage_core.quality.findings import measured
from zimage_core.quality.rubric import Rubric

NAME = "background_purity"
_CLEARANCE_PX = 5


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the smaller of two shares: border strips at exactly 255, and true background at or above `white_level`.

    Exactly 255 everywhere would be too much to ask: it fails every encoded file (ringing around the product).
    """
    rule = rubric.checks.background_purity
    red, green, blue = cv2.split(evidence.given.attempt_rgb)
    darkest = np.asarray(cv2.min(cv2.min(red, green), blue))
    alpha = evidence.product_alpha
    backdrop = (
        np.ones(darkest.shape, dtype=bool)
        if alpha is None
        else cv2.dilate(alpha, np.ones((2 * _CLEARANCE_PX + 1,) * 2, np.uint8)) < 8
    )
    strips = _strips(darkest.shape, max(2, round(rule.strip_ratio * evidence.short_side_px))) & backdrop
    border = float((darkest[strips] == 255).mean()) if strips.any() else 1.0
    white = float((darkest[backdrop] >= rule.white_level).mean()) if backdrop.any() and alpha is not None else 1.0
    value = min(border, white)
    if value >= rubric.limit(NAME):
        sentence = "The background is pure white."
    elif border <= white:
        sentence = f"Only {border:.1%} of the border is pure white (255); the darkest is {int(darkest[strips].min())}."
    else:
        sentence = f"Only {white:.1%} of the background is white ({rule.white_level} or lighter)."
    return (measured(rubric, NAME, value, "share", sentence),)


def _strips(shape: tuple[int, ...], width_px: int) -> Bools:
    strips = np.zeros(shape[:2], dtype=bool)
    strips[:width_px] = strips[-width_px:] = True
    strips[:, :width_px] = strips[:, -width_px:] = True
    return strips
