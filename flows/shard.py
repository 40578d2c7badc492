"""The shard subflow: one worker answers for its shots until each is accepted, doubtful, given up or failed for now."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext
from functools import partial
from typing import cast

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.flow_engine import run_flow
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner

from flows.children import child_run
from tasks.alike import compare_scenes
from tasks.budget import ensure_budget
from tasks.drain import draining, told_to_end
from tasks.events import ENGINE_DOWN, emit
from tasks.generate import Assignment, due_assignments, expect, generate
from tasks.grade import any_made, grade, ungraded_shots
from tasks.lease import shard_lease
from tasks.order import ProductionOrder
from tasks.progress import shard_progress
from tasks.runtime import WORKERS, batch_label, end_shard, resident_engine, sentence_of, shares_of, unfinished_shots
from zimage_core.errors import EngineError

FAILED_SHARES_IN_A_ROW = 3
"""After so many shares that failed in every try the engine is taken to be down: the rest waits for the next run."""


UNGRADED_SHARES = 2
"""So many shares may wait for their grades before the next one is drawn."""


@flow(name="produce-shard", flow_run_name="{label}", task_runner=WORKERS)
def produce_shard(order: ProductionOrder, run_id: str, shard_id: str, label: str, leased: bool = False) -> int:
    """Make and grade what the shard still misses, round by round: each makes what the last one's grades asked for.

    What was made before (by a killed worker, by another run) is read from the ledger, not made again. Returns the
    number of shots it answers for. Raises EngineError when some could not be made for now; run it again and only those
    are tried.

    Args:
        order: What was ordered, as the run that made this shard was.
        run_id: The run that promised the shots.
        shard_id: Which of its shards.
        label: What it is called: promotion and SKUs.
        leased: The caller holds the shard's lease; leave it off.
    """
    lease = nullcontext() if leased else shard_lease(order, shard_id)
    with draining(), lease, shard_progress(order, run_id, shard_id, label) as progress:
        if any_made(order, run_id, shard_id):
            _judge_what_is_there(order, run_id, shard_id, label)
        failed: dict[str, str] = {}
        while due := [a for a in due_assignments(order, run_id, shard_id) if a.shot_id not in failed]:
            if told_to_end():
                break
            failed |= _round(order, run_id, shard_id, due, progress)
            _judge_what_is_there(order, run_id, shard_id, label)
        return _account(order, run_id, shard_id, failed)


def make_shard(order: ProductionOrder, run_id: str, shard_id: str, label: str, *, leased: bool = False) -> State[int]:
    """Carry the shard out in this process, under the flow run that runs here; return how it ended."""
    given = {"order": order, "run_id": run_id, "shard_id": shard_id, "label": label, "leased": leased}
    flow_run = child_run(produce_shard, label, given)
    return cast("State[int]", run_flow(produce_shard, flow_run=flow_run, parameters=given, return_type="state"))


def _round(
    order: ProductionOrder,
    run_id: str,
    shard_id: str,
    due: Sequence[Assignment],
    progress: Callable[[], None],
) -> dict[str, str]:
    """Make these attempts share by share, grading one while the next is made; return what failed, with why."""

    def stop() -> bool:
        return told_to_end() or failed_in_a_row >= FAILED_SHARES_IN_A_ROW

    failed: dict[str, str] = {}
    grading: list[PrefectFuture[int]] = []
    failed_in_a_row = 0
    expect(order, run_id, shard_id, due)
    with closing(_generated(order, run_id, shard_id, due, stop)) as generated:
        for shot_ids, state in generated:
            if state is None:
                why = "the worker was told to end" if told_to_end() else "the engine failed several times in a row"
                failed |= dict.fromkeys(shot_ids, f"not tried: {why}")
                continue
            label = batch_label(order, run_id, shard_id, shot_ids)
            grading.append(grade.submit(order, run_id, shard_id, shot_ids, label))
            progress()
            failed_in_a_row = 0 if state.is_completed() else failed_in_a_row + 1
            if not state.is_completed():
                still_due = {a.shot_id for a in due_assignments(order, run_id, shard_id)}
                failed |= {shot_id: sentence_of(state) for shot_id in shot_ids if shot_id in still_due}
                # a small round has fewer shares than that: there it is down when nothing at all could be made
                nothing_made = failed_in_a_row < FAILED_SHARES_IN_A_ROW and len(failed) == len(due)
                if failed_in_a_row == FAILED_SHARES_IN_A_ROW or nothing_made:
                    emit(ENGINE_DOWN, order, run_id, engine=order.settings().engine, reason=sentence_of(state))
            if len(grading) > UNGRADED_SHARES:
                grading[-UNGRADED_SHARES - 1].wait()
    for future in grading:
        future.result()
    return failed


def _generated(
    order: ProductionOrder, run_id: str, shard_id: str, due: Sequence[Assignment], stop: Callable[[], bool]
) -> Generator[tuple[list[str], State[int] | None]]:
    """Yield the shots of each share, in order, with how its task run ended; None for a share that was not tried.

    As many shares are under way as the engine takes calls: it draws for one while another's pictures are encoded
    and stored. Once `stop` says so no further share is begun, unless one under way turns out well.
    """
    waiting = deque(shares_of(order, due))
    under_way: deque[tuple[list[str], Callable[[], State[int]]]] = deque()
    calls = resident_engine(order).engine.info.concurrent_calls
    runner: ThreadPoolTaskRunner[int] = ThreadPoolTaskRunner(max_workers=calls)
    with runner as drawing:

        def begun(share: Sequence[Assignment], shot_ids: Sequence[str]) -> Callable[[], State[int]]:
            label = batch_label(order, run_id, shard_id, shot_ids)
            if calls == 1:  # drawn in this thread, when its turn comes
                return lambda: generate(order, run_id, shard_id, share, label, return_state=True)
            given = {"order": order, "run_id": run_id, "shard_id": shard_id, "share": share, "label": label}
            return partial(_ended, drawing.submit(generate, parameters=given))

        while waiting or under_way:
            while waiting and len(under_way) < calls and not stop():
                share = waiting.popleft()
                shot_ids = [assignment.shot_id for assignment in share]
                under_way.append((shot_ids, begun(share, shot_ids)))
            if under_way:
                shot_ids, ended = under_way.popleft()
                yield shot_ids, ended()
            else:
                yield [assignment.shot_id for assignment in waiting.popleft()], None


def _ended(future: PrefectFuture[int]) -> State[int]:
    future.wait()
    return future.state


def _judge_what_is_there(order: ProductionOrder, run_id: str, shard_id: str, label: str) -> None:
    """Grade attempts that wait for it, compare one SKU's pictures, and go on where the next attempt is there too.

    Attempts are there already after a crash, or when a run with other prices or another rubric has made them: then a
    verdict may lead to one that was made before, which is judged as well.
    """
    while True:
        while waiting := ungraded_shots(order, run_id, shard_id):
            _grade_all(order, run_id, shard_id, waiting)
        compare_scenes(order, run_id, shard_id, label)
        if not ungraded_shots(order, run_id, shard_id):
            return


def _grade_all(order: ProductionOrder, run_id: str, shard_id: str, shot_ids: Sequence[str]) -> None:
    """Grade the latest attempts of these shots, batch by batch."""
    grading = [
        grade.submit(order, run_id, shard_id, batch, batch_label(order, run_id, shard_id, batch))
        for batch in shares_of(order, shot_ids)
    ]
    for future in grading:
        future.result()


def _account(order: ProductionOrder, run_id: str, shard_id: str, failed: dict[str, str]) -> int:
    """Ask the ledger, not this process, whether every shot of the shard has come to its end."""
    open_shots, promised = unfinished_shots(order, run_id, shard_id)
    if open_shots:
        ensure_budget(order, run_id)
        why = next((failed[shot_id] for shot_id in open_shots if shot_id in failed), "they were not reached")
        raise EngineError(
            f"{len(open_shots)} of {promised} shots could not be made for now ({why}). "
            "The others are kept; run again and only these are tried."
        )
    end_shard(order, run_id, shard_id)
    return promised
