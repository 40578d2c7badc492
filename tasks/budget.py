"""The budget of a run: nothing is asked of an engine before what it may cost is reserved."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tasks.events import BUDGET_REACHED, emit
from tasks.lease import held_lease
from tasks.order import ProductionOrder
from tasks.runtime import resident_engine, rooms
from zimage_core import clock
from zimage_core.engines.base import RenderRequest
from zimage_core.errors import BudgetReached

log = logging.getLogger("zimage_core.tasks")


@contextmanager
def affordable(
    order: ProductionOrder, run_id: str, shard_id: str, requests: Sequence[RenderRequest]
) -> Iterator[list[RenderRequest]]:
    """Give those of the requests that the budget allows, in their order; what they may cost is reserved for the body.

    The body asks the engine for them and records the attempts; then the reservation goes. Packshots are cut from
    photos and cost nothing. Without a budget all are allowed. Raises LeaseLost when the shard is another worker's now.
    """
    priced = sum(request.mode != "packshot" for request in requests)
    if order.budget_usd is None or not priced:
        yield list(requests)
        return
    budget, key = rooms(order).ledger.budget, clock.fresh_id()
    each_usd = resident_engine(order).engine.info.cost_usd_per_image
    granted = budget.reserve(
        run_id, held_lease(shard_id), key, priced, usd_each=each_usd, budget_usd=order.budget_usd
    )  # fmt: skip
    if granted.is_news:
        log.warning("The budget of %s allows no more: %s are spent.", _usd(order.budget_usd), _usd(granted.spent_usd))
        emit(BUDGET_REACHED, order, run_id, budget_usd=order.budget_usd, spent_usd=granted.spent_usd)
    left = granted.pictures
    allowed: list[RenderRequest] = []
    for request in requests:
        if request.mode == "packshot":
            allowed.append(request)
        elif left:
            allowed.append(request)
            left -= 1
    try:
        yield allowed
    finally:
        budget.release(key)


def is_reached(order: ProductionOrder, run_id: str) -> bool:
    """Tell whether the run may draw nothing more that costs, until it is run again."""
    return order.budget_usd is not None and rooms(order).ledger.budget.is_reached(run_id)


def ensure_budget(order: ProductionOrder, run_id: str) -> None:
    """Raise BudgetReached where that is why shots of the run are not made: for the end of a flow that made not all."""
    if told := reached_sentence(order, run_id):
        raise BudgetReached(told)


def reached_sentence(order: ProductionOrder, run_id: str) -> str | None:
    """Return what a person reads who has to decide: what was spent, what is missing, what can be done.

    None where the budget keeps nothing from being made.
    """
    if order.budget_usd is None or not is_reached(order, run_id):
        return None
    ledger = rooms(order).ledger
    not_made = sum(scene.undrawn for scene in ledger.course.of_run(run_id).scenes)
    if not not_made:
        return None
    shots, spent = f"{not_made:,} shot{'s' * (not_made != 1)}", _usd(ledger.budget.spent_usd(run_id))
    return (
        f"The budget of {_usd(order.budget_usd)} is nearly used: {spent} spent, {shots} not made; raise it and run "
        "again, or publish what is there with `zimage publish --partial`."
    )


def planned_sentence(order: ProductionOrder, run_id: str | None, *, usd_left: float, shots_left: int) -> str | None:
    """Return how the budget goes with what is left to draw, before anything is spent; None where there is none.

    `usd_left`: what that is expected to cost, shots that need several tries included. `run_id`: None = no run yet.
    """
    if order.budget_usd is None:
        return None
    spent = rooms(order).ledger.budget.spent_usd(run_id) if run_id else 0.0
    before = f" ({_usd(spent)} spent before)" if spent else ""
    said = f"Budget {_usd(order.budget_usd)}{before}: what is left to draw comes to about {_usd(usd_left)}"
    room = max(0.0, order.budget_usd - spent)
    if usd_left <= room:
        return f"{said}."
    missing = max(1, round(shots_left * (1.0 - room / usd_left)))
    return f"{said}, so about {missing:,} of {shots_left:,} shots will not be made: those of the lowest value."


def _usd(usd: float) -> str:
    return f"${usd:,.2f}" if usd >= 0.1 or not usd else f"${usd:.4f}"
