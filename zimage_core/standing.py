"""Where a promised shot stands, and what it needs next: one pure walk over what the ledger holds.

What it is:       the bounded loop of stages 3 to 6 (generate, grade, regenerate, review) told as a chain of attempts.
May import:       domain.
May touch:        nothing.
Never:            counts on the order in which rows were written; content ids alone lead from one attempt to the next.

Attempt 1 changes nothing. Its verdict accepts it, hands it to a person, gives the shot up, or names the change that
attempt 2 makes; and so on. A person's decision on an attempt outranks the verdict on it, but for an approval given
before something was learnt that the verdict rests on (`Verdict.since`). Whoever asks (a shard that resumes after a
crash, a report, a publisher) walks the same chain and comes to the same end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from zimage_core.domain import Attempt, Change, Decision, ShotState, Verdict, attempt_id_of


@dataclass(frozen=True, slots=True)
class Standing:
    """A shot's state with its reason, the attempts made so far in order, and the next thing to do for it.

    `needs` = render: make attempt `number` with `change`; grade: judge `attempt`; nothing: done, or a person's turn.
    """

    state: ShotState
    needs: Literal["render", "grade", "nothing"]
    number: int
    change: Change
    attempt: Attempt | None
    reason: str
    chain: tuple[Attempt, ...]


def standing_of(
    shot_id: str,
    attempts: Mapping[str, Attempt],
    verdicts: Mapping[str, Verdict],
    decisions: Mapping[str, Decision],
    failures: Mapping[str, str],
    left_out: str | None = None,
) -> Standing:
    """Walk the chain of one shot. Every mapping is keyed by attempt_id and may hold other shots' entries.

    `verdicts` are those of one run; `decisions` the latest of each attempt; `failures` the sentence of the last
    retryable failure of an attempt that was never made. `left_out`: why the run makes no further attempt for now.
    """
    number, change = 1, Change()
    chain: list[Attempt] = []
    while True:
        attempt_id = attempt_id_of(shot_id, number, change)
        attempt = attempts.get(attempt_id)
        if attempt is None:
            failure = failures.get(attempt_id)
            state: ShotState = "promised" if failure is None else "failed"
            last = chain[-1] if chain else None
            if left_out is not None:
                return Standing("left_out", "nothing", number, change, last, left_out, tuple(chain))
            return Standing(state, "render", number, change, last, failure or change.why, tuple(chain))
        chain.append(attempt)
        verdict = verdicts.get(attempt_id)
        if verdict is None:
            return Standing("promised", "grade", number, change, attempt, "", tuple(chain))
        meant, decision = _decided(attempt, attempts.get(verdict.attempt_id or attempt_id, attempt), decisions)
        decision = _that_counts(decision, verdict)
        asked = _next_change(change, verdict, decision)
        if asked is None:
            state, reason = _end(verdict, decision)
            return Standing(state, "nothing", number, change, meant, reason, tuple(chain))
        number, change = number + 1, asked


def _decided(last: Attempt, shown: Attempt, decisions: Mapping[str, Decision]) -> tuple[Attempt, Decision | None]:
    """Return the attempt that a shot's end is about, and what was decided about it.

    A person is shown the attempt that the verdict means, which may be an earlier one. That another was wanted in its
    place then is done: it led to the last.
    """
    decision = decisions.get(shown.attempt_id)
    if shown.attempt_id != last.attempt_id and (decision is None or decision.kind == "regenerate"):
        decision = decisions.get(last.attempt_id)
        return (shown if decision is None else last), decision
    return shown, decision


def _that_counts(decision: Decision | None, verdict: Verdict) -> Decision | None:
    """Return the decision, but for an approval given before what the verdict rests on was known."""
    if decision is None or verdict.since is None or decision.kind != "approve":
        return decision
    return decision if decision.decided_at >= verdict.since else None


def _next_change(change: Change, verdict: Verdict, decision: Decision | None) -> Change | None:
    """Return what the next attempt changes, or None when this attempt is the last of the chain."""
    if verdict.kind == "regenerate":
        return verdict.change
    if decision is not None and decision.kind == "regenerate":
        asked = f"{decision.who} asked for another" + (f": {decision.why}" if decision.why else "")
        return dataclasses.replace(change, wording=change.wording + 1, why=asked)
    return None


def _end(verdict: Verdict, decision: Decision | None) -> tuple[ShotState, str]:
    """Return the state in which a chain ends, and why in words."""
    if decision is not None and verdict.kind in ("accept", "review"):
        approved = decision.kind == "approve"
        said = f"{'approved' if approved else 'rejected'} by {decision.who}"
        return ("accepted" if approved else "given_up"), said + (f": {decision.why}" if decision.why else "")
    states: dict[str, ShotState] = {"accept": "accepted", "review": "doubtful", "give_up": "given_up"}
    return states[verdict.kind], verdict.reason
