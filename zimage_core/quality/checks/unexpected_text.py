"""Is there text nobody asked for? Image models write pseudo-letters and watermarks; photo and overlay do not.

The detector costs a quarter of a second, so the rubric asks this of model-drawn pictures only.
"""

from __future__ import annotations

import numpy as np

from zimage_core.domain import Box, Finding
from zimage_core.imaging.composite import VISIBLE_ALPHA
from zimage_core.quality.evidence import Bools, Evidence, window
from zimage_core.quality.findings import measured
from zimage_core.quality.rubric import Rubric

NAME = "unexpected_text"
_EXPLAINED_SHARE = 0.5
_CLEARANCE_RATIO = 0.02


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the share of the picture under text that is neither ours nor printed on the product."""
    finished = evidence.given.finished_rgb
    allowed = _allowed(evidence, finished.shape[:2])
    height_px, width_px = finished.shape[:2]
    strange: list[Box] = []
    for box in evidence.reader.find_text(finished):
        part = allowed[window(box, width_px, height_px)]
        if part.size and float(part.mean()) < _EXPLAINED_SHARE:
            strange.append(box)
    value = sum(box.width_px * box.height_px for box in strange) / (height_px * width_px)
    if not strange:
        return (measured(rubric, NAME, value, "share", "There is no text but what was asked for."),)
    largest = max(strange, key=lambda box: box.width_px * box.height_px)
    sentence = f"There is text in {len(strange)} place(s) where none was asked for."
    return (measured(rubric, NAME, value, "share", sentence, box=largest),)


def _allowed(evidence: Evidence, shape: tuple[int, int]) -> Bools:
    """Return where text may stand: on the plates, and within the product (its own print)."""
    height_px, width_px = shape
    grow_px = round(_CLEARANCE_RATIO * min(shape))
    allowed = np.zeros(shape, dtype=bool)
    for text in evidence.given.placed_texts:
        allowed[window(text.plate, width_px, height_px, grow_px=grow_px)] = True
    alpha = evidence.product_alpha
    if alpha is not None and alpha.shape == shape:
        allowed |= alpha >= VISIBLE_ALPHA
    return allowed
