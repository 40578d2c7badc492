"""Drawing over the wire: what a request asks for is what comes back, in batches, once, in order of urgency."""

from __future__ import annotations

import base64
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from served_engine import GatedEngine, Served, body, detail, picture, served, wait_until
from zimage_requests import request_for

from zimage_core.engines.base import Rendered
from zimage_core.engines.exchange import GenerateAnswer, generate_body, rendered_from
from zimage_core.engines.registry import create_engine
from zimage_core.errors import BadImage, EngineBusy, EngineOutOfMemory, EngineRefused, EngineTimeout
from zimage_core.imaging.pixels import decode_png

JSON = {"Content-Type": "application/json"}


def png_of(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return decode_png(base64.b64decode(response.json()["image"]))


def in_background(pool: ThreadPoolExecutor, here: Served, prompt: str, **headers: str):
    def ask() -> httpx.Response:
        with here.client(**headers) as client:
            return client.post("/v1/generate", json=body(prompt))

    return pool.submit(ask)


def test_a_whole_request_comes_back_as_the_engine_in_this_process_draws_it(tmp_path: Path) -> None:
    engine = create_engine("studio")
    request = request_for("stage", size=(160, 128))
    (here,) = engine.render([request])
    assert isinstance(here, Rendered)
    with served(create_engine("studio"), tmp_path) as server, server.client() as client:
        response = client.post("/v1/generate", content=generate_body(request).model_dump_json(), headers=JSON)
        assert response.status_code == 200, response.text
        there = rendered_from(GenerateAnswer.model_validate_json(response.content))
    assert np.array_equal(there.rgb, here.rgb)
    assert (there.attempt_id, there.placement, there.notes) == (here.attempt_id, here.placement, here.notes)


def test_the_tiny_model_draws_for_openai_clients_what_it_draws_here(tmp_path: Path, tiny_checkpoint: Path) -> None:
    options = {"model": str(tiny_checkpoint), "cache": str(tmp_path / "cache")}
    with served(create_engine("diffusers", options), tmp_path / "serve", warm_up=True) as server:
        wait_until(lambda: not server.services.why_not_ready())
        with server.client() as client:
            asked = {"prompt": "a red mug", "size": "64x48", "seed": 5, "n": 2, "num_inference_steps": 8}
            response = client.post("/v1/images/generations", json=asked)
            assert response.status_code == 200, response.text
            answer = response.json()
            plain = client.post("/v1/generate", json={"prompt": "a red mug", "width": 64, "height": 48, "seed": 6})
    assert answer["created"] > 1_700_000_000
    first, second = (decode_png(base64.b64decode(one["b64_json"])) for one in answer["data"])
    assert first.shape == (48, 64, 3)
    assert not np.array_equal(first, second)
    assert np.array_equal(png_of(plain), second), "n pictures are those of seed, seed + 1, ..."
    assert {(one["url"], one["revised_prompt"]) for one in answer["data"]} == {(None, None)}


def test_requests_of_one_shape_that_wait_are_drawn_in_one_call(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path) as here, ThreadPoolExecutor(8) as pool:
        first = in_background(pool, here, "first")
        engine.wait_inside()
        same = [in_background(pool, here, f"same {number}") for number in range(4)]
        wait_until(lambda: here.services.desk.waiting == 4)
        with here.client() as client:
            other = pool.submit(client.post, "/v1/generate", json=body("other", side=32))
            wait_until(lambda: here.services.desk.waiting == 5)
            engine.gate.set()
            assert png_of(other.result()).shape == (32, 32, 3)
        pictures = [png_of(answer.result()) for answer in (first, *same)]
        metrics = httpx.get(f"{here.url}/metrics").text
    assert engine.calls[0] == ["first"]
    assert sorted(map(len, engine.calls[1:])) == [1, 4], engine.calls
    assert len({drawn.tobytes() for drawn in pictures}) == 5
    assert 'zimage_serve_batch_size_bucket{le="4.0"} 3.0' in metrics
    assert 'zimage_serve_answers_total{outcome="drawn"} 6.0' in metrics


def test_the_urgent_are_drawn_first_and_the_low_last(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False, batch_limit=1)
    with served(engine, tmp_path, aging_s=1000.0) as here, ThreadPoolExecutor(8) as pool:
        asked = [in_background(pool, here, "first")]
        engine.wait_inside()
        for count, priority in enumerate(("low", "normal", "high"), start=1):
            asked.append(in_background(pool, here, priority, **{"X-Priority": priority}))
            wait_until(lambda count=count: here.services.desk.waiting == count)
        engine.gate.set()
        for answer in asked:
            png_of(answer.result())
    assert engine.drawn == ["first", "high", "normal", "low"]


def test_the_same_content_is_drawn_once_while_it_is_drawn_and_afterwards(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path) as here, ThreadPoolExecutor(8) as pool:
        asked = [in_background(pool, here, "the mug")]
        engine.wait_inside()
        asked += [in_background(pool, here, "the mug") for _ in range(3)]
        wait_until(lambda: here.services.meters.cache.labels("joined")._value.get() == 3)
        engine.gate.set()
        pictures = {png_of(answer.result()).tobytes() for answer in asked}
        with here.client() as client:
            pictures.add(png_of(client.post("/v1/generate", json=body("the mug"))).tobytes())
    assert engine.calls == [["the mug"]]
    assert len(pictures) == 1
    with served(GatedEngine(), tmp_path) as again, again.client() as client:
        pictures.add(png_of(client.post("/v1/generate", json=body("the mug"))).tobytes())
        assert again.engine.calls == [], "what was drawn before a restart is not drawn after it"
    assert len(pictures) == 1


def test_another_engine_never_answers_from_what_one_before_it_drew(tmp_path: Path) -> None:
    for fingerprint in ("one", "two"):
        with served(GatedEngine(fingerprint=fingerprint), tmp_path) as here, here.client() as client:
            png_of(client.post("/v1/generate", json=body("the mug")))
            assert here.engine.drawn == ["the mug"]


def test_an_idempotency_key_is_never_drawn_twice_and_stands_for_one_body(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    key = {"Idempotency-Key": "order-7"}
    unseeded = {"prompt": "a mug", "width": 64, "height": 64}
    with served(engine, tmp_path) as here, ThreadPoolExecutor(4) as pool, here.client(**key) as client:
        first = pool.submit(client.post, "/v1/generate", json=unseeded)
        engine.wait_inside()
        second = pool.submit(client.post, "/v1/generate", json=unseeded)
        wait_until(lambda: here.services.meters.cache.labels("joined")._value.get() == 1)
        other = client.post("/v1/generate", json=unseeded | {"prompt": "a cup"})
        assert other.status_code == 422
        assert "order-7" in detail(other)["sentence"]
        elsewhere = client.post("/api/v1/generate", json=unseeded)
        assert elsewhere.status_code == 422, "a key stands for one endpoint too"
        engine.gate.set()
        pictures = [png_of(answer.result()) for answer in (first, second)]
    with served(GatedEngine(), tmp_path) as again, again.client(**key) as client:
        pictures.append(png_of(client.post("/v1/generate", json=unseeded)))
        assert again.engine.calls == []
        assert client.post("/v1/generate", json=unseeded | {"prompt": "a cup"}).status_code == 422
    assert engine.calls == [["a mug"]]
    assert np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], pictures[2])


def test_without_key_and_seed_each_request_is_a_new_picture(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        drawn = {png_of(client.post("/v1/generate", json={"prompt": "a mug"})).tobytes() for _ in range(3)}
    assert len(drawn) == 3


def test_who_hangs_up_while_waiting_is_not_drawn_for(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path) as here, ThreadPoolExecutor(2) as pool:
        first = in_background(pool, here, "first")
        engine.wait_inside()
        asked = b'{"prompt": "nobody waits for this", "width": 64, "height": 64, "seed": 1}'
        line = socket.create_connection(("127.0.0.1", here.server.port))
        line.sendall(
            b"POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(asked), asked)
        )
        wait_until(lambda: here.services.desk.waiting == 1)
        line.close()
        wait_until(lambda: here.services.desk.waiting == 0)
        engine.gate.set()
        png_of(first.result())
    assert engine.drawn == ["first"]


def test_a_full_queue_says_when_to_come_back_by_what_it_measured(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False, batch_limit=1, seconds_per_image=30.0)
    with served(engine, tmp_path, queue_limit=2) as here, ThreadPoolExecutor(8) as pool:
        asked = [in_background(pool, here, "0")]
        engine.wait_inside()
        asked += [in_background(pool, here, f"{number}") for number in (1, 2)]
        wait_until(lambda: here.services.desk.waiting == 2)
        with here.client() as client:
            for path in ("/v1/generate", "/api/v1/generate"):
                full = client.post(path, json=body("one too many"))
                assert full.status_code == 429
                assert int(full.headers["Retry-After"]) == 30, "half of two waiting pictures, 30 s each"
                said = detail(full)
                assert (said["retryable"], said["retry_after_s"]) == (True, 30)
            joined = pool.submit(client.post, "/v1/generate", json=body("2"))
            engine.gate.set()
            assert joined.result().status_code == 200, "who asks for what waits already needs no place"
        for answer in asked:
            png_of(answer.result())
        assert "one too many" not in engine.drawn
        assert here.services.desk.come_back_after_s() < 30, "it has learnt that it is faster than it said"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (EngineBusy("It is busy.", retry_after_s=7.0), 429),
        (EngineRefused("Not this."), 422),
        (BadImage("It is blank."), 502),
        (EngineTimeout("Too long."), 504),
        (EngineOutOfMemory("Out of memory."), 503),
    ],
)
def test_what_an_engine_does_not_draw_is_answered_as_its_error_and_not_kept(
    tmp_path: Path, error: Exception, status: int
) -> None:
    engine = GatedEngine()
    with served(engine, tmp_path) as here, here.client() as client:
        engine.fail_with = lambda request: error  # type: ignore[return-value, assignment]
        failed = client.post("/v1/generate", json=body(), headers={"Idempotency-Key": "again"})
        assert failed.status_code == status
        assert detail(failed)["code"] == type(error).__name__
        if status == 429:
            assert failed.headers["Retry-After"] == "7"
        engine.fail_with = lambda request: None
        assert client.post("/v1/generate", json=body(), headers={"Idempotency-Key": "again"}).status_code == 200
    assert len(engine.calls) == 2


def test_one_bad_request_does_not_fail_its_batch(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    engine.fail_with = lambda request: BadImage("It is blank.") if request.prompt.text == "bad" else None
    with served(engine, tmp_path) as here, ThreadPoolExecutor(4) as pool:
        first = in_background(pool, here, "first")
        engine.wait_inside()
        asked = {prompt: in_background(pool, here, prompt) for prompt in ("good", "bad", "fine")}
        wait_until(lambda: here.services.desk.waiting == 3)
        engine.gate.set()
        statuses = {prompt: answer.result().status_code for prompt, answer in asked.items()}
        assert first.result().status_code == 200
    assert statuses == {"good": 200, "bad": 502, "fine": 200}


def test_the_engine_is_called_as_often_at_a_time_as_it_says(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False, concurrent_calls=2, batch_limit=1)
    with served(engine, tmp_path) as here, ThreadPoolExecutor(4) as pool:
        asked = [in_background(pool, here, f"{number}") for number in range(3)]
        engine.wait_inside()
        engine.wait_inside()
        wait_until(lambda: here.services.desk.waiting == 1)
        assert len(engine.calls) == 2
        assert httpx.get(f"{here.url}/health").status_code == 200, "the event loop is free meanwhile"
        engine.gate.set()
        for answer in asked:
            png_of(answer.result())


def test_a_picture_that_takes_too_long_is_answered_and_still_kept(tmp_path: Path) -> None:
    engine = GatedEngine(open_gate=False)
    with served(engine, tmp_path, request_timeout_s=0.2) as here, here.client() as client:
        late = client.post("/v1/generate", json=body())
        assert late.status_code == 504
        assert detail(late)["retryable"]
        engine.gate.set()
        wait_until(lambda: len(here.services.results) == 1)
        png_of(client.post("/v1/generate", json=body()))
    assert len(engine.calls) == 1


def test_what_no_longer_fits_or_is_damaged_on_disk_is_drawn_again(tmp_path: Path) -> None:
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        first = png_of(client.post("/v1/generate", json=body()))
        (kept,) = (tmp_path / "results").rglob("*.picture")
        kept.write_bytes(kept.read_bytes()[:-20])
        again = png_of(client.post("/v1/generate", json=body()))
        assert len(here.engine.calls) == 2
    assert np.array_equal(first, again)


def test_an_answer_is_not_held_back_by_the_network_stack(tmp_path: Path) -> None:
    """With Nagle's algorithm on, head and body of an answer are 40 ms apart."""
    with served(GatedEngine(), tmp_path) as here, here.client() as client:
        png_of(client.post("/v1/generate", json=body()))
        lines = [line.transport.get_extra_info("socket") for line in here.server._uvicorn.server_state.connections]
        assert lines
        assert all(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for line in lines)


def test_a_picture_of_the_engine_is_what_the_seed_and_the_words_decide(tmp_path: Path) -> None:
    engine = GatedEngine()
    with served(engine, tmp_path) as here, here.client() as client:
        drawn = png_of(client.post("/v1/generate", json=body("a mug", seed=9)))
    (seen,) = engine.requests
    assert (seen.seed, seen.prompt.text, seen.mode) == (9, "a mug", "text")
    assert np.array_equal(drawn, picture(seen))
