"""Making findings: one place where a value meets its rule, so that score, limit and veto always agree."""

from __future__ import annotations

import math

from zimage_core.domain import Box, Finding
from zimage_core.errors import QualityError
from zimage_core.quality.rubric import Rubric


def measured(
    rubric: Rubric,
    check: str,
    value: float,
    unit: str,
    sentence: str,
    *,
    box: Box | None = None,
    score: float | None = None,
    limit: float | None = None,
    may_veto: bool = True,
) -> Finding:
    """Return a measured finding: score from the check's curve, passed from `cap_below`, veto from `veto_below`.

    `score` and `limit` replace the curve's own where a check measures in another unit than its curve is written in.

    Raises QualityError for a value that is infinite or not a number: a check that measures such a thing is broken, and
    grading says so, rather than judging by it.
    """
    if not math.isfinite(value):
        raise QualityError(f"The check {check} measured {value}, which is no value; check the picture and the check.")
    rule = rubric.rule(check)
    judged = rule.curve.score(value) if score is None else score
    return Finding(
        check=check,
        state="measured",
        sentence=sentence,
        value=round(float(value), 6),
        unit=unit,
        limit=round(rubric.limit(check) if limit is None else float(limit), 6),
        score=round(float(judged), 6),
        passed=judged >= rubric.cap_below,
        veto=may_veto and rule.veto_below is not None and judged < rule.veto_below,
        box=box,
    )


def not_applicable(check: str, sentence: str) -> Finding:
    """Return the finding of a check that has nothing to look at here."""
    return Finding(check=check, state="not_applicable", sentence=sentence)


def failed(check: str, sentence: str) -> Finding:
    """Return the finding of a check that could not be done; it caps the grade at B."""
    return Finding(check=check, state="error", sentence=sentence, passed=False)
