"""Events reach a real server with the run they are about, and a server that is gone never ends a run."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
from free_ports import free_port
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from started_prefect import environment_of

from tasks import events
from tasks.order import ProductionOrder

ROOT = Path(__file__).resolve().parents[3]
ORDER = ProductionOrder(catalogue="feeds/spring.csv", promotion="618")


def _found(server: str, run_id: str, at_least: int = 1) -> list[dict[str, object]]:
    """Ask the server for the events of a run until it has that many."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        asked = {"filter": {"resource": {"id": [f"zimage.run.{run_id}"]}}}
        found = httpx.post(f"{server}/events/filter", json=asked, timeout=10).json()["events"]
        if len(found) >= at_least:
            return list(found)
        time.sleep(0.2)
    raise AssertionError("the server has not got the event")


def test_an_event_names_its_run_and_promotion_and_carries_plain_data(prefect_server: str):
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        sent = events.emit(
            events.DEADLINE_AT_RISK,
            ORDER,
            "r-events",
            deadline=datetime(2027, 5, 30, 10, tzinfo=UTC),
            letters={"A": 3},
            left=7,
        )
        EventsWorker.drain_all()
    assert sent
    (event,) = _found(prefect_server, "r-events")
    assert event["event"] == "zimage.deadline.at-risk"
    assert event["resource"]["prefect.resource.name"] == "618 · spring.csv"
    assert event["related"][0]["prefect.resource.id"] == "zimage.promotion.618"
    assert event["payload"] == {
        "run_id": "r-events",
        "promotion": "618",
        "deadline": "2027-05-30 10:00:00+00:00",
        "letters": {"A": 3},
        "left": 7,
    }


def test_each_step_of_a_run_follows_the_one_before_it_and_an_alarm_waits_for_nobody(prefect_server: str):
    alarms = (events.QUALITY_LOW, events.ENGINE_DOWN, events.RUN_FAILED, events.RUN_INCOMPLETE)
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        for name in (events.RUN_STARTED, *alarms, events.RUN_PROGRESS, events.RUN_COMPLETED):
            events.emit(name, ORDER, "r-course")
        events.emit(events.RUN_STARTED, ORDER, "r-other")
        EventsWorker.drain_all()
    seen = {event["event"]: event for event in _found(prefect_server, "r-course", at_least=7)}
    assert seen[events.RUN_STARTED]["follows"] is None
    assert {seen[name]["follows"] for name in alarms} == {None}
    assert seen[events.RUN_PROGRESS]["follows"] == seen[events.RUN_STARTED]["id"]
    assert seen[events.RUN_COMPLETED]["follows"] == seen[events.RUN_PROGRESS]["id"]
    (other,) = _found(prefect_server, "r-other")
    assert other["follows"] is None


def test_without_a_server_nothing_is_started_and_nothing_is_sent():
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert not events.emit(events.RUN_STARTED, ORDER, "r-alone")


def test_what_cannot_be_sent_is_logged_and_never_raised(prefect_server: str, caplog):
    """A payload over the server's limit is the one error that Prefect raises to the caller."""
    with temporary_settings({PREFECT_API_URL: prefect_server}), caplog.at_level(logging.WARNING, "zimage_core.tasks"):
        assert not events.emit(events.RUN_FAILED, ORDER, "r-large", why="x" * 3_000_000)
    assert "zimage.run.failed of run r-large could not be sent" in caplog.text


SENT_TO_NOBODY = """
import os, time
from tasks import events
from tasks.order import ProductionOrder

order = ProductionOrder(catalogue="feeds/spring.csv", promotion="618")
started_s = time.process_time()
sent = [events.emit(events.RUN_PROGRESS, order, "r-gone") for _ in range(10)]
print(sum(sent), time.process_time() - started_s, flush=True)
os._exit(0)  # without the minute in which Prefect tries to tell what is left
"""


def test_a_server_that_is_gone_costs_no_time(tmp_path: Path):
    """In a process of its own: Prefect's worker stays with the server it began with, and other tests have another."""
    environment = environment_of(tmp_path, f"http://127.0.0.1:{free_port()}/api")
    command = [sys.executable, "-c", SENT_TO_NOBODY]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    sent, spent_s = done.stdout.split()
    assert int(sent) == 10
    assert float(spent_s) < 2
