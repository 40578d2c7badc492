"""Finding a run again: its order, how far it is, and what is not accounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tasks.order import ProductionOrder
from tasks.runtime import rooms
from zimage_core import clock
from zimage_core.errors import ConfigurationError
from zimage_core.ledger import RunRow, Tally

_ANY = "-"
"""Stands for a catalogue that is not known yet: only the folders of the order are used to find the ledger."""
_SHOWN, _ALL = 20, 100_000


def order_of(run_id: str | None, work_dir: Path | None, out_dir: Path | None) -> tuple[ProductionOrder, str]:
    """Return the order a run was opened with and the run's id; none given = the run opened or resumed last.

    Raises ConfigurationError when there is no such run, naming the ones there are.
    """
    ledger = rooms(ProductionOrder(catalogue=_ANY, work_dir=work_dir, out_dir=out_dir)).ledger
    runs = ledger.runs(limit=_SHOWN if run_id is None else _ALL)
    if not runs:
        raise ConfigurationError("There is no run yet; start one with `zimage run CATALOGUE` or `zimage demo`.")
    found = runs[0] if run_id is None else next((row for row in runs if row.run.run_id == run_id), None)
    if found is None:
        known = ", ".join(row.run.run_id for row in runs[:_SHOWN])
        raise ConfigurationError(f"There is no run {run_id}; the latest are {known}.")
    order = ProductionOrder.model_validate_json(found.run.settings)
    return order.model_copy(update={"work_dir": work_dir, "out_dir": out_dir}), found.run.run_id


def latest_run_of(promotion: str, work_dir: Path | None, out_dir: Path | None) -> str:
    """Return the id of the promotion's run opened last. Raises ConfigurationError when it has none."""
    ledger = rooms(ProductionOrder(catalogue=_ANY, work_dir=work_dir, out_dir=out_dir)).ledger
    found = next((row.run.run_id for row in ledger.runs(limit=_ALL) if row.run.promotion == promotion), None)
    if found is None:
        raise ConfigurationError(f"There is no run of {promotion} yet; produce it first.")
    return found


def unaccounted(order: ProductionOrder, run_id: str) -> int:
    """Return how many promised shots are neither accepted, nor doubtful, nor given up, nor left out for time."""
    tally = tally_of(order, run_id)
    return tally.promised - tally.accepted - tally.doubtful - tally.given_up - tally.left_out


def tally_of(order: ProductionOrder, run_id: str) -> Tally:
    """Return how a run stands."""
    return rooms(order).ledger.tally(run_id)


def described(tally: Tally) -> str:
    """Return where the promised shots of a run ended, each counted once, as a sentence."""
    counts = {
        "accepted": tally.accepted,
        "waiting for a person": tally.doubtful,
        "given up": tally.given_up,
        "left out for time": tally.left_out,
        "failed": tally.failed,
        "not made yet": tally.pending,
    }
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    return f"{tally.promised:,} {'shot' if tally.promised == 1 else 'shots'}: {told or 'nothing was made'}."


def tally_of_newest(order: ProductionOrder) -> Callable[[], Tally | None]:
    """Return a function that counts the run this process is about to open or resume; None until it has."""
    ledger, started = rooms(order).ledger, clock.now()

    def count() -> Tally | None:
        newest = ledger.last_opening()
        if newest is None or newest.at < started:
            return None
        tally = ledger.tally(newest.run_id)
        return tally if tally.promised else None

    return count


def run_rows(work_dir: Path | None, limit: int) -> list[RunRow]:
    """Return the latest runs with their counts."""
    return rooms(ProductionOrder(catalogue=_ANY, work_dir=work_dir)).ledger.runs(limit=limit)


def shot_lines(run_id: str, work_dir: Path | None) -> list[str]:
    """Return a line per promised shot: SKU, scene, size, state and why."""
    order, known = order_of(run_id, work_dir, None)
    return [
        f"{promise.product.sku} · {promise.shot.scene.name} {promise.shot.width_px}×{promise.shot.height_px} · "
        f"{standing.state}" + (f" · {standing.reason}" if standing.reason else "")
        for promise, standing in rooms(order).ledger.standings(known)
    ]
