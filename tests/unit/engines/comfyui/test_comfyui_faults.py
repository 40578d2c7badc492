"""What can go wrong on one server, each thing once: it is mended, or said, and nothing is paid for twice."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_server import ComfyUI
from websockets.sync.client import connect
from zimage_requests import request_for

from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest, render_checked
from zimage_core.engines.comfyui.engine import ComfyEngine
from zimage_core.engines.comfyui.fleet import Station
from zimage_core.engines.comfyui.graph import load_graph
from zimage_core.engines.comfyui.waiting import Patience
from zimage_core.engines.wire.replies import EngineLocked
from zimage_core.errors import (
    BadImage,
    EngineBusy,
    EngineOutOfMemory,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
)

EngineOn = Callable[..., ComfyEngine]
PATIENT = Patience(
    timeout_s=20, stall_s=10, lost_after_s=1.0, look_s=0.02, most_look_s=0.1, heard_look_s=2.0, stored_look_s=0.005
)


def made(engine: ComfyEngine, request: RenderRequest) -> Rendered:
    (answer,) = render_checked(engine, [request])
    assert isinstance(answer, Rendered), answer
    return answer


def failed(engine: ComfyEngine, request: RenderRequest) -> EngineFailure:
    (answer,) = render_checked(engine, [request])
    assert isinstance(answer, EngineFailure)
    return answer


def right(answer: Rendered, server: ComfyUI, request: RenderRequest) -> bool:
    """Tell whether this is the picture of the request's words and seed."""
    (asked,) = {asked.seed: asked for _, asked in server.drawn if asked.seed == request.seed}.values()
    return asked.text == request.prompt.text and np.array_equal(answer.rgb, asked.picture())


def listening(engine: ComfyEngine, server: ComfyUI) -> Station:
    """The engine's side of this server, its socket open."""
    station = engine.fleet.station(server.url)
    station.ears.follow("somebody")
    assert station.ears.wait_open(10)
    return station


# ---------------------------------------------------------------- the way there


@pytest.mark.parametrize("route", ["prompt", "history", "queue", "view", "object_info"])
@pytest.mark.parametrize("fault", ["429", "503", "html", "drop", "drop_after"])
def test_a_call_that_fails_once_costs_no_picture(server: ComfyUI, engine_on: EngineOn, route: str, fault: str) -> None:
    server.fail(route, fault)
    request = request_for("text")
    answer = made(engine_on(server), request)
    assert server.faults[f"{route}:{fault}"] == 1
    assert right(answer, server, request)
    assert len(server.drawn) == 1
    assert max(server.runs.values()) == 1


def test_a_submission_whose_answer_was_lost_is_not_sent_again(server: ComfyUI, engine_on: EngineOn) -> None:
    server.fail("prompt", "drop_after")
    made(engine_on(server), request_for("text"))
    assert server.calls["prompt"] == 1


@pytest.mark.parametrize("fault", ["429", "503", "html", "drop", "drop_after"])
def test_an_upload_that_fails_once_costs_no_picture(server: ComfyUI, engine_on: EngineOn, fault: str) -> None:
    server.fail("upload", fault)
    made(engine_on(server), request_for("inpaint"))
    assert len(server.drawn) == 1


def test_a_storm_of_429_ends_with_the_sentence_of_the_server(server: ComfyUI, engine_on: EngineOn) -> None:
    server.fail("prompt", "429", times=1000)
    failure = failed(engine_on(server), request_for("text"))
    assert type(failure.error) is EngineBusy
    assert failure.error.retryable
    assert "429" in failure.error.sentence
    assert server.drawn == []


@pytest.mark.parametrize("fault", ["truncated", "html"])
def test_a_picture_that_arrives_damaged_is_fetched_again_not_drawn_again(
    server: ComfyUI, engine_on: EngineOn, fault: str
) -> None:
    server.fail("view", fault, times=3)
    request = request_for("text")
    assert right(made(engine_on(server), request), server, request)
    assert server.calls["view"] == 4
    assert len(server.drawn) == 1


def test_a_file_that_stays_damaged_is_drawn_once_more_and_then_reported(server: ComfyUI, engine_on: EngineOn) -> None:
    server.fail("view", "truncated", times=5)
    request = request_for("text")
    assert right(made(engine_on(server), request), server, request)
    assert sum(server.runs.values()) == 2
    server.fail("view", "truncated", times=1000)
    failure = failed(engine_on(server), request_for("text", shot="other"))
    assert type(failure.error) is BadImage
    assert "cut off" in failure.error.sentence


def test_a_slow_drip_does_not_hold_a_picture_up_for_ever(
    server: ComfyUI, engine_on: EngineOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zimage_core.engines.comfyui.server.QUICK_S", 0.5)
    server.fail("history", "drip")
    started_s = time.monotonic()
    made(engine_on(server), request_for("text"))
    assert time.monotonic() - started_s < 10
    assert len(server.drawn) == 1


# ---------------------------------------------------------------- what is lost


def test_a_prompt_the_server_forgot_is_handed_in_again(server: ComfyUI, engine_on: EngineOn) -> None:
    server.fail("run", "forget")
    request = request_for("text")
    assert right(made(engine_on(server), request), server, request)
    assert server.calls["prompt"] == 2
    assert len(server.drawn) == 1


def test_a_restart_loses_queue_and_history_and_every_picture_still_comes(engine_on: EngineOn) -> None:
    with ComfyUI(step_s=0.03) as server:
        engine = engine_on(server, patience=dataclasses.replace(PATIENT, lost_after_s=15), in_flight="4")
        requests = [request_for("text", shot=f"shot{i}") for i in range(4)]

        def restart() -> None:
            while not server.running:
                time.sleep(0.005)
            server.stop()
            server.forget()
            server.start()

        restarting = threading.Thread(target=restart)
        restarting.start()
        answers = render_checked(engine, requests)
        restarting.join()
        assert all(isinstance(answer, Rendered) for answer in answers), answers
        assert len(server.drawn) == 4, "what was drawn before the restart was lost, not doubled"


def test_an_answer_that_names_no_file_or_a_file_that_is_gone_is_drawn_once_more(
    server: ComfyUI, engine_on: EngineOn
) -> None:
    for number, fault in enumerate(("empty", "gone"), 1):
        server.fail("run", fault)
        request = request_for("text", shot=fault)
        assert right(made(engine_on(server), request), server, request)
        assert sum(server.runs.values()) == 2 * number
    assert len(server.drawn) == 2, "the sampler's work was still in the server's cache"


def test_photos_that_vanished_from_the_server_are_sent_again(server: ComfyUI, engine_on: EngineOn) -> None:
    server.fail("prompt", "wiped")
    made(engine_on(server), request_for("inpaint"))
    assert server.calls["prompt"] == 2
    assert server.calls["upload"] == 4


def test_a_photo_stored_under_another_name_is_read_under_that_name(server: ComfyUI, engine_on: EngineOn) -> None:
    made(engine_on(server), request_for("inpaint", shot="first"))
    names = sorted(server.photos)
    for name in names:
        server.photos[name] = b"another file of the same name"
    made(engine_on(server), request_for("inpaint", shot="second"))
    assert sorted(server.photos) == sorted([*names, *(name.replace(".png", " (1).png") for name in names)])
    assert len(server.drawn) == 2


# ---------------------------------------------------------------- what the server says of an execution


def test_out_of_memory_frees_the_server_and_tries_again(server: ComfyUI, engine_on: EngineOn) -> None:
    server.fail("run", "oom")
    request = request_for("text")
    assert right(made(engine_on(server), request), server, request)
    assert ("free", {"unload_models": True, "free_memory": True}) in server.bodies
    server.fail("run", "oom", times=1000)
    failure = failed(engine_on(server), request_for("text", shot="large"))
    assert type(failure.error) is EngineOutOfMemory
    assert 'node 3 (KSampler, "zimage:sampler")' in failure.error.sentence


def test_a_failing_device_and_a_strangers_interruption_are_tried_again(server: ComfyUI, engine_on: EngineOn) -> None:
    for fault in ("error", "interrupted"):
        server.fail("run", fault)
        made(engine_on(server), request_for("text", shot=fault))
        server.fail("run", fault, times=4)
        failure = failed(engine_on(server), request_for("text", shot=f"{fault} for ever"))
        assert type(failure.error) is EngineUnavailable
        assert failure.error.retryable


def test_a_graph_that_fails_for_its_own_sake_is_refused_at_once(server: ComfyUI, engine_on: EngineOn) -> None:
    server.fail("run", "value_error")
    failure = failed(engine_on(server), request_for("text"))
    assert type(failure.error) is EngineRefused
    assert "too many values to unpack" in failure.error.sentence
    assert sum(server.runs.values()) == 1


def test_the_wrong_text_encoder_stops_the_run(server: ComfyUI, engine_on: EngineOn) -> None:
    server.fail("run", "wrong_clip", times=100)
    answers = render_checked(engine_on(server), [request_for("text", shot=f"shot{i}") for i in range(6)])
    errors = [answer.error for answer in answers if isinstance(answer, EngineFailure)]
    assert len(errors) == 6
    assert all(isinstance(error, EngineLocked) for error in errors)
    assert "model file" in errors[0].sentence
    assert sum(server.runs.values()) <= 2


def test_outputs_that_are_not_ours_may_be_invalid_but_ours_may_not(
    server: ComfyUI, engine_on: EngineOn, tmp_path: Path
) -> None:
    graph: dict[str, Any] = load_graph("z_image_turbo_text").to_json()
    graph["50"] = {"class_type": "PreviewImage", "inputs": {}, "_meta": {"title": ""}}
    path = tmp_path / "t.json"
    path.write_text(json.dumps(graph))
    del server.table["PreviewImage"]["input"]["required"]["images"]  # the preflight would say so
    engine = engine_on(server, template=str(path))
    made(engine, request_for("text", shot="a"))
    server.table["PreviewImage"]["input"]["required"]["images"] = ("IMAGE", {})
    made(engine, request_for("text", shot="b"))

    server.table["PreviewImage"]["input"]["required"].clear()
    server.table["KSampler"]["input"]["required"]["eta"] = ("FLOAT", {})
    failure = failed(engine, request_for("text", shot="c"))
    assert isinstance(failure.error, EngineLocked)
    assert "Required input is missing eta" in failure.error.sentence
    assert len(server.drawn) == 2
    assert server.queue == []


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
    answer = made(engine_on(server, patience=dataclasses.replace(PATIENT, stall_s=0.3)), request)
    assert right(answer, server, request)
    (stuck, drawn) = [body["prompt_id"] for name, body in server.bodies if name == "prompt"]
    assert stuck != drawn
    assert [body for name, body in server.bodies if name == "interrupt"] == [{"prompt_id": stuck}]


def test_a_picture_that_waits_too_long_leaves_the_queue_and_the_others_alone(engine_on: EngineOn) -> None:
    with ComfyUI(step_s=0.2) as server:
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


def test_an_old_server_that_gives_its_own_ids_still_draws_right(server: ComfyUI, engine_on: EngineOn) -> None:
    server.own_ids = True
    request = request_for("text")
    assert right(made(engine_on(server), request), server, request)


def test_an_old_server_is_never_interrupted_while_it_draws_for_others(engine_on: EngineOn) -> None:
    """It does not look at the id: whatever runs would be stopped."""
    with ComfyUI(step_s=0.1) as server:
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
