"""Words that an engine's content filter refuses are said otherwise; an account that is locked lets the shots wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dashscope_server import KEY, DashScopeServer
from workshop import MUG, Workshop

from flows.produce import produce
from tasks.order import ProductionOrder
from tasks.runtime import opened_rooms, rooms
from zimage_core.engines import registry
from zimage_core.errors import EngineError


@pytest.fixture
def server(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Iterator[DashScopeServer]:
    """A DashScope that this workshop's runs are made by."""
    monkeypatch.setitem(registry.BUILTIN, "dashscope", "zimage_core.engines.dashscope:create")  # type: ignore[arg-type]
    with DashScopeServer().running() as running:
        monkeypatch.setenv("ZIMAGE_ENGINE", "dashscope")
        monkeypatch.setenv("ZIMAGE_ENGINE_API_KEY", KEY)
        monkeypatch.setenv("ZIMAGE_ENGINE_OPTIONS", f'{{"url": "{running.url}", "requests_per_minute": "6000"}}')
        yield running


@pytest.fixture
def order(workshop: Workshop, server: DashScopeServer) -> ProductionOrder:
    workshop.write(MUG)
    return ProductionOrder(
        catalogue=str(workshop.catalogue), promotion="618", scenes=("studio",), channels=("taobao_main",)
    )


def prompts(server: DashScopeServer) -> list[str]:
    return [one.body["input"]["messages"][0]["content"][0]["text"] for one in server.submissions()]


def test_a_refused_wording_is_an_attempt_and_the_next_one_says_it_in_other_words(
    order: ProductionOrder, server: DashScopeServer
):
    server.faults.queue("submit", "inspection")
    run_id = produce(order)
    ((_, standing),) = rooms(order).ledger.standings(run_id)
    first, second = standing.chain[:2]
    assert (first.error_code, first.object_key, first.change.wording) == ("ContentRefused", None, 0)
    assert (second.error_code, second.change.wording) == (None, 1)
    assert "inappropriate content" in second.change.why
    assert prompts(server)[0] != prompts(server)[1]


def test_a_filter_that_refuses_every_wording_ends_the_shot_within_the_budget(
    order: ProductionOrder, server: DashScopeServer
):
    server.faults.queue("submit", *["inspection"] * 9)
    run_id = produce(order)
    ((_, standing),) = rooms(order).ledger.standings(run_id)
    assert standing.state == "given_up"
    assert "content rules" in standing.reason
    assert len(set(prompts(server))) == len(prompts(server)) == rooms(order).settings.max_attempts


def test_a_locked_account_is_asked_once_and_its_shots_wait_for_the_next_run(
    order: ProductionOrder, server: DashScopeServer
):
    server.faults.queue("submit", "arrearage")
    with opened_rooms(), pytest.raises(EngineError, match="in arrears"):  # closed at the end, as with its process
        produce(order)
    assert len(server.submissions()) == 1, "three more tries of the task called nobody"
    run_id = produce(order)
    ((_, standing),) = rooms(order).ledger.standings(run_id)
    assert standing.chain[0].error_code is None
