"""Is it a picture, or the noise an unfinished generation leaves?"""

from __future__ import annotations

import cv2

from zimage_core.domain import Finding
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured
from zimage_core.quality.rubric import Rubric

NAME = "noise"
_BLOCK_PX = 16


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return how much of the picture's contrast survives averaging over 16 px blocks: noise has no structure larger.

    Independent noise keeps 1/16 = 0.06; a photograph keeps most of it. 1.0 for an even picture (that is `blank`).
    """
    grey = evidence.grey
    blocks = cv2.resize(
        grey,
        (max(2, grey.shape[1] // _BLOCK_PX), max(2, grey.shape[0] // _BLOCK_PX)),
        interpolation=cv2.INTER_AREA,
    )
    full = float(cv2.meanStdDev(grey)[1][0, 0])
    kept = float(cv2.meanStdDev(blocks)[1][0, 0]) / full if full > 1.0 else 1.0
    passes = kept >= rubric.limit(NAME)
    sentence = (
        f"{kept:.0%} of the contrast is structure larger than {_BLOCK_PX} px."
        if passes
        else f"The picture is noise: only {kept:.0%} of its contrast is structure larger than {_BLOCK_PX} px."
    )
    return (measured(rubric, NAME, kept, "ratio", sentence),)
