"""Automations on a real server call a real receiver when something happens to a run, and when nothing does."""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from free_ports import free_port
from prefect.client.orchestration import get_client
from prefect.events.actions import DoNothing, SendNotification
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from real_postgresql import new_database, running_postgresql
from small_servers import Answer, Seen, SmallServer
from started_prefect import BRISK, started_server

from tasks import events
from tasks.alerts import apply_automations, read_automations
from tasks.order import ProductionOrder
from zimage_core.errors import ConfigurationError
from zimage_core.settings import load_seeing_settings

ROOT = Path(__file__).resolve().parents[2]
ORDER = ProductionOrder(catalogue="feeds/spring.csv", promotion="618")
NAMES = {
    f"zimage · {what}"
    for what in ("failure rate", "C rate", "no progress", "deadline at risk", "engine down", "run failed")
}


class Receiver:
    """Whoever is called: an HTTP server that keeps what it was sent."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Seen] = queue.Queue()
        self.server = SmallServer(self._answer)

    def _answer(self, seen: Seen) -> Answer:
        self.calls.put(seen)
        return Answer(204)

    def call_about(self, run_id: str, within_s: float = 120) -> dict[str, object]:
        """Wait for a call about this run; calls about runs of other tests are passed over."""
        deadline = time.monotonic() + within_s
        while True:
            body = json.loads(self.calls.get(timeout=max(0.1, deadline - time.monotonic())).body)
            if body["run_id"] == run_id:
                return dict(body)

    def wait_for_automations(self) -> None:
        """Let runs fail until the last automation calls: the server reads what was made a moment later, in order."""
        for number in range(60):
            events.emit(events.RUN_FAILED, ORDER, f"r-first-{number}", reason="a test begins")
            deadline = time.monotonic() + 1
            while (left_s := deadline - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    if b"r-first-" in self.calls.get(timeout=left_s).body:
                        return
        raise AssertionError("nobody was called")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.server.start()
    yield made
    made.server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server on PostgreSQL, as alarms need it; on SQLite it loses the end of a run now and then."""
    with running_postgresql() as uri:
        database = urlsplit(new_database(uri))
        port = parse_qs(database.query)["port"][0]
        url = f"postgresql+asyncpg://postgres@127.0.0.1:{port}{database.path}"
        settings = BRISK | {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url}
        with started_server(tmp_path_factory.mktemp("prefect"), settings=settings) as api_url:
            yield api_url
            APILogWorker.drain_all()


@pytest.fixture
def on_server(server: str) -> Iterator[str]:
    EventsWorker.drain_all()  # it stays with the server it began with, and an earlier test may have left one
    with temporary_settings({PREFECT_API_URL: server}):
        _delete_ours()
        yield server
        EventsWorker.drain_all()
        _delete_ours()


def _delete_ours() -> None:
    with get_client(sync_client=True) as client:
        for name in NAMES:
            for automation in client.read_automations_by_name(name):
                client.delete_automation(automation.id)


@pytest.fixture
def hasty(tmp_path: Path) -> Path:
    """The shipped automations, but for a run whose silence counts after 25 seconds (Prefect takes 10 and more)."""
    folder = tmp_path / "automations"
    shutil.copytree(ROOT / "automations", folder)
    given = yaml.safe_load((folder / "no-progress.yaml").read_text())
    given["trigger"]["within"] = 25
    (folder / "no-progress.yaml").write_text(yaml.safe_dump(given, allow_unicode=True))
    return folder


def test_what_happens_and_what_stays_away_is_posted_to_the_webhook(on_server: str, receiver: Receiver, hasty: Path):
    url = f"{receiver.server.url}/alerts?token=s3cret"
    applied = apply_automations(load_seeing_settings(alert_webhook_url=url, automations_dir=hasty))
    assert {one.name for one in applied.automations} == NAMES
    assert {one.outcome for one in applied.automations} == {"made"}
    assert "s3cret" not in " ".join(applied.sentences())

    receiver.wait_for_automations()
    for number in range(40):  # the server takes two events at a time, and must not take an end before its start
        for what in (events.RUN_STARTED, events.RUN_PROGRESS, events.RUN_COMPLETED):
            events.emit(what, ORDER, f"r-done-{number}")
    events.emit(events.RUN_STARTED, ORDER, "r-silent")
    events.emit(events.QUALITY_LOW, ORDER, "r-poor", c_percent=41.5, graded=40)
    called = receiver.call_about("r-poor")
    assert called["automation"] == "zimage · C rate"
    assert called["event"] == "zimage.quality.low"
    assert called["promotion"] == "618"
    assert called["text"] == ("41.5 % of 40 graded shots of 618 are C. See what is found most: zimage report r-poor")
    assert called["payload"]["c_percent"] == 41.5

    reason = 'it said "no" and </script> and a line\nmore'
    events.emit(events.ENGINE_DOWN, ORDER, "r-engine", reason=reason)
    called = receiver.call_about("r-engine")
    assert called["automation"] == "zimage · engine down"
    assert called["payload"]["reason"] == reason

    silent = receiver.call_about("r-silent", within_s=180)
    assert silent["automation"] == "zimage · no progress"
    assert "618 (run r-silent)" in silent["text"]
    assert not [seen for seen in receiver.server.seen if b"r-done" in seen.body]


def test_applying_again_changes_nothing_and_keeps_what_was_switched_off(on_server: str, hasty: Path):
    settings = load_seeing_settings(automations_dir=hasty)
    first = apply_automations(settings)
    assert first.targets == ()
    assert "call nobody" in first.sentences()[-1]
    with get_client(sync_client=True) as client:
        (there,) = client.read_automations_by_name("zimage · C rate")
        assert there.actions == [DoNothing()]
        client.pause_automation(there.id)
    assert {one.outcome for one in apply_automations(settings).automations} == {"unchanged"}

    given = yaml.safe_load((hasty / "c-rate.yaml").read_text())
    (hasty / "c-rate.yaml").write_text(yaml.safe_dump(given | {"description": "Ours."}, allow_unicode=True))
    outcomes = {one.name: one for one in apply_automations(settings).automations}
    assert outcomes["zimage · C rate"].outcome == "updated"
    assert not outcomes["zimage · C rate"].enabled
    assert sum(one.outcome == "unchanged" for one in outcomes.values()) == len(NAMES) - 1
    with get_client(sync_client=True) as client:
        (again,) = client.read_automations_by_name("zimage · C rate")
    assert again.id == there.id
    assert again.description == "Ours."


def test_a_notification_block_of_the_server_is_called_by_its_name(on_server: str, receiver: Receiver, hasty: Path):
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    body = {"run_id": "{{body}}", "subject": "{{subject}}"}
    CustomWebhookNotificationBlock(name="ops", url=receiver.server.url, json_data=body).save(
        "operations", overwrite=True
    )
    applied = apply_automations(load_seeing_settings(alert_block="custom-webhook/operations", automations_dir=hasty))
    assert applied.sentences()[-1] == "They call the block custom-webhook/operations."
    with get_client(sync_client=True) as client:
        (there,) = client.read_automations_by_name("zimage · run failed")
    assert isinstance(there.actions[0], SendNotification)
    receiver.wait_for_automations()
    events.emit(events.RUN_FAILED, ORDER, "r-failed", reason="The catalogue is empty.")
    called = receiver.call_about("618 (run r-failed) ended unfinished: The catalogue is empty.")
    assert called["subject"] == "zimage · run failed: 618"

    with pytest.raises(ConfigurationError, match="no block slack-webhook/nobody"):
        apply_automations(load_seeing_settings(alert_block="slack-webhook/nobody", automations_dir=hasty))


def test_without_a_server_or_with_a_dead_one_the_sentence_says_what_to_set():
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(ConfigurationError, match="PREFECT_API_URL"),
    ):
        apply_automations()
    with (
        temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}),
        pytest.raises(ConfigurationError, match="see that it runs"),
    ):
        apply_automations()


def test_the_shipped_automations_wait_for_events_that_are_sent():
    found = read_automations(ROOT / "automations")
    assert {automation.name for automation, _ in found} == NAMES


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name: a\n", "needs name, message and trigger"),
        ("- a\n", "needs name, message and trigger"),
        ("name: [a\n", "is not an automation"),
        ("name: a\nmessage: b\ntrigger: {type: event, posture: Sideways}\n", "posture"),
        ("name: a\nmessage: b\ntrigger: {type: event, expect: [zimage.run.begun]}\n", "waits for zimage.run.begun"),
    ],
)
def test_a_file_that_is_no_automation_is_named(tmp_path: Path, text: str, why: str):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=why) as caught:
        read_automations(tmp_path)
    assert "mine.yaml" in str(caught.value)


def test_a_folder_without_automations_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="ZIMAGE_AUTOMATIONS_DIR"):
        read_automations(tmp_path)
