"""Extract and plan in a process of its own, and what they took; or the simple way of doing the same.

    python -m orchestra.planned ours|simple ORDER_AS_JSON [PROFILE_FILE]

`ours`: the tasks `extract` and `plan` in a flow, as `produce` runs them. `simple`: the same readings and rules, with
everything kept in lists and one transaction per row.
"""

from __future__ import annotations

import cProfile
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import flow, task
from pydantic import TypeAdapter

from tasks.extract import extract, read_products
from tasks.order import ProductionOrder
from tasks.plan import plan, planned_shots
from tasks.runtime import opened_rooms, resident_engine, rooms
from zimage_core import clock
from zimage_core.domain import Product, Refusal, Run

PAGE_BYTES, MIB = 4096, 1 << 20
ROWS_ONE_BY_ONE = 3_000

stages: dict[str, dict[str, float]] = {}


@task
def nothing() -> None:
    """Make Prefect start all that it starts for a task run."""


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Note how long the body took and how far memory rose above what it was before."""
    before, ended, peak = resident_bytes(), threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], resident_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start_s, start_cpu_s = clock.elapsed_s(), time.process_time()
    yield
    took = {"wall_s": clock.elapsed_s() - start_s, "cpu_s": time.process_time() - start_cpu_s}
    ended.set()
    watcher.join()
    stages[name] = took | {"peak_mib": (max(peak[0], resident_bytes()) - before) / MIB}


def resident_bytes() -> int:
    """Return how much memory this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


@flow(name="planned")
def planned(order: ProductionOrder, way: Callable[[ProductionOrder], int]) -> int:
    """Plan in one way, once everything that a run needs anyway has been opened."""
    nothing()
    open_rooms = rooms(order)
    resident_engine(order)
    open_rooms.ledger.last_opening()
    return way(order)


def ours(order: ProductionOrder) -> int:
    """Extract and plan as `produce` does; return the number of shots."""
    before = resident_bytes()
    with stage("extract"):
        extracted = extract(order)
    with stage("plan"):
        forecast = plan(order, extracted)
    stages["both"] = {key: stages["extract"][key] + stages["plan"][key] for key in ("wall_s", "cpu_s")}
    stages["both"]["peak_mib"] = max(stages["extract"]["peak_mib"], resident_bytes() / MIB - before / MIB,
                                     stages["plan"]["peak_mib"])  # fmt: skip
    return forecast.shots


def simple(order: ProductionOrder) -> int:
    """Keep everything in lists, then one transaction per row, of as many rows as there is time for."""
    ledger = rooms(order).ledger
    with stage("extract"):
        extracted = read_products(order)
        kept = [TypeAdapter(Product).validate_json(line) for line in extracted.products_file.open("rb")]
        ledger.open_run(Run(extracted.run_id, order.promotion, extracted.source, order.model_dump_json(), clock.now()))
    with stage("plan, all in a list"):
        shots = [entry for entry in planned_shots(order, extracted) if not isinstance(entry, Refusal)]
    few = shots[:ROWS_ONE_BY_ONE]
    with stage("promise, one row at a time"):
        for shot in few:
            ledger.promise([shot])
    alone = stages["promise, one row at a time"]
    each = {key: alone[key] / len(few) * len(shots) for key in ("wall_s", "cpu_s")}
    parts = (stages["extract"], stages["plan, all in a list"], each)
    stages["both"] = {key: sum(part[key] for part in parts) for key in ("wall_s", "cpu_s")}
    stages["both"]["peak_mib"] = sum(one["peak_mib"] for one in (parts[0], parts[1], alone))
    assert kept
    return len(shots)


def main() -> None:
    """Plan, and print what it took."""
    order = ProductionOrder(**json.loads(sys.argv[2]))
    profile = cProfile.Profile() if len(sys.argv) > 3 else None
    way: Any = {"ours": ours, "simple": simple}[sys.argv[1]]
    with opened_rooms():
        if profile is not None:
            profile.enable()
        shots = planned(order, way)
        if profile is not None:
            profile.disable()
            profile.dump_stats(sys.argv[3])
    print(json.dumps({"shots": shots, "stages": stages}))


if __name__ == "__main__":
    main()
