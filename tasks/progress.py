"""A shard's progress: one progress artifact in the Prefect UI, moved after every batch, and the run's own news."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from tasks.metrics import beat
from tasks.order import ProductionOrder
from tasks.runtime import artifact_key, unfinished_shots


@contextmanager
def shard_progress(order: ProductionOrder, run_id: str, shard_id: str, label: str) -> Iterator[Callable[[], None]]:
    """Show how much of a shard is done, from the ledger's count; the function it gives moves the bar.

    The bar moves once more when the body ends, whether it succeeded or not.
    """

    def percent() -> float:
        unfinished, promised = unfinished_shots(order, run_id, shard_id)
        return 100.0 * (promised - len(unfinished)) / promised if promised else 100.0

    artifact_id = create_progress_artifact(
        progress=percent(), key=artifact_key("progress", order.promotion, shard_id[:8]), description=label
    )

    def move() -> None:
        update_progress_artifact(artifact_id=artifact_id, progress=percent())  # type: ignore[arg-type]
        beat(order, run_id)

    try:
        yield move
    finally:
        move()
