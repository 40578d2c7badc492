"""Two hundred pictures while a fifth of all calls go wrong: every one is right or has a stated reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from comfyui_server import ComfyUI
from zimage_requests import request_for

from zimage_core.engines.base import EngineFailure, Rendered, render_checked
from zimage_core.engines.comfyui.engine import ComfyEngine

COUNT = 200
HTTP = {"429": 0.05, "503": 0.05, "drop": 0.05, "drop_after": 0.03, "html": 0.02}
WHAT_LOSES_A_PICTURE = ("forget", "empty", "gone", "oom", "error")


@pytest.mark.parametrize("seed", [1])
def test_two_hundred_requests_with_a_fifth_of_all_calls_going_wrong(
    engine_on: Callable[..., ComfyEngine], seed: int
) -> None:
    with ComfyUI(seed=seed) as one, ComfyUI(seed=seed + 100) as two:
        for server in (one, two):
            for route in ("prompt", "history", "queue", "upload", "object_info", "exec_info"):
                server.chances[route] = HTTP
            server.chances["view"] = {**HTTP, "truncated": 0.1}
            server.chances["run"] = dict.fromkeys(WHAT_LOSES_A_PICTURE, 0.02)
        engine = engine_on(one, two, in_flight="4")
        requests = [
            request_for("inpaint" if i % 10 == 0 else "text", shot=f"shot{i}", size=(48, 48), text=f"Picture {i}.")
            for i in range(COUNT)
        ]
        answers = render_checked(engine, requests)

        faults = one.faults + two.faults
        assert sum(faults.values()) > COUNT, "the servers did fail"
        drawn = {asked.text: asked for server in (one, two) for _, asked in server.drawn}
        right = 0
        for request, answer in zip(requests, answers, strict=True):
            assert answer.attempt_id == request.attempt_id
            if isinstance(answer, EngineFailure):
                assert answer.error.sentence.endswith(".")
                assert answer.error.sku == request.sku
                assert answer.error.retryable
                continue
            assert isinstance(answer, Rendered)
            right += 1
            asked = drawn[request.prompt.text]
            assert asked.seed == request.seed
            if request.mode == "text":
                assert np.array_equal(answer.rgb, asked.picture())
        assert right >= 0.9 * COUNT

        # the same prompt never ran twice, unless a server forgot it; a new one was only made for a lost picture
        runs = one.runs + two.runs
        forgotten = faults["run:forget"]
        assert sum(times - 1 for times in runs.values()) <= forgotten
        lost = sum(faults[f"run:{name}"] for name in WHAT_LOSES_A_PICTURE)
        spoilt = sum(
            number // 5 for number in Counter({"view": faults["view:truncated"] + faults["view:html"]}).values()
        )
        assert sum(runs.values()) <= COUNT + lost + spoilt

        # and a second pass over the failures, as the next retry of the task makes it, leaves none
        for server in (one, two):
            server.chances.clear()
        rest = [request for request, answer in zip(requests, answers, strict=True) if isinstance(answer, EngineFailure)]
        again = render_checked(engine_on(one, two), rest)
        assert all(isinstance(answer, Rendered) for answer in again), again
        assert sum((one.runs + two.runs).values()) <= COUNT + lost + spoilt
