"""Is the product itself over- or underexposed? The share of white in the whole picture means nothing in a studio.

Never a veto: white garments and glossy lacquer clip in good photos (known false alarms), so the curves are lenient.
"""

from __future__ import annotations

import cv2
import numpy as np

from zimage_core.domain import Finding
from zimage_core.quality.colour import lightness
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

CLIPPED = "exposure_clipped"
DARK = "exposure_dark"
_BRIGHT_QUANTILE = 0.95


def measure_clipped(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the share of the product's pixels with any channel at or above the clipping level."""
    product = evidence.product
    if product is None or not product.any():
        return (not_applicable(CLIPPED, "Nobody knows where the product is."),)
    level = rubric.checks.exposure_clipped.level
    red, green, blue = cv2.split(evidence.given.attempt_rgb)
    lightest = np.asarray(cv2.max(cv2.max(red, green), blue))
    share = float((lightest[product] >= level).mean())
    return (measured(rubric, CLIPPED, share, "share", f"{share:.0%} of the product is clipped to white."),)


def measure_dark(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the lightness (CIE L*) that the lightest 5 % of the product reach: black lacquer has highlights."""
    product = evidence.product
    if product is None or not product.any():
        return (not_applicable(DARK, "Nobody knows where the product is."),)
    reached = np.cumsum(np.bincount(evidence.grey[product], minlength=256)) / product.sum()
    value = lightness(int(np.searchsorted(reached, _BRIGHT_QUANTILE)))
    return (measured(rubric, DARK, value, "L*", f"The lightest parts of the product reach L* {value:.0f} of 100."),)
