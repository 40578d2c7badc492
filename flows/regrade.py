"""Regrade: judge the kept attempts of a run by another rubric. No engine is called and nothing is made or released."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from tasks.grade import regrade_shots
from tasks.order import ProductionOrder
from tasks.runtime import WORKERS, promised_shots, shares_of


@flow(name="regrade", flow_run_name="regrade {run_id}", task_runner=WORKERS)
def regrade(order: ProductionOrder, run_id: str, rubric: Path) -> list[str]:
    """Return one line per shot whose letter would change, then a line of totals. The new grades are kept."""
    judging = [
        regrade_shots.submit(order, run_id, batch, rubric, f"{run_id} {number}")
        for number, batch in enumerate(shares_of(order, promised_shots(order, run_id)), 1)
    ]
    changes = [change for future in judging for change in future.result()]
    moved = [change for change in changes if change.before != change.after]
    lines = [
        f"{change.sku} · {change.scene}: {change.before} → {change.after} ({change.score:.2f}) {change.reason}"
        for change in moved
    ]
    return [*lines, f"{len(changes)} images judged by {rubric.name}: {len(moved)} would change their letter."]
