"""What can go wrong on one server, each thing once: it is mended, or said, and nothing is paid for twice."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_answers import failed, made, right
from comfyui_server import ComfyUI
from zimage_requests import request_for

from zimage_core.engines.base import EngineFailure, Rendered, render_checked
from zimage_core.engines.comfyui.commission import Commission
from zimage_core.engines.comfyui.engine import ComfyEngine
from zimage_core.engines.comfyui.graph import load_graph
from zimage_core.engines.comfyui.server import Standing
from zimage_core.engines.comfyui.template import make_template
from zimage_core.engines.comfyui.waiting import Patience
from zimage_core.engines.comfyui.work import PictureLost, fetch
from zimage_core.engines.drawing import drawing_of
from zimage_core.engines.wire.replies import EngineLocked
from zimage_core.errors import (
    BadImage,
    EngineBusy,
    EngineOutOfMemory,
    EngineRefused,
    EngineUnavailable,
)

EngineOn = Callable[..., ComfyEngine]
PATIENT = Patience(
    timeout_s=20, stall_s=10, lost_after_s=1.0, look_s=0.02, most_look_s=0.1, heard_look_s=2.0, stored_look_s=0.005
)


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


@pytest.mark.parametrize("fault", ["truncated", "html", "huge"])
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
    monkeypatch.setattr("zimage_core.engines.comfyui.fleet.BRIEF_S", 0.5)
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


def test_an_answer_from_the_cache_that_names_an_older_file_is_not_taken(server: ComfyUI, engine_on: EngineOn) -> None:
    engine = engine_on(server)
    made(engine, request_for("text", shot="older"))
    ((_, older),) = [(name, entry) for name, entry in server.history.items()]
    template = make_template("z_image_turbo_text", "text", files={})
    commission = Commission("attempt", drawing_of(request_for("text"), 16), template, "zimage")
    named_before = commission.prompt_id
    with pytest.raises(PictureLost, match="answered from its cache"):
        fetch(commission, engine.fleet.station(server.url).server, Standing("done", entry=older), time.sleep)
    assert commission.prompt_id != named_before, "the next try has another id, and so another file"


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
