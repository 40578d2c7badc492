"""The engine against a DashScope on a real socket: what it asks, what it pays for, what it does about failures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from dashscope_asking import EngineOf, Ticking, is_right
from dashscope_server import ASYNC, KEY, SYNC, DashScopeServer
from zimage_requests import request_for

from zimage_core.engines.base import EngineFailure, Rendered, render_checked
from zimage_core.engines.dashscope.engine import FETCHES, PAID_AT_MOST, DashScopeEngine
from zimage_core.engines.wire.client import EngineLocked
from zimage_core.errors import BadImage, ContentRefused, EngineRefused, EngineTimeout, EngineUnavailable
from zimage_core.imaging.composite import OPAQUE_ALPHA, placed_premultiplied

LOCKING = ("arrearage", "invalid_key", "denied", "unpurchased", "no_model")


def failure(answer: Rendered | EngineFailure) -> EngineFailure:
    assert isinstance(answer, EngineFailure)
    return answer


def test_a_picture_is_asked_for_with_everything_explicit(server: DashScopeServer, engine_of: EngineOf, mode: str):
    engine = engine_of(server, mode=mode, cost_usd_per_image="0.01")
    request = request_for(size=(1024, 768))
    (answer,) = engine.render([request])
    assert is_right(answer, request)
    (sent,) = server.submissions()
    assert sent.path == (SYNC if mode == "sync" else ASYNC)
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert ("x-dashscope-async" in sent.headers) == (mode == "async")
    assert sent.body["model"] == "z-image-turbo"
    assert sent.body["parameters"] == {
        "size": "1024*768",
        "prompt_extend": False,
        "seed": request.seed & 0x7FFFFFFF,
    }
    assert "negative" not in str(sent.body)
    assert isinstance(answer, Rendered)
    assert answer.cost_usd == pytest.approx(0.01)
    assert any("takes no negative prompt" in note for note in answer.notes)
    assert any("DashScope request req-" in note for note in answer.notes)


def test_a_small_picture_is_drawn_at_a_whole_multiple_and_averaged_down(server: DashScopeServer, engine_of: EngineOf):
    request = request_for(size=(128, 96))
    (answer,) = engine_of(server).render([request])
    assert server.submissions()[0].body["parameters"]["size"] == "640*480"
    assert is_right(answer, request)
    assert isinstance(answer, Rendered)
    assert any("Drawn 5 times as large" in note for note in answer.notes)


def test_a_stage_keeps_the_products_own_pixels(server: DashScopeServer, engine_of: EngineOf):
    request = request_for("stage", size=(256, 256))
    (answer,) = engine_of(server).render([request])
    assert isinstance(answer, Rendered)
    assert answer.placement is not None
    assert request.reference is not None
    placed = placed_premultiplied(request.reference, answer.placement, 256, 256)
    opaque = placed[..., 3] == OPAQUE_ALPHA
    assert opaque.sum() > 500
    assert np.array_equal(answer.rgb[opaque], placed[opaque][:, :3])


def test_the_key_goes_to_the_service_and_not_to_where_pictures_wait(
    server: DashScopeServer, engine_of: EngineOf, mode: str
):
    engine_of(server, mode=mode).render([request_for(shot=f"shot{n}") for n in range(3)])
    fetched = [one for one in server.seen if one.path.startswith("/results/")]
    assert len(fetched) == 3
    assert all("authorization" not in one.headers and KEY not in str(one.headers) for one in fetched)


@pytest.mark.parametrize("fault", LOCKING)
def test_what_waits_for_a_person_stops_the_engine_and_nobody_is_called_again(
    server: DashScopeServer, engine_of: EngineOf, mode: str, fault: str
):
    engine = engine_of(server, mode=mode, concurrency="1")
    server.faults.queue("submit", None, fault)
    answers = engine.render([request_for(shot=f"shot{n}") for n in range(5)])
    assert isinstance(answers[0], Rendered)
    errors = [failure(answer).error for answer in answers[1:]]
    assert {type(error) for error in errors} == {EngineLocked}
    assert len({error.sentence for error in errors}) == 1
    assert all(error.retryable for error in errors), "the shots wait, they are not given up"
    assert KEY not in errors[0].sentence
    calls = len(server.seen)
    again = render_checked(engine, [request_for(shot="later")])
    assert failure(again[0]).error.sentence == errors[0].sentence
    assert len(server.seen) == calls


def test_a_key_that_the_service_repeats_is_masked_everywhere(
    server: DashScopeServer, engine_of: EngineOf, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("DEBUG")
    engine = engine_of(server)
    server.faults.queue("submit", "invalid_key")
    (answer,) = engine.render([request_for()])
    error = failure(answer).error
    assert "***" in error.sentence
    assert "ZIMAGE_ENGINE_API_KEY" in error.sentence
    assert KEY not in caplog.text + repr(error) + repr(engine) + repr(engine.__dict__)


def test_another_key_is_refused_by_the_service(server: DashScopeServer, engine_of: EngineOf):
    (answer,) = engine_of(server, key="sk-another").render([request_for()])
    assert isinstance(failure(answer).error, EngineLocked)


def test_a_content_filter_asks_for_other_words_and_is_not_asked_again(
    server: DashScopeServer, engine_of: EngineOf, mode: str
):
    if mode == "sync":
        server.faults.queue("submit", "inspection")
    else:
        server.faults.queue("poll", "failed_inspection")
    (answer,) = engine_of(server, mode=mode).render([request_for()])
    assert type(failure(answer).error) is ContentRefused
    assert len(server.submissions()) == 1


def test_a_request_the_service_does_not_take_is_refused_alone(server: DashScopeServer, engine_of: EngineOf):
    engine = engine_of(server, concurrency="1")
    server.faults.queue("submit", "parameter")
    answers = engine.render([request_for(shot="bad"), request_for(shot="good")])
    assert type(failure(answers[0]).error) is EngineRefused
    assert isinstance(answers[1], Rendered)


@pytest.mark.parametrize(
    "fault", ["throttled", "allocation", "burst", "internal", "unavailable", "gateway", "drop_before", "html"]
)
def test_what_may_pass_is_tried_again(server: DashScopeServer, engine_of: EngineOf, mode: str, fault: str):
    request = request_for()
    server.faults.queue("submit", fault, fault)
    (answer,) = engine_of(server, mode=mode).render([request])
    assert is_right(answer, request)
    assert len(server.submissions()) == 3
    assert server.billed.total() == 1


def test_retry_after_is_waited_for_by_everybody(server: DashScopeServer, engine_of: EngineOf, ticking: Ticking):
    server.faults.queue("submit", "throttled_retry_after")
    engine = engine_of(server, concurrency="1")
    answers = engine.render([request_for(shot=f"shot{n}") for n in range(2)])
    assert all(isinstance(answer, Rendered) for answer in answers)
    assert ticking.elapsed_s() >= 7.0


def test_a_burst_makes_all_calls_slower_for_a_while(server: DashScopeServer, engine_of: EngineOf, ticking: Ticking):
    server.faults.queue("submit", "burst", "burst", "burst")
    engine = engine_of(server, concurrency="1", requests_per_minute="60")
    engine.render([request_for(shot="first")])
    begun_s = ticking.elapsed_s()
    engine.render([request_for(shot="second")])
    assert ticking.elapsed_s() - begun_s > 4.0


def test_a_service_that_stays_broken_ends_in_a_sentence_with_how_often_it_was_tried(
    server: DashScopeServer, engine_of: EngineOf
):
    server.faults.queue("submit", *["internal"] * 4)
    (answer,) = engine_of(server).render([request_for()])
    error = failure(answer).error
    assert type(error) is EngineUnavailable
    assert "InternalError" in error.sentence
    assert "Tried 4 times" in error.sentence
    assert (error.sku, error.engine) == ("LIP-021", "dashscope")


# ---------------------------------------------------------------- pictures that were made and are hard to get


@pytest.mark.parametrize("fault", ["image_500", "image_html", "image_truncated", "image_cut_off", "image_drop"])
def test_a_download_that_fails_is_repeated_without_paying_again(
    server: DashScopeServer, engine_of: EngineOf, mode: str, fault: str
):
    request = request_for()
    server.faults.queue("image", fault, fault)
    (answer,) = engine_of(server, mode=mode).render([request])
    assert is_right(answer, request)
    assert server.billed.total() == 1


def test_a_download_that_failed_all_day_goes_on_at_the_next_call_without_paying_again(
    server: DashScopeServer, engine_of: EngineOf
):
    engine, request = engine_of(server, attempts="2", cost_usd_per_image="0.01"), request_for()
    server.faults.queue("image", "image_500", "image_500")
    (answer,) = engine.render([request])
    assert isinstance(failure(answer).error, EngineUnavailable)
    (again,) = engine.render([request])
    assert is_right(again, request)
    assert server.billed.total() == 1
    assert isinstance(again, Rendered)
    assert (failure(answer).cost_usd, again.cost_usd) == (0.01, 0.0), "each cent stands in one answer"


def test_an_address_that_has_expired_is_left_and_the_picture_made_anew_and_both_are_counted(
    server: DashScopeServer, engine_of: EngineOf
):
    request = request_for()
    server.faults.queue("image", "image_expired")
    (answer,) = engine_of(server, cost_usd_per_image="0.01").render([request])
    assert is_right(answer, request)
    assert server.billed.total() == 2
    assert isinstance(answer, Rendered)
    assert answer.cost_usd == pytest.approx(0.02)
    assert any("2 pictures were paid for" in note for note in answer.notes)


def test_a_picture_that_is_never_right_is_not_paid_for_over_and_over(server: DashScopeServer, engine_of: EngineOf):
    server.faults.queue("submit", *["no_image"] * 9)
    (answer,) = engine_of(server, attempts="9", cost_usd_per_image="0.01").render([request_for()])
    error = failure(answer).error
    assert type(error) is BadImage
    assert failure(answer).cost_usd == pytest.approx(0.01 * PAID_AT_MOST)
    assert f"{PAID_AT_MOST} pictures were paid for" in error.sentence
    assert server.billed.total() == PAID_AT_MOST


def test_a_picture_of_another_size_is_not_used(server: DashScopeServer, engine_of: EngineOf):
    server.faults.queue("image", *["image_wrong_size"] * FETCHES)
    (answer,) = engine_of(server).render([request_for()])
    error = failure(answer).error
    assert type(error) is BadImage
    assert "1280 x 480" in error.sentence


def test_a_slow_drip_ends_with_its_time(server: DashScopeServer, engine_of: EngineOf):
    server.faults.queue("image", "image_drip")
    request = request_for()
    (answer,) = engine_of(server, download_s="0.3").render([request])
    assert is_right(answer, request), "the second download goes well"
    assert server.billed.total() == 1


def test_redirects_end(server: DashScopeServer, engine_of: EngineOf):
    server.faults.queue("image", *["image_moved"] * 12)
    (answer,) = engine_of(server, attempts="1").render([request_for()])
    assert "redirects more than" in failure(answer).error.sentence


# ---------------------------------------------------------------- tasks


@pytest.mark.parametrize("fault", ["unknown", "failed"])
def test_a_task_that_is_lost_or_failed_is_handed_in_anew(server: DashScopeServer, engine_of: EngineOf, fault: str):
    request = request_for()
    server.faults.queue("poll", fault)
    (answer,) = engine_of(server, mode="async").render([request])
    assert is_right(answer, request)
    assert len(server.submissions()) == 2
    assert server.billed.total() == 1


@pytest.mark.parametrize("fault", ["internal", "throttled_retry_after", "poll_drop"])
def test_a_question_without_an_answer_loses_no_task(server: DashScopeServer, engine_of: EngineOf, fault: str):
    request = request_for()
    server.faults.queue("poll", fault, fault, fault)
    (answer,) = engine_of(server, mode="async").render([request])
    assert is_right(answer, request)
    assert len(server.submissions()) == 1


def test_a_task_that_does_not_end_is_asked_about_again_at_the_next_call_and_not_paid_twice(
    engine_of: EngineOf,
):
    with DashScopeServer(polls_until_done=100).running() as server:
        engine, request = engine_of(server, mode="async", timeout_s="30"), request_for()
        (answer,) = engine.render([request])
        assert type(failure(answer).error) is EngineTimeout
        assert "does not pay again" in failure(answer).error.sentence
        server.polls_until_done = 1
        (again,) = engine.render([request])
        assert is_right(again, request)
        assert len(server.submissions()) == 1
        assert server.billed.total() == 1


def test_a_task_that_has_not_begun_when_its_time_is_over_is_taken_back(server: DashScopeServer, engine_of: EngineOf):
    server.faults.queue("poll", "never")
    engine = engine_of(server, mode="async", timeout_s="1", poll_s="5")
    (answer,) = engine.render([request_for()])
    error = failure(answer).error
    assert type(error) is EngineTimeout
    assert "costs nothing" in error.sentence
    assert server.paths("/api/v1/tasks/")[-1].endswith("/cancel")
    assert server.billed.total() == 0


def test_a_task_without_a_picture_counts_as_paid(server: DashScopeServer, engine_of: EngineOf):
    server.faults.queue("poll", "lost_image")
    request = request_for()
    (answer,) = engine_of(server, mode="async", cost_usd_per_image="0.01").render([request])
    assert isinstance(answer, Rendered)
    assert answer.cost_usd == pytest.approx(0.02)


# ---------------------------------------------------------------- what the protocol cannot prevent


def test_a_call_that_breaks_off_after_it_was_billed_is_paid_twice_and_the_attempt_says_so(
    server: DashScopeServer, engine_of: EngineOf
):
    request = request_for()
    server.faults.queue("submit", "drop_after")
    (answer,) = engine_of(server).render([request])
    assert is_right(answer, request)
    assert server.billed.total() == 2
    assert isinstance(answer, Rendered)
    assert any("may have been billed without a picture: 1" in note for note in answer.notes)


def test_too_large_or_too_long_never_leaves_this_machine(server: DashScopeServer, engine_of: EngineOf):
    engine = engine_of(server)
    request = request_for(text="x" * 801)
    large = dataclasses.replace(request_for(shot="large"), width_px=4096, height_px=2048)
    answers = [*engine.render([request]), *render_checked(engine, [large])]
    assert {type(failure(answer).error) for answer in answers} == {EngineRefused}
    assert server.seen == []


def test_a_closed_engine_calls_nobody(server: DashScopeServer, engine_of: EngineOf):
    engine: DashScopeEngine = engine_of(server)
    engine.close()
    engine.close()
    (answer,) = render_checked(engine, [request_for()])
    assert "was closed" in failure(answer).error.sentence
    assert server.seen == []
