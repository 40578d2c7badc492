"""What is sent to DashScope, and which error each of its codes is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_core.engines.dashscope.protocol import (
    LEAST_PIXELS,
    MAX_PROMPT_CHARACTERS,
    MAX_SEED,
    MOST_PIXELS,
    body_of,
    error_of,
    link_in,
    seed_for,
    state_in,
    task_id_in,
    times_for,
)
from zimage_core.engines.wire.client import EngineLocked, Reply
from zimage_core.errors import BadImage, ContentRefused, EngineBusy, EngineRefused, EngineUnavailable


def reply(status: int, document: object, **headers: str) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Reply(status, headers, body, 0.1, "https://dashscope.aliyuncs.com/api/v1/x")


def refusal(status: int, code: str, message: str = "Words of the service.", **headers: str) -> Reply:
    return reply(status, {"code": code, "message": message, "request_id": "r"}, **headers)


def picture(url: str) -> dict[str, object]:
    content = [{"text": "a mug"}, {"image": url}]
    return {
        "output": {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": content}}]},
        "usage": {"image_count": 1, "width": 1024, "height": 1536},
        "request_id": "req-7",
    }


def test_every_parameter_is_explicit_and_nothing_else_is_sent():
    assert body_of("z-image-turbo", "a mug", 42, 1024, 1536) == {
        "model": "z-image-turbo",
        "input": {"messages": [{"role": "user", "content": [{"text": "a mug"}]}]},
        "parameters": {"size": "1024*1536", "prompt_extend": False, "seed": 42},
    }


@pytest.mark.parametrize(("width", "height"), [(511, 512), (512, 511), (2048, 2049), (16, 16)])
def test_a_size_outside_the_services_pixels_is_refused_before_it_is_sent(width: int, height: int):
    with pytest.raises(EngineRefused, match=rf"{width}\*{height}"):
        body_of("m", "a mug", 1, width, height)


@pytest.mark.parametrize("size", [(512, 512), (2048, 2048), (1024, 256)])
def test_the_pixels_count_not_the_sides(size: tuple[int, int]):
    assert body_of("m", "a mug", 1, *size)["parameters"]["size"] == f"{size[0]}*{size[1]}"


@pytest.mark.parametrize("prompt", ["", "  ", "x" * (MAX_PROMPT_CHARACTERS + 1)])
def test_a_prompt_the_service_would_cut_or_not_take_is_refused(prompt: str):
    with pytest.raises(EngineRefused, match=str(len(prompt))):
        body_of("m", prompt, 1, 1024, 1024)


@given(st.integers(0, 2**32 - 1))
def test_any_seed_fits_into_31_bits(seed: int):
    assert 0 <= seed_for(seed) <= MAX_SEED
    assert seed_for(seed) % 2**31 == seed % 2**31


@given(st.integers(16, 2048), st.integers(16, 2048))
def test_a_picture_of_any_size_is_drawn_at_the_smallest_whole_multiple_that_the_service_draws(width: int, height: int):
    times = times_for(width, height)
    assert LEAST_PIXELS <= times**2 * width * height <= MOST_PIXELS
    assert times == 1 or (times - 1) ** 2 * width * height < LEAST_PIXELS


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "Throttling", EngineBusy),
        (429, "Throttling.RateQuota", EngineBusy),
        (429, "Throttling.AllocationQuota", EngineBusy),
        (400, "DataInspectionFailed", ContentRefused),
        (400, "InvalidParameter", EngineRefused),
        (400, "BadRequest.TooLarge", EngineRefused),
        (500, "InternalError", EngineUnavailable),
        (500, "InternalError.Algo", EngineUnavailable),
        (503, "ServiceUnavailable", EngineUnavailable),
        (504, "GatewayTimeout", EngineUnavailable),
        (400, "Arrearage", EngineLocked),
        (401, "InvalidApiKey", EngineLocked),
        (403, "AccessDenied", EngineLocked),
        (403, "AccessDenied.Unpurchased", EngineLocked),
        (400, "Model.NotExist", EngineLocked),
        (404, "InvalidURL", EngineLocked),
        (418, "SomethingNew", EngineRefused),
        (502, "SomethingNew", EngineUnavailable),
    ],
)
def test_each_code_is_the_error_it_means(status: int, code: str, kind: type):
    error = error_of(refusal(status, code))
    assert type(error) is kind
    assert code in error.sentence
    assert "Words of the service." in error.sentence


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, EngineLocked), (401, EngineLocked), (429, EngineBusy), (502, EngineUnavailable), (400, EngineRefused)],
)
def test_an_answer_without_a_code_is_taken_by_its_status(status: int, kind: type):
    assert type(error_of(reply(status, b"<html>proxy</html>"))) is kind


def test_the_wait_that_the_service_asks_for_is_kept():
    assert error_of(refusal(429, "Throttling.RateQuota", **{"retry-after": "7"})).retry_after_s == 7.0


def test_the_first_part_with_a_picture_is_taken_and_what_was_counted_is_noted():
    link = link_in(picture("https://oss.example.com/1.png?Expires=1"), local=False)
    assert link.url == "https://oss.example.com/1.png?Expires=1"
    assert link.said == "DashScope request req-7 (image_count 1, width 1024, height 1536)."


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"output": None},
        {"output": {"choices": []}},
        {"output": {"choices": [{"message": {"content": [{"text": "sorry"}]}}]}},
        {"output": {"choices": [{"message": {"content": "https://oss.example.com/1.png"}}]}},
        {"output": {"choices": [{"message": {"content": [{"image": None}]}}]}},
    ],
)
def test_an_answer_without_a_picture_is_none(answer: dict[str, object]):
    with pytest.raises(BadImage, match="without a picture"):
        link_in(answer, local=False)


@pytest.mark.parametrize(
    "url", ["http://oss.example.com/1.png", "ftp://oss.example.com/1.png", "file:///etc/passwd", "http://127.0.0.1/x"]
)
def test_a_picture_is_fetched_over_https_only(url: str):
    with pytest.raises(BadImage, match="not https"):
        link_in(picture(url), local=False)


def test_a_server_on_this_machine_may_name_itself_but_nobody_else_in_the_clear():
    assert link_in(picture("http://127.0.0.1:8000/1.png"), local=True).url
    with pytest.raises(BadImage, match="not https"):
        link_in(picture("http://oss.example.com/1.png"), local=True)


def state(status: object, **more: object) -> dict[str, object]:
    return {"output": {"task_id": "t-1", "task_status": status, **more}, "request_id": "r"}


def test_the_states_of_a_task_are_told_apart():
    assert state_in(state("RUNNING"), local=False).status == "RUNNING"
    assert state_in(state("UNKNOWN"), local=False).error is None
    failed = state_in(state("FAILED", code="DataInspectionFailed", message="no"), local=False)
    assert isinstance(failed.error, ContentRefused)
    assert isinstance(state_in(state("FAILED"), local=False).error, EngineUnavailable)
    whole = picture("https://o.example.com/1.png")
    whole["output"] = {**whole["output"], **state("SUCCEEDED")["output"]}  # type: ignore[dict-item]
    ended = state_in(whole, local=False)
    assert ended.link is not None
    older = state_in(state("SUCCEEDED", results=[{"url": "https://o.example.com/2.png"}]), local=False)
    assert older.link is not None
    assert isinstance(state_in(state("SUCCEEDED"), local=False).error, BadImage)


@pytest.mark.parametrize("status", [None, "DONE", 3, ["SUCCEEDED"]])
def test_a_state_that_is_none_is_not_guessed_at(status: object):
    with pytest.raises(BadImage):
        state_in(state(status), local=False)


@pytest.mark.parametrize("task_id", [None, "", 7, "../../x", "a b"])
def test_an_id_that_could_lead_elsewhere_is_not_used(task_id: object):
    with pytest.raises(BadImage):
        task_id_in({"output": {"task_id": task_id}})
