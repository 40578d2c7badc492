"""What Prometheus reads is what the ledger counts, whole at every moment and one run a file."""

from __future__ import annotations

import os
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from free_ports import free_port
from prometheus_client.parser import text_string_to_metric_families

from zimage_core.errors import ConfigurationError
from zimage_core.ledger import Tally
from zimage_core.reporting import metrics
from zimage_core.reporting.metrics import RunMetrics, answer_prometheus, exposition, write_textfile
from zimage_core.reporting.pulse import pulse_of

NOW = datetime.now(UTC)
TALLY = Tally(
    promised=50,
    accepted=30,
    doubtful=2,
    given_up=5,
    failed=3,
    pending=10,
    attempts=61,
    refused=4,
    letters={"A": 28, "B": 4, "C": 16},
    engine_seconds=123.5,
    cost_usd=0.75,
)


def test_the_pulse_counts_what_has_no_picture_and_what_is_poor():
    pulse = pulse_of(TALLY)
    assert (pulse.done, pulse.failed, pulse.graded, pulse.poor) == (40, 8, 48, 16)
    assert pulse.failure_rate == pytest.approx(0.2)
    assert pulse.c_rate == pytest.approx(1 / 3)
    assert pulse.fails_too_often(above=0.10, at_least=20)
    assert not pulse.fails_too_often(above=0.20, at_least=20)
    assert not pulse.fails_too_often(above=0.10, at_least=41)
    assert pulse.draws_poorly(above=0.30, at_least=20)
    assert not pulse.draws_poorly(above=0.30, at_least=49)
    assert pulse_of(Tally()).failure_rate == pulse_of(Tally()).c_rate == 0.0


def _samples(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("state") or sample.labels.get("letter") or ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_run_is_exposed_with_its_states_letters_and_costs():
    found = _samples(exposition([RunMetrics("r1", '61"8', TALLY, NOW)]))
    assert found["zimage_run_shots", "accepted"] == 30
    assert found["zimage_run_shots", "given_up"] == 5
    assert found["zimage_run_graded_shots", "C"] == 16
    assert found["zimage_run_attempts_total", ""] == 61
    assert found["zimage_run_engine_seconds_total", ""] == 123.5
    assert found["zimage_run_cost_usd_total", ""] == 0.75
    assert found["zimage_run_c_rate", ""] == pytest.approx(1 / 3)
    assert found["zimage_run_ended", ""] == 0


def test_every_run_keeps_a_file_and_old_ones_go(tmp_path: Path):
    old = tmp_path / "zimage_run_old.prom"
    old.write_text("")
    os.utime(old, (NOW.timestamp() - 8 * 86_400,) * 2)
    theirs = tmp_path / "node.prom"
    theirs.write_text("")
    os.utime(theirs, (0, 0))
    path = write_textfile(tmp_path, RunMetrics("r1", "618", TALLY, NOW))
    write_textfile(tmp_path, RunMetrics("r2", "618", TALLY, NOW))
    assert {one.name for one in tmp_path.iterdir()} == {"zimage_run_r1.prom", "zimage_run_r2.prom", "node.prom"}
    assert _samples(path.read_text())["zimage_run_shots", "accepted"] == 30


def test_a_port_answers_every_scrape_anew():
    port = free_port()
    runs = [RunMetrics("r1", "618", TALLY, NOW)]
    answer_prometheus("127.0.0.1", port, lambda: runs)
    url = f"http://127.0.0.1:{port}/metrics"
    assert b'run="r2"' not in urllib.request.urlopen(url, timeout=5).read()
    runs.append(RunMetrics("r2", "618", TALLY, NOW))
    assert b'run="r2"' in urllib.request.urlopen(url, timeout=5).read()
    only = urllib.request.urlopen(f"{url}?name[]=zimage_run_c_rate", timeout=5).read()
    assert b"zimage_run_c_rate" in only
    assert b"zimage_run_shots" not in only


def test_without_the_package_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigurationError, match=r"zimage\[serve\]"):
        metrics.exposition([])
