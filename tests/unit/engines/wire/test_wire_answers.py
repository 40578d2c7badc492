"""Many requests at a time; and options, read from text."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from small_servers import drawn_picture
from zimage_requests import request_for

from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.engines.wire import options
from zimage_core.engines.wire.answers import answer_all
from zimage_core.engines.wire.client import EngineLocked
from zimage_core.errors import BadImage, ConfigurationError, EngineBusy, EngineUnavailable, ImageError

REQUESTS = [request_for(shot=f"shot{n}") for n in range(12)]


def nothing() -> None:
    """What is told to give up here has nothing under way."""


def rendered(request: RenderRequest) -> Rendered:
    return Rendered(request.attempt_id, drawn_picture("", request.seed, 8, 8), None, 0.0, 0.0)


def test_answers_come_in_order_though_the_last_is_done_first() -> None:
    done = [threading.Event() for _ in REQUESTS]
    places = {request.attempt_id: n for n, request in enumerate(REQUESTS)}

    def answer(request: RenderRequest) -> Rendered:
        place = places[request.attempt_id]
        if place + 1 < len(done):
            assert done[place + 1].wait(20)
        done[place].set()
        return rendered(request)

    answers = answer_all(REQUESTS, answer, threads=len(REQUESTS), engine="e", give_up=nothing)
    assert [one.attempt_id for one in answers] == [request.attempt_id for request in REQUESTS]


def test_never_more_at_a_time_than_threads() -> None:
    now, most, lock = 0, 0, threading.Lock()
    three = threading.Barrier(3, timeout=20)

    def answer(request: RenderRequest) -> Rendered:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        three.wait()
        with lock:
            now -= 1
        return rendered(request)

    answer_all(REQUESTS, answer, threads=3, engine="e", give_up=nothing)
    assert most == 3


def test_each_failure_is_its_own_and_says_whose_it_is() -> None:
    raised = {
        REQUESTS[1].attempt_id: EngineBusy("Full.", retry_after_s=3.0),
        REQUESTS[2].attempt_id: ImageError("The product cannot be placed."),
        REQUESTS[3].attempt_id: KeyError("data"),
    }

    def answer(request: RenderRequest) -> Rendered:
        if request.attempt_id in raised:
            raise raised[request.attempt_id]
        return rendered(request)

    answers = answer_all(REQUESTS[:5], answer, threads=4, engine="e", give_up=nothing)
    failures = [one for one in answers if isinstance(one, EngineFailure)]
    assert [one.attempt_id for one in failures] == list(raised)
    assert [type(one.error) for one in failures] == [EngineBusy, BadImage, EngineUnavailable]
    assert failures[0].error.retry_after_s == 3.0
    assert "KeyError" in failures[2].error.sentence
    for failure, request in zip(failures, REQUESTS[1:4], strict=True):
        assert (failure.error.sku, failure.error.shot_id) == (request.sku, request.shot_id)
        assert (failure.error.attempt, failure.error.engine) == (request.number, "e")


def test_when_the_engine_works_for_nobody_the_rest_is_not_asked() -> None:
    asked = []

    def answer(request: RenderRequest) -> Rendered:
        asked.append(request.attempt_id)
        raise EngineLocked("Arrears.")

    answers = answer_all(REQUESTS, answer, threads=1, engine="e", give_up=nothing)
    assert len(asked) == 1
    assert all(isinstance(one, EngineFailure) and one.error.sentence == "Arrears." for one in answers)
    assert [one.attempt_id for one in answers] == [request.attempt_id for request in REQUESTS]
    assert all(one.error.retryable for one in answers if isinstance(one, EngineFailure))


# ---------------------------------------------------------------- options

READERS = {
    "url": options.urls,
    "n": options.whole(1, 9),
    "x": options.number(0.5, 2.0),
    "on": options.yes_no,
    "kind": options.one_of("a", "b"),
    "file": options.path,
    "name": options.text,
}


def test_options_are_read() -> None:
    given = {
        "url": " http://a:1/, https://b/v ,http://a:1",
        "n": "9",
        "x": "0.5",
        "on": "Yes",
        "kind": "b",
        "file": "f",
    }
    assert options.read_options(given, READERS, "e") == {
        "url": ("http://a:1", "https://b/v"),
        "n": 9,
        "x": 0.5,
        "on": True,
        "kind": "b",
        "file": Path("f"),
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", ""), ("url", "host:80"), ("url", "ftp://a"), ("url", "http://"), ("url", "http://a:b:c"),
        ("n", "0"), ("n", "10"), ("n", "x"), ("n", "1.0"), ("n", "²"),
        ("x", "0.4"), ("x", "nan"), ("x", "inf"), ("x", ""), ("on", "maybe"),
        ("kind", "c"), ("file", ""), ("name", " "),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Option {name} of engine 'e' is "):
        options.read_options({name: value}, READERS, "e")


def test_an_unknown_option_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(ConfigurationError, match=r"no option speed; its options are file, kind, n, name, on, url, x\."):
        options.read_options({"speed": "9", "n": "1"}, READERS, "e")
