"""A review on a real server with a real worker: it suspends, is answered in three ways, and ends as Held in time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import HTTPStatusError
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Cancelled, Failed, Suspended
from prefect.utilities.callables import parameter_schema
from started_prefect import started
from workshop import SOFT_CUSHION, Workshop

from flows.produce import produce
from flows.review import review
from flows.reviews import answer_review, review_lines
from tasks.order import ProductionOrder
from tasks.review_rounds import KIND, ask, rounds_of
from tasks.runs import tally_of
from tasks.runtime import rooms
from zimage_core import clock
from zimage_core.errors import ConfigurationError

PATIENCE_S = 240
OTHER_CUSHION = SOFT_CUSHION | {"sku": "CUSH-2", "name": "蓝色抱枕"}


@pytest.fixture
def order(workshop: Workshop) -> ProductionOrder:
    workshop.write(SOFT_CUSHION, OTHER_CUSHION)
    return ProductionOrder(
        catalogue=str(workshop.catalogue), promotion="618", scenes=("packshot",), channels=("amazon_main",)
    )


@pytest.fixture
def doubtful(order: ProductionOrder) -> str:
    """A run whose two pictures wait for a person."""
    run_id = produce(order)
    assert tally_of(order, run_id).doubtful == 2
    return run_id


@pytest.fixture
def client(workshop: Workshop) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as opened:
        yield opened


@pytest.fixture
def deployment(workshop: Workshop, client: SyncPrefectClient) -> Iterator[UUID]:
    """The id of a deployment of the review flow, whose runs a worker of this test's own takes from a pool."""
    pool = f"people-{workshop.folder.parent.name}".replace("_", "-")
    client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    deployment_id = client.create_deployment(
        client.create_flow(review),
        name=pool,
        work_pool_name=pool,
        entrypoint="flows.review.review",
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(workshop.folder)}}],
        parameter_openapi_schema=parameter_schema(review).model_dump(),
        enforce_parameter_schema=True,
    )
    environment = workshop.environment | {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_WORKER_PREFETCH_SECONDS": "1"}
    command = ["worker", "start", "--pool", pool, "--type", "process", "--name", pool]
    with started(command, environment, workshop.folder / "worker.log", cwd=workshop.folder):
        yield deployment_id


@pytest.fixture
def until(client: SyncPrefectClient, workshop: Workshop) -> Callable[[UUID, Callable[[FlowRun], bool]], FlowRun]:
    """Return a function that waits until a flow run is as wanted; what the worker said stands in the failure."""

    def wait(flow_run_id: UUID, wanted: Callable[[FlowRun], bool]) -> FlowRun:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = client.read_flow_run(flow_run_id)
            if wanted(found):
                return found
            unexpected = found.state is not None and found.state.is_final()
            assert not unexpected, f"{found.state}\n{(workshop.folder / 'worker.log').read_text()[-6000:]}"
            assert time.monotonic() < deadline, f"{found.state}\n{(workshop.folder / 'worker.log').read_text()[-6000:]}"
            time.sleep(0.5)

    return wait


def asks(number: int) -> Callable[[FlowRun], bool]:
    """A flow run that is suspended in its nth round."""

    def suspended(one: FlowRun) -> bool:
        return one.state is not None and one.state.is_paused() and one.state.state_details.pause_key == str(number)

    return suspended


def ended(one: FlowRun) -> bool:
    return one.state is not None and one.state.is_final()


def form_of(client: SyncPrefectClient, one: FlowRun, part: str) -> str:
    """Return a part of the form that the UI shows for a suspended run."""
    assert one.state is not None
    key = one.state.state_details.run_input_keyset[part]  # type: ignore[index]
    deadline = time.monotonic() + 30
    while True:
        try:
            return client.request("GET", "/flow_runs/{id}/input/{key}", path_params={"id": one.id, "key": key}).text
        except HTTPStatusError:  # the form is kept a moment after the state is set
            assert time.monotonic() < deadline
            time.sleep(0.2)


def planned_ends(client: SyncPrefectClient, review_id: UUID) -> list[FlowRun]:
    named = FlowRunFilter(name=FlowRunFilterName(any_=[f"end of review {review_id}"]))
    return client.read_flow_runs(flow_run_filter=named)


@pytest.mark.slow
def test_a_review_suspends_asks_again_after_a_wrong_answer_and_publishes_what_is_approved(
    workshop: Workshop, order: ProductionOrder, doubtful: str, deployment: UUID, client: SyncPrefectClient, until: Any
):
    asked = client.create_flow_run_from_deployment(deployment, parameters={"wait_for_all": True})
    suspended = until(asked.id, asks(1))
    assert suspended.parameters["run_id"] == doubtful, "the latest run may be another one when it goes on"
    assert suspended.name == f"review {doubtful}"
    assert [one.state is not None and one.state.is_scheduled() for one in planned_ends(client, asked.id)] == [True]
    assert "Approve from score" in form_of(client, suspended, "schema")
    assert review_lines(None, None)[0].startswith(f"{doubtful}: 2 pictures for a person to decide; asked until")

    # over the API, as the form of the UI does: the server refuses what the form does not allow ...
    refused = client.resume_flow_run(asked.id, run_input={"approve_from": 2.0, "who": "mei"})
    assert "approve_from" in str(refused.details) or "maximum" in str(refused.details)
    # ... and what only the ledger can know is asked again, with the sentence in the form
    client.resume_flow_run(asked.id, run_input={"who": "mei", "reject": [{"what": "NOBODY-1", "why": "crooked"}]})
    again = until(asked.id, asks(2))
    assert "'NOBODY-1' is not in question here" in form_of(client, again, "description")
    assert tally_of(order, doubtful).doubtful == 2

    # a right one is recorded; as not all is decided, the rest is asked about
    client.resume_flow_run(asked.id, run_input={"who": "mei", "reject": [{"what": "CUSH-2", "why": "crooked"}]})
    third = until(asked.id, asks(3))
    assert "mei decided: 1 × reject. These are left." in form_of(client, third, "description")
    assert "Waiting for a person: 1 picture of run" in form_of(client, third, "description")

    # by the command line: found wrong before anything is resumed, then taken
    with pytest.raises(ConfigurationError, match="decides nothing"):
        answer_review(doubtful, {"who": "mei"}, None, None)
    said = workshop.run("review", doubtful, "--approve-from", "0.5", "--who", "mei")
    assert f"Flow run {asked.id} goes on" in said.stdout
    done = until(asked.id, ended)
    assert done.state is not None
    assert done.state.is_completed()
    assert "mei decided: 1 × approve. No picture is doubtful. Published: release" in str(done.state.message)
    assert {sku for sku, _, _ in workshop.live("618")} == {"CUSH-1"}
    assert planned_ends(client, asked.id) == []
    assert [one.end for one in rounds_of(rooms(order).ledger, doubtful)] == ["refused", "answered", "answered"]
    ids = [standing.attempt.attempt_id for _, standing in rooms(order).ledger.standings(doubtful) if standing.attempt]
    assert {(one.kind, one.who) for said in rooms(order).ledger.decisions(ids).values() for one in said} == {
        ("approve", "mei"),
        ("reject", "mei"),
    }

    # nothing is doubtful any more: a review says so and does not wait
    after = until(client.create_flow_run_from_deployment(deployment, parameters={"publish": False}).id, ended)
    assert after.state is not None
    assert after.state.message == "No picture is doubtful."


@pytest.mark.slow
def test_a_review_that_nobody_answers_in_time_is_held_and_nothing_is_published(
    workshop: Workshop, order: ProductionOrder, doubtful: str, deployment: UUID, client: SyncPrefectClient, until: Any
):
    asked = client.create_flow_run_from_deployment(deployment, parameters={"run_id": doubtful, "wait_h": 0.004})
    held = until(asked.id, ended)
    assert held.state is not None
    assert (held.state.name, held.state.is_cancelled()) == ("Held", True)
    assert str(held.state.message).startswith("Held, not published: nobody decided in time about 2 pictures")
    (end,) = planned_ends(client, asked.id)
    until(end.id, ended)
    (round_,) = rounds_of(rooms(order).ledger, doubtful)
    assert (round_.end, round_.said) == ("held", held.state.message)
    assert tally_of(order, doubtful).doubtful == 2
    assert not (workshop.cdn / "current").exists()
    assert review_lines(None, None) == [f"{doubtful}: 2 pictures for a person to decide; {held.state.message}"]
    late = client.resume_flow_run(asked.id, run_input={"who": "mei", "approve_from": 0.0})
    assert late.status == SetStateStatus.ABORT


def test_without_a_deployment_it_says_what_to_do_and_the_command_line_decides_at_once(
    workshop: Workshop, order: ProductionOrder, doubtful: str
):
    with pytest.raises(ConfigurationError, match="only a deployment's run can wait"):
        review(run_id=doubtful)
    assert "no review has asked" in review_lines(None, None)[0]
    said = answer_review(doubtful, {"who": "mei", "approve_from": 0.5, "note": "fine"}, None, None)
    assert said[0] == "mei decided: 2 × approve."
    assert tally_of(order, doubtful).accepted == 2
    assert not [event for event in rooms(order).ledger.events(doubtful) if event.kind == KIND]


def test_the_command_line_tells_how_a_review_ended_that_no_flow_of_ours_could_end(
    workshop: Workshop, order: ProductionOrder, doubtful: str, client: SyncPrefectClient
):
    """The server's own limit, a person's cancellation, a server that forgot it, and no worker at the deadline."""
    ledger, soon, past = rooms(order).ledger, clock.now() + timedelta(hours=1), clock.now() - timedelta(hours=1)
    ends = [
        (Failed(message="The flow was paused and never resumed."), past, "nobody decided in time about 2 pictures"),
        (Cancelled(), soon, "the review ended as Cancelled before anybody decided about 2 pictures"),
        (Suspended(timeout_seconds=9999), past, "nobody decided in time about 2 pictures"),
        (None, soon, "the server has forgotten the review and nobody had decided about 2 pictures"),
    ]
    deployment_id = client.create_deployment(client.create_flow(review), name="without a worker")
    for number, (state, deadline, said) in enumerate(ends, 1):
        review_id = client.create_flow_run_from_deployment(deployment_id).id
        ask(ledger, doubtful, str(review_id), number, deadline)
        if state is None:
            client.delete_flow_run(review_id)
        else:
            client.set_flow_run_state(review_id, state, force=True)
        for _ in range(2):  # the second look says the same and records nothing
            (line,) = review_lines(None, None)
            assert re.search(f"2 pictures for a person to decide; Held, not published: {said}", line)
        assert rounds_of(ledger, doubtful)[-1].end == "held"
        if state is not None and state.is_paused():
            assert client.read_flow_run(review_id).state.name == "Held"  # type: ignore[union-attr]
    assert len([event for event in ledger.events(doubtful) if event.kind == KIND]) == 2 * len(ends)
