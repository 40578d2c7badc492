"""Plan: products and scenes become promised shots, with a forecast before anything is spent."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prefect import task
from prefect.artifacts import create_markdown_artifact
from pydantic import TypeAdapter

from tasks.budget import planned_sentence
from tasks.deadline import planned_outlook, settle, show
from tasks.devices import shards_at_a_time
from tasks.events import RUN_PLANNED, emit
from tasks.extract import Extracted
from tasks.order import ProductionOrder
from tasks.runtime import artifact_key, resident_engine, rooms
from zimage_core.domain import Product, Promise, Refusal
from zimage_core.engines.registry import engines_for_mode
from zimage_core.planning import Forecast, Plan, ensure_something, iter_plan
from zimage_core.planning.deadline import Outlook
from zimage_core.planning.priority import lines_by_value
from zimage_core.planning.sharing import shard_size_for
from zimage_core.quality.opinions import scorers_of

log = logging.getLogger("zimage_core.tasks")

_PRODUCT = TypeAdapter(Product)

PROMISES_AT_ONCE = 500
"""Rows per ledger write while planning: memory stays flat however large the catalogue is."""


@task(name="plan", task_run_name="plan {extracted.run_id}")
def plan(order: ProductionOrder, extracted: Extracted) -> Forecast:
    """Promise every shot of the run in the ledger (once; planning again promises nothing new) and return the forecast.

    Says before anything is spent when the run will be done and what it will cost. Shots that are left out for time are
    promised too. Raises PlanError when nothing at all can be made, naming why.
    """
    ledger = rooms(order).ledger
    refusals: list[Refusal] = []
    batch: list[Promise] = []
    shots = planned_shots(order, extracted)
    for planned in shots:
        if isinstance(planned, Refusal):
            refusals.append(planned)
            continue
        batch.append(planned)
        if len(batch) >= PROMISES_AT_ONCE:
            ledger.promise(batch)
            batch = []
    ledger.record_refusals(extracted.run_id, refusals)
    ensure_something(shots.forecast)
    ledger.promise(batch)
    seen, made = settle(order, extracted.run_id), shots.forecast
    show(extracted.run_id, seen)
    emit(RUN_PLANNED, order, extracted.run_id, shots=made.shots, seconds=made.seconds, cost_usd=made.cost_usd)
    create_markdown_artifact(
        markdown=_page(order, extracted.run_id, made, seen),
        key=artifact_key("plan", order.promotion),
        description=f"What run {extracted.run_id} will make",
    )
    return made


def plan_page(order: ProductionOrder, planned: Forecast) -> str:
    """Return the page of a dry run: what would be made, by when and for how much, as if nothing of it were there."""
    return _page(order, None, planned, planned_outlook(order, planned.scenes))


def _page(order: ProductionOrder, run_id: str | None, planned: Forecast, seen: Outlook) -> str:
    """Return the plan with its words on deadline and budget; what is told of cost is the cost of what is left."""
    usd_left = seen.left * planned.cost_usd / max(1, planned.shots) * seen.tries.per_shot
    money = planned_sentence(order, run_id, usd_left=usd_left, shots_left=seen.left)
    log.info("Forecast of %s: %s", run_id or order.promotion, seen.sentence())
    if money is not None:
        log.info("%s", money)
    in_budget = ["## Within the budget?", "", money] if money else []
    return "\n".join([planned.to_markdown(), "## In time?", "", seen.to_markdown(), *in_budget])


def planned_shots(order: ProductionOrder, extracted: Extracted) -> Plan:
    """Return the promises and refusals of this order as a stream that counts them in its forecast; nothing is kept."""
    open_rooms = rooms(order)
    scorers_of(open_rooms.rubric)  # one that cannot be made is refused before anything is spent
    promotion = open_rooms.library.promotion(order.promotion)
    return iter_plan(
        _most_valuable_first(extracted),
        open_rooms.library,
        promotion,
        open_rooms.channels,
        resident_engine(order).engine.info,
        run_id=extracted.run_id,
        scenes=order.scenes,
        channels_wanted=order.channels,
        shard_size=_shard_size(order, extracted, len(order.scenes or promotion.scenes)),
        able_engines=engines_for_mode,
    )


def _most_valuable_first(extracted: Extracted) -> Iterator[Product]:
    """Yield the products that extract kept in the order in which they are made; the same file has the same order."""
    return map(_PRODUCT.validate_json, lines_by_value(extracted.products_file))


def _shard_size(order: ProductionOrder, extracted: Extracted, scenes: int) -> int:
    """Return the configured size of a shard, or a smaller one where every device should have its share of a run."""
    at_most, devices = order.settings().shard_size, shards_at_a_time(order)
    return shard_size_for(extracted.product_count * scenes, devices, at_most=at_most, together=scenes)
