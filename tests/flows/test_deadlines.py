"""Whole runs that have a deadline or a budget: what is said before and during them, and what is left out."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from workshop import MUG, Workshop

from flows.produce import produce
from tasks import deadline
from tasks.budget import ensure_budget
from tasks.deadline import limits_told, outlook_of
from tasks.order import ProductionOrder
from tasks.report import write_report
from tasks.runtime import rooms
from zimage_core import clock
from zimage_core.errors import BudgetReached, ZImageError


def written(workshop: Workshop, products: int) -> None:
    workshop.write(*({**MUG, "sku": f"CUP-{n:03}", "image": ""} for n in range(products)))


def order_of(workshop: Workshop, options: dict[str, str], **more: object) -> ProductionOrder:
    given = {"scenes": ("studio", "lifestyle"), "channels": ("wechat_moments",), "publish": False} | more
    return ProductionOrder(
        catalogue=str(workshop.catalogue),
        engine="sleeping",
        engine_options={"journal": str(workshop.folder / "journals"), "seconds": "0.01"} | options,
        **given,  # type: ignore[arg-type]
    )


def drawn(workshop: Workshop) -> list[str]:
    found = [path.read_text().splitlines() for path in (workshop.folder / "journals").iterdir()]
    return [line.split()[1] for lines in found for line in lines if line.startswith("drawn")]


def states(order: ProductionOrder, run_id: str) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for promise, standing in rooms(order).ledger.standings(run_id):
        counts.setdefault(promise.shot.scene.name, Counter())[standing.state] += 1
    return counts


def run_of(order: ProductionOrder) -> str:
    return rooms(order).ledger.runs(1)[0].run.run_id


@pytest.fixture
def journals(workshop: Workshop) -> Path:
    folder = workshop.folder / "journals"
    folder.mkdir()
    return folder


def test_the_lowest_scene_is_left_out_for_time_and_made_when_there_is_more(
    workshop: Workshop, journals: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """24 pictures at 5 s each, by the engine's word, and 90 s: at 1.15 tries a shot that is time for 15."""
    written(workshop, 12)
    soon = order_of(workshop, {}, deadline=clock.now() + timedelta(seconds=90), when_short="drop_lowest")
    slow = soon.model_copy(update={"engine_options": soon.engine_options | {"says": "5"}})
    with caplog.at_level(logging.INFO, "zimage_core"):
        run_id = produce(slow)
    found = states(slow, run_id)
    assert found["studio"]["left_out"] == 0
    left_out = found["lifestyle"]["left_out"]
    assert 8 <= left_out <= 11
    assert found["lifestyle"]["promised"] == 0
    assert "lifestyle shots, the lowest of the promotion" in caplog.text
    (told,) = limits_told(slow, run_id)
    assert told == (
        f"{left_out} of 12 lifestyle shots were left out for lack of time; run again with more devices or a later"
        " deadline and they are made."
    )
    ledger = rooms(slow).ledger
    kinds = [event.kind for event in ledger.events(run_id)]
    assert kinds.count("left_out_for_time") == 1
    assert ledger.tally(run_id).left_out == left_out
    before = Counter(drawn(workshop))

    later = slow.model_copy(update={"deadline": clock.now() + timedelta(hours=5)})
    assert produce(later) == run_id
    assert states(later, run_id)["lifestyle"]["left_out"] == 0
    assert limits_told(later, run_id) == ()
    assert set(Counter(drawn(workshop)).values()) == {1}
    assert set(before) < set(drawn(workshop))


@pytest.mark.slow
def test_a_run_that_turns_out_slow_leaves_out_what_is_short_while_it_runs(
    workshop: Workshop, journals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr("zimage_core.planning.deadline.MEASURED_FROM", 6)
    written(workshop, 16)
    order = order_of(workshop, {"seconds": "0.5", "says": "0.001"}, when_short="drop_lowest")
    order = order.model_copy(update={"deadline": clock.now() + timedelta(seconds=13)})
    run_id = produce(order)
    found = states(order, run_id)
    assert found["lifestyle"]["left_out"] > found["studio"]["left_out"]
    assert sum(count.total() for count in found.values()) == 32
    assert not sum(count["promised"] + count["failed"] for count in found.values())
    assert len(drawn(workshop)) < 32


def test_finish_late_makes_everything_and_says_that_it_will_be_late(
    workshop: Workshop, journals: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(workshop, 4)
    order = order_of(workshop, {"says": "600"}, deadline=clock.now() + timedelta(hours=1))
    with caplog.at_level(logging.INFO, "zimage_core"):
        run_id = produce(order)
    assert "The deadline is at risk: short by 3 images: add 1 GPU or drop lifestyle shots" in caplog.text
    assert not sum(count["left_out"] for count in states(order, run_id).values())
    assert outlook_of(order, run_id).sentence() == "done: nothing is left to draw"


def test_a_budget_stops_a_run_before_it_is_passed_and_a_higher_one_goes_on(
    workshop: Workshop, journals: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(workshop, 6)
    order = order_of(workshop, {"cost": "0.10"}, budget_usd=0.75)
    with caplog.at_level(logging.INFO, "zimage_core"), pytest.raises(ZImageError) as raised:
        produce(order)
    assert "so about 5 of 12 shots will not be made: those of the lowest value" in caplog.text
    assert "The budget of $0.75 allows no more: $0.60 are spent" in caplog.text
    run_id, ledger = run_of(order), rooms(order).ledger
    assert len(drawn(workshop)) == 7
    assert ledger.budget.spent_usd(run_id) == pytest.approx(0.70)
    assert ledger.budget.reserved_usd(run_id) == 0.0
    spent_up = (
        "The budget of $0.75 is nearly used: $0.70 spent, 5 shots not made; raise it and run again, or publish what is "
        "there with `zimage publish --partial`."
    )
    with pytest.raises(BudgetReached, match=re.escape(spent_up)):
        ensure_budget(order, run_id)
    assert not raised.value.retryable
    assert limits_told(order, run_id) == (spent_up,)
    assert spent_up in write_report(order, run_id)[1].findings
    more = order.model_copy(update={"budget_usd": 5.0})
    assert produce(more) == run_id
    assert set(Counter(drawn(workshop)).values()) == {1}
    assert ledger.tally(run_id).pending == 0
    assert limits_told(more, run_id) == ()


@pytest.mark.slow
def test_two_devices_together_stop_before_the_budget_is_passed(new_workshop: Callable[[str], Workshop]) -> None:
    shop = new_workshop("two")
    written(shop, 12)
    (shop.folder / "journals").mkdir()
    options = {"journal": str(shop.folder / "journals"), "seconds": "0.05", "cost": "0.10", "together": "2"}
    shop.environment |= {
        "ZIMAGE_ENGINE_OPTIONS": json.dumps(options),
        "ZIMAGE_ENGINE_DEVICES": "x,y",
        "ZIMAGE_SHARD_SIZE": "3",
        "ZIMAGE_BATCH_SIZE": "2",
    }
    what = ("-p", "everyday", "--engine", "sleeping", "-s", "studio", "-c", "wechat_moments", "--budget-usd", "0.75")
    said = shop.run("run", "catalogue.csv", *what, check=False)
    assert said.returncode != 0
    assert "The budget of $0.75 is nearly used: $0.70 spent, 5 shots not made" in " ".join(said.stderr.split())
    assert len(drawn(shop)) == len(set(drawn(shop))) == 7
    shop.run("run", "catalogue.csv", *what[:-1], "5")
    assert len(drawn(shop)) == len(set(drawn(shop))) == 12
