"""Our flows over an order, in a process of its own: as they are, or `bare`: the same code with Prefect taken out of it.

    python -m orchestra.ours prefect|bare ORDER_AS_JSON [PROFILE_FILE]

In both the checks of grading are asked of one picture, and its findings stand for all others: 40 ms of pixels an image
would hide what is measured. Everything else is done as always.

Bare means: a task called is its function called; a task submitted is its function in a pool of as many threads; a
subflow is its function called; artifacts and events are not made. All else (ledger, store, engine, grading, threads,
their order) is what the flows say. So the difference of the two is what Prefect costs, and nothing else.

With a profile file (bare alone) all of it happens in one thread, so that the profile shows all of it.
"""

from __future__ import annotations

import cProfile
import dataclasses
import json
import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import prefect.artifacts
import prefect.events
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


def without_prefect(*, one_thread: bool) -> None:
    """Take Prefect out of this process."""
    pool = ThreadPoolExecutor(THREADS)

    def called(self: Any, *args: Any, return_state: bool = False, wait_for: Any = None, **kwargs: Any) -> Any:
        return done(self.fn, args, kwargs).state if return_state else self.fn(*args, **kwargs)

    def submitted(self: Any, *args: Any, **kwargs: Any) -> Any:
        return done(self.fn, args, kwargs) if one_thread else Answer(pool.submit(self.fn, *args, **kwargs))

    def handed_over(self: Any, task: Any, parameters: dict[str, Any], *args: Any, **kwargs: Any) -> Answer:
        return Answer(self._executor.submit(task.fn, **parameters))

    def run_here(flow: Any, *, flow_run: Any, parameters: dict[str, Any], return_type: str) -> Any:
        return called(flow, return_state=True, **parameters)

    for owner, name, instead in (
        (Task, "__call__", called),
        (Task, "submit", submitted),
        (Flow, "__call__", called),
        (ThreadPoolTaskRunner, "submit", handed_over),
        (flows.shard, "run_flow", run_here),
        (flows.shard, "child_run", lambda *_: None),
    ):
        patch.object(owner, name, instead).start()
    told = {getattr(prefect.artifacts, name) for name in dir(prefect.artifacts) if name.endswith("_artifact")}
    told.add(prefect.events.emit_event)
    for name, module in list(sys.modules.items()):
        if name.startswith(("tasks.", "flows.")):
            for word, thing in list(vars(module).items()):
                if callable(thing) and thing.__hash__ and thing in told:
                    patch.object(module, word, lambda *_, **__: None).start()


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


def main() -> None:
    """Run the order and print how long it took."""
    if sys.argv[1] == "bare":
        without_prefect(one_thread=len(sys.argv) > 3)
    order = ProductionOrder(**json.loads(sys.argv[2]))
    profile = cProfile.Profile() if len(sys.argv) > 3 else None
    if profile is None:
        judge_one_for_all()
    with opened_rooms():
        start_s, start_cpu_s = elapsed_s(), time.process_time()
        if profile:
            profile.enable()
        produce(order)
        if profile:
            profile.disable()
            profile.dump_stats(sys.argv[3])
        print(json.dumps({"wall_s": elapsed_s() - start_s, "cpu_s": time.process_time() - start_cpu_s}), flush=True)
    sys.stdout.flush()
    os._exit(0)  # pools of threads are of no more use


if __name__ == "__main__":
    main()
