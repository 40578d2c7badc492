"""Is the picture grainy? The noise of a dark room or of a generation that was stopped early, where nothing hides it."""

from __future__ import annotations

from zimage_core.domain import Finding
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured
from zimage_core.quality.rubric import Rubric

NAME = "grain"


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the sigma of the noise in the calmest quarter of the picture, in grey levels (Immerkaer 1996)."""
    value = evidence.noise_levels
    if value <= rubric.limit(NAME):
        sentence = f"The picture is clean: {value:.1f} levels of grain."
    else:
        sentence = f"The picture is grainy: {value:.1f} levels even where it is calmest."
    return (measured(rubric, NAME, value, "grey levels", sentence),)
