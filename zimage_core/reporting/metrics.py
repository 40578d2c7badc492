"""Runs as Prometheus metrics, counted from the ledger: the same numbers whichever process tells them.

Counters never go back, because the ledger only ever adds rows and counts a run as a whole, over all its processes and
restarts. prometheus-client is in the extra `serve` and is imported when it is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from zimage_core.errors import ConfigurationError
from zimage_core.ledger import Tally
from zimage_core.reporting.pulse import pulse_of

if TYPE_CHECKING:
    from prometheus_client.core import Metric

FILE_PREFIX: Final = "zimage_run_"
KEPT_S: Final = 7 * 86_400.0
"""A finished run's file is removed a week later: a scrape has long had it, and every file is a set of time series."""


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """One run at one moment; `ended`: whether the ledger has closed it."""

    run_id: str
    promotion: str
    tally: Tally
    at: datetime
    ended: bool = False


def families(runs: Iterable[RunMetrics]) -> list[Metric]:
    """Return the metric families of these runs. Raises ConfigurationError where prometheus-client is not installed."""
    core = _prometheus().core
    names = ["run", "promotion"]
    gauge, counter = core.GaugeMetricFamily, core.CounterMetricFamily
    shots = gauge("zimage_run_shots", "Promised shots by where they stand.", labels=[*names, "state"])
    letters = gauge("zimage_run_graded_shots", "Shots by the grade they have now.", labels=[*names, "letter"])
    refused = counter("zimage_run_refusals", "Rows and shots that were refused.", labels=names)
    attempts = counter("zimage_run_attempts", "Attempts this run made.", labels=names)
    seconds = counter("zimage_run_engine_seconds", "Seconds engines worked, failed tries included.", labels=names)
    cost = counter("zimage_run_cost_usd", "What engines cost, failed tries included.", labels=names)
    c_rate = gauge("zimage_run_c_rate", "Share of graded shots with grade C, 0 to 1.", labels=names)
    failures = gauge("zimage_run_failure_rate", "Share of shots at an end without a picture, 0 to 1.", labels=names)
    ended = gauge("zimage_run_ended", "1 when the run is over, 0 while it goes on.", labels=names)
    updated = gauge("zimage_run_updated_timestamp_seconds", "When these numbers were counted.", labels=names)
    for run in runs:
        tally, pulse, key = run.tally, pulse_of(run.tally), [run.run_id, run.promotion]
        for state in ("accepted", "doubtful", "given_up", "failed", "pending", "left_out"):
            shots.add_metric([*key, state], getattr(tally, state))
        for letter in ("A", "B", "C"):
            letters.add_metric([*key, letter], tally.letters.get(letter, 0))
        for family, value in (
            (refused, tally.refused),
            (attempts, tally.attempts),
            (seconds, tally.engine_seconds),
            (cost, tally.cost_usd),
            (c_rate, pulse.c_rate),
            (failures, pulse.failure_rate),
            (ended, float(run.ended)),
            (updated, run.at.timestamp()),
        ):
            family.add_metric(key, value)
    return [shots, letters, refused, attempts, seconds, cost, c_rate, failures, ended, updated]


def exposition(runs: Iterable[RunMetrics]) -> str:
    """Return these runs in Prometheus' text format."""
    return str(_prometheus().generate_latest(_Collected(lambda: runs)).decode())


def write_textfile(folder: Path, run: RunMetrics) -> Path:
    """Keep a run's file for node_exporter's textfile collector, whole at every moment; return its path.

    Files of runs that nobody has touched for a week are removed. Raises OSError when the folder cannot be written to.
    """
    path = folder / f"{FILE_PREFIX}{run.run_id}.prom"
    _prometheus().write_to_textfile(str(path), _Collected(lambda: [run]))
    for other in folder.glob(f"{FILE_PREFIX}*.prom"):
        if other != path and run.at.timestamp() - other.stat().st_mtime > KEPT_S:
            other.unlink(missing_ok=True)
    return path


def answer_prometheus(host: str, port: int, runs: Callable[[], Iterable[RunMetrics]]) -> threading.Thread:
    """Answer GET /metrics with what `runs` returns, in a thread that ends with the process; return it.

    Raises OSError when the port is taken, ConfigurationError where prometheus-client is not installed.
    """
    thread: threading.Thread = _prometheus().start_http_server(port, host, registry=_Collected(runs))[1]
    return thread


class _Collected:
    """A registry of one collector: asked anew for every scrape."""

    def __init__(self, runs: Callable[[], Iterable[RunMetrics]]) -> None:
        self._runs = runs

    def collect(self) -> Iterator[Metric]:
        yield from families(self._runs())

    def restricted_registry(self, names: Iterable[str]) -> _Restricted:
        """Return what a scrape with name[] asks for."""
        return _Restricted(self, frozenset(names))


class _Restricted:
    def __init__(self, whole: _Collected, names: frozenset[str]) -> None:
        self._whole, self._names = whole, names

    def collect(self) -> Iterator[Metric]:
        yield from (
            family
            for family in self._whole.collect()
            if self._names & {family.name, *(sample.name for sample in family.samples)}
        )


def _prometheus() -> Any:
    try:
        import prometheus_client
        import prometheus_client.core
    except ImportError as error:
        raise ConfigurationError(
            "Metrics of runs need prometheus-client: install zimage[serve], or unset ZIMAGE_METRICS_DIR and "
            "ZIMAGE_METRICS_PORT."
        ) from error
    return prometheus_client
