"""A shard's progress: one progress artifact in the Prefect UI, moved after every batch, and the run's own news."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from tasks.metrics import beat
from tasks.order import ProductionOrder
from tasks.runtime import artifact_key, unfinished_shots
from zimage_core import clock

MOVE_EVERY_S = 5.0
"""People look at a bar now and then; each move is a request that the shard waits for."""


@contextmanager
def shard_progress(order: ProductionOrder, run_id: str, shard_id: str, label: str) -> Iterator[Callable[[], None]]:
    """Show how much of a shard is done, from the ledger's count; the function it gives moves the bar, where it is time.

    The bar moves once more when the body ends, whether it succeeded or not.
    """

    def percent() -> float:
        unfinished, promised = unfinished_shots(order, run_id, shard_id)
        return 100.0 * (promised - len(unfinished)) / promised if promised else 100.0

    artifact_id = create_progress_artifact(
        progress=percent(), key=artifact_key("progress", order.promotion, shard_id[:8]), description=label
    )
    moved_at_s = clock.elapsed_s()

    def move(*, at_once: bool = False) -> None:
        nonlocal moved_at_s
        if at_once or clock.elapsed_s() - moved_at_s >= MOVE_EVERY_S:
            update_progress_artifact(artifact_id=artifact_id, progress=percent())  # type: ignore[arg-type]
            moved_at_s = clock.elapsed_s()
        beat(order, run_id)

    try:
        yield move
    finally:
        move(at_once=True)
