"""Measured answers, grades, verdicts, and what people decide."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from zimage_core.domain.generation import Change
from zimage_core.domain.identity import Box, content_id
from zimage_core.domain.names import DecisionKind, GradeLetter, VerdictKind


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's measured answer. `score` is None when it does not apply or could not be done (`state` says which)."""

    check: str
    state: Literal["measured", "not_applicable", "error"]
    sentence: str
    value: float | None = None
    unit: str = ""
    limit: float | None = None
    score: float | None = None
    passed: bool = True
    veto: bool = False
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Grade:
    """Score 0..1 and letter of one attempt under one rubric, with every finding that led there."""

    attempt_id: str
    finished_key: str
    rubric_hash: str
    score: float
    letter: GradeLetter
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]

    @property
    def grade_id(self) -> str:
        """One grade per attempt, overlay and rubric: judging again by the same rubric is the same row."""
        return grade_id_of(self.attempt_id, self.finished_key, self.rubric_hash)


def grade_id_of(attempt_id: str, finished_key: str, rubric_hash: str) -> str:
    """Return the id of the grade of an attempt with one overlay by one rubric, whether or not there is one."""
    return content_id("grade", attempt_id, finished_key, rubric_hash)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policy decides next for a shot. `change` is set only for regenerate.

    `attempt_id` is set when the verdict is about an earlier attempt than the one just graded: the best of them all.
    `since` is set when the verdict rests on something learnt at that moment: an approval given before did not know of
    it and does not count.
    """

    kind: VerdictKind
    reason: str
    change: Change | None = None
    attempt_id: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's judgement of a doubtful attempt."""

    attempt_id: str
    kind: DecisionKind
    who: str
    why: str
    decided_at: datetime
