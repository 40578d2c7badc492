"""Looking at reviews and answering them from the command line: the server where there is one, else the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.settings import PREFECT_API_URL
from pydantic import ValidationError

from flows.review import end_review, state_of
from tasks.order import ProductionOrder
from tasks.review_rounds import ReviewAnswer, Round, decisions_of, doubtful, pictures, rounds_of
from tasks.runs import order_of, run_rows
from tasks.runtime import rooms
from zimage_core import clock
from zimage_core.errors import ConfigurationError

_SHOWN_RUNS = 20


def review_lines(work_dir: Path | None, out_dir: Path | None) -> list[str]:
    """Return a line per run that waits for a person or was reviewed: how it stands, as ledger and server say.

    A review whose time is over without anybody having ended it (no worker ran) is ended here, and told as it is.
    """
    lines = []
    for row in run_rows(work_dir, _SHOWN_RUNS):
        order, run_id = order_of(row.run.run_id, work_dir, out_dir)
        waiting, asked = row.counts.doubtful, _last(order, run_id)
        if asked is None and not waiting:
            continue
        if asked is None:
            lines.append(f"{run_id}: {pictures(waiting)} for a person to decide; no review has asked.")
            continue
        state, known = _state(asked.review)
        if asked.end == "open" and ((known and state is None) or (state is not None and state.is_final())):
            end_review(order, run_id, asked.review)  # the server ended it, or has forgotten it
        elif asked.end == "open" and known and asked.deadline < clock.now():
            end_review(order, run_id, asked.review)  # no worker ran at its deadline
        asked = _last(order, run_id) or asked
        until = f"until {asked.deadline:%Y-%m-%d %H:%M} UTC"
        server = (state.name or "") if state is not None else "unknown to the server" if known else "no server asked"
        if asked.end == "open" and asked.deadline < clock.now():
            said = f"its time is over: held, not published ({server})"
        elif asked.end == "open":
            said = f"asked {until}, flow run {asked.review}: {server}"
        else:
            said = asked.said
        lines.append(f"{run_id}: {pictures(waiting)} for a person to decide; {said}")
    return lines or ["Nothing waits for a person."]


def answer_review(
    run_id: str | None, fields: Mapping[str, object], work_dir: Path | None, out_dir: Path | None
) -> list[str]:
    """Answer a run's review; return what was done, in lines.

    The suspended flow run is resumed where the server has one; else the decisions are recorded here. What is wrong is
    found out first: ConfigurationError, and nothing is recorded or resumed.
    """
    order, known = order_of(run_id, work_dir, out_dir)
    try:
        answer = ReviewAnswer.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise ConfigurationError(f"The review is not answered: {wrong}.") from None
    ledger = rooms(order).ledger
    asked = _last(order, known)
    state, _ = _state(asked.review) if asked is not None and asked.end == "open" else (None, False)
    suspended = asked is not None and state is not None and state.is_paused()
    if not suspended or asked is None:
        decisions, said = decisions_of(
            ledger, known, answer, {shot_id: now.seen for shot_id, now in doubtful(ledger, known).items()}
        )
        ledger.record_decisions(decisions)
        return [said, f"No flow waits for it: recorded here. Next: `zimage publish {known}`, or run again."]
    _, said = decisions_of(ledger, known, answer, asked.seen)
    with get_client(sync_client=True) as client:
        result = client.resume_flow_run(UUID(asked.review), run_input=answer.model_dump(mode="json", exclude_none=True))
    if result.status != SetStateStatus.ACCEPT:
        reason = getattr(result.details, "reason", None) or "the server gave no reason"
        raise ConfigurationError(f"Flow run {asked.review} did not take the answer: {reason}.")
    return [said, f"Flow run {asked.review} goes on with it: it records these decisions and publishes."]


# ---------------------------------------------------------------- behind


def _last(order: ProductionOrder, run_id: str) -> Round | None:
    found = rounds_of(rooms(order).ledger, run_id)
    return found[-1] if found else None


def _state(review_id: str) -> tuple[State[object] | None, bool]:
    """Return a review's state, and whether a server was asked; where none is configured or answers, nobody was."""
    if not PREFECT_API_URL.value():
        return None, False
    try:
        with get_client(sync_client=True) as client:
            return state_of(client, review_id), True
    except httpx.TransportError:
        return None, False
