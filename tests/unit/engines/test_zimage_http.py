"""The engine behind POST /v1/generate: our own server byte for byte, and plain services."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
from collections.abc import Iterator

import numpy as np
import pytest
from free_ports import free_port
from small_servers import (
    OUR_INFO,
    Answer,
    DrawingServer,
    Mischief,
    QuickClock,
    drawn_picture,
    in_turn,
    json_answer,
    serving,
)
from zimage_requests import STAGE, product, request_for

from zimage_core.engines import studio, zimage_http
from zimage_core.engines.base import Engine, EngineFailure, Rendered, RenderRequest, render_checked
from zimage_core.engines.drawing import drawing_of
from zimage_core.engines.exchange import ENGINE_PATH, engine_form, to_text
from zimage_core.engines.zimage_http.engine import connect
from zimage_core.engines.zimage_http.options import read
from zimage_core.errors import ConfigurationError, EngineError, EngineUnavailable
from zimage_core.imaging.composite import OPAQUE_ALPHA, placed_premultiplied
from zimage_core.imaging.pixels import encode_png


def made(answer: Rendered | EngineFailure) -> Rendered:
    assert isinstance(answer, Rendered), answer
    return answer


def failed(answer: Rendered | EngineFailure) -> EngineError:
    assert isinstance(answer, EngineFailure), "a picture came"
    return answer.error


def requests(count: int = 4) -> list[RenderRequest]:
    modes = ("stage", "packshot")
    white = dataclasses.replace(STAGE, backdrop="white", floor="none")
    return [
        request_for(modes[n % 2], f"shot{n}", size=(160, 120 + 8 * n), stage=white if n % 2 else STAGE)
        for n in range(count)
    ]


# ---------------------------------------------------------------- our own server


def test_pictures_of_the_studio_behind_our_server_are_the_studios_own_to_the_last_bit() -> None:
    inside = studio.create({})
    with DrawingServer("ours", engine=inside) as server:
        engine = zimage_http.create({"url": server.url})
        answers = render_checked(engine, requests())
        engine.close()
    for ours, theirs in zip(answers, render_checked(inside, requests()), strict=True):
        assert made(ours).rgb.tobytes() == made(theirs).rgb.tobytes()
        assert made(ours).placement == made(theirs).placement
        assert made(ours).notes == made(theirs).notes
    assert engine.info == dataclasses.replace(inside.info, name="zimage_http", concurrent_calls=2, drawn_by="studio")


def test_every_request_carries_its_attempt_as_key_and_the_engine_it_is_meant_for() -> None:
    with DrawingServer("ours") as server:
        engine = zimage_http.create({"url": server.url})
        engine.render([request_for("stage", f"shot{n}") for n in range(3)])
        engine.close()
    posted = [seen for seen in server.server.seen if seen.method == "POST"]
    for seen in posted:
        form = json.loads(seen.body)["zimage"]
        assert seen.headers["idempotency-key"] == form["attempt_id"]
        assert form["fingerprint"] == OUR_INFO.fingerprint
    assert len({seen.headers["idempotency-key"] for seen in posted}) == 3


def test_what_the_server_refuses_or_fails_is_told_as_it_told_it() -> None:
    with DrawingServer(
        "ours", engine=studio.create({}), info=dataclasses.replace(OUR_INFO, modes=("stage", "text"))
    ) as s:
        engine = zimage_http.create({"url": s.url})
        error = failed(engine.render([request_for("text")])[0])
        engine.close()
    assert error.code == "EngineRefused"
    assert not error.retryable
    assert error.engine == "zimage_http"
    assert s.url in error.sentence
    assert len(s.drawn) == 1


@pytest.mark.parametrize("checks", [True, False])
def test_a_server_that_became_another_engine_makes_the_shots_wait_instead_of_mixing_pictures(checks: bool) -> None:
    clock = QuickClock()
    with DrawingServer("ours") as server:
        engine = connect(read({"url": server.url}), sleep=clock.sleep, elapsed_s=clock.elapsed_s)
        made(engine.render([request_for("stage", "before")])[0])
        server.info, server.checks = dataclasses.replace(OUR_INFO, fingerprint="small-0002"), checks
        error = failed(engine.render([request_for("stage", "after")])[0])
        engine.close()
    assert error.retryable, "the shot waits"
    assert "small-0001" in error.sentence
    assert "small-0002" in error.sentence
    assert server.drawn.total() == (1 if checks else 2)


def test_several_servers_share_the_work_and_one_that_is_down_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    down = f"http://127.0.0.1:{free_port()}"
    with DrawingServer("ours", think_s=0.02) as one, DrawingServer("ours", think_s=0.02) as two:
        engine = zimage_http.create({"url": f"{one.url},{down},{two.url}"})
        answers = engine.render([request_for("stage", f"shot{n}", size=(64, 64)) for n in range(40)])
        engine.close()
    assert all(isinstance(answer, Rendered) for answer in answers)
    assert min(len(one.drawn), len(two.drawn)) >= 3
    assert len(one.drawn) + len(two.drawn) == 40
    assert engine.info.batch_limit == 2 * OUR_INFO.batch_limit
    assert f"does without {down}" in caplog.text


def test_a_server_that_dies_in_the_middle_loses_nothing() -> None:
    clock = QuickClock()
    with DrawingServer("ours") as two:
        with DrawingServer("ours") as one:
            engine = connect(read({"url": f"{one.url},{two.url}"}), sleep=clock.sleep, elapsed_s=clock.elapsed_s)
            first = engine.render([request_for("stage", f"a{n}", size=(64, 64)) for n in range(8)])
        second = engine.render([request_for("stage", f"b{n}", size=(64, 64)) for n in range(8)])
        engine.close()
    assert all(isinstance(answer, Rendered) for answer in (*first, *second))


# ---------------------------------------------------------------- what create refuses


def test_servers_that_are_not_the_same_engine_are_refused_with_both_named() -> None:
    other = dataclasses.replace(OUR_INFO, fingerprint="small-0002")
    with DrawingServer("ours") as one, DrawingServer("ours", info=other) as two, DrawingServer("plain") as plain:
        with pytest.raises(ConfigurationError) as caught:
            zimage_http.create({"url": f"{one.url},{two.url}"})
        for name in (one.url, two.url, "small-0001", "small-0002"):
            assert name in caught.value.sentence
        with pytest.raises(ConfigurationError, match="a plain service"):
            zimage_http.create({"url": f"{one.url},{plain.url}", "model": "m"})


def test_nobody_there_is_said_soon_and_with_every_address() -> None:
    ports = [free_port(), free_port()]
    with pytest.raises(EngineUnavailable) as caught:
        zimage_http.create({"url": ",".join(f"http://127.0.0.1:{port}" for port in ports)})
    assert all(str(port) in caught.value.sentence for port in ports)


@pytest.mark.parametrize(
    ("answer", "error", "named"),
    [
        (json_answer({"detail": "no key"}, 401), ConfigurationError, "ZIMAGE_ENGINE_API_KEY"),
        (json_answer({"version": 2, "engine": {}}), ConfigurationError, "version 2"),
        (json_answer({"hello": "world"}), ConfigurationError, "engine"),
        (Answer(503, b"loading"), EngineUnavailable, "loading"),
        (Answer(drop=True), EngineUnavailable, "broke off"),
    ],
)
def test_what_says_no_when_asked_what_it_is(answer: Answer, error: type[Exception], named: str) -> None:
    with serving(in_turn(answer)) as server, pytest.raises(error, match=named):
        zimage_http.create({"url": server.url})


def test_a_plain_service_must_be_given_the_name_of_its_model() -> None:
    with DrawingServer("plain") as server:
        with pytest.raises(ConfigurationError, match="--model"):
            zimage_http.create({"url": server.url})
        prints = set()
        for options in ({}, {"steps": "9"}, {"guidance": "1"}, {"size_multiple_px": "16"}, {"model": "other"}):
            engine = zimage_http.create({"url": server.url, "model": "turbo"} | options)
            prints.add(engine.info.fingerprint)
            engine.close()
        assert len(prints) == 5
    with pytest.raises(ConfigurationError, match="url"):
        zimage_http.create({})


# ---------------------------------------------------------------- plain services


@pytest.fixture
def plain() -> Iterator[tuple[DrawingServer, Engine]]:
    with DrawingServer("plain") as server:
        engine = zimage_http.create(
            {"url": server.url, "model": "turbo", "cost_usd_per_image": "0.01", "rent_usd_per_hour": "720"}
        )
        yield server, engine
        engine.close()


def test_a_plain_service_is_asked_in_its_own_words_on_a_canvas_of_64(plain: tuple[DrawingServer, Engine]) -> None:
    server, engine = plain
    request = request_for("text", size=(200, 100))
    rendered = made(render_checked(engine, [request])[0])
    assert json.loads(server.server.seen[-1].body) == {
        "prompt": request.prompt.text,
        "negative_prompt": "text, watermark",
        "width": 256,
        "height": 128,
        "num_inference_steps": 8,
        "guidance_scale": 0.0,
        "seed": request.seed,
        "output_format": "png",
    }
    canvas = drawn_picture(request.prompt.text, request.seed, 256, 128)
    assert np.array_equal(rendered.rgb, canvas[14:114, 28:228])
    assert rendered.seconds > 0
    assert 0.01 < rendered.cost_usd <= 0.01 + rendered.seconds * 720 / 3600


def test_in_a_stage_of_a_plain_service_the_product_keeps_its_own_pixels(plain: tuple[DrawingServer, Engine]) -> None:
    _, engine = plain
    request = request_for("stage", size=(256, 256))
    rendered = made(render_checked(engine, [request])[0])
    assert rendered.placement == drawing_of(request, 64).placement
    placed = placed_premultiplied(product(), rendered.placement, 256, 256)
    opaque = placed[..., 3] == OPAQUE_ALPHA
    assert opaque.sum() > 500
    assert np.array_equal(rendered.rgb[opaque], placed[opaque][:, :3])


def test_what_a_plain_service_cannot_do_is_refused_before_it_is_asked(plain: tuple[DrawingServer, Engine]) -> None:
    server, engine = plain
    asked = len(server.server.seen)
    too_large = dataclasses.replace(request_for("text"), width_px=4096)
    for request in (request_for("inpaint"), request_for("packshot"), too_large):
        assert failed(render_checked(engine, [request])[0]).code == "EngineRefused"
    assert len(server.server.seen) == asked


PNG = encode_png(drawn_picture("x", 1, 128, 128))


@pytest.mark.parametrize(
    ("answer", "code", "named"),
    [
        (json_answer({"image": None}), "BadImage", "NoneType"),
        (json_answer({"picture": "x"}), "BadImage", "picture"),
        (json_answer(["image"]), "BadImage", "JSON"),
        (json_answer({"image": "####"}), "BadImage", "base64"),
        (json_answer({"image": "aGVsbG8="}), "BadImage", "text"),
        (json_answer({"image": {"b64": ""}}), "BadImage", "dict"),
        (Answer(200, b""), "BadImage", "empty"),
        (json_answer({"detail": "prompt too long"}, 422), "EngineRefused", "prompt too long"),
        (json_answer({"detail": [{"loc": ["body", "width"], "msg": "not a multiple"}]}, 422), "EngineRefused", "width"),
        (json_answer({"detail": "CUDA out of memory"}, 500), "EngineUnavailable", "out of memory"),
        (json_answer({"detail": {"version": 9}}, 500), "EngineUnavailable", "500"),
        (json_answer({"detail": "Not Found"}, 404), "EngineLocked", "option url"),
        (json_answer({"detail": "slow down"}, 429, Retry_After="1"), "EngineBusy", "slow down"),
    ],
)
def test_any_other_answer_is_a_failure_that_says_what_came(answer: Answer, code: str, named: str) -> None:
    with serving(lambda seen: json_answer({}, 404) if seen.path == ENGINE_PATH else answer) as server:
        clock = QuickClock()
        engine = connect(
            read({"url": server.url, "model": "m", "attempts": "2"}), sleep=clock.sleep, elapsed_s=clock.elapsed_s
        )
        error = failed(engine.render([request_for("text", size=(128, 128))])[0])
        engine.close()
    assert error.code == code
    assert named in error.sentence
    assert error.sku == "LIP-021"


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_a_picture_may_come_as_base64_with_or_without_a_prefix_or_bare(prefix: str) -> None:
    bodies = (json_answer({"image": prefix + base64.b64encode(PNG).decode()}), Answer(200, PNG))
    for body in bodies:
        with serving(lambda seen, body=body: json_answer({}, 404) if seen.path == ENGINE_PATH else body) as server:
            engine = zimage_http.create({"url": server.url, "model": "m"})
            rendered = made(engine.render([request_for("text", size=(128, 128))])[0])
            engine.close()
        assert np.array_equal(rendered.rgb, drawn_picture("x", 1, 128, 128))


# ---------------------------------------------------------------- answers that get lost


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "busy", "broken", "html", "truncated", "wrong_size"])
def test_our_server_draws_an_attempt_once_whatever_becomes_of_the_answer(fault: str) -> None:
    clock = QuickClock()
    mischief = Mischief(0.3, (fault,), seed=3)  # type: ignore[arg-type]
    with DrawingServer("ours", mischief=mischief) as one, DrawingServer("ours", mischief=mischief) as two:
        options = read({"url": f"{one.url},{two.url}", "attempts": "8"})
        engine = connect(options, sleep=clock.sleep, elapsed_s=clock.elapsed_s)
        answers = engine.render([request_for("text", f"shot{n}", size=(64, 64)) for n in range(24)])
        engine.close()
    assert mischief.done.total() >= 4
    assert sum(isinstance(answer, Rendered) for answer in answers) >= 20
    assert set((one.drawn + two.drawn).values()) == {1}


def test_closed_while_waiting_it_ends_at_once() -> None:
    with serving(in_turn(Answer(200, to_text(engine_form(OUR_INFO)).encode()), Answer(503, b"no"))) as server:
        engine = zimage_http.create({"url": server.url})
        engine.close()
        engine.close()
        assert "closed" in failed(engine.render([request_for("stage")])[0]).sentence
