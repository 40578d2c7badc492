"""How a run is doing, told while it goes on: progress and alarms as Prefect events, counts for Prometheus.

Everything is counted by the ledger over all processes of a run; a process tells it once a minute at most.
Nothing here ever ends a run: what cannot be told is logged.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext

from tasks.events import (
    QUALITY_LOW,
    RUN_COMPLETED,
    RUN_FAILED,
    RUN_FAILING,
    RUN_INCOMPLETE,
    RUN_PROGRESS,
    RUN_STARTED,
    emit,
)
from tasks.order import ProductionOrder
from tasks.runtime import rooms, sentence_of
from zimage_core import clock
from zimage_core.errors import ZImageError
from zimage_core.ledger import Tally
from zimage_core.reporting.metrics import RunMetrics, answer_prometheus, write_textfile
from zimage_core.reporting.pulse import Pulse, percent, pulse_of
from zimage_core.settings import SeeingSettings, load_seeing_settings

log = logging.getLogger("zimage_core.tasks")

BEAT_S = 60.0
"""A run says how it is doing at most this often per process; the automation on its silence waits ten times as long."""

ANYBODY = "0.0.0.0"  # noqa: S104 - Prometheus scrapes from another machine; counts of shots are all it can read


@dataclass
class _Told:
    """What this process has said of a run so far."""

    at_s: float | None = None
    moved: int = -1
    alarms: set[str] = field(default_factory=set)
    closed: bool = False


_lock = threading.Lock()
_told: dict[str, _Told] = {}
_begun: dict[UUID, str] = {}
_latest: dict[str, RunMetrics] = {}
_answering: set[int] = set()


def tell_start(order: ProductionOrder, run_id: str) -> None:
    """Say that a run has begun, or goes on; never raises."""
    _answer_prometheus()
    context = FlowRunContext.get()
    with _lock:
        _told[run_id] = _Told()
        if context is not None and context.flow_run is not None:
            _begun[context.flow_run.id] = run_id
    emit(RUN_STARTED, order, run_id)


def tell_failure(flow: Flow[..., object], flow_run: FlowRun, state: State[object]) -> None:
    """Prefect's hook for a production that failed or crashed: say so, unless it was closed and its end was said.

    One that failed before its run was opened (its catalogue cannot be read) is told too, under its promotion's name.
    """
    order = ProductionOrder.model_validate(flow_run.parameters["order"])
    run_id = _begun.get(flow_run.id)
    if run_id is not None and _told[run_id].closed:
        return
    emit(RUN_FAILED, order, run_id or f"{order.promotion}-unopened", reason=sentence_of(state))


def beat(order: ProductionOrder, run_id: str, *, stage: str = "make") -> None:
    """Say how the run is doing, unless this process did so within BEAT_S; never raises.

    Progress is said only where something was made since this process last said so, so that a run whose engine fails
    over and over counts as standing still. Stages after `make` are not counted by the ledger: asking is progress there.
    """
    now_s = clock.elapsed_s()
    with _lock:
        known = _told.setdefault(run_id, _Told())
        if known.at_s is not None and now_s - known.at_s < BEAT_S:
            return
        known.at_s = now_s
    try:
        chosen = load_seeing_settings()
        tally = rooms(order).ledger.tally(run_id)
        pulse = pulse_of(tally)
        if pulse.moved > known.moved or stage != "make":
            known.moved = pulse.moved
            emit(RUN_PROGRESS, order, run_id, stage=stage, **_counts(tally, pulse))
        _raise_alarms(order, run_id, pulse, chosen, known)
        _keep(chosen, RunMetrics(run_id, order.promotion, tally, clock.now()))
    except (ZImageError, OSError) as error:
        log.warning("How run %s is doing could not be told: %s", run_id, error)


def tell_end(order: ProductionOrder, run_id: str, failed: Sequence[str]) -> None:
    """Say how a run ended, with its counts; never raises."""
    with _lock:
        known = _told.setdefault(run_id, _Told())
        known.closed = True
    try:
        chosen = load_seeing_settings()
        tally = rooms(order).ledger.tally(run_id)
        pulse = pulse_of(tally)
        _raise_alarms(order, run_id, pulse, chosen, known)
        reason = {"reason": "; ".join(failed)} if failed else {}
        emit(RUN_INCOMPLETE if failed else RUN_COMPLETED, order, run_id, **reason, **_counts(tally, pulse))
        _keep(chosen, RunMetrics(run_id, order.promotion, tally, clock.now(), ended=True))
    except (ZImageError, OSError) as error:
        log.warning("How run %s ended could not be told: %s", run_id, error)


def ledger_metrics(work_dir: Path | None, limit: int) -> list[RunMetrics]:
    """Return the latest runs of the configured ledger as metrics; the same numbers that the runs themselves tell."""
    ledger = rooms(ProductionOrder(catalogue="-", work_dir=work_dir)).ledger
    return [
        RunMetrics(row.run.run_id, row.run.promotion, row.counts, clock.now(), ended=row.state != "running")
        for row in ledger.runs(limit)
    ]


def _raise_alarms(order: ProductionOrder, run_id: str, pulse: Pulse, chosen: SeeingSettings, known: _Told) -> None:
    """Say once per process and run that too much fails, and that too much is drawn poorly."""
    least = chosen.alert_min_shots
    counts: dict[str, object] = {"done": pulse.done, "failed": pulse.failed, "graded": pulse.graded, "poor": pulse.poor}
    if pulse.fails_too_often(above=chosen.alert_failure_rate, at_least=least) and RUN_FAILING not in known.alarms:
        known.alarms.add(RUN_FAILING)
        emit(RUN_FAILING, order, run_id, failure_percent=percent(pulse.failure_rate), **counts)
    if pulse.draws_poorly(above=chosen.alert_c_rate, at_least=least) and QUALITY_LOW not in known.alarms:
        known.alarms.add(QUALITY_LOW)
        emit(QUALITY_LOW, order, run_id, c_percent=percent(pulse.c_rate), **counts)


def _counts(tally: Tally, pulse: Pulse) -> dict[str, object]:
    return {
        "promised": tally.promised,
        "done": pulse.done,
        "accepted": tally.accepted,
        "doubtful": tally.doubtful,
        "failed": pulse.failed,
        "letters": dict(tally.letters),
        "attempts": tally.attempts,
        "engine_seconds": round(tally.engine_seconds, 3),
        "cost_usd": round(tally.cost_usd, 6),
    }


def _keep(chosen: SeeingSettings, run: RunMetrics) -> None:
    """Hand the run's numbers to whoever scrapes: a file for node_exporter, this process's own port."""
    with _lock:
        _latest[run.run_id] = run
    if chosen.metrics_dir is not None:
        Path(chosen.metrics_dir).mkdir(parents=True, exist_ok=True)
        write_textfile(chosen.metrics_dir, run)


def _answer_prometheus() -> None:
    """Answer on the configured port, once per process; another process of this machine may have it already."""
    try:
        port = load_seeing_settings().metrics_port
        if port is None or port in _answering:
            return
        answer_prometheus(ANYBODY, port, lambda: list(_latest.values()))
        _answering.add(port)
    except (ZImageError, OSError) as error:
        log.warning("This process does not answer Prometheus: %s", error)
