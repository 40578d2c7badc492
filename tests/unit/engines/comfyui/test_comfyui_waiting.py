"""Waiting for pictures: with a socket, without one, not for ever; cancelling nothing but our own."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from comfyui_answers import failed, made, right
from comfyui_server import ComfyUI
from websockets.sync.client import connect
from zimage_requests import request_for

from zimage_core.engines.base import EngineFailure, render_checked
from zimage_core.engines.comfyui.engine import ComfyEngine
from zimage_core.engines.comfyui.fleet import Station
from zimage_core.engines.comfyui.template import make_template
from zimage_core.engines.comfyui.waiting import Patience
from zimage_core.engines.wire.replies import EngineLocked
from zimage_core.errors import (
    EngineTimeout,
    EngineUnavailable,
)

EngineOn = Callable[..., ComfyEngine]
PATIENT = Patience(
    timeout_s=20, stall_s=10, lost_after_s=1.0, look_s=0.02, most_look_s=0.1, heard_look_s=2.0, stored_look_s=0.005
)


def listening(engine: ComfyEngine, server: ComfyUI) -> Station:
    """The engine's side of this server, its socket open."""
    station = engine.fleet.station(server.url)
    station.ears.follow("somebody")
    assert station.ears.wait_open(10)
    return station


# ---------------------------------------------------------------- the socket


def test_without_a_socket_that_speaks_pictures_come_by_asking(server: ComfyUI, engine_on: EngineOn) -> None:
    server.silent = True
    started_s = time.monotonic()
    made(engine_on(server), request_for("text", shot="silent"))
    server.deaf = True
    made(engine_on(server), request_for("text", shot="deaf"))
    made(engine_on(server, websocket="no"), request_for("text", shot="none"))
    assert time.monotonic() - started_s < PATIENT.heard_look_s * 2
    assert len(server.drawn) == 3


def test_the_socket_wakes_whoever_waits_so_that_nobody_asks_in_between(engine_on: EngineOn) -> None:
    with ComfyUI(step_s=0.05) as server:
        seldom = dataclasses.replace(PATIENT, look_s=30.0, most_look_s=30.0, heard_look_s=30.0)
        engine = engine_on(server, patience=seldom)
        listening(engine, server)
        started_s = time.monotonic()
        made(engine, request_for("text"))
        assert time.monotonic() - started_s < 10
        assert server.calls["queue"] <= 3


def test_a_socket_that_was_replaced_by_another_of_the_same_id_loses_nothing(
    server: ComfyUI, engine_on: EngineOn
) -> None:
    station = listening(engine := engine_on(server), server)
    address = f"ws://127.0.0.1:{server.port}/ws?clientId={station.server.client_id}"
    with connect(address, proxy=None, close_timeout=0.1):
        made(engine, request_for("text"))
    assert len(server.drawn) == 1


def test_a_socket_that_breaks_is_opened_again(engine_on: EngineOn) -> None:
    with ComfyUI(step_s=0.05) as server:
        station = listening(engine := engine_on(server), server)
        drawing = threading.Thread(target=made, args=(engine, request_for("text")))
        drawing.start()
        while not server.running:
            time.sleep(0.005)
        asyncio.run_coroutine_threadsafe(server.drop_sockets(), server.loop).result(5)
        while station.ears.listening:
            time.sleep(0.005)
        drawing.join(20)
        assert len(server.drawn) == 1
        assert station.ears.wait_open(5)


# ---------------------------------------------------------------- giving up


def test_a_picture_without_a_sign_of_life_is_cancelled_by_its_own_id_and_tried_anew(
    server: ComfyUI, engine_on: EngineOn
) -> None:
    server.fail("run", "stuck")
    request = request_for("text")
    engine = engine_on(server, patience=dataclasses.replace(PATIENT, stall_s=1.5), attempts="2")
    answer = made(engine, request)
    assert right(answer, server, request)
    (stuck, drawn) = [body["prompt_id"] for name, body in server.bodies if name == "prompt"]
    assert stuck != drawn
    assert [body for name, body in server.bodies if name == "interrupt"] == [{"prompt_id": stuck}]


def test_a_picture_that_waits_too_long_leaves_the_queue_and_the_others_alone(engine_on: EngineOn) -> None:
    with ComfyUI(step_s=0.4) as server:
        other = engine_on(server, in_flight="1")
        drawing = threading.Thread(target=made, args=(other, request_for("text", shot="somebody else's")))
        drawing.start()
        while not server.running:
            time.sleep(0.005)
        hasty = engine_on(server, patience=dataclasses.replace(PATIENT, timeout_s=0.3))
        failure = failed(hasty, request_for("text", shot="hasty"))
        drawing.join(20)
        assert isinstance(failure.error, EngineTimeout)
        assert type(failure.error) is EngineTimeout, "classes of this package stay in it"
        assert "in the queue after 0.3 s" in failure.error.sentence
        assert not [body for name, body in server.bodies if name == "interrupt"]
        assert len(server.drawn) == 1


def test_closing_cancels_what_is_in_hand_and_wakes_whoever_waits(engine_on: EngineOn) -> None:
    with ComfyUI(step_s=0.5) as server:
        engine = engine_on(server, in_flight="2")
        answers: list[Any] = []
        requests = [request_for("text", shot=f"shot{i}") for i in range(4)]
        rendering = threading.Thread(target=lambda: answers.extend(render_checked(engine, requests)))
        rendering.start()
        while not (server.running and server.queue):
            time.sleep(0.005)
        engine.close()
        rendering.join(20)
        assert not rendering.is_alive()
        assert [type(answer) for answer in answers] == [EngineFailure] * 4
        assert all(answer.error.retryable for answer in answers)
        bodies = [body for name, body in server.bodies if name == "interrupt"]
        assert len(bodies) == 1
        assert bodies[0].get("prompt_id")
        assert server.queue == []


def test_a_newer_server_that_refuses_an_id_it_has_is_taken_at_its_word(server: ComfyUI, engine_on: EngineOn) -> None:
    """The submission that was thought lost arrives after the server was asked for it."""
    server.refuses_known_ids = True
    station = engine_on(server).fleet.station(server.url)
    template = make_template("z_image_turbo_text", "text", files={})
    graph, prompt_id = template.filled({"prompt": "a mug", "seed": 1}), str(uuid.UUID(int=7))
    for _ in range(2):
        assert station.server.submit(graph, prompt_id, template.slots) == prompt_id
    while not server.drawn:
        time.sleep(0.005)
    assert server.runs == {prompt_id: 1}


def test_an_old_server_that_gives_its_own_ids_still_draws_right(server: ComfyUI, engine_on: EngineOn) -> None:
    server.own_ids = True
    request = request_for("text")
    assert right(made(engine_on(server), request), server, request)


def test_an_old_server_is_never_interrupted_while_it_draws_for_others(engine_on: EngineOn) -> None:
    """It does not look at the id: whatever runs would be stopped."""
    with ComfyUI(step_s=0.4) as server:
        server.own_ids = True
        drawing = threading.Thread(target=made, args=(engine_on(server), request_for("text", shot="others")))
        drawing.start()
        while not server.running:
            time.sleep(0.005)
        hasty = engine_on(server, patience=dataclasses.replace(PATIENT, timeout_s=0.2))
        assert isinstance(failed(hasty, request_for("text", shot="hasty")).error, EngineTimeout)
        drawing.join(20)
        assert len(server.drawn) == 1


def test_a_server_that_is_not_there_and_one_that_is_no_comfyui_say_so(server: ComfyUI, engine_on: EngineOn) -> None:
    gone = ComfyUI()
    gone.port = 9
    failure = failed(engine_on(gone), request_for("text"))
    assert isinstance(failure.error, EngineUnavailable)
    assert "cannot be reached" in failure.error.sentence
    failure = failed(engine_on(server, url=f"{server.url}/elsewhere"), request_for("text"))
    assert isinstance(failure.error, EngineLocked)
    assert "Is there a ComfyUI at" in failure.error.sentence
