"""The main sentence: a catalogue becomes graded, published images."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import flow
from prefect.client.schemas.objects import State

from flows.devices import produce_on_devices
from flows.publish import publish
from flows.shard import produce_shard
from tasks.alike import compare_products
from tasks.devices import devices_of
from tasks.experience import fix_experience
from tasks.extract import extract
from tasks.order import ProductionOrder
from tasks.plan import plan
from tasks.report import close_run, report
from tasks.runtime import sentence_of, shard_labels
from zimage_core.errors import EngineError


@flow(name="produce", flow_run_name="{order.promotion} · {order.catalogue_name}")
def produce(order: ProductionOrder) -> str:
    """Extract, plan, make every shot shard by shard, publish what is accepted, report. Returns the run's id.

    The same order again continues where the last one ended, whatever ended it. Completed means that the ledger
    accounts for every promised shot: accepted, waiting for a person, or given up with a reason. When some failed for
    now, nothing is released, the report says which, and EngineError is raised.
    """
    extracted = extract(order)
    plan(order, extracted)
    run_id = extracted.run_id
    fix_experience(order, run_id)
    shards = shard_labels(order, run_id)
    devices = devices_of(order)
    failed = produce_on_devices(order, run_id, devices) if devices else _produce_here(order, run_id, shards)
    compare_products(order, run_id)
    if order.publish and not failed:
        publish(order, run_id)
    report(order, run_id)
    close_run(order, run_id, failed)
    if failed:
        raise EngineError(
            f"{len(failed)} of {len(shards)} shards are not finished: {failed[0]} Nothing was released; run again to "
            "make only what is missing."
        )
    return run_id


def _produce_here(order: ProductionOrder, run_id: str, shards: Sequence[tuple[str, str]]) -> list[str]:
    """Make the shards one after another in this process; return why each that is not finished is not."""
    states: list[State[int]] = [
        produce_shard(order, run_id, shard_id, label, return_state=True) for shard_id, label in shards
    ]
    return [sentence_of(state) for state in states if not state.is_completed()]
