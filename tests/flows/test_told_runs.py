"""A whole run is seen from outside: its events, its numbers for Prometheus, its artifacts; none of them can end it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.events.worker import EventsWorker
from prometheus_client.parser import text_string_to_metric_families
from small_servers import Answer, SmallServer
from workshop import Workshop

from flows.produce import produce
from tasks import metrics
from tasks.alerts import apply_automations, read_automations
from tasks.generate import generate
from tasks.metrics import beat, ledger_metrics
from tasks.order import ProductionOrder
from tasks.runtime import rooms
from zimage_core.errors import CatalogueError, EngineError
from zimage_core.settings import load_seeing_settings


@pytest.fixture(autouse=True)
def _nothing_told_yet():
    metrics._told.clear()
    metrics._latest.clear()


@pytest.fixture
def began() -> datetime:
    """When the test began: the server is the session's, and the same order in another test is a run of the same id."""
    return datetime.now(UTC)


def order(shop: Workshop, **choices: object) -> ProductionOrder:
    given = {"promotion": "618", "scenes": ("packshot",), "channels": ("taobao_main",)}
    return ProductionOrder.model_validate({"catalogue": str(shop.catalogue)} | given | choices)


def events_of(shop: Workshop, run_id: str, until: str, since: datetime) -> dict[str, dict[str, object]]:
    """Return what the server was told of a run, the latest of each name, once it was told `until`."""
    EventsWorker.drain_all()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        asked = {"filter": {"resource": {"id": [f"zimage.run.{run_id}"]}, "occurred": {"since": since.isoformat()}}}
        found = httpx.post(f"{shop.environment['PREFECT_API_URL']}/events/filter", json=asked, timeout=10).json()
        by_name = {event["event"]: event for event in reversed(found["events"])}
        if until in by_name:
            return by_name
        time.sleep(0.2)
    raise AssertionError(f"{until} was not told")


def test_a_run_tells_its_progress_and_end_and_leaves_its_numbers_and_artifacts(
    workshop: Workshop, tmp_path: Path, began: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ZIMAGE_METRICS_DIR", str(tmp_path / "textfiles"))
    run_id = produce(order(workshop))
    told_events = events_of(workshop, run_id, "zimage.run.completed", began)
    completed = told_events["zimage.run.completed"]
    assert completed["payload"]["accepted"] == completed["payload"]["promised"] == 2
    assert completed["payload"]["letters"] == {"A": 2}
    roles = {related["prefect.resource.role"] for related in completed["related"]}
    assert {"promotion", "flow-run", "flow"} <= roles
    assert told_events["zimage.run.planned"]["payload"]["shots"] == 2
    assert told_events["zimage.run.progress"]["payload"]["promised"] == 2

    text = (tmp_path / "textfiles" / f"zimage_run_{run_id}.prom").read_text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    shots = {sample.labels["state"]: sample.value for sample in samples if sample.name == "zimage_run_shots"}
    assert shots["accepted"] == 2
    assert {sample.value for sample in samples if sample.name == "zimage_run_ended"} == {1}
    (listed,) = [run for run in ledger_metrics(None, 5) if run.run_id == run_id]
    assert (listed.ended, listed.tally.accepted, listed.promotion) == (True, 2, "618")

    def artifact(key: str) -> str:
        return str(httpx.get(f"{workshop.environment['PREFECT_API_URL']}/artifacts/{key}/latest").json()["data"])

    (row,) = json.loads(artifact("grades-618"))
    assert (row["scene"], row["promised"], row["accepted"], row["A"]) == ("packshot", 2, 2, 2)
    assert row["USD per accepted"] == "0.0000"
    assert "Per accepted image: 0.0000 USD, 1.00 attempts" in artifact("report-618")
    manifest_key = json.loads((workshop.cdn / "current" / "618.json").read_text())["manifest_key"]
    assert (workshop.cdn / manifest_key).resolve().as_uri() in artifact("manifest-618")
    assert f"/reports/{run_id}/index.html" in artifact("contact-sheet-618")


def test_of_a_run_and_its_parts_in_one_process_only_the_run_sends_heartbeats(workshop: Workshop, began: datetime):
    run_id = produce(order(workshop))
    events_of(workshop, run_id, "zimage.run.completed", began)
    asked = {
        "filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}, "occurred": {"since": began.isoformat()}},
        "limit": 50,
    }
    found = httpx.post(f"{workshop.environment['PREFECT_API_URL']}/events/filter", json=asked, timeout=10).json()
    sent_by = {event["resource"]["prefect.resource.name"] for event in found["events"]}
    assert "618 · catalogue.csv" in sent_by
    assert not sent_by & {"618 · LIP-1 … MUG-1", f"publish {run_id}"}


def test_a_run_that_fails_is_told_with_its_reason_even_before_it_is_opened(workshop: Workshop, began: datetime):
    with pytest.raises(CatalogueError):
        produce(order(workshop, catalogue=str(workshop.folder / "missing.csv"), promotion="everyday"))
    failed = events_of(workshop, "everyday-unopened", "zimage.run.failed", began)["zimage.run.failed"]
    assert "missing.csv" in failed["payload"]["reason"]


@pytest.fixture
def called(workshop: Workshop) -> Iterator[Callable[[str], set[str]]]:
    """Return a function that gives the automations which have called a real webhook about a run so far."""
    receiver = SmallServer(lambda _: Answer(204))
    receiver.start()
    apply_automations(load_seeing_settings(alert_webhook_url=receiver.url))

    def about(run_id: str) -> set[str]:
        bodies = [json.loads(seen.body) for seen in list(receiver.seen)]
        return {body["automation"] for body in bodies if body["run_id"] == run_id}

    yield about
    with get_client(sync_client=True) as client:
        for automation, _ in read_automations(load_seeing_settings().automations_dir):
            for there in client.read_automations_by_name(automation.name):
                client.delete_automation(there.id)
    receiver.stop()


def test_a_run_that_could_not_make_everything_is_told_once_with_its_reason_and_a_person_is_called(
    workshop: Workshop, called: Callable[[str], set[str]], began: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(generate, "retries", 0)
    monkeypatch.setenv("ZIMAGE_BATCH_SIZE", "1")
    monkeypatch.setenv("ZIMAGE_ENGINE_OPTIONS", '{"unavailable": "1"}')
    with pytest.raises(EngineError):
        produce(order(workshop, engine="fault", scenes=("packshot", "studio")))
    (run,) = rooms(order(workshop)).ledger.runs(1)
    told_events = events_of(workshop, run.run.run_id, "zimage.run.incomplete", began)
    assert told_events["zimage.run.incomplete"]["payload"]["reason"]
    assert "zimage.run.failed" not in told_events
    assert "zimage.run.started" in told_events
    down = told_events["zimage.engine.down"]["payload"]
    assert down["engine"] == "fault"
    assert "cannot be reached" in down["reason"]
    deadline = time.monotonic() + 60
    while (calls := called(run.run.run_id)) != {"zimage · engine down", "zimage · run failed"}:
        assert time.monotonic() < deadline, calls
        time.sleep(0.2)


def test_standing_still_is_no_progress_and_alarms_are_raised_once(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    given, run_id = order(workshop), produce(order(workshop))
    emitted: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(metrics, "emit", lambda name, _order, _run, **payload: emitted.append((name, payload)))
    monkeypatch.setattr(metrics, "BEAT_S", 0.0)
    monkeypatch.setenv("ZIMAGE_ALERT_MIN_SHOTS", "2")
    metrics._told.clear()
    beat(given, run_id)
    beat(given, run_id)
    assert [name for name, _ in emitted] == ["zimage.run.progress"]
    beat(given, run_id, stage="publish")
    assert [payload["stage"] for _, payload in emitted] == ["make", "publish"]

    ledger = rooms(given).ledger
    poor = metrics.Tally(promised=4, accepted=1, given_up=1, letters={"A": 1, "C": 1}, attempts=4)
    monkeypatch.setattr(type(ledger), "tally", lambda _self, _run_id: poor)
    beat(given, run_id)
    beat(given, run_id)
    alarms = {name: payload for name, payload in emitted if name in ("zimage.run.failing", "zimage.quality.low")}
    assert alarms["zimage.run.failing"]["failure_percent"] == 50.0
    assert alarms["zimage.quality.low"]["c_percent"] == 50.0
    assert sum(name in alarms for name, _ in emitted) == 2


def test_a_metrics_folder_that_cannot_be_written_ends_no_run(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZIMAGE_METRICS_DIR", str(tmp_path / "file" / "below"))
    run_id = produce(order(workshop))
    assert rooms(order(workshop)).ledger.tally(run_id).accepted == 2
    assert f"How run {run_id} ended could not be told" in caplog.text
