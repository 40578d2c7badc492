"""Can a shopper read the texts on a phone: enough contrast, large enough?"""

from __future__ import annotations

import cv2
import numpy as np

from zimage_core.domain import Finding, PlacedText
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.checks.text_truth import lines_of
from zimage_core.quality.colour import contrast_ratio, luminance
from zimage_core.quality.evidence import Evidence, window
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.quantiles import quantile
from zimage_core.quality.rubric import Rubric

CONTRAST = "legibility_contrast"
HEIGHT = "legibility_height"


def measure_contrast(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the WCAG contrast ratio of the least legible text against its plate, in the finished picture."""
    texts = evidence.given.placed_texts
    if not texts:
        return (not_applicable(CONTRAST, "No text was drawn."),)
    ratios = [_contrast(evidence.given.finished_rgb, text) for text in texts]
    value = min(ratios)
    text = texts[ratios.index(value)]
    passes = value >= rubric.limit(CONTRAST)
    sentence = (
        f"All texts stand out from their plates (contrast at least {value:.1f} : 1)."
        if passes
        else f"The {text.role.replace('_', ' ')} '{text.text}' is hard to read: contrast {value:.1f} : 1, "
        f"at least {rubric.limit(CONTRAST):.1f} : 1 is needed."
    )
    return (measured(rubric, CONTRAST, value, ": 1", sentence, box=None if passes else text.box),)


def measure_height(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the height of the smallest line of text over the picture's short side."""
    texts = evidence.given.placed_texts
    finished = evidence.given.finished_rgb
    short_side_px = min(finished.shape[:2])
    if not texts:
        return (not_applicable(HEIGHT, "No text was drawn."),)
    heights = [text.box.height_px / max(1, len(lines_of(finished, text))) for text in texts]
    smallest = min(heights)
    text = texts[heights.index(smallest)]
    value = smallest / short_side_px
    passes = value >= rubric.limit(HEIGHT)
    sentence = (
        f"The smallest text is {smallest:.0f} px high in a picture of {short_side_px} px."
        if passes
        else f"The {text.role.replace('_', ' ')} '{text.text}' is too small: {smallest:.0f} px high, "
        f"at least {rubric.limit(HEIGHT) * short_side_px:.0f} px are needed."
    )
    return (measured(rubric, HEIGHT, value, "of short side", sentence, box=None if passes else text.box),)


def _contrast(finished: Rgb, text: PlacedText) -> float:
    """Return the contrast of ink and plate: the two sides of Otsu's threshold, at their purer halves.

    The purer half, because thin strokes are mostly antialiased: their median is a mixture of ink and plate.
    """
    crop = np.ascontiguousarray(finished[window(text.box, finished.shape[1], finished.shape[0])])
    if crop.size == 0:
        return 1.0
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    threshold, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light = luminance(crop)
    above = grey > threshold
    if above.all() or not above.any():
        return 1.0
    return contrast_ratio(quantile(light[above], 0.75), quantile(light[~above], 0.25))
