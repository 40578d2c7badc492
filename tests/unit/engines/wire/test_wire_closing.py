"""Closing ends what is under way, and Ctrl-C does not wait for a hundred slow pictures."""

from __future__ import annotations

import contextlib
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from certificates import certificate
from comfyui_server import ComfyUI
from dashscope_server import KEY
from pydantic import SecretStr
from served_engine import wait_until
from small_servers import Answer, Seen, SmallServer, in_turn, json_answer, serving
from zimage_requests import request_for

from zimage_core.engines import comfyui, openai_images, zimage_http
from zimage_core.engines.base import Engine
from zimage_core.engines.dashscope import options as dashscope_options
from zimage_core.engines.dashscope.engine import DashScopeEngine
from zimage_core.engines.wire.client import Wire
from zimage_core.engines.wire.remote import Remote, RemoteOptions
from zimage_core.errors import EngineError, EngineUnavailable

CALLS = 32
PROMPT_S = 30.0
"""Calls would wait 60 s for the server and more for each other; they are to end at once, on a loaded machine too."""


def silent(seen: Seen) -> Answer:
    """Say what it is at once, and nothing to whoever asks for a picture."""
    return Answer(stall=True) if seen.method == "POST" else json_answer({"detail": "Not Found"}, 404)


@contextlib.contextmanager
def silent_server(tls: ssl.SSLContext | None = None) -> Iterator[SmallServer]:
    with serving(silent, tls) as server:
        yield server


@pytest.mark.parametrize("tls", [False, True])
def test_closing_ends_every_call_that_other_threads_have_under_way(tls: bool, tmp_path: Path) -> None:
    ca_file, context = None, None
    if tls:
        ca_file, key_file = certificate(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(ca_file, key_file)
    with silent_server(context) as server, ThreadPoolExecutor(CALLS) as pool:
        wire = Wire("e", ca_file=ca_file)
        calls = [pool.submit(wire.call, "POST", server.url, json={"n": n}) for n in range(CALLS)]
        wait_until(lambda: len(server.seen) == CALLS)
        started_s = time.monotonic()
        wire.close()
        errors = [call.exception(timeout=PROMPT_S) for call in calls]
        assert time.monotonic() - started_s < PROMPT_S
    assert {str(error) for error in errors} == {"Engine 'e' was closed. [engine=e]"}


def test_a_client_that_was_closed_calls_nobody() -> None:
    with serving(in_turn(json_answer({}))) as server:
        wire = Wire("e")
        wire.close()
        with pytest.raises(EngineUnavailable, match="was closed"):
            wire.call("GET", server.url)
        assert server.seen == []


def test_two_batches_at_a_time_do_not_wait_for_each_others_connections() -> None:
    with silent_server() as one, silent_server() as two, ThreadPoolExecutor(4) as pool:
        remote = Remote("e", RemoteOptions((one.url, two.url), threads=2, calls_per_endpoint=2), None)
        calls = [
            pool.submit(remote.ask, f"call{n}", lambda url: remote.wire.call("POST", url, json={})) for n in range(4)
        ]
        wait_until(lambda: len(one.seen) + len(two.seen) == 4)
        remote.close()
        assert all(isinstance(call.exception(timeout=PROMPT_S), EngineError) for call in calls)


# ---------------------------------------------------------------- Ctrl-C


def zimage_http_at(url: str) -> Engine:
    return zimage_http.create({"url": url, "model": "m", "calls_per_endpoint": "4"})


def openai_images_at(url: str) -> Engine:
    return openai_images.create({"url": url, "model": "m", "calls_per_endpoint": "4"})


def dashscope_at(url: str) -> Engine:
    options = dashscope_options.read({"url": url, "concurrency": "4", "requests_per_minute": "60000"})
    return DashScopeEngine(options, SecretStr(KEY))


def interrupted(engine: Engine, when: Callable[[], bool]) -> float:
    """Press Ctrl-C while the engine draws, as soon as `when` holds; return how long it took to end."""
    pressed_s: list[float] = []

    def press() -> None:
        wait_until(when)
        pressed_s.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    pressing = threading.Thread(target=press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let background jobs ignore it
    try:
        pressing.start()
        with pytest.raises(KeyboardInterrupt):
            engine.render([request_for(shot=f"shot{n}", size=(64, 64)) for n in range(CALLS)])
        ended_s = time.monotonic()
        pressing.join()
    finally:
        signal.signal(signal.SIGINT, before)
    return ended_s - pressed_s[0]


@pytest.mark.parametrize("engine_at", [zimage_http_at, openai_images_at, dashscope_at])
def test_ctrl_c_ends_a_batch_at_once(engine_at: Callable[[str], Engine]) -> None:
    with silent_server() as server:
        engine = engine_at(server.url)
        assert interrupted(engine, lambda: sum(seen.method == "POST" for seen in server.seen) >= 4) < PROMPT_S
        asked = len(server.seen)
        # one that was just being started when the signal came ends by itself, a moment later
        wait_until(lambda: not any(one.name.startswith(engine.info.name) for one in threading.enumerate()))
        engine.close()
    assert asked <= 1 + 4 + 4, "what had not begun was not begun"


def test_ctrl_c_takes_back_what_a_comfyui_was_to_draw() -> None:
    with ComfyUI() as server:
        server.fail("run", "stuck")
        engine = comfyui.create({"url": server.url, "in_flight": "3"})
        assert interrupted(engine, lambda: server.running is not None and len(server.queue) == 2) < PROMPT_S
        engine.close()
        wait_until(lambda: server.running is None and not server.queue)
    assert server.drawn == []
