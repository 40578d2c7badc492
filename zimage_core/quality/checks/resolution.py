"""Is the picture as large, and of the shape, that was promised?"""

from __future__ import annotations

from zimage_core.domain import Finding
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured
from zimage_core.quality.rubric import Rubric

NAME = "resolution"
_SHAPE_TOLERANCE = 0.01


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the worse side of the finished picture over the promised one; a picture of another shape counts as 0."""
    given = evidence.given
    height_px, width_px = given.finished_rgb.shape[:2]
    across, down = width_px / given.width_px, height_px / given.height_px
    same_shape = abs(across / down - 1.0) <= _SHAPE_TOLERANCE and given.attempt_rgb.shape == given.finished_rgb.shape
    value = min(across, down) if same_shape else 0.0
    sentence = f"The picture is {width_px} x {height_px} px, {given.width_px} x {given.height_px} px were promised."
    if given.attempt_rgb.shape != given.finished_rgb.shape:
        sentence = f"The finished picture is {width_px} x {height_px} px, but the attempt under it has another size."
    return (measured(rubric, NAME, value, "x promised", sentence),)
