"""Servers that know no key: 200 requests while a fifth of all calls goes wrong end with 200 correct pictures or stated
failures, and no more is drawn twice than answers were lost. What our own server makes of such calls is in
tests/contract/test_engine_faults.py. Only the waits between tries take no time."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Literal

import numpy as np
import pytest
from small_servers import AFTER_DRAWING, BEFORE_DRAWING, DrawingServer, Mischief, QuickClock, drawn_picture
from zimage_requests import request_for

from zimage_core.engines.base import Engine, EngineFailure, Rendered, RenderRequest, render_checked
from zimage_core.engines.openai_images import options as openai_options
from zimage_core.engines.openai_images.engine import OpenAIImagesEngine
from zimage_core.engines.zimage_http import options as http_options
from zimage_core.engines.zimage_http.engine import connect

COUNT, SHARE = 200, 0.2
REQUESTS = [
    dataclasses.replace(request_for("text", f"shot{n}", size=(64 + 16 * (n % 3), 64)), sku=f"SKU-{n:03d}")
    for n in range(COUNT)
]


def expected(request: RenderRequest) -> np.ndarray:
    return drawn_picture(request.prompt.text, request.seed, request.width_px, request.height_px)


def engine_at(protocol: str, urls: str, clock: QuickClock) -> Engine:
    if protocol == "images":
        options = openai_options.read({"url": urls, "model": "m"})
        return OpenAIImagesEngine(options, sleep=clock.sleep, elapsed_s=clock.elapsed_s)
    given = {"url": urls, "model": "m", "size_multiple_px": "16"}
    return connect(http_options.read(given), sleep=clock.sleep, elapsed_s=clock.elapsed_s)


@pytest.mark.parametrize("protocol", ["plain", "images"])
def test_a_fifth_of_all_calls_goes_wrong_and_every_request_is_answered(
    protocol: Literal["plain", "images"],
) -> None:
    clock, mischief = QuickClock(), Mischief(SHARE, (*BEFORE_DRAWING, *AFTER_DRAWING), seed=11)
    with DrawingServer(protocol, mischief=mischief) as one, DrawingServer(protocol, mischief=mischief) as two:
        engine = engine_at(protocol, f"{one.url},{two.url}", clock)
        answers = render_checked(engine, REQUESTS)
        first_round = Counter(type(answer).__name__ for answer in answers)
        left = [request for request, answer in zip(REQUESTS, answers, strict=True) if isinstance(answer, EngineFailure)]
        again = {answer.attempt_id: answer for answer in render_checked(engine, left)}
        engine.close()
        drawn = one.drawn + two.drawn
    for request, answer in zip(REQUESTS, answers, strict=True):
        assert answer.attempt_id == request.attempt_id
        if isinstance(answer, Rendered):
            assert np.array_equal(answer.rgb, expected(request)), "the picture of another request, or a spoilt one"
            continue
        assert answer.error.retryable, answer.error
        assert answer.error.sku == request.sku
        assert len(answer.error.sentence) > 20
        second = again[request.attempt_id]
        assert isinstance(second, Rendered) or second.error.retryable
    assert mischief.done.total() >= 30
    assert set(mischief.done) == {*BEFORE_DRAWING, *AFTER_DRAWING}
    assert first_round["Rendered"] >= 0.9 * COUNT, first_round

    lost = sum(mischief.done[fault] for fault in AFTER_DRAWING)
    assert drawn.total() <= COUNT + lost
    calls = len(one.server.seen) + len(two.server.seen)
    assert calls <= 2 + COUNT + len(left) + math.ceil(10 + 0.2 * (COUNT + len(left))), (
        "more retries than the budget has"
    )


def test_a_storm_of_429_is_waited_out_without_hammering() -> None:
    clock = QuickClock()
    with DrawingServer("ours", mischief=Mischief(0.9, ("busy",), seed=5)) as server:
        engine = engine_at("ours", server.url, clock)
        answers = render_checked(engine, REQUESTS[:60])
        engine.close()
    stated = [answer.error for answer in answers if isinstance(answer, EngineFailure)]
    assert {error.code for error in stated} <= {"EngineBusy"}
    assert all(error.retryable for error in stated)
    assert len(answers) == 60
    assert len(server.server.seen) <= 1 + 60 + 22
    assert max(server.drawn.values(), default=1) == 1
