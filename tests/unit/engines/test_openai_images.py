"""The engine behind POST /v1/images/generations."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import numpy as np
import pytest
from free_ports import free_port
from small_servers import Answer, DrawingServer, QuickClock, drawn_picture, in_turn, json_answer, serving
from zimage_requests import product, request_for

from zimage_core.engines import openai_images
from zimage_core.engines.base import Engine, EngineFailure, Rendered, render_checked
from zimage_core.engines.openai_images.engine import OpenAIImagesEngine
from zimage_core.engines.openai_images.options import read
from zimage_core.errors import ConfigurationError, EngineError
from zimage_core.imaging.composite import OPAQUE_ALPHA, placed_premultiplied
from zimage_core.imaging.pixels import encode_png

MODEL = "Tongyi-MAI/Z-Image-Turbo"


@pytest.fixture
def server() -> Iterator[DrawingServer]:
    with DrawingServer("images") as started:
        yield started


@pytest.fixture
def engine(server: DrawingServer) -> Iterator[Engine]:
    made = openai_images.create({"url": f"{server.url}/v1/", "model": MODEL})
    yield made
    made.close()


def failed(answer: Rendered | EngineFailure) -> EngineError:
    assert isinstance(answer, EngineFailure), "a picture came"
    return answer.error


def body(**more: object) -> dict[str, object]:
    request = request_for("text", size=(200, 104))
    return {
        "model": MODEL,
        "prompt": request.prompt.text,
        "negative_prompt": "text, watermark",
        "n": 1,
        "size": "208x112",
        "response_format": "b64_json",
        "seed": request.seed,
        "num_inference_steps": 8,
        "guidance_scale": 0.0,
    } | more


def test_nothing_is_left_to_a_servers_default(server: DrawingServer, engine: Engine) -> None:
    request = request_for("text", size=(200, 104))
    (answer,) = render_checked(engine, [request])
    assert json.loads(server.server.seen[0].body) == body(output_format="png")
    assert server.server.seen[0].path == "/v1/images/generations"
    assert isinstance(answer, Rendered)
    canvas = drawn_picture(request.prompt.text, request.seed, 208, 112)
    assert np.array_equal(answer.rgb, canvas[4:108, 4:204])


def test_vllm_omni_is_not_sent_the_field_it_does_not_have(server: DrawingServer) -> None:
    made = openai_images.create({"url": server.url, "model": MODEL, "server": "vllm_omni"})
    render_checked(made, [request_for("text", size=(200, 104))])
    made.close()
    assert json.loads(server.server.seen[0].body) == body()


def test_one_call_per_seed(server: DrawingServer, engine: Engine) -> None:
    requests = [request_for("text", f"shot{n}", size=(64, 64)) for n in range(6)]
    assert all(isinstance(answer, Rendered) for answer in engine.render(requests))
    assert server.drawn == {str(request.seed): 1 for request in requests}


def test_in_a_stage_the_product_keeps_its_own_pixels(engine: Engine) -> None:
    (answer,) = render_checked(engine, [request_for("stage", size=(256, 256))])
    assert isinstance(answer, Rendered)
    assert answer.placement is not None
    placed = placed_premultiplied(product(), answer.placement, 256, 256)
    opaque = placed[..., 3] == OPAQUE_ALPHA
    assert opaque.sum() > 500
    assert np.array_equal(answer.rgb[opaque], placed[opaque][:, :3])


PNG = base64.b64encode(encode_png(drawn_picture("x", 1, 128, 128))).decode()
SMALL = base64.b64encode(encode_png(drawn_picture("x", 1, 720, 128))).decode()


@pytest.mark.parametrize(
    ("answer", "code", "named", "calls"),
    [
        (json_answer({"data": [{"b64_json": None, "url": "http://x/1.png"}]}), "BadImage", "response_format", 3),
        (json_answer({"data": [{"b64_json": ""}]}), "BadImage", "without a picture", 3),
        (json_answer({"data": [{"b64_json": 7}]}), "BadImage", "int", 3),
        (json_answer({"data": []}), "BadImage", "0 of them", 3),
        (json_answer({"data": [{"b64_json": PNG}] * 2}), "BadImage", "2 of them", 3),
        (json_answer({"data": {"b64_json": PNG}}), "BadImage", "dict", 3),
        (json_answer({"data": ["x"]}), "BadImage", "1 of them", 3),
        (json_answer({}), "BadImage", "NoneType", 3),
        (json_answer([1]), "BadImage", "JSON", 3),
        (json_answer({"data": [{"b64_json": "no base64"}]}), "BadImage", "base64", 3),
        (json_answer({"data": [{"b64_json": SMALL}]}), "BadImage", "720 x 128", 3),
        (Answer(500, b"Internal Server Error"), "EngineUnavailable", "Tried 3 times", 3),
        (json_answer({"detail": "engine missing"}, 503), "EngineUnavailable", "engine missing", 3),
        (json_answer({"detail": [{"loc": ["body", "n"], "msg": "too many"}]}, 422), "EngineRefused", "too many", 1),
        (json_answer({"detail": "size is odd"}, 400), "EngineRefused", "size is odd", 1),
        (json_answer({"error": {"message": "no such model"}}, 404), "EngineLocked", "option model", 1),
        (json_answer({"error": {"message": "bad key"}}, 401), "EngineLocked", "ZIMAGE_ENGINE_API_KEY", 1),
        (json_answer({"detail": "full"}, 429, Retry_After="2"), "EngineBusy", "full", 3),
    ],
)
def test_any_other_answer_is_a_failure_that_says_what_came(answer: Answer, code: str, named: str, calls: int) -> None:
    clock = QuickClock()
    with serving(in_turn(answer)) as server:
        options = read({"url": server.url, "model": MODEL, "attempts": "3"})
        engine = OpenAIImagesEngine(options, sleep=clock.sleep, elapsed_s=clock.elapsed_s)
        error = failed(engine.render([request_for("text", size=(128, 128))])[0])
        engine.close()
    assert error.code == code
    assert named in error.sentence
    assert (error.sku, error.engine) == ("LIP-021", "openai_images")
    assert len(server.seen) == calls


def test_the_picture_comes_when_the_server_recovers_and_retry_after_was_waited_for() -> None:
    clock = QuickClock()
    busy = json_answer({"detail": "full"}, 429, Retry_After="2")
    answers = (busy, Answer(500, b""), json_answer({"data": [{"b64_json": PNG}]}))
    with serving(in_turn(*answers)) as server:
        options = read({"url": server.url, "model": MODEL})
        engine = OpenAIImagesEngine(options, sleep=clock.sleep, elapsed_s=clock.elapsed_s)
        (answer,) = engine.render([request_for("text", size=(128, 128))])
        engine.close()
    assert isinstance(answer, Rendered)
    assert 2.0 <= max(clock.waits_s) <= 2.5


def test_the_fingerprint_names_what_decides_the_pixels_and_not_where_the_server_is() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    variants = ({}, {"model": "other"}, {"server": "vllm_omni"}, {"steps": "9"}, {"guidance": "1"}, {"revision": "2"})
    prints = []
    for options in (*variants, {"url": "http://elsewhere:1"}, {"threads": "3"}):
        engine = openai_images.create({"url": url, "model": MODEL} | options)
        prints.append(engine.info.fingerprint)
        engine.close()
    assert len(set(prints)) == len(variants)
    assert prints[-2] == prints[-1] == prints[0]


def test_what_is_missing_or_wrong_is_said_before_anybody_is_asked() -> None:
    for options, named in (
        ({"model": MODEL}, "url"),
        ({"url": "http://a"}, "--model"),
        ({"url": "http://a", "model": MODEL, "server": "tgi"}, "sglang, vllm_omni"),
        ({"url": "http://a", "model": MODEL, "n": "4"}, "no option n"),
    ):
        with pytest.raises(ConfigurationError, match=named):
            openai_images.create(options)
