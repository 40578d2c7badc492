"""What a suspended review asks and is answered: rounds kept in the ledger, and answers turned into exact decisions.

A review asks about the shots that are doubtful at that moment, by their `seen` ids, and an answer is about those: a
shot that changed since, or became doubtful later, is not decided by an answer of somebody who never saw it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.review import decision_on, judge_decisions, refuse, shots_now, text_of
from zimage_core import clock
from zimage_core.domain import Decision
from zimage_core.errors import ConfigurationError
from zimage_core.ledger import Ledger
from zimage_core.reporting.decisions import ShotNow

KIND = "review"
_MOST_NAMED = 20


class Rejection(BaseModel):
    """One SKU, with all its pictures in question, or one attempt; and why it is rejected."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    what: str = Field(title="SKU or attempt", description="All its pictures in question are rejected.", min_length=1)
    why: str = Field(title="Reason", min_length=1)


class ReviewAnswer(BaseModel):
    """What a person decides about a run's doubtful pictures. What is not named here stays doubtful and is held."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    who: str = Field(title="Who decides", description="Your name; it is kept with every decision.", min_length=1)
    approve_from: float | None = Field(
        None,
        title="Approve from score",
        description="Approve every picture in question with at least this score, but for those rejected here. "
        "Empty = approve none by its score.",
        ge=0,
        le=1,
    )
    reject: list[Rejection] = Field(
        default_factory=list, title="Reject", description="Pictures that must not be published."
    )
    decisions_file: str | None = Field(
        None,
        title="Decisions file",
        description="The text of a decisions.csv, pasted; or its path on the machine that runs the flow.",
    )
    note: str = Field("", title="Note", description="Kept with what is approved by its score.")


@dataclass(frozen=True)
class Round:
    """One asking of a review: until when, about what (`seen` by shot_id), and how it ended so far.

    `review` is the id of the flow run that asks; `number` counts from 1. `said` is the sentence of the end.
    """

    review: str
    number: int
    asked_at: datetime
    deadline: datetime
    seen: Mapping[str, str] = field(default_factory=dict)
    end: Literal["open", "answered", "refused", "held", "over"] = "open"
    said: str = ""


def pictures(count: int) -> str:
    """Return a number of pictures as people say it."""
    return "1 picture" if count == 1 else f"{count} pictures"


def rounds_of(ledger: Ledger, run_id: str) -> list[Round]:
    """Return every round that reviews of a run asked, oldest first."""
    found: dict[tuple[str, int], Round] = {}
    for event in ledger.events(run_id):
        if event.kind != KIND:
            continue
        told = json.loads(event.detail)
        key = (told["review"], told["round"])
        if told["what"] == "asked":
            found[key] = Round(*key, event.at, datetime.fromisoformat(told["deadline"]), told["seen"])
        elif key in found:
            asked = found[key]
            found[key] = Round(*key, asked.asked_at, asked.deadline, asked.seen, told["what"], told["said"])
    return list(found.values())


def ask(ledger: Ledger, run_id: str, review: str, number: int, deadline: datetime) -> Round:
    """Record that a review asks about what is doubtful now, and return the round."""
    seen = {shot_id: now.seen for shot_id, now in doubtful(ledger, run_id).items()}
    _note(ledger, run_id, review, number, "asked", deadline=deadline.isoformat(), seen=seen)
    return Round(review, number, clock.now(), deadline, seen)


def end_round(
    ledger: Ledger, run_id: str, asked: Round, end: Literal["answered", "refused", "held", "over"], said: str
) -> None:
    """Record how a round ended, in a sentence."""
    _note(ledger, run_id, asked.review, asked.number, end, said=said)


def doubtful(ledger: Ledger, run_id: str) -> dict[str, ShotNow]:
    """Return the shots of a run that wait for a person, by shot_id, in order."""
    return {shot_id: now for shot_id, now in shots_now(ledger, run_id).items() if now.state == "doubtful"}


def undecided(ledger: Ledger, run_id: str, asked: Round) -> int:
    """Return how many of the pictures that a round asked about are still doubtful."""
    now = shots_now(ledger, run_id, list(asked.seen))
    return sum(one.state == "doubtful" for one in now.values())


def decisions_of(
    ledger: Ledger, run_id: str, answer: ReviewAnswer, seen: Mapping[str, str]
) -> tuple[tuple[Decision, ...], str]:
    """Return the decisions that an answer means, exactly, and a sentence that counts them. Nothing is recorded.

    `seen`: what was asked about. Raises ConfigurationError, for the person to read, where the answer decides nothing,
    names what was not asked about or what changed since, decides a picture in two ways, or holds a stale file.
    """
    if answer.approve_from is None and not answer.reject and not answer.decisions_file:
        raise ConfigurationError(
            "The answer decides nothing: give a score to approve from, pictures to reject, or a decisions file."
        )
    shots = shots_now(ledger, run_id, list(seen))
    at = clock.now()
    by_file = _by_file(ledger, run_id, answer)
    rejected = _rejected(answer, shots, seen)
    twice = {decision.attempt_id for decision in by_file} & {shots[shot_id].attempt_id for shot_id in rejected}
    if twice:
        raise ConfigurationError(
            f"{_named(shots[s] for s in rejected if shots[s].attempt_id in twice)} "
            "is in the decisions file and among the rejected; decide it in one of them."
        )
    decided = {decision.attempt_id for decision in by_file}
    decisions = list(by_file)
    for shot_id, why in rejected.items():
        now = shots[shot_id]
        if now.seen == seen[shot_id]:
            decisions.append(decision_on(now, "reject", answer.who, why, at))
    for shot_id, now in shots.items():
        passed = answer.approve_from is not None and now.score is not None and now.score >= answer.approve_from
        taken = shot_id in rejected or now.attempt_id in decided or now.last_attempt_id in decided
        if passed and not taken and now.state == "doubtful" and now.seen == seen[shot_id]:
            why = f"score {now.score:.2f}, approved from {answer.approve_from:.2f}" + (
                f": {answer.note}" if answer.note else ""
            )
            decisions.append(decision_on(now, "approve", answer.who, why, at))
    counts = Counter(decision.kind for decision in decisions)
    said = ", ".join(f"{count} × {kind}" for kind, count in sorted(counts.items())) or "nothing new"
    return tuple(decisions), f"{answer.who} decided: {said}."


# ---------------------------------------------------------------- behind the verbs


def _note(ledger: Ledger, run_id: str, review: str, number: int, what: str, **more: Any) -> None:
    detail = {"review": review, "round": number, "what": what, **more}
    ledger.record_event(run_id, KIND, json.dumps(detail, ensure_ascii=False, separators=(",", ":")))


def _by_file(ledger: Ledger, run_id: str, answer: ReviewAnswer) -> Sequence[Decision]:
    given = answer.decisions_file
    if not given:
        return ()
    pasted = "\n" in given or "attempt_id" in given
    text, name = (given, "The decisions file") if pasted else (text_of(Path(given)), Path(given).name)
    judged = judge_decisions(ledger, text, name, answer.who)
    refuse(judged, name)
    others = [other for other in judged.runs if other != run_id]
    if others:
        raise ConfigurationError(f"{name} is about run {', '.join(others)}, and this review is about {run_id}.")
    if not judged.decisions and not judged.recorded:
        raise ConfigurationError(f"{name} decides nothing: no line has a decision.")
    return judged.decisions


def _rejected(answer: ReviewAnswer, shots: Mapping[str, ShotNow], seen: Mapping[str, str]) -> dict[str, str]:
    """Return why each of the rejected shots is rejected. A shot rejected before by these very words is no mistake."""
    rejected: dict[str, str] = {}
    for one in answer.reject:
        meant = [shot_id for shot_id, now in shots.items() if one.what in (now.sku, now.attempt_id)]
        if not meant:
            known = _named(shots.values())
            raise ConfigurationError(f"'{one.what}' is not in question here; what is: {known or 'nothing any more'}.")
        for shot_id in meant:
            if rejected.setdefault(shot_id, one.why) != one.why:
                raise ConfigurationError(f"{_named([shots[shot_id]])} is rejected twice, for different reasons.")
            now = shots[shot_id]
            said = now.decision
            already = said is not None and (said.kind, said.who, said.why) == ("reject", answer.who, one.why)
            if now.seen != seen[shot_id] and not already:
                raise ConfigurationError(
                    f"{_named([now])} changed since this review asked ({now.state}: {now.reason}); look at it again."
                )
    return rejected


def _named(shots: Any) -> str:
    names = [f"{now.sku} · {now.scene}" for now in shots]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
