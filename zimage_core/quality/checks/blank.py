"""Is there a picture at all? A safety filter or a NaN in the decoder gives a black or even frame and calls it done."""

from __future__ import annotations

import cv2
import numpy as np

from zimage_core.domain import Finding
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured
from zimage_core.quality.rubric import Rubric

NAME = "blank"
_BLACK = 16
_WHITE = 240


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the levels between the darkest and the lightest half per cent of the attempt, in its liveliest channel.

    Half a per cent, because a small product alone on pure white is a picture; at a quarter of the size, because grain
    is none.
    """
    low, high = np.transpose([_reach(evidence.quarter, channel) for channel in range(3)])
    span = int((high - low).max())
    if span <= rubric.limit(NAME):
        even = "of one colour" if int(np.ptp(high)) > rubric.limit(NAME) else "even grey"
        tone = "black" if high.max() < _BLACK else "white" if low.min() > _WHITE else even
        sentence = f"The picture is blank: {tone}, {span} levels from dark to light."
    else:
        sentence = f"The picture has {span} levels from dark to light."
    return (measured(rubric, NAME, span, "levels", sentence),)


def _reach(rgb: Rgb, channel: int) -> tuple[int, int]:
    """Return the levels that the darkest and all but the lightest half per cent of a channel reach."""
    histogram = cv2.calcHist([rgb], [channel], None, [256], [0, 256]).ravel()
    reached = np.cumsum(histogram, dtype=np.float64) / histogram.sum(dtype=np.float64)
    return int(np.searchsorted(reached, 0.005)), int(np.searchsorted(reached, 0.995))
