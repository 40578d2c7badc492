"""Is the picture as large, and of the shape, that was promised?"""

from __future__ import annotations

from zimage_core.domain import Finding
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured
from zimage_core.quality.rubric import Rubric

NAME = "resolution"
ASPECT = "aspect"


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the worse side of the finished picture over the promised one; 0 where the attempt has another size."""
    given = evidence.given
    height_px, width_px = given.finished_rgb.shape[:2]
    value = min(width_px / given.width_px, height_px / given.height_px)
    sentence = f"The picture is {width_px} x {height_px} px, {given.width_px} x {given.height_px} px were promised."
    if given.attempt_rgb.shape != given.finished_rgb.shape:
        value = 0.0
        sentence = f"The finished picture is {width_px} x {height_px} px, but the attempt under it has another size."
    return (measured(rubric, NAME, value, "x promised", sentence),)


def measure_aspect(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return by what share the finished picture is wider or narrower than the promised shape."""
    given = evidence.given
    height_px, width_px = given.finished_rgb.shape[:2]
    across = (width_px / height_px) / (given.width_px / given.height_px)
    value = max(across, 1.0 / across) - 1.0
    if value <= rubric.limit(ASPECT):
        sentence = "The picture has the shape that was promised."
    else:
        shape = "wider" if across > 1.0 else "narrower"
        sentence = (
            f"The picture is {value:.0%} {shape} than promised: {width_px} x {height_px} px, not "
            f"{given.width_px} x {given.height_px}."
        )
    return (measured(rubric, ASPECT, value, "share", sentence),)
