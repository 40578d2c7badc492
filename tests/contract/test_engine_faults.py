"""200 requests through a proxy that spoils a fifth of all calls, to the real thing behind it, for each remote engine.

Every answer is the right picture, compared with one made without the proxy, or a failure that says whose it is and
whether it may pass. What was drawn or paid for is counted at the server: nothing twice where the protocol has a key,
and where it has none, no more than answers were lost after the work. Waits between tries take no time.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from comfyui_server import ComfyUI
from dashscope_asking import Ticking, is_right
from dashscope_server import ASYNC, KEY, SYNC, DashScopeServer
from fault_proxy import FAULTS, FaultProxy
from pydantic import SecretStr
from served_engine import served
from small_servers import QuickClock, Seen
from zimage_requests import request_for

from zimage_core.domain import EngineInfo, Mode
from zimage_core.engines.base import Engine, EngineFailure, Rendered, RenderRequest, render_checked
from zimage_core.engines.comfyui.engine import ComfyEngine
from zimage_core.engines.comfyui.options import read_comfyui_options
from zimage_core.engines.comfyui.waiting import Patience
from zimage_core.engines.comfyui.work import FETCHES as COMFYUI_FETCHES
from zimage_core.engines.dashscope import options as dashscope_options
from zimage_core.engines.dashscope.engine import FETCHES as DASHSCOPE_FETCHES
from zimage_core.engines.dashscope.engine import DashScopeEngine
from zimage_core.engines.dashscope.rate import AccountRate
from zimage_core.engines.openai_images import options as openai_options
from zimage_core.engines.openai_images.engine import OpenAIImagesEngine
from zimage_core.engines.registry import create_engine
from zimage_core.engines.zimage_http import options as http_options
from zimage_core.engines.zimage_http.engine import connect

COUNT, SHARE = 200, 0.2
MOST_LEFT = 0.3
"""Which calls are spoilt depends on the order of threads. Where several calls make a picture, twice as many go wrong as
the budget of retries has: 25 to 41 of 200 pictures were seen left, and without any retry it would be 72 and more."""
ANOTHER_LEVELS = 10.0
"""Pictures of two requests differ by more than this on average, those of one by less than the engine's tolerance."""
TIMES = {"total_timeout_s": "8", "read_timeout_s": "8", "threads": "8", "calls_per_endpoint": "8"}
DRIP_S = 60.0
"""A drip that outlasts every call."""


def asked(mode: Mode = "text", *, size: tuple[int, int] = (64, 48)) -> list[RenderRequest]:
    return [
        dataclasses.replace(
            request_for(mode, f"shot{n}", size=(size[0] + 16 * (n % 2), size[1]), text=f"Picture {n} of a red mug."),
            sku=f"SKU-{n:03d}",
        )
        for n in range(COUNT)
    ]


class Counted:
    """An engine that counts what it draws: by attempt, and by words and seed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.info: EngineInfo = engine.info
        self.by_attempt: Counter[str] = Counter()
        self.by_seed: Counter[tuple[str, int]] = Counter()

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        self.by_attempt.update(request.attempt_id for request in requests)
        self.by_seed.update((request.prompt.text, request.seed) for request in requests)
        return self._engine.render(requests)

    def close(self) -> None:
        self._engine.close()


IsOwn = Callable[[RenderRequest, Rendered], bool]


def asked_through(proxy: FaultProxy, engine: Engine, requests: Sequence[RenderRequest], is_own: IsOwn) -> int:
    """Ask for everything while calls are spoilt, and again for what failed when none is, as the next try of a batch
    does; close the engine. Return how many calls the first round took, having checked every answer.
    """
    with closing(engine):
        left = first_round(proxy, engine, requests, is_own)
        calls = len(proxy.passages)
        proxy.share = 0.0
        for request, answer in zip(left, render_checked(engine, left), strict=True):
            assert isinstance(answer, Rendered), answer
            assert is_own(request, answer)
    return calls


def first_round(
    proxy: FaultProxy, engine: Engine, requests: Sequence[RenderRequest], is_own: IsOwn
) -> list[RenderRequest]:
    answers = render_checked(engine, requests)
    assert len(answers) == len(requests)
    left = []
    for request, answer in zip(requests, answers, strict=True):
        assert answer.attempt_id == request.attempt_id
        if isinstance(answer, Rendered):
            assert is_own(request, answer), f"{request.sku} got another picture than its own"
            continue
        error = answer.error
        assert (error.sku, error.shot_id, error.attempt) == (request.sku, request.shot_id, request.number)
        assert error.retryable, error
        assert len(error.sentence) > 20
        left.append(request)
    assert len(left) <= MOST_LEFT * len(requests), Counter(
        a.error.code for a in answers if isinstance(a, EngineFailure)
    )
    assert set(proxy.done) == set(FAULTS), "each kind of fault was met"
    may_be_spoilt = sum(proxy.spoils(seen) for seen in proxy.seen)
    assert SHARE / 2 < proxy.done.total() / may_be_spoilt < 2 * SHARE
    return left


def is_post(seen: Seen) -> bool:
    return seen.method == "POST"


# ---------------------------------------------------------------- our own server


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"model": str(tiny_checkpoint), "cache": str(tmp_path_factory.mktemp("cache")), "steps": "4"}


@pytest.fixture(scope="module")
def drawn_here(model: dict[str, str]) -> dict[str, Rendered]:
    """What the tiny model draws in this process, by attempt."""
    engine = create_engine("diffusers", model)
    answers = {answer.attempt_id: answer for answer in engine.render(asked())}
    engine.close()
    assert all(isinstance(answer, Rendered) for answer in answers.values())
    return answers


def like(drawn: dict[str, Rendered], tolerance_levels: float) -> Callable[[RenderRequest, Rendered], bool]:
    """Return what tells whether a picture is the one that was drawn here for its request."""

    def is_own(request: RenderRequest, answer: Rendered) -> bool:
        expected = drawn[request.attempt_id].rgb.astype(int)
        return answer.rgb.shape == expected.shape and np.abs(answer.rgb - expected).mean() <= tolerance_levels

    return is_own


def test_pictures_of_two_requests_are_told_apart(drawn_here: dict[str, Rendered]) -> None:
    one, *others = (drawn.rgb.astype(int) for drawn in drawn_here.values())
    for other in others:
        if other.shape == one.shape:
            assert np.abs(one - other).mean() > ANOTHER_LEVELS


def test_our_server_draws_every_attempt_once(
    model: dict[str, str], drawn_here: dict[str, Rendered], tmp_path: Path
) -> None:
    counted, clock, requests = Counted(create_engine("diffusers", model)), QuickClock(), asked()
    with (
        served(counted, tmp_path) as server,
        FaultProxy(server.url, share=SHARE, seed=9, spoils=is_post, drip_s=DRIP_S) as proxy,
    ):
        options = http_options.read({"url": proxy.url, **TIMES})
        engine = connect(options, sleep=clock.sleep, elapsed_s=clock.elapsed_s)
        is_own = like(drawn_here, engine.info.batch_tolerance_levels)
        calls = asked_through(proxy, engine, requests, is_own)
    assert set(counted.by_attempt) == {request.attempt_id for request in requests}
    assert max(counted.by_attempt.values()) == 1, "drawn again though its key was known"
    assert calls <= 1 + COUNT + math.ceil(10 + 0.2 * COUNT), "more retries than the budget has"


def test_in_the_openai_shape_our_server_knows_a_picture_by_its_words_and_seed(
    model: dict[str, str], drawn_here: dict[str, Rendered], tmp_path: Path
) -> None:
    """The shape has no key; what it costs where the server keeps nothing is in test_remote_faults.py."""
    counted, clock, requests = Counted(create_engine("diffusers", model)), QuickClock(), asked()
    with (
        served(counted, tmp_path) as server,
        FaultProxy(server.url, share=SHARE, seed=12, spoils=is_post, drip_s=DRIP_S) as proxy,
    ):
        options = openai_options.read({"url": proxy.url, "model": "tiny", **TIMES})
        engine = OpenAIImagesEngine(options, sleep=clock.sleep, elapsed_s=clock.elapsed_s)
        is_own = like(drawn_here, counted.info.batch_tolerance_levels)
        asked_through(proxy, engine, requests, is_own)
        assert proxy.lost("POST") > 10
    assert len(counted.by_seed) == COUNT
    assert max(counted.by_seed.values()) == 1


# ---------------------------------------------------------------- ComfyUI


def test_comfyui_runs_no_prompt_twice() -> None:
    clock, requests = QuickClock(), asked()
    patience = Patience(timeout_s=60, stall_s=30, lost_after_s=5, look_s=0.05, most_look_s=0.2, heard_look_s=1.0)
    with ComfyUI() as server, FaultProxy(server.url, share=SHARE, seed=6, drip_s=0.3) as proxy:
        options = read_comfyui_options({"url": proxy.url, "in_flight": "8"})
        engine = ComfyEngine(options, patience=patience, sleep=clock.sleep, elapsed_s=clock.elapsed_s)

        def is_own(request: RenderRequest, answer: Rendered) -> bool:
            return np.array_equal(answer.rgb, pictures[request.prompt.text])

        pictures = alone(server, requests)
        asked_through(proxy, engine, requests, is_own)
        spoilt_files = proxy.lost("GET", "/view") // COMFYUI_FETCHES
    assert max(server.runs.values()) == 1
    assert COUNT <= len(server.runs) <= COUNT + spoilt_files


def alone(server: ComfyUI, requests: Sequence[RenderRequest]) -> dict[str, np.ndarray]:
    """What the engine gives without a proxy, by prompt; the server forgets that it drew them."""
    engine = ComfyEngine(read_comfyui_options({"url": server.url, "in_flight": "8"}))
    pictures = {
        request.prompt.text: answer.rgb
        for request, answer in zip(requests, engine.render(requests), strict=True)
        if isinstance(answer, Rendered)
    }
    engine.close()
    assert len(pictures) == len(requests)
    server.forget()
    server.runs.clear()
    server.files.clear()
    return pictures


# ---------------------------------------------------------------- DashScope


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_dashscope_pays_again_only_for_what_no_answer_led_to(mode: str) -> None:
    ticking, requests = Ticking(), asked(size=(512, 512))
    with DashScopeServer().running() as server, FaultProxy(server.url, share=SHARE, seed=7, drip_s=0.3) as proxy:
        options = dashscope_options.read(
            {
                "url": proxy.url,
                "mode": mode,
                "concurrency": "8",
                "cost_usd_per_image": "1",
                "requests_per_minute": "6000",
            }
        )
        rate = AccountRate(options.requests_per_minute, elapsed_s=ticking.elapsed_s)
        engine = DashScopeEngine(options, SecretStr(KEY), rate=rate, sleep=ticking.sleep, elapsed_s=ticking.elapsed_s)
        asked_through(proxy, engine, requests, lambda request, answer: is_right(answer, request))
        lost = proxy.lost("POST", ASYNC if mode == "async" else SYNC)
        unfetched = proxy.lost("GET", "/results/") // DASHSCOPE_FETCHES
    made = len(server.tasks) if mode == "async" else server.billed.total()
    assert len(server.billed) == COUNT
    assert made <= COUNT + lost + unfetched
    if mode == "async":
        assert server.billed.total() <= COUNT + unfetched, "a task whose id is known is paid for once"
