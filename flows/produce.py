"""The main sentence: a catalogue becomes graded, published images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from prefect import flow
from prefect.states import Completed

from flows.children import without_heartbeats
from flows.devices import produce_on_devices
from flows.hand_over import ask_for_review
from flows.plan import forecast_only
from flows.pool import cancel_shards, produce_on_pool
from flows.publish import publish
from flows.ray_cluster import produce_on_ray
from flows.shard import make_shard
from tasks.again import ask_again
from tasks.alike import compare_products
from tasks.budget import ensure_budget
from tasks.check import check_order
from tasks.deadline import queue_of
from tasks.devices import devices_of
from tasks.experience import fix_experience
from tasks.extract import extract
from tasks.metrics import tell_failure, tell_start
from tasks.order import ProductionOrder
from tasks.plan import plan
from tasks.report import close_run, report
from tasks.runs import described, tally_of
from tasks.runtime import sentence_of, shard_labels, unfinished_shards
from zimage_core.errors import EngineError


@flow(
    name="produce",
    flow_run_name="{order.promotion} · {order.catalogue_name}",
    on_failure=[tell_failure],
    on_crashed=[tell_failure],
    on_cancellation=[cancel_shards],
)
def produce(order: ProductionOrder) -> str | None:
    """Extract, plan, make every shot shard by shard, publish what is accepted, report. Returns the run's id.

    The same order again continues where the last one ended, whatever ended it. Completed means that the ledger
    accounts for every promised shot: accepted, waiting for a person, given up with a reason, or left out for time. When
    some failed for now, nothing is released, the report says which, and EngineError is raised. None is returned where
    there was nothing to do, or a dry run was ordered.
    """
    check_order(order)
    if order.dry_run:
        return _ended(forecast_only(order), None)
    extracted = extract(order)
    run_id = extracted.run_id
    if not extracted.product_count and order.only in ("new", "changed"):
        return _ended(f"No product of {order.catalogue_name} is new{_or_changed(order)}: there is nothing to do.", None)
    tell_start(order, run_id)
    plan(order, extracted)
    if order.only == "C":
        ask_again(order, run_id)
    fix_experience(order, run_id)
    with without_heartbeats():
        reasons = make_shards(order, run_id)
    left = len(unfinished_shards(order, run_id))
    compare_products(order, run_id)
    failed = [*reasons, f"{left} of them are not at their end in the ledger."][: max(1, len(reasons))] if left else []
    if order.publish and not failed:
        with without_heartbeats():
            publish(order, run_id)
    report(order, run_id)
    close_run(order, run_id, failed)
    if failed:
        ensure_budget(order, run_id)
        raise EngineError(
            f"{left} of {len(shard_labels(order, run_id))} shards are not finished: {failed[0]} Nothing was released; "
            "run again to make only what is missing."
        )
    ask_for_review(order, run_id)
    return _ended(described(tally_of(order, run_id)), run_id)


def _ended(sentence: str, run_id: str | None) -> str | None:
    """Return what the flow returns: the run's id, in a state whose message is the outcome in a sentence."""
    return cast("str | None", Completed(message=sentence, data=run_id))  # Prefect hands on the state's data


def _or_changed(order: ProductionOrder) -> str:
    return " or has changed" if order.only == "changed" else ""


def make_shards(order: ProductionOrder, run_id: str) -> list[str]:
    """Have every unfinished shard made where the order says; return why some were not.

    What is finished is asked of the ledger afterwards: no child's word is taken for it.
    """
    runner, devices = order.settings().runner, devices_of(order)
    labels = dict(shard_labels(order, run_id))
    if runner == "pool":
        return produce_on_pool(order, run_id, labels, queue_of(order))
    if runner == "ray":
        return produce_on_ray(order, run_id, labels)
    return produce_on_devices(order, run_id, devices) if devices else _produce_here(order, run_id, labels)


def _produce_here(order: ProductionOrder, run_id: str, labels: Mapping[str, str]) -> list[str]:
    """Make the unfinished shards one after another in this process; return why those failed that did."""
    states = [make_shard(order, run_id, shard_id, labels[shard_id]) for shard_id in unfinished_shards(order, run_id)]
    return [sentence_of(state) for state in states if not state.is_completed()]
