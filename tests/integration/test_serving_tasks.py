"""Tasks: taken now, drawn later, cancelled, kept over a restart, or reported lost."""

from __future__ import annotations

import base64
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from free_ports import free_port
from served_engine import GatedEngine, Served, ServerProcess, body, detail, served, wait_until

from zimage_core.errors import BadImage
from zimage_core.imaging.pixels import decode_png

KEY_A, KEY_B = "key-of-shop-a-0123456789", "key-of-shop-b-0123456789"


def take(client: httpx.Client, prompt: str, **headers: str) -> str:
    taken = client.post("/api/v1/generate", json=body(prompt), headers=headers)
    assert taken.status_code == 202, taken.text
    assert taken.headers["Location"] == taken.json()["url"]
    return str(taken.headers["Location"])


def state_of(client: httpx.Client, url: str) -> dict[str, Any]:
    answer = client.get(url)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def wait_for(client: httpx.Client, url: str, state: str) -> dict[str, Any]:
    wait_until(lambda: state_of(client, url)["state"] not in ("queued", "running"))
    task = state_of(client, url)
    assert task["state"] == state, task
    return task


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    made: list[ServerProcess] = []
    port = free_port()

    def start(**options: Any) -> ServerProcess:
        environment = {key: options.pop(key) for key in list(options) if key.isupper()}
        server = ServerProcess(tmp_path / "shop", port, **environment)
        made.append(server)
        return server.start("--no-warm-up", **options)

    yield start
    for server in made:
        server.end()


# ---------------------------------------------------------------- in one life of the server


def test_a_task_goes_from_queued_to_done_and_gives_its_picture_in_both_forms(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False, seconds_per_image=4.0)
    with served(engine, tmp_path, batch_limit=1) as here, here.client() as client:
        first = take(client, "first")
        engine.wait_inside()
        second, third = take(client, "second"), take(client, "third")
        running, queued = state_of(client, first), state_of(client, third)
        assert (running["state"], running["position"]) == ("running", None)
        assert 0 <= running["progress"] < 1
        assert (queued["state"], queued["position"], queued["progress"]) == ("queued", 1, 0)
        assert queued["eta_s"] == pytest.approx(8.0)
        early = client.get(f"{third}/result")
        assert early.status_code == 409
        assert "Retry-After" in early.headers
        engine.gate.set()
        for url in (first, second, third):
            task = wait_for(client, url, "done")
            assert task["progress"] == 1
            assert task["created_at"] <= task["started_at"] <= task["finished_at"]
        png = client.get(f"{first}/result")
        assert png.headers["content-type"] == "image/png"
        as_json = client.get(f"{first}/result", headers={"Accept": "application/json, image/png;q=0.5"})
        assert base64.b64decode(as_json.json()["image"]) == png.content
        assert decode_png(png.content).shape == (64, 64, 3)
        assert client.get(f"{first}/result", headers={"Accept": "text/html"}).status_code == 406


def test_a_task_that_waits_can_be_cancelled_and_is_not_drawn(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path, batch_limit=1) as here, here.client() as client:
        running = take(client, "running")
        engine.wait_inside()
        one, other = take(client, "one"), take(client, "other")
        assert client.delete(one).json()["state"] == "cancelled"
        assert client.delete(one).status_code == 200, "cancelling twice is cancelling"
        assert client.post(f"{other}/cancel").json()["state"] == "cancelled"
        refused = client.delete(running)
        assert refused.status_code == 409
        assert "running" in detail(refused)["sentence"]
        engine.gate.set()
        wait_for(client, running, "done")
        assert "cancelled" in detail(client.get(f"{one}/result"))["sentence"]
    assert engine.drawn == ["running"]


def test_cancelling_one_of_two_tasks_of_the_same_picture_leaves_the_other(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path, batch_limit=1) as here, here.client() as client:
        take(client, "first")
        engine.wait_inside()
        one, other = take(client, "the mug"), take(client, "the mug")
        assert one != other
        assert client.delete(one).json()["state"] == "cancelled"
        engine.gate.set()
        wait_for(client, other, "done")
        assert state_of(client, one)["state"] == "cancelled"
    assert engine.drawn == ["first", "the mug"]


def test_a_key_stands_for_one_task_until_that_fails(tmp_path: Path) -> None:
    engine = GatedEngine()
    engine.fail_with = lambda request: BadImage("It is blank.")
    with served(engine, tmp_path) as here, here.client() as client:
        failed = take(client, "a mug", **{"Idempotency-Key": "k"})
        task = wait_for(client, failed, "failed")
        assert (task["failure"]["code"], task["failure"]["retryable"]) == ("BadImage", True)
        assert "blank" in detail(client.get(f"{failed}/result"))["sentence"]
        engine.fail_with = lambda request: None
        again = take(client, "a mug", **{"Idempotency-Key": "k"})
        assert again != failed
        wait_for(client, again, "done")
        assert take(client, "a mug", **{"Idempotency-Key": "k"}) == again
        other = client.post("/api/v1/generate", json=body("a cup"), headers={"Idempotency-Key": "k"})
        assert other.status_code == 422
    assert len(engine.calls) == 2


def test_a_picture_that_is_not_kept_any_more_is_said_to_be_gone(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        url = take(client, "a mug", **{"Idempotency-Key": "k"})
        wait_for(client, url, "done")
        for kept in (tmp_path / "results").rglob("*.picture"):
            kept.unlink()
        assert client.get(f"{url}/result").status_code == 410
        again = take(client, "a mug", **{"Idempotency-Key": "k"})
        assert again != url, "a key whose picture is gone draws again"
        wait_for(client, again, "done")


def test_tasks_belong_to_the_key_that_took_them(tmp_path: Path) -> None:
    keys = f"{KEY_A},{KEY_B}"
    with (
        served(GatedEngine(), tmp_path, api_keys=keys) as here,
        here.client(Authorization=f"Bearer {KEY_A}") as a,
        here.client(**{"X-API-Key": KEY_B}) as b,
    ):
        url = take(a, "a mug", **{"Idempotency-Key": "k"})
        wait_for(a, url, "done")
        for asked in (b.get(url), b.get(f"{url}/result"), b.delete(url)):
            assert asked.status_code == 404
        assert take(b, "a cup", **{"Idempotency-Key": "k"}) != url, "keys of two callers are two keys"


# ---------------------------------------------------------------- over a restart


def test_tasks_are_drawn_after_the_server_was_killed_and_none_is_drawn_twice(
    process: Callable[..., ServerProcess],
) -> None:
    server = process(call_s="0")
    with server.client() as client:
        running = take(client, "running", **{"Idempotency-Key": "r"})
        wait_until(lambda: server.drawn() == ["running"])
        waiting = [take(client, f"waiting {number}") for number in range(3)]
        assert state_of(client, running)["state"] == "running"
    server.signal(signal.SIGKILL)
    server.wait()
    server.gate.touch()
    server.start("--no-warm-up")
    with server.client() as client:
        for url in (running, *waiting):
            wait_for(client, url, "done")
            assert client.get(f"{url}/result").status_code == 200
        assert take(client, "running", **{"Idempotency-Key": "r"}) == running
    assert sorted(server.drawn()) == ["running", "running", "waiting 0", "waiting 1", "waiting 2"]
    server.signal(signal.SIGKILL)
    server.wait()
    before = server.drawn()
    server.start("--no-warm-up")
    with server.client() as client:
        assert state_of(client, running)["state"] == "done"
        assert client.get(f"{running}/result").status_code == 200
    assert server.drawn() == before


def test_what_was_being_drawn_is_reported_lost_where_the_engine_bills_by_the_call(
    process: Callable[..., ServerProcess],
) -> None:
    server = process(ZIMAGE_SERVE_REDRAW="false")
    with server.client() as client:
        running = take(client, "running")
        wait_until(lambda: server.drawn() == ["running"])
        waiting = take(client, "waiting")
    server.signal(signal.SIGKILL)
    server.wait()
    server.gate.touch()
    server.start("--no-warm-up")
    with server.client() as client:
        assert "killed" in wait_for(client, running, "lost")["reason"]
        assert "killed" in detail(client.get(f"{running}/result"))["sentence"]
        wait_for(client, waiting, "done")
    assert server.drawn() == ["running", "waiting"]


def test_a_task_on_which_the_server_dies_again_and_again_is_given_up(process: Callable[..., ServerProcess]) -> None:
    server = process()
    with server.client() as client:
        url = take(client, "poison")
    for times in range(1, 4):
        wait_until(lambda times=times: server.drawn() == ["poison"] * times)
        server.signal(signal.SIGKILL)
        server.wait()
        server.start("--no-warm-up")
    with server.client() as client:
        assert "3 times" in wait_for(client, url, "lost")["reason"]
    assert server.drawn() == ["poison"] * 3


def test_a_task_for_another_engine_is_reported_lost_not_drawn_by_this_one(
    process: Callable[..., ServerProcess],
) -> None:
    server = process()
    with server.client() as client:
        take(client, "first")
        wait_until(lambda: server.drawn() == ["first"])
        url = take(client, "promised by filed-1")
    server.signal(signal.SIGKILL)
    server.wait()
    server.gate.touch()
    server.start("--no-warm-up", fingerprint="filed-2")
    with server.client() as client:
        reason = wait_for(client, url, "lost")["reason"]
        assert "filed-1" in reason
        assert "filed-2" in reason
    assert server.drawn() == ["first"]


def test_a_drained_server_finishes_what_it_draws_keeps_what_waits_and_exits_with_0(
    process: Callable[..., ServerProcess],
) -> None:
    server = process(ZIMAGE_SERVE_BATCH_LIMIT="1")
    with server.client() as client:
        running = take(client, "running")
        wait_until(lambda: server.drawn() == ["running"])
        waiting = take(client, "waiting")
        server.signal(signal.SIGTERM)
        wait_until(lambda: client.get("/ready").status_code == 503)
        assert "stopped" in client.get("/ready").json()["reason"]
        assert client.get("/health").status_code == 200
        for path in ("/v1/generate", "/api/v1/generate"):
            refused = client.post(path, json=body("too late"))
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) >= 1
            assert detail(refused)["retryable"]
        assert state_of(client, waiting)["state"] == "queued"
        server.gate.touch()
        assert server.wait() == 0, server.log.read_text()
    assert server.drawn() == ["running"]
    server.start("--no-warm-up")
    with server.client() as client:
        wait_for(client, running, "done")
        wait_for(client, waiting, "done")
    assert server.drawn() == ["running", "waiting"]
    assert "Traceback" not in server.log.read_text()


def test_a_second_signal_ends_it_at_once(process: Callable[..., ServerProcess]) -> None:
    server = process()
    with server.client() as client:
        url = take(client, "running")
        wait_until(lambda: server.drawn() == ["running"])
        server.signal(signal.SIGTERM)
        wait_until(lambda: client.get("/ready").status_code == 503)
        server.signal(signal.SIGTERM)
        assert server.wait() == 128 + signal.SIGTERM
    server.gate.touch()
    server.start("--no-warm-up")
    with server.client() as client:
        wait_for(client, url, "done")


def test_who_holds_the_line_while_the_server_drains_is_told_to_come_back(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    engine = GatedEngine(open_gate=False, batch_limit=1)
    with served(engine, tmp_path) as here, ThreadPoolExecutor(2) as pool, here.client() as client:
        drawn = pool.submit(client.post, "/v1/generate", json=body("drawn"))
        engine.wait_inside()
        waits = pool.submit(client.post, "/v1/generate", json=body("waits"))
        wait_until(lambda: here.services.desk.waiting == 1)
        here.server.stop()
        told = waits.result()
        assert told.status_code == 503
        assert detail(told)["retryable"]
        assert "Retry-After" in told.headers
        engine.gate.set()
        assert drawn.result().status_code == 200, "what was being drawn is answered"
    assert engine.closed
    assert engine.drawn == ["drawn"]


def test_the_file_of_tasks_is_whole_and_holds_what_was_promised(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        urls = [take(client, f"mug {number}") for number in range(5)]
        for url in urls:
            wait_for(client, url, "done")
    with sqlite3.connect(tmp_path / "tasks.sqlite") as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert file.execute("SELECT state, count(*) FROM task GROUP BY state").fetchall() == [("done", 5)]
    file.close()


def test_a_task_gives_the_very_picture_that_waiting_for_it_gives(tmp_path: Path) -> None:
    def drawn(here: Served, client: httpx.Client, *, later: bool) -> np.ndarray:
        if not later:
            return decode_png(base64.b64decode(client.post("/v1/generate", json=body()).json()["image"]))
        url = take(client, body()["prompt"])
        wait_for(client, url, "done")
        return decode_png(client.get(f"{url}/result").content)

    pictures = []
    for later in (False, True):
        with served(GatedEngine(), tmp_path / f"{later}") as here, here.client() as client:
            pictures.append(drawn(here, client, later=later))
    assert np.array_equal(*pictures)
