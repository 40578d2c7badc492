"""When something is in the way: a disk that refuses, damaged files, a stop that takes too long, two at one moment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for_futures
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from served_engine import GatedEngine, Served, body, detail, served, wait_until

from zimage_core.engines.exchange import generate_body
from zimage_core.errors import EngineUnavailable

KEY = {"Idempotency-Key": "order-7"}


def state_of(client: httpx.Client, url: str) -> str:
    return str(client.get(url).json()["state"])


@contextmanager
def refusing_disk(here: Served, folder: Path) -> Iterator[None]:
    """Let neither pictures nor tasks be written; the superuser, who runs tests, is stopped by no permissions."""
    results, aside = folder / "results", folder / "aside"
    results.rename(aside)
    results.write_text("a file where a folder is needed")
    here.services.book._connection.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        results.unlink()
        aside.rename(results)
        here.services.book._connection.execute("PRAGMA query_only = OFF")


@pytest.fixture
def shown_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("zimage_core"), "propagate", True)
    return caplog


def test_whoever_asks_is_told_when_the_disk_refuses_and_the_server_recovers(
    tmp_path: Path, shown_log: pytest.LogCaptureFixture
) -> None:
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        with refusing_disk(here, tmp_path):
            for path in ("/v1/generate", "/api/v1/generate"):
                failed = client.post(path, json=body())
                assert failed.status_code == 503
                said = detail(failed)
                assert said["retryable"]
                assert "log" in said["sentence"]
                assert failed.headers["Retry-After"] == "60"
                assert str(tmp_path) not in failed.text, "folders of the server are nobody's business"
            not_ready = client.get("/ready")
            assert not_ready.status_code == 503
            assert "disk" in not_ready.json()["reason"]
            here.server.keep_up()
            assert client.get("/ready").status_code == 503, "it still refuses"
        here.server.keep_up()
        assert client.get("/ready").status_code == 200
        assert client.post("/v1/generate", json=body()).status_code == 200
    assert str(tmp_path) in shown_log.text


def test_the_end_of_a_task_that_the_disk_refused_is_written_when_it_can_be(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path) as here, here.client() as client:
        url = client.post("/api/v1/generate", json=body()).headers["Location"]
        engine.wait_inside()
        here.services.book._connection.execute("PRAGMA query_only = ON")
        engine.gate.set()
        assert here.services.desk.wait_until_drained(60)
        here.services.book._connection.execute("PRAGMA query_only = OFF")
        here.server.keep_up()
        assert state_of(client, url) == "done"
        assert client.get(f"{url}/result").status_code == 200


def test_a_task_whose_picture_was_damaged_before_a_restart_is_drawn_again(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False, batch_limit=1)
    with served(engine, tmp_path) as here, here.client() as client:
        client.post("/api/v1/generate", json=body("running"))
        engine.wait_inside()
        url = client.post("/api/v1/generate", json=body("waits")).headers["Location"]
        key = here.services.book.unfinished()[1].content_key
        here.server.stop()
        wait_until(lambda: here.services.desk.is_draining)
    kept = tmp_path / "results" / key[:2] / f"{key}.picture"
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(b"{}\nhalf a picture")
    with served(GatedEngine(), tmp_path) as again, again.client() as client:
        wait_until(lambda: state_of(client, url) == "done")
        assert client.get(f"{url}/result").status_code == 200
        assert again.engine.drawn == ["waits"]


def test_a_task_for_a_picture_that_is_kept_but_damaged_is_drawn(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        client.post("/v1/generate", json=body())
        (kept,) = (tmp_path / "results").rglob("*.picture")
        kept.write_bytes(kept.read_bytes()[:-20])
        url = client.post("/api/v1/generate", json=body()).headers["Location"]
        wait_until(lambda: state_of(client, url) == "done")
        assert client.get(f"{url}/result").status_code == 200


def test_of_two_equal_tasks_at_the_same_moment_none_is_promised_and_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = GatedEngine(open_gate=False, batch_limit=1)
    with served(engine, tmp_path, queue_limit=1) as here, here.client() as client, ThreadPoolExecutor(2) as pool:
        client.post("/api/v1/generate", json=body("running"))
        engine.wait_inside()
        client.post("/api/v1/generate", json=body("waits"))
        file, entered, go_on = here.services.desk.file, threading.Event(), threading.Event()

        def slowly(*arguments: object, **named: object) -> object:
            entered.set()
            assert go_on.wait(60)
            return file(*arguments, **named)

        monkeypatch.setattr(here.services.desk, "file", slowly)
        first = pool.submit(client.post, "/api/v1/generate", json=body("one too many"), headers=KEY)
        assert entered.wait(60)
        second = pool.submit(client.post, "/api/v1/generate", json=body("one too many"), headers=KEY)
        wait_for_futures([second], timeout=0.5)
        go_on.set()
        assert [first.result().status_code, second.result().status_code] == [429, 429]


def test_a_task_that_joins_a_picture_being_drawn_is_running_too(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path) as here, here.client() as client:
        client.post("/api/v1/generate", json=body())
        engine.wait_inside()
        joined = client.post("/api/v1/generate", json=body())
        assert joined.json()["state"] == "running"
        url = joined.headers["Location"]
        assert "running" in detail(client.delete(url))["sentence"]
        engine.gate.set()
        wait_until(lambda: state_of(client, url) == "done")
    assert len(engine.calls) == 1


def test_who_holds_the_line_is_told_when_a_stop_takes_too_long(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path, drain_timeout_s=0.1) as here, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.post, f"{here.url}/v1/generate", json=body(), timeout=60)
        engine.wait_inside()
        here.server.stop()
        told = asked.result()
        assert told.status_code == 503
        assert detail(told)["retryable"]
        assert "Retry-After" in told.headers


def test_why_an_engine_did_not_draw_is_in_the_log_too(tmp_path: Path, shown_log: pytest.LogCaptureFixture) -> None:
    engine = GatedEngine()
    engine.fail_with = lambda request: EngineUnavailable("The card has fallen off the bus.")
    with served(engine, tmp_path) as here, here.client() as client:
        assert client.post("/v1/generate", json=body()).status_code == 503
    assert "fallen off the bus" in shown_log.text


def test_a_request_that_is_meant_for_another_engine_is_refused(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        client.post("/api/v1/generate", json=body())
        wait_until(lambda: len(here.engine.requests) == 1)
        (request,) = here.engine.requests
        for fingerprint, status in (("gated-1", 200), ("", 200), ("gated-2", 409)):
            asked = generate_body(request, fingerprint=fingerprint).model_dump(mode="json")
            answer = client.post("/v1/generate", json=asked)
            assert answer.status_code == status, answer.text
        said = detail(answer)
        assert "gated-2" in said["sentence"]
        assert (said["code"], said["retryable"]) == ("EngineUnavailable", True)
        assert len(here.engine.requests) == 1
