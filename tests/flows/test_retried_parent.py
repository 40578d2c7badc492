"""A parent that is retried: Prefect matches children by the order of calls, the ledger knows what is missing."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry, Completed
from workshop import Workshop

import flows.shard
from flows.produce import produce
from tasks.order import ProductionOrder
from tasks.runs import tally_of
from zimage_core.errors import EngineError

ORDER = ProductionOrder(catalogue="catalogue.csv", scenes=("packshot",), channels=("shopify",))
SECOND_SHARD_FAILS = {"unavailable": "1", "only_sku": "LIP-1", "until": "5"}
"""Four tries for the lipstick, one call for the mug; from the sixth call on all is well."""


@pytest.fixture(autouse=True)
def a_shard_per_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZIMAGE_SHARD_SIZE", "1")


def carried_out(flow_run: FlowRun) -> State[Any]:
    state = run_flow(produce, flow_run=flow_run, return_type="state")
    assert isinstance(state, State)
    return state


def test_a_retried_parent_makes_the_shard_that_failed_and_takes_no_other_for_it(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ZIMAGE_ENGINE_OPTIONS", "{}")
    order = ORDER.model_copy(update={"engine": "fault", "engine_options": SECOND_SHARD_FAILS})
    with get_client(sync_client=True) as client:
        parameters = produce.serialize_parameters({"order": order})
        created = client.create_flow_run(produce, parameters=parameters)
        first = carried_out(created)
        assert first.is_failed()
        assert "1 of 2 shards are not finished" in str(first.message)
        client.set_flow_run_state(created.id, AwaitingRetry(), force=True)  # the button Retry of the UI
        second = carried_out(client.read_flow_run(created.id))
        below = FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [created.id]}})
        shards = [run for run in client.read_flow_runs(flow_run_filter=below) if "·" in run.name]
    assert sorted((run.name, run.state_name) for run in shards) == [
        ("everyday · LIP-1", "Completed"),
        ("everyday · LIP-1", "Failed"),
        ("everyday · MUG-1", "Completed"),
    ], "each is shown under the run, the failed one beside the one that made up for it"
    assert second.is_completed(), second.message
    assert second.message == "2 shots: 2 accepted."
    assert {place[0] for place in workshop.live("everyday")} == {"MUG-1", "LIP-1"}


def test_a_child_that_is_completed_by_word_only_is_not_believed(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    carry_out, handed = flows.shard.run_flow, []

    def wrong_result(*given: Any, **named: Any) -> Any:
        handed.append(named["parameters"]["shard_id"])
        return Completed(message="the result of another child") if len(handed) == 1 else carry_out(*given, **named)

    monkeypatch.setattr(flows.shard, "run_flow", wrong_result)
    with pytest.raises(EngineError, match="1 of 2 shards are not finished: 1 of them are not at their end"):
        produce(ORDER)
    assert len(workshop.calls()) == 1
    assert not (workshop.cdn / "current").exists(), "nothing is released"
    run_id = produce(ORDER)
    assert run_id is not None
    assert sorted(line.split()[1] for line in workshop.calls()) == ["LIP-1", "MUG-1"]
    tally = tally_of(ORDER, run_id)
    assert (tally.promised, tally.accepted) == (2, 2)
