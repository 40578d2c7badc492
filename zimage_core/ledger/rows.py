"""Nouns to rows and back, and the small records that only the ledger hands out."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import RowMapping

from zimage_core.domain import (
    Attempt,
    Decision,
    Finding,
    Grade,
    Likeness,
    Promise,
    Refusal,
    Release,
    Rendition,
    Run,
    Signature,
    Verdict,
    content_id,
    to_text,
)
from zimage_core.errors import LedgerError

Noun = TypeVar("Noun")
ReleaseKind = Literal["published", "rolled_back", "expired"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How a run stands, counted from the same walk that `standings` makes. `pending` = promised and not yet at an end;
    `left_out` = not made for lack of time.

    `letters` counts the grades that the shots' latest verdicts rest on; seconds and cost are those of attempts this run
    made (failed tries included), not of those it found made.
    """

    promised: int = 0
    accepted: int = 0
    doubtful: int = 0
    given_up: int = 0
    failed: int = 0
    pending: int = 0
    attempts: int = 0
    refused: int = 0
    letters: Mapping[str, int] = field(default_factory=dict)
    engine_seconds: float = 0.0
    cost_usd: float = 0.0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as it stands: `state` is "running" from open to close, then what it was closed with."""

    run: Run
    state: str
    detail: str
    opened_at: datetime
    counts: Tally


@dataclass(frozen=True, slots=True)
class RunOpening:
    """Which run was opened or resumed, and when."""

    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened to a run as a whole: opened, resumed, closed, or what a caller chose to note."""

    kind: str
    state: str | None
    detail: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RecordedVerdict:
    """A verdict with the attempt it is about and the grade it rests on (None when the engine failed)."""

    shot_id: str
    attempt_id: str
    grade_id: str | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class FoundLikeness:
    """A likeness, and when it was found."""

    likeness: Likeness
    at: datetime


@dataclass(frozen=True, slots=True)
class ReleaseEvent:
    """A release going live: published by a run, or rolled back to by a person (no run)."""

    release: Release
    kind: ReleaseKind
    run_id: str | None
    at: datetime


# ---------------------------------------------------------------- nouns as text


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def to_json(noun: object) -> str:
    """Return a noun as the JSON text kept in `payload`."""
    return to_text(noun)


def from_json(kind: type[Noun], text: str) -> Noun:
    """Return the noun kept as JSON text. Raises LedgerError when it is not one (written by another version)."""
    try:
        noun: Noun = _adapter(cast("Hashable", kind)).validate_json(text)
    except ValidationError as error:
        raise LedgerError(
            f"A {kind.__name__} in the ledger cannot be read: {error.error_count()} fields are wrong."
        ) from None
    return noun


def time_text(at: datetime) -> str:
    """Return a moment as UTC text of fixed width, so that text order is time order."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


# ---------------------------------------------------------------- rows to insert


def refusal_row(run_id: str, refusal: Refusal) -> dict[str, Any]:
    """A refusal of a run."""
    return {
        "run_id": run_id,
        "refusal_id": refusal.refusal_id,
        "stage": refusal.stage,
        "code": refusal.code,
        "sku": refusal.sku,
        "payload": to_json(refusal),
    }


def promise_row(promise: Promise) -> dict[str, Any]:
    """The promise itself; its product and shot are rows of their own."""
    return {
        "run_id": promise.run_id,
        "shot_id": promise.shot.shot_id,
        "product_key": promise.product.product_key,
        "record_no": promise.product.record_no,
        "channels": json.dumps(promise.channels),
        "shard_id": promise.shard_id,
        "ordinal": promise.ordinal,
    }


def attempt_row(run_id: str, attempt: Attempt, at: datetime) -> dict[str, Any]:
    """An attempt that was rendered, or that failed for good."""
    return {
        "attempt_id": attempt.attempt_id,
        "shot_id": attempt.shot_id,
        "number": attempt.number,
        "run_id": run_id,
        "engine": attempt.engine,
        "object_key": attempt.object_key,
        "error_code": attempt.error_code,
        "seconds": attempt.seconds,
        "cost_usd": attempt.cost_usd,
        "payload": to_json(attempt),
        "at": time_text(at),
    }


def failure_row(run_id: str, attempt: Attempt, owner: str, at: datetime) -> dict[str, Any]:
    """A failed try that may be repeated under the same attempt_id."""
    return {
        "attempt_id": attempt.attempt_id,
        "shot_id": attempt.shot_id,
        "run_id": run_id,
        "owner": owner,
        "code": attempt.error_code,
        "sentence": attempt.error or "",
        "seconds": attempt.seconds,
        "cost_usd": attempt.cost_usd,
        "payload": to_json(attempt),
        "at": time_text(at),
    }


def grade_row(grade: Grade, at: datetime) -> dict[str, Any]:
    """A grade; its findings are rows of their own."""
    return {
        "grade_id": grade.grade_id,
        "attempt_id": grade.attempt_id,
        "finished_key": grade.finished_key,
        "rubric_hash": grade.rubric_hash,
        "score": grade.score,
        "letter": grade.letter,
        "reasons": json.dumps(grade.reasons, ensure_ascii=False),
        "at": time_text(at),
    }


def finding_rows(grade: Grade) -> list[dict[str, Any]]:
    """The findings of a grade, in their order."""
    return [
        {
            "grade_id": grade.grade_id,
            "ordinal": ordinal,
            "check_name": finding.check,
            "state": finding.state,
            "passed": finding.passed,
            "veto": finding.veto,
            "score": finding.score,
            "payload": to_json(finding),
        }
        for ordinal, finding in enumerate(grade.findings)
    ]


def verdict_row(run_id: str, recorded: RecordedVerdict, at: datetime) -> dict[str, Any]:
    """A verdict; the same kind and change for the same run, attempt, grade and moment is the same row."""
    verdict = recorded.verdict
    about = (run_id, recorded.shot_id, recorded.attempt_id, recorded.grade_id, verdict.kind, verdict.change)
    key = content_id("verdict", *about, *(() if verdict.since is None else (verdict.since,)))
    return {
        "verdict_id": key,
        "run_id": run_id,
        "shot_id": recorded.shot_id,
        "attempt_id": recorded.attempt_id,
        "grade_id": recorded.grade_id,
        "kind": verdict.kind,
        "payload": to_json(verdict),
        "at": time_text(at),
    }


def decision_row(decision: Decision) -> dict[str, Any]:
    """A person's decision; the same words by the same person at the same moment are the same row."""
    return {
        "decision_id": content_id("decision", decision),
        "attempt_id": decision.attempt_id,
        "kind": decision.kind,
        "who": decision.who,
        "payload": to_json(decision),
        "decided_at": time_text(decision.decided_at),
    }


def rendition_row(run_id: str, rendition: Rendition) -> dict[str, Any]:
    """A file that a run publishes."""
    return {
        "run_id": run_id,
        "rendition_id": rendition.rendition_id,
        "shot_id": rendition.shot_id,
        "attempt_id": rendition.attempt_id,
        "channel": rendition.channel,
        "payload": to_json(rendition),
    }


def signature_row(signature: Signature, at: datetime) -> dict[str, Any]:
    """What an attempt's picture looks like, by the code of one version."""
    return {
        "attempt_id": signature.attempt_id,
        "version": signature.version,
        "picture": signature.picture,
        "product": signature.product,
        "at": time_text(at),
    }


def likeness_row(likeness: Likeness, at: datetime) -> dict[str, Any]:
    """That an attempt shows what another one shows already, and when that was found."""
    return {
        "attempt_id": likeness.attempt_id,
        "other_attempt_id": likeness.other_attempt_id,
        "kind": likeness.kind,
        "payload": to_json(likeness),
        "at": time_text(at),
    }


# ---------------------------------------------------------------- rows read back


def read_grade(row: RowMapping, findings: tuple[Finding, ...]) -> Grade:
    """Return the grade of a row of the grade table with its findings."""
    return Grade(
        attempt_id=row["attempt_id"],
        finished_key=row["finished_key"],
        rubric_hash=row["rubric_hash"],
        score=row["score"],
        letter=row["letter"],
        findings=findings,
        reasons=tuple(json.loads(row["reasons"])),
    )


def read_verdict(row: RowMapping) -> RecordedVerdict:
    """Return the verdict of a row of the verdict table."""
    return RecordedVerdict(row["shot_id"], row["attempt_id"], row["grade_id"], from_json(Verdict, row["payload"]))
