"""Review: a run's doubtful pictures wait for a person. The flow suspends, so that no machine waits with them.

What Prefect 3.8 does at the end of a suspension's time: its server sets the run to Failed, and runs nothing of ours. So
the time is kept here: when it asks, a review also plans a run of its own deployment for the deadline, which ends what
nobody answered as Held and writes that into the ledger. Prefect's own limit comes later, for when no worker ran.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Completed, Scheduled
from pydantic import Field, ValidationError

from flows.publish import publish as publish_accepted
from tasks.order import ProductionOrder
from tasks.report import report, write_report
from tasks.review_rounds import (
    ReviewAnswer,
    Round,
    ask,
    decisions_of,
    doubtful,
    end_round,
    pictures,
    rounds_of,
    undecided,
)
from tasks.runs import order_of, unaccounted
from tasks.runtime import artifact_key, rooms
from zimage_core import clock
from zimage_core.domain import Release
from zimage_core.errors import ConfigurationError
from zimage_core.publishing.history import Held

LATE_S = 3600
"""Prefect's own limit of the suspension is this much later than ours: it only acts where no worker ran at ours."""

NEVER_RESUMED = "never resumed."
"""How the message of the state ends that Prefect 3.8 gives to a run whose suspension took too long."""

AGAIN_S = 300
"""A review that is being answered at its deadline is looked at again after this time."""

SHOWN = 200
"""Pictures listed in the artifact; the contact sheet has all."""

log = logging.getLogger("zimage_core.flows")


class ReviewInput(RunInput, ReviewAnswer):
    """The form that a suspended review shows."""


def _run_name() -> str:
    given = flow_run.parameters
    ending = given.get("ending")
    return _end_name(ending) if ending else f"review {given.get('run_id') or 'the latest run'}"


def _end_name(review_id: object) -> str:
    return f"end of review {review_id}"


@flow(name="review", flow_run_name=_run_name, persist_result=True)
def review(
    run_id: str | None = None,
    publish: bool = True,
    wait_for_all: bool = False,
    wait_h: Annotated[float, Field(gt=0, le=24 * 90)] = 72.0,
    work_dir: Path | None = None,
    out_dir: Path | None = None,
    ending: str | None = None,
) -> State[Any]:
    """Ask a person about a run's doubtful pictures, record exactly what is decided, and publish what is accepted.

    Suspends until somebody answers its form in the Prefect UI, over the API, or by `zimage review`. A wrong answer
    records nothing and asks again, saying what was wrong. When nobody answers in time it ends as Held: what is doubtful
    stays so, and nothing is published.

    Args:
        run_id: Which run; none = the one opened or resumed last.
        publish: Release what is accepted once people have decided.
        wait_for_all: Ask again until no picture is doubtful, then go on.
        wait_h: Hours to wait for an answer; then it ends: held, not published.
        work_dir: The work folder; none = the configured one.
        out_dir: The output folder; none = the configured one.
        ending: Leave it empty: a review sets it for the run that ends it at its deadline.
    """
    order, known = order_of(run_id or None, work_dir, out_dir)  # a form sends what was left empty as ""
    if ending:
        return Completed(message=end_review(order, known, ending))
    said = ""
    for number in range(1, 10_000):
        asked = _round(order, known, number) or _asked(order, known, number, wait_h)
        if asked is None:
            break
        if asked.end == "open":
            if asked.deadline <= clock.now() and number > 1:
                left = undecided(rooms(order).ledger, known, asked)
                said = _held(order, known, asked, _held_sentence(known, left))
                return State(type=StateType.CANCELLED, name="Held", message=said)
            asked = _answered(order, known, asked)
        said = asked.said
        if asked.end == "answered" and not wait_for_all:
            break
    _unplan_end()
    return Completed(message=" ".join(filter(None, [said, _go_on(order, known, publish=publish)])))


def end_review(order: ProductionOrder, run_id: str, review_id: str) -> str:
    """End a review whose time is over, unless it was answered; say what became of it. The same call again is harmless.

    Its flow run is set to Held (Cancelled) if it is still suspended, and the ledger is told. Nothing is published.
    """
    ledger = rooms(order).ledger
    asked = next((one for one in reversed(rounds_of(ledger, run_id)) if one.review == review_id), None)
    if asked is None or asked.end != "open":
        return f"Review {review_id} is over: {asked.said}" if asked else f"Run {run_id} knows no review {review_id}."
    with get_client(sync_client=True) as client:
        state = state_of(client, review_id)
        if state is not None and not (state.is_paused() or state.is_final()):
            _plan_end(client, review_id, run_id, clock.now() + timedelta(seconds=AGAIN_S))
            return f"Review {review_id} is being answered; its end is looked at again in {AGAIN_S} s."
        left = undecided(ledger, run_id, asked)
        name = "Held" if left else "Decided"
        said = f"Everything that was asked about run {run_id} was decided."
        if left:
            said = _held_sentence(run_id, left, _why_held(state))
        if state is not None and state.is_paused():
            over: State[Any] = State(type=StateType.CANCELLED, name=name, message=said)
            answer = client.set_flow_run_state(UUID(review_id), over)
            if answer.status != SetStateStatus.ACCEPT:
                log.warning("The server keeps review %s as it was: %s", review_id, answer.details)
    if left:
        return _held(order, run_id, asked, said)
    end_round(ledger, run_id, asked, "over", said)
    return said


def state_of(client: SyncPrefectClient, review_id: str) -> State[Any] | None:
    """Return the state of a review's flow run, None where the server knows none."""
    try:
        return client.read_flow_run(UUID(review_id)).state
    except ObjectNotFound:
        return None


# ---------------------------------------------------------------- asking


def _round(order: ProductionOrder, run_id: str, number: int) -> Round | None:
    mine = str(_mine().id)
    found = rounds_of(rooms(order).ledger, run_id)
    return next((one for one in found if (one.review, one.number) == (mine, number)), None)


def _asked(order: ProductionOrder, run_id: str, number: int, wait_h: float) -> Round | None:
    """Ask about what is doubtful now, show the contact sheet, plan the deadline; None where nothing is doubtful."""
    ledger, mine = rooms(order).ledger, _mine()
    waiting = doubtful(ledger, run_id)
    if not waiting:
        return None
    if mine.deployment_id is None:
        raise ConfigurationError(
            f"A person has to decide about {pictures(len(waiting))} of run {run_id}, and only a deployment's run can "
            "wait: start the deployment review, or decide at once with `zimage review` or `zimage decide`."
        )
    first = _round(order, run_id, 1)
    deadline = first.deadline if first else clock.now() + timedelta(hours=wait_h)
    sheet, _ = write_report(order, run_id)
    create_link_artifact(
        link=sheet.resolve().as_uri(), link_text="contact sheet", key=artifact_key("contact-sheet", order.promotion)
    )
    lines = [f"- {now.sku} · {now.scene}: {now.grade} {now.score or 0:.2f} {now.reason}" for now in waiting.values()]
    until = f"Waiting for a person until {deadline:%Y-%m-%d %H:%M} UTC: {pictures(len(waiting))} of run {run_id}."
    create_markdown_artifact(
        markdown="\n".join([until, "", f"Contact sheet: {sheet.resolve()}", "", *lines[:SHOWN]]),
        key=artifact_key("review", order.promotion),
        description=f"Run {run_id}",
    )
    with get_client(sync_client=True) as client:
        given = {**mine.parameters, "run_id": run_id}
        # the latest run may be another when it is resumed
        client.update_flow_run(mine.id, parameters=given, name=f"review {run_id}")
        _plan_end(client, str(mine.id), run_id, deadline)
    return ask(ledger, run_id, str(mine.id), number, deadline)


def _answered(order: ProductionOrder, run_id: str, asked: Round) -> Round:
    """Wait for an answer (the process ends here and starts anew) and record what it means; return the ended round."""
    ledger = rooms(order).ledger
    before = _round(order, run_id, asked.number - 1)
    form = ReviewInput.with_initial_data(description=_description(run_id, asked, before))
    left_s = max(1, int((asked.deadline - clock.now()).total_seconds()))
    try:
        given = suspend_flow_run(wait_for_input=form, timeout=left_s + LATE_S, key=str(asked.number))
        answer = ReviewAnswer.model_validate(given.model_dump())
        decisions, said = decisions_of(ledger, run_id, answer, asked.seen)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        end_round(ledger, run_id, asked, "refused", f"The form was not filled in right: {said}.")
    except ConfigurationError as error:
        end_round(ledger, run_id, asked, "refused", error.sentence)
    else:
        ledger.record_decisions(decisions)
        end_round(ledger, run_id, asked, "answered", said)
    ended = _round(order, run_id, asked.number)
    assert ended is not None, "a round that was ended is there"
    log.info("Round %d of the review of %s: %s", asked.number, run_id, ended.said)
    return ended


def _description(run_id: str, asked: Round, before: Round | None) -> str:
    until = f"{asked.deadline:%Y-%m-%d %H:%M} UTC"
    waiting = f"Waiting for a person: {pictures(len(asked.seen))} of run {run_id}."
    lines = [f"{waiting} What is not decided by {until} is held, not published."]
    if before is not None and before.end == "refused":
        lines.insert(0, f"**The last answer was not recorded.** {before.said}\n")
    elif before is not None:
        lines.insert(0, f"{before.said} These are left.\n")
    return "\n".join(lines)


# ---------------------------------------------------------------- going on, or ending


def _go_on(order: ProductionOrder, run_id: str, *, publish: bool) -> str:
    """Publish what is accepted, unless shots are still to be made; write the report; say what was done."""
    left = len(doubtful(rooms(order).ledger, run_id))
    said = [f"Still doubtful and held: {pictures(left)}." if left else "No picture is doubtful."]
    missing = unaccounted(order, run_id)
    if publish and missing:
        said.append(f"Nothing was published: still to be made, by the same order again: {pictures(missing)}.")
    elif publish:
        release = publish_accepted(order, run_id)
        said.append(_released(release))
    report(order, run_id)
    return " ".join(said)


def _released(release: Release | Held | None) -> str:
    if release is None:
        return "Nothing is accepted, so nothing was published."
    if isinstance(release, Release):
        return f"Published: release {release.release_id}, {release.rendition_count} files."
    return f"Release {release.release_id} is prepared and held: `zimage go-live`."


def _held_sentence(run_id: str, left: int, why: str = "nobody decided in time") -> str:
    return f"Held, not published: {why} about {pictures(left)} of run {run_id}."


def _why_held(state: State[Any] | None) -> str:
    """Say why a review that was not answered is over: time ran out, or its flow run ended in another way."""
    if state is None:
        return "the server has forgotten the review and nobody had decided"
    if state.is_final() and not (state.message or "").endswith(NEVER_RESUMED):
        return f"the review ended as {state.name} before anybody decided"
    return "nobody decided in time"


def _held(order: ProductionOrder, run_id: str, asked: Round, said: str) -> str:
    ledger = rooms(order).ledger
    end_round(ledger, run_id, asked, "held", said)
    if FlowRunContext.get() is not None:  # from the command line there is no run that an artifact could belong to
        key = artifact_key("review", order.promotion)
        create_markdown_artifact(markdown=said, key=key, description=f"Run {run_id}")
    log.warning("%s", said)
    return said


def _unplan_end() -> None:
    """Take back the planned end of this review; one that is left finds the review answered and does nothing."""
    mine = _mine()
    if mine.deployment_id is None:
        return
    with get_client(sync_client=True) as client:
        planned = FlowRunFilter(name=FlowRunFilterName(any_=[_end_name(mine.id)]))
        for one in client.read_flow_runs(flow_run_filter=planned):
            if one.state is not None and one.state.is_scheduled():
                client.delete_flow_run(one.id)


def _plan_end(client: SyncPrefectClient, review_id: str, run_id: str, at: datetime) -> None:
    """Plan a run of this deployment that ends the review at a moment; outside a deployment's run nothing is planned."""
    mine = _mine() if FlowRunContext.get() else None
    if mine is None or mine.deployment_id is None:
        return
    client.create_flow_run_from_deployment(
        mine.deployment_id,
        parameters={**mine.parameters, "run_id": run_id, "ending": review_id},
        state=Scheduled(scheduled_time=at),
        idempotency_key=f"end-of-{review_id}-{at:%Y%m%dT%H%M%S}",
        name=_end_name(review_id),
    )


def _mine() -> Any:
    context = FlowRunContext.get()
    flow_run_of_mine = context.flow_run if context else None
    assert flow_run_of_mine is not None, "called inside the flow"
    return flow_run_of_mine
