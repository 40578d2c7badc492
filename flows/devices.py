"""Several devices: a process each, sharing nothing but ledger and store; every shard goes to whoever is free."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import cast
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import TerminationSignal
from prefect.flow_engine import run_flow
from prefect.states import Crashed, Failed

from flows import device_process
from flows.children import child_run, without_heartbeats
from flows.quiet import is_calm
from flows.shard import make_shard
from tasks.devices import on_device
from tasks.lease import lease_if_free
from tasks.order import ProductionOrder
from tasks.runtime import (
    let_engine_go,
    opened_rooms,
    resident_engine,
    sentence_of,
    shard_labels,
    unfinished_shards,
)
from zimage_core import clock
from zimage_core.errors import EngineError, ZImageError

LOOK_AGAIN_S = 0.5
"""A process with nothing to do looks this often whether a shard was left behind by one that died."""

GRACE_S = 10.0
"""How long a process that is told to end may take to write down that it did."""

log = logging.getLogger("zimage_core.tasks")


@flow(name="produce-device", flow_run_name="{device} · {run_id}")
def produce_device(order: ProductionOrder, run_id: str, device: str, place: int, places: int) -> int | State[None]:
    """Make the shards of a run on one device until all are finished, here or by the others; return how many were here.

    A shard is taken when no live worker holds it, so that one whose worker died is taken over; each is tried here once.
    `place` of `places`: where in the row of shards this process begins, so that no two reach for the same one.
    """
    here = on_device(order, device)
    labels = dict(shard_labels(here, run_id))
    left = [shard_id for start in range(places) for shard_id in list(labels)[(place + start) % places :: places]]
    finished, failed = 0, []
    while left:
        before = len(left)
        for shard_id in tuple(left):
            with lease_if_free(here, shard_id) as ours:
                if not ours:
                    continue
                left.remove(shard_id)
                if shard_id not in unfinished_shards(here, run_id):
                    continue
                try:
                    resident_engine(here)
                except ZImageError as error:
                    return _failed(error)
                with without_heartbeats():
                    state = make_shard(here, run_id, shard_id, labels[shard_id], leased=True)
            if state.is_completed():
                finished += 1
            else:
                failed.append(sentence_of(state))
        if len(left) == before:
            time.sleep(LOOK_AGAIN_S)
    return _failed(EngineError(f"{len(failed)} shards were not finished here: {failed[0]}")) if failed else finished


def _failed(error: ZImageError) -> State[None]:
    """A failure that is told once, by the process that started this one, and not by every layer it passes."""
    return Failed(message=str(error), data=error)


def carry_out(flow_run_id: str) -> str | None:
    """Carry out a flow run of produce-device that was created before; return why it failed, None when it did not."""
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(UUID(flow_run_id))
    try:
        with opened_rooms():
            state = cast("State[int]", run_flow(produce_device, flow_run=flow_run, return_type="state"))
    except TerminationSignal:
        return "It was told to end."
    return None if state.is_completed() else sentence_of(state)


# ---------------------------------------------------------------- in the process that starts the others


@dataclass(frozen=True, eq=False)
class _Worker:
    """A device process, the flow run it carries out, and the end of the pipe on which it reports."""

    device: str
    flow_run_id: UUID
    process: SpawnProcess
    reports: Connection


def produce_on_devices(order: ProductionOrder, run_id: str, devices: Sequence[str]) -> list[str]:
    """Make a run's shards in one process per device; return why those processes failed that did.

    A process that dies or cannot start is named in the log; the others take over what it was making.
    """
    let_engine_go(order)
    workers: list[_Worker] = []
    try:
        for place, device in enumerate(devices):
            workers.append(_started(order, run_id, device, place, len(devices)))
        return _watched(workers)
    finally:
        _end(workers)


def _started(order: ProductionOrder, run_id: str, device: str, place: int, places: int) -> _Worker:
    """Start the process of a device, with a flow run of its own under the one that runs here."""
    given = {"order": order, "run_id": run_id, "device": device, "place": place, "places": places}
    flow_run = child_run(produce_device, f"{device} · {run_id}", given)
    with get_client(sync_client=True) as client:
        api_url = str(client.api_url)
    spawning = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    reports, report = spawning.Pipe(duplex=False)
    process = spawning.Process(
        target=device_process.main, args=(api_url, str(flow_run.id), is_calm(), report), name=f"zimage {device}"
    )
    process.start()
    report.close()
    return _Worker(device, flow_run.id, process, reports)


def _watched(workers: Sequence[_Worker]) -> list[str]:
    """Wait until every process has ended; return why those failed that did, in that order."""
    reasons = []
    working = {worker.process.sentinel: worker for worker in workers}
    while working:
        for sentinel in multiprocessing.connection.wait(list(working)):
            worker = working.pop(cast("int", sentinel))
            worker.process.join()
            reason = _reason(worker)
            if reason is not None:
                log.error("Device %s: %s", worker.device, reason)
                reasons.append(reason)
    return reasons


def _reason(worker: _Worker) -> str | None:
    """Return what a process that has ended reported; for one that could not, how it ended, told to Prefect too."""
    if worker.process.exitcode == 0 and worker.reports.poll():
        return cast("str | None", worker.reports.recv())
    code = worker.process.exitcode or 0
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    reason = f"Its process ended with {how}; the others take over what it was making."
    with get_client(sync_client=True) as client:
        for flow_run_id in (worker.flow_run_id, *_unfinished_children(client, worker.flow_run_id)):
            client.set_flow_run_state(flow_run_id, Crashed(message=reason), force=True)
    return reason


def _unfinished_children(client: SyncPrefectClient, flow_run_id: UUID) -> list[UUID]:
    children = FlowRunFilter.model_validate(
        {"parent_flow_run_id": {"any_": [flow_run_id]}, "state": {"type": {"any_": ["PENDING", "RUNNING"]}}}
    )
    found = client.read_flow_runs(flow_run_filter=children, sort=FlowRunSort.START_TIME_DESC, limit=10)
    return [child.id for child in found]


def _end(workers: Sequence[_Worker]) -> None:
    """End what still runs: asked first, so that it can write down that it ended, and not asked again."""
    for worker in workers:
        worker.process.terminate()
    deadline_s = clock.elapsed_s() + GRACE_S
    for worker in workers:
        worker.process.join(max(0.0, deadline_s - clock.elapsed_s()))
        worker.process.kill()
        worker.process.join()
        worker.reports.close()
