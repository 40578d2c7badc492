"""From pixels to a grade: every check the rubric asks for, a score that weak findings cannot hide in, and a letter.

The score is the weighted geometric mean over groups of checks. A group counts once, with the lowest score of its
checks and the largest of their weights: a check that passes can never outvote one of its group that does not, and a
defect that two checks see is not counted twice. Passed over total, in contrast, publishes a wrong price as soon as nine
other checks pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from zimage_core.domain import Finding, Grade, GradeLetter
from zimage_core.errors import ZImageError
from zimage_core.quality.checks import CHECKS, Check
from zimage_core.quality.evidence import Evidence, GradeInput
from zimage_core.quality.findings import failed, not_applicable
from zimage_core.quality.opinions import opinions, scorers_of
from zimage_core.quality.reading import Reader, default_reader
from zimage_core.quality.rubric import Rubric
from zimage_core.quality.scorers import Scorer

__all__ = ["GradeInput", "ask", "grade", "letter_of", "score_of"]


def grade(
    given: GradeInput, rubric: Rubric, *, reader: Reader | None = None, scorers: Mapping[str, Scorer] | None = None
) -> Grade:
    """Return the grade of one attempt: score, letter, every finding, and the reasons, worst first.

    Pure: the same pixels, rubric and reader give the same grade. A check that breaks becomes a finding in state `error`
    (at most B), it is never left out. `reader` reads text back; none = this process's PP-OCR. `scorers` are those the
    rubric names; none = made from their entry points, once per process. After a veto of a decisive check none is asked.
    """
    rubric_hash, rubric = rubric.hash, rubric.judging(given.category, given.scene.name, given.mode)
    evidence = Evidence(given, reader or default_reader())
    findings: list[Finding] = []
    stopped_by: str | None = None
    for check in CHECKS:
        if stopped_by is not None:
            findings.append(not_applicable(check.name, f"Not asked: {stopped_by} already decides."))
            continue
        answers = ask(check, evidence, rubric)
        findings.extend(answers)
        if check.decisive and any(finding.veto for finding in answers):
            stopped_by = check.name
    if stopped_by is None and rubric.scorers:
        findings.extend(opinions(given, rubric, scorers_of(rubric) if scorers is None else scorers))
    score = score_of(findings, rubric)
    letter = letter_of(score, findings, rubric)
    return Grade(
        attempt_id=given.attempt_id,
        finished_key=given.finished_key,
        rubric_hash=rubric_hash,
        score=score,
        letter=letter,
        findings=tuple(findings),
        reasons=_reasons(letter, findings, rubric),
    )


def ask(check: Check, evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return a check's findings: not applicable where the rubric does not ask it, an error where it breaks."""
    given = evidence.given
    if not rubric.rule(check.name).when.holds(given.scene.name, given.mode):
        sentence = f"Not asked of a {given.scene.name.replace('_', ' ')} in mode {given.mode}."
        return (not_applicable(check.name, sentence),)
    try:
        return check.measure(evidence, rubric)
    except ZImageError as error:
        return (failed(check.name, f"The check {check.name} could not be done: {error.sentence}"),)
    except Exception as error:  # noqa: BLE001 - a broken check is reported and caps the grade; it must not lose the rest
        return (failed(check.name, f"The check {check.name} broke: {type(error).__name__}: {error}"),)


def score_of(findings: Sequence[Finding], rubric: Rubric) -> float:
    """Return the weighted geometric mean over groups, 0..1, rounded to 6 digits; 0.0 when nothing was measured.

    exp(sum w_g ln max(s_g, floor) / sum w_g), s_g the lowest score and w_g the largest weight among the group's checks.
    """
    groups: dict[str, tuple[float, float]] = {}
    for finding in findings:
        if finding.score is None:
            continue
        rule = rubric.rule(finding.check)
        lowest, heaviest = groups.get(rule.group, (1.0, 0.0))
        groups[rule.group] = (min(lowest, finding.score), max(heaviest, rule.weight))
    if not groups:
        return 0.0
    total = sum(weight * math.log(max(score, rubric.score_floor)) for score, weight in groups.values())
    return round(math.exp(total / sum(weight for _, weight in groups.values())), 6)


def letter_of(score: float, findings: Sequence[Finding], rubric: Rubric) -> GradeLetter:
    """Return the letter: C by veto or low score; at most B with a score below the cap or a check that broke."""
    if any(finding.veto for finding in findings) or score < rubric.b_from:
        return "C"
    capped = any(finding.state == "error" or not finding.passed for finding in findings)
    return "A" if score >= rubric.a_from and not capped else "B"


def _reasons(letter: GradeLetter, findings: Sequence[Finding], rubric: Rubric) -> tuple[str, ...]:
    """Return the sentences of what keeps the image from an A, worst first: vetoes, then by score, errors as the cap.

    Where nothing fails and the score is low all the same, what passed only just is named as such.
    """
    if letter == "A":
        return ()

    def badness(finding: Finding) -> tuple[bool, float]:
        return (not finding.veto, rubric.cap_below if finding.score is None else finding.score)

    failing = [finding for finding in findings if not finding.passed]
    if failing:
        return tuple(finding.sentence for finding in sorted(failing, key=badness))
    narrow = [finding for finding in findings if finding.score is not None and finding.score < rubric.a_from]
    return tuple(f"Only just: {finding.sentence}" for finding in sorted(narrow, key=badness))
