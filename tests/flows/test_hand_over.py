"""A deployed run asks for a review of what waits for a person: once for the same pictures, if there is one to ask."""

from __future__ import annotations

import logging

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from workshop import SOFT_CUSHION, Workshop

from flows.hand_over import ask_for_review
from flows.produce import produce
from flows.review import review
from tasks.order import ProductionOrder


def reviews(client: SyncPrefectClient) -> list[FlowRun]:
    chosen = FlowFilter(name=FlowFilterName(any_=["review"]))
    return client.read_flow_runs(flow_filter=chosen, sort=FlowRunSort.ID_DESC, limit=10)


def test_a_deployed_run_asks_once_about_the_same_pictures(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    workshop.write(SOFT_CUSHION)
    order = ProductionOrder(catalogue="catalogue.csv", promotion="618", scenes=("packshot",), channels=("amazon_main",))
    run_id = produce(order)
    assert run_id is not None
    with get_client(sync_client=True) as client:
        before = len(reviews(client))
        ask_for_review(order, run_id)
        assert len(reviews(client)) == before, "a run at a terminal says on the terminal what waits"

        monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "a deployment's id")
        with caplog.at_level(logging.WARNING, "zimage_core.tasks"):
            ask_for_review(order, run_id)
        assert "No deployment review/review is there to ask a person about 1 picture." in caplog.text

        client.create_deployment(flow_id=client.create_flow(review), name="review", enforce_parameter_schema=False)
        ask_for_review(order, run_id)
        ask_for_review(order, run_id)
        asked = reviews(client)
    assert len(asked) == before + 1
    assert asked[0].parameters["run_id"] == run_id
    assert asked[0].parameters["publish"] is True
