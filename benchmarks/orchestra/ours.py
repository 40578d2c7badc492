"""Our flows over an order, in a process of its own: once without Prefect, then with it and bodies that do nothing.

    python -m orchestra.ours ORDER_AS_JSON ROUNDS
    python -m orchestra.ours ORDER_AS_JSON profile FILE

First the flows make everything, without Prefect: a task called is its function called; a task submitted is its function
in a pool of as many threads; a subflow is its function called; artifacts and events are not made. What every body gives
is kept (see `tape`). Then they run again as they are, so many times, and every body gives at once what it gave before.

The checks of grading are asked of one picture, and its findings stand for all others: pixels are of no interest here.

With `profile` all of the first run happens in one thread, so that the profile shows all of it, and nothing follows.
"""

from __future__ import annotations

import cProfile
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from orchestra.tape import Tape
from prefect import Flow, Task
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

import flows.produce
import flows.shard
import tasks.grade
from flows.produce import produce
from tasks.order import ProductionOrder
from tasks.runtime import WORKERS, opened_rooms
from zimage_core.clock import elapsed_s
from zimage_core.domain import Grade
from zimage_core.quality.grade import GradeInput
from zimage_core.quality.rubric import Rubric

THREADS = WORKERS._max_workers  # type: ignore[attr-defined]
"""As many as our flows have."""


class Answer:
    """What stands for Prefect's future: of a thread's work."""

    def __init__(self, work: Future[Any]) -> None:
        self.work = work

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the work."""
        self.work.exception(timeout)

    def result(self, timeout: float | None = None) -> Any:
        """Return what the work gave, or raise what it raised."""
        return self.work.result(timeout)

    @property
    def state(self) -> Any:
        """How it ended."""
        error = self.work.exception()
        return Completed(data=self.work.result()) if error is None else Failed(message=str(error), data=error)


def done(function: Any, args: Any, kwargs: Any) -> Answer:
    """Call the function here and now; what it raises becomes the answer's state, as in Prefect."""
    work: Future[Any] = Future()
    try:
        work.set_result(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - see above
        work.set_exception(error)
    return Answer(work)


@contextmanager
def without_prefect(*, one_thread: bool) -> Iterator[None]:
    """Take Prefect out of this process while the body runs."""

    def called(self: Any, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any) -> Any:
        return done(self.fn, args, kwargs).state if return_state else self.fn(*args, **kwargs)

    def submitted(self: Any, *args: Any, **kwargs: Any) -> Any:
        return done(self.fn, args, kwargs) if one_thread else Answer(pool.submit(self.fn, *args, **kwargs))

    def handed_over(self: Any, task: Any, parameters: dict[str, Any], *args: Any, **kwargs: Any) -> Answer:
        return Answer(self._executor.submit(task.fn, **parameters))

    def run_here(flow: Any, *, flow_run: Any, parameters: dict[str, Any], return_type: str) -> Any:
        return called(flow, return_state=True, **parameters)

    with ThreadPoolExecutor(THREADS) as pool, ExitStack() as stack:
        for owner, name, instead in (
            (Task, "__call__", called),
            (Task, "submit", submitted),
            (Flow, "__call__", called),
            (ThreadPoolTaskRunner, "submit", handed_over),
            (flows.shard, "run_flow", run_here),
            (flows.shard, "child_run", lambda *_: None),
        ):
            stack.enter_context(patch.object(owner, name, instead))
        yield


def judge_one_for_all() -> None:
    """Let the findings of the first picture with an A stand for every other one."""
    judged, good = tasks.grade.grade_attempt, list[Grade]()

    def as_the_first(given: GradeInput, rubric: Rubric) -> Grade:
        if not good:
            grade = judged(given, rubric)
            if grade.letter == "A":
                good.append(grade)
            return grade
        return dataclasses.replace(good[0], attempt_id=given.attempt_id, finished_key=given.finished_key)

    patch.object(tasks.grade, "grade_attempt", as_the_first).start()


def timed(order: ProductionOrder) -> dict[str, float]:
    """Carry the order out; return how long it took by the clock and in CPU seconds."""
    start_s, start_cpu_s = elapsed_s(), time.process_time()
    produce(order)
    return {"wall_s": elapsed_s() - start_s, "cpu_s": time.process_time() - start_cpu_s}


def profiled(order: ProductionOrder, path: str) -> dict[str, float]:
    """Carry the order out without Prefect and write down where the time went."""
    profile = cProfile.Profile()
    with Tape().recording(), without_prefect(one_thread=True):  # a tape hears what is said to Prefect: nothing is sent
        profile.enable()
        took = timed(order)
        profile.disable()
    profile.dump_stats(path)
    return took


def main() -> None:
    """Run the order and print how long it took without Prefect, and each time with Prefect alone."""
    order = ProductionOrder(**json.loads(sys.argv[1]))
    with opened_rooms():
        if sys.argv[2] == "profile":
            bare, rounds = profiled(order, sys.argv[3]), []
        else:
            judge_one_for_all()
            tape, rounds = Tape(), []
            with tape.recording(), without_prefect(one_thread=False):
                bare = timed(order)
            for _ in range(int(sys.argv[2])):
                with tape.playing():
                    rounds.append(timed(order))
                if left := tape.unplayed():
                    raise SystemExit(f"These bodies were not called again: {', '.join(left[:5])}.")
    print(json.dumps({"bare": bare, "rounds": rounds}))
    sys.stdout.flush()
    os._exit(0)  # pools of threads are of no more use


if __name__ == "__main__":
    main()
