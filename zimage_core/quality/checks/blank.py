"""Is there a picture at all? A safety filter or a NaN in the decoder gives a black or even frame and calls it done."""

from __future__ import annotations

import cv2
import numpy as np

from zimage_core.domain import Finding
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured
from zimage_core.quality.rubric import Rubric

NAME = "blank"


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the tones between the darkest and the lightest half per cent of the attempt, in grey levels.

    Half a per cent, because a small product alone on pure white is a picture.
    """
    histogram = cv2.calcHist([evidence.grey], [0], None, [256], [0, 256]).ravel()
    cumulative = np.cumsum(histogram) / evidence.grey.size
    darkest, lightest = int(np.searchsorted(cumulative, 0.005)), int(np.searchsorted(cumulative, 0.995))
    span = lightest - darkest
    if span <= rubric.limit(NAME):
        tone = "black" if lightest < 16 else "white" if darkest > 240 else "even grey"
        sentence = f"The picture is blank: {tone}, {span} grey levels from dark to light."
    else:
        sentence = f"The picture has {span} grey levels from dark to light."
    return (measured(rubric, NAME, span, "grey levels", sentence),)
