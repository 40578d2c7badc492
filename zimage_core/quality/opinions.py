"""Asking the scorers that a rubric names: an opinion becomes a finding like any other."""

from __future__ import annotations

import math
from collections.abc import Mapping

from zimage_core.domain import Finding
from zimage_core.errors import ZImageError
from zimage_core.quality.evidence import GradeInput
from zimage_core.quality.findings import failed, measured, not_applicable
from zimage_core.quality.rubric import Rubric
from zimage_core.quality.scorers import Scorer
from zimage_core.quality.scorers.registry import scorer_of


def scorers_of(rubric: Rubric) -> dict[str, Scorer]:
    """Return the scorers that the rubric names, by name, made once per process.

    Raises ConfigurationError as `registry.scorer_of` does: call it before a run spends anything.
    """
    return {name: scorer_of(name, rule.options) for name, rule in sorted(rubric.scorers.items())}


def opinions(given: GradeInput, rubric: Rubric, scorers: Mapping[str, Scorer]) -> tuple[Finding, ...]:
    """Return one finding per scorer that the rubric names, by name; one that breaks is an error, as with checks."""
    return tuple(_opinion(name, given, rubric, scorers) for name in sorted(rubric.scorers))


def _opinion(name: str, given: GradeInput, rubric: Rubric, scorers: Mapping[str, Scorer]) -> Finding:
    if not rubric.rule(name).when.holds(given.scene.name, given.mode):
        return not_applicable(name, f"Not asked of a {given.scene.name.replace('_', ' ')} in mode {given.mode}.")
    try:
        opinion = scorers[name].score(given.attempt_rgb, given.words)
    except ZImageError as error:
        return failed(name, f"The scorer {name} could not judge: {error.sentence}")
    except Exception as error:  # noqa: BLE001 - as with checks: a broken scorer is reported and caps the grade
        return failed(name, f"The scorer {name} broke: {type(error).__name__}: {error}")
    if opinion is None:
        return not_applicable(name, f"The scorer {name} has no opinion of this picture.")
    if not math.isfinite(opinion.value):
        return failed(name, f"The scorer {name} gave no number: {opinion.value}.")
    return measured(rubric, name, opinion.value, opinion.unit, opinion.sentence)
