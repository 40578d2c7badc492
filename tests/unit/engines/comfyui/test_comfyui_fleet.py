"""Several servers: the shorter queue first, one that is slow, broken or incomplete holds nobody up."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from comfyui_server import ComfyUI
from zimage_requests import request_for

from zimage_core.engines.base import EngineFailure, Rendered, render_checked
from zimage_core.engines.comfyui.engine import ComfyEngine
from zimage_core.engines.comfyui.waiting import Patience
from zimage_core.engines.wire.replies import EngineLocked

EngineOn = Callable[..., ComfyEngine]
PATIENT = Patience(
    timeout_s=20, stall_s=10, lost_after_s=0.5, look_s=0.02, most_look_s=0.1, heard_look_s=1.0, stored_look_s=0.005
)
REQUESTS = [request_for("text", shot=f"shot{i}") for i in range(12)]


def test_pictures_are_spread_over_the_servers(engine_on: EngineOn) -> None:
    with ComfyUI(step_s=0.01) as one, ComfyUI(step_s=0.01) as two:
        answers = render_checked(engine_on(one, two), REQUESTS)
        assert all(isinstance(answer, Rendered) for answer in answers)
        assert min(len(one.drawn), len(two.drawn)) >= 3
        assert len(one.drawn) + len(two.drawn) == len(REQUESTS)


def test_the_server_with_the_shorter_queue_is_taken_other_peoples_prompts_counted(engine_on: EngineOn) -> None:
    with ComfyUI() as busy, ComfyUI() as idle:
        busy.fail("run", "stuck")
        others = engine_on(busy, in_flight="6")
        crowd = threading.Thread(
            target=others.render, args=([request_for("text", shot=f"other{i}") for i in range(6)],)
        )
        crowd.start()
        while len(busy.queue) < 4:
            time.sleep(0.005)
        answers = render_checked(engine_on(busy, idle, in_flight="1"), REQUESTS[:4])
        assert all(isinstance(answer, Rendered) for answer in answers)
        assert len(idle.drawn) == 4
        others.close()
        crowd.join(20)


def test_a_dead_server_costs_a_moment_and_no_picture(server: ComfyUI, engine_on: EngineOn) -> None:
    dead = ComfyUI()
    dead.port = 9
    answers = render_checked(engine_on(dead, server), REQUESTS)
    assert all(isinstance(answer, Rendered) for answer in answers), answers
    assert len(server.drawn) == len(REQUESTS)


def test_pictures_sent_to_a_dead_server_first_do_not_spend_their_tries_there(
    server: ComfyUI, engine_on: EngineOn
) -> None:
    dead = ComfyUI()
    dead.port = 9
    answers = render_checked(engine_on(dead, server, attempts="1"), REQUESTS)
    assert all(isinstance(answer, Rendered) for answer in answers), answers


def test_a_server_that_hangs_does_not_block_the_other(
    server: ComfyUI, engine_on: EngineOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("server.QUICK_S", "server.BRIEF_S", "fleet.BRIEF_S"):
        monkeypatch.setattr(f"zimage_core.engines.comfyui.{name}", 0.3)
    with ComfyUI() as hanging:
        for route in ("exec_info", "history", "queue", "object_info"):
            hanging.fail(route, "drip", times=1000)
        started_s = time.monotonic()
        answers = render_checked(engine_on(hanging, server), REQUESTS)
        assert all(isinstance(answer, Rendered) for answer in answers), answers
        assert time.monotonic() - started_s < 10
        assert len(server.drawn) == len(REQUESTS)


def test_a_server_that_lacks_a_model_is_left_out_while_another_has_it(engine_on: EngineOn) -> None:
    with ComfyUI(files={"vae": ["other.safetensors"]}) as lacking, ComfyUI() as complete:
        answers = render_checked(engine_on(lacking, complete), REQUESTS)
        assert all(isinstance(answer, Rendered) for answer in answers), answers
        assert len(complete.drawn) == len(REQUESTS)
        assert lacking.calls["prompt"] == 0


def test_when_every_server_lacks_something_each_is_named(engine_on: EngineOn) -> None:
    with ComfyUI(files={"vae": []}) as one, ComfyUI(files={"clip": ["t5.safetensors"]}) as two:
        (answer,) = render_checked(engine_on(one, two), REQUESTS[:1])
        assert isinstance(answer, EngineFailure)
        assert isinstance(answer.error, EngineLocked)
        assert f"{one.url} cannot run" in answer.error.sentence
        assert "it has none at all" in answer.error.sentence
        assert f"{two.url} cannot run" in answer.error.sentence
        assert "it has t5.safetensors" in answer.error.sentence


def test_what_one_server_drew_before_a_restart_of_ours_is_found_there(engine_on: EngineOn) -> None:
    with ComfyUI() as one, ComfyUI() as two:
        first = render_checked(engine_on(one, two), REQUESTS)
        again = render_checked(engine_on(two, one), REQUESTS)
        assert len(one.drawn) + len(two.drawn) == len(REQUESTS)
        for before, after in zip(first, again, strict=True):
            assert isinstance(before, Rendered)
            assert isinstance(after, Rendered)
            assert np.array_equal(before.rgb, after.rgb)


def test_a_server_that_dies_with_a_picture_is_given_up_and_the_other_draws_it(engine_on: EngineOn) -> None:
    with ComfyUI(step_s=0.2) as dying, ComfyUI() as other:
        both = engine_on(dying, other, patience=dataclasses.replace(PATIENT, lost_after_s=0.3))
        other.chances["exec_info"] = {"503": 1.0}  # so that nothing is known of its queue
        answers: list[Rendered | EngineFailure] = []
        rendering = threading.Thread(target=lambda: answers.extend(render_checked(both, REQUESTS[:2])))
        rendering.start()
        while not (dying.running or len(other.drawn) == 2):
            time.sleep(0.005)
        dying.stop()
        rendering.join(20)
        dying.start()
        assert all(isinstance(answer, Rendered) for answer in answers), answers
        assert len(other.drawn) == 2
