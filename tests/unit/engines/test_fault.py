"""The engine that fails on demand, and the caller's guard that turns every kind of failure into one answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from zimage_core.domain import Change, EngineInfo, Light, Prompt, Scene, Stage
from zimage_core.engines.base import (
    EngineFailure,
    Rendered,
    RenderRequest,
    check_answers,
    render_checked,
    screen,
)
from zimage_core.engines.fault import FaultEngine, Faults, create
from zimage_core.errors import (
    BadImage,
    ConfigurationError,
    EngineBusy,
    EngineError,
    EngineOutOfMemory,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
)

INFO = EngineInfo("painter", "painter-1", ("text",), False, 16, 2048, 8, 0.01, 0.0)
SCENE = Scene("studio", "home", "text", Stage("sweep", "paper", ("#ffffff",), Light(0, 45)), "50 mm", "v1", "test.md")


class Painter:
    """The smallest engine: noise from the seed, and a record of what it was asked."""

    info = INFO

    def __init__(self, instead: Callable[[list[Rendered | EngineFailure]], object] | None = None) -> None:
        self.calls: list[list[str]] = []
        self.closed = 0
        self._instead = instead

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        self.calls.append([request.attempt_id for request in requests])
        answers: list[Rendered | EngineFailure] = []
        for request in requests:
            size = (request.height_px, request.width_px, 3)
            rgb = np.random.default_rng(request.seed).integers(0, 256, size, dtype=np.uint8)
            answers.append(Rendered(request.attempt_id, rgb, None, 0.01, 0.0))
        return answers if self._instead is None else self._instead(answers)  # type: ignore[return-value]

    def close(self) -> None:
        self.closed += 1


def ask(name: str, sku: str = "MUG-1", **changes: object) -> RenderRequest:
    request = RenderRequest(
        attempt_id=name,
        sku=sku,
        shot_id=f"shot-{name}",
        number=1,
        mode="text",
        prompt=Prompt("A mug.", "", "en", ()),
        scene=SCENE,
        change=Change(),
        seed=7,
        width_px=64,
        height_px=48,
    )
    return dataclasses.replace(request, **changes)  # type: ignore[arg-type]


def faulty(painter: Painter | None = None, **options: str) -> FaultEngine:
    return FaultEngine(painter or Painter(), Faults.from_options(options))


def error_of(answer: Rendered | EngineFailure) -> EngineError:
    assert isinstance(answer, EngineFailure), answer
    return answer.error


# ---------------------------------------------------------------- the fault engine


@pytest.mark.parametrize(
    ("option", "kind", "retryable"),
    [
        ("busy", EngineBusy, True),
        ("unavailable", EngineUnavailable, True),
        ("oom", EngineOutOfMemory, True),
        ("refuse", EngineRefused, False),
        ("wrong_size", BadImage, True),
        ("blank", BadImage, True),
        ("crash", EngineUnavailable, True),
    ],
)
def test_a_fault_set_to_certain_always_strikes_and_is_told_apart(
    option: str, kind: type[EngineError], retryable: bool
) -> None:
    requests = [ask("a"), ask("b")]
    answers = render_checked(faulty(**{option: "1"}), requests)
    assert [answer.attempt_id for answer in answers] == ["a", "b"]
    for request, answer in zip(requests, answers, strict=True):
        error = error_of(answer)
        assert type(error) is kind
        assert error.retryable is retryable
        assert (error.sku, error.shot_id, error.attempt, error.engine) == (request.sku, request.shot_id, 1, "fault")


def test_without_faults_the_pixels_are_the_inner_engines() -> None:
    (plain,), (wrapped,) = Painter().render([ask("a")]), faulty().render([ask("a")])
    assert isinstance(plain, Rendered)
    assert isinstance(wrapped, Rendered)
    assert np.array_equal(plain.rgb, wrapped.rgb)


def test_a_probability_is_kept_over_many_attempts_and_repeats_exactly() -> None:
    requests = [ask(f"attempt-{i}", width_px=16, height_px=16) for i in range(600)]
    struck = [[isinstance(a, EngineFailure) for a in faulty(busy="0.3", seed="7").render(requests)] for _ in range(2)]
    assert struck[0] == struck[1]
    assert 0.25 < sum(struck[0]) / len(requests) < 0.35
    other = [isinstance(a, EngineFailure) for a in faulty(busy="0.3", seed="8").render(requests)]
    assert other != struck[0]


def test_a_retry_of_the_same_attempt_draws_anew_so_it_gets_through_in_the_end() -> None:
    engine = faulty(busy="0.5")
    outcomes = [isinstance(engine.render([ask("stubborn")])[0], Rendered) for _ in range(40)]
    assert any(outcomes)
    assert not all(outcomes)


def test_the_order_of_requests_in_a_batch_changes_no_draw() -> None:
    requests = [ask(f"attempt-{i}", width_px=16, height_px=16) for i in range(50)]
    forwards = {a.attempt_id: type(a) for a in faulty(busy="0.5").render(requests)}
    backwards = {a.attempt_id: type(a) for a in faulty(busy="0.5").render(requests[::-1])}
    assert forwards == backwards


def test_until_makes_only_the_first_calls_fail() -> None:
    engine = faulty(unavailable="1", until="2")
    kinds = [type(engine.render([ask("a")])[0]) for _ in range(4)]
    assert kinds == [EngineFailure, EngineFailure, Rendered, Rendered]


def test_only_the_named_skus_are_struck() -> None:
    engine = faulty(refuse="1", only_sku="LAMP-1, PEN-9")
    answers = engine.render([ask("a", "MUG-1"), ask("b", "LAMP-1"), ask("c", "PEN-9")])
    assert [type(answer) for answer in answers] == [Rendered, EngineFailure, EngineFailure]


def test_the_inner_engine_sees_only_what_does_not_fail_in_one_call() -> None:
    painter = Painter()
    faulty(painter, refuse="1", only_sku="BAD").render([ask("a"), ask("b", "BAD"), ask("c")])
    assert painter.calls == [["a", "c"]]


def test_slow_takes_longer() -> None:
    answers = faulty(slow_s="0.01").render([ask("a")])
    assert isinstance(answers[0], Rendered)


def test_another_option_is_another_fingerprint_so_no_attempt_is_mistaken_for_a_sound_one() -> None:
    prints = {faulty(**options).info.fingerprint for options in ({}, {"busy": "0.1"}, {"busy": "0.1", "seed": "1"})}
    assert len({*prints, INFO.fingerprint}) == 4
    assert faulty(busy="0.1").info.fingerprint == faulty(busy="0.1").info.fingerprint


def test_closing_it_closes_the_inner_engine() -> None:
    painter = Painter()
    faulty(painter).close()
    assert painter.closed == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"busy": "1.5"}, "busy of engine 'fault' is a probability from 0 to 1, not '1.5'"),
        ({"busy": "often"}, "busy of engine 'fault' is a number from 0 up, not 'often'"),
        ({"blank": "-0.1"}, "blank of engine 'fault' is a number from 0 up, not '-0.1'"),
        ({"slow_s": "nan"}, "slow_s of engine 'fault' is a number from 0 up, not 'nan'"),
        ({"bussy": "1"}, "no option bussy; its options are blank, busy"),
        ({"inner": "fault"}, "cannot wrap itself"),
        ({"inner": "nobody"}, "no engine named 'nobody'"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        create(options)


def test_it_wraps_the_studio_unless_told_otherwise() -> None:
    engine = create({"busy": "0.2"})
    assert engine.info.name == "fault"
    assert "packshot" in engine.info.modes
    engine.close()


# ---------------------------------------------------------------- render_checked


@pytest.mark.parametrize(
    ("thrown", "kind", "said"),
    [
        (RuntimeError("CUDA error: device-side assert"), EngineUnavailable, "RuntimeError: CUDA error: device-side"),
        (KeyError(), EngineUnavailable, "KeyError: no message"),
        (MemoryError(), EngineOutOfMemory, "out of memory"),
        (TimeoutError("no answer in 30 s"), EngineTimeout, "no answer in 30 s"),
        (EngineBusy("Queue is full.", retry_after_s=12.0), EngineBusy, "Queue is full."),
    ],
)
def test_whatever_an_engine_throws_becomes_one_failure_per_request(
    thrown: Exception, kind: type[EngineError], said: str
) -> None:
    def explode(answers: object) -> object:
        raise thrown

    answers = render_checked(Painter(explode), [ask("a"), ask("b", "LAMP-1")])
    assert [answer.attempt_id for answer in answers] == ["a", "b"]
    errors = [error_of(answer) for answer in answers]
    assert [type(error) for error in errors] == [kind, kind]
    assert said in errors[0].sentence
    assert [error.sku for error in errors] == ["MUG-1", "LAMP-1"]
    assert errors[0].__cause__ is thrown
    assert errors[0].retry_after_s == getattr(thrown, "retry_after_s", None)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_request_to_stop_is_not_an_engine_failure(stop: type[BaseException]) -> None:
    def interrupted(answers: object) -> object:
        raise stop

    with pytest.raises(stop):
        render_checked(Painter(interrupted), [ask("a")])


@pytest.mark.parametrize(
    "instead",
    [
        pytest.param(lambda answers: answers[:-1], id="one too few"),
        pytest.param(lambda answers: [*answers, answers[0]], id="one too many"),
        pytest.param(lambda answers: answers[::-1], id="swapped"),
        pytest.param(lambda answers: [answers[0], answers[0]], id="one twice"),
    ],
)
def test_answers_that_are_not_one_for_each_in_order_are_all_thrown_away(
    instead: Callable[[list[Rendered | EngineFailure]], object],
) -> None:
    answers = render_checked(Painter(instead), [ask("a"), ask("b")])
    assert [answer.attempt_id for answer in answers] == ["a", "b"]
    assert [type(error_of(answer)) for answer in answers] == [BadImage, BadImage]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda rgb: rgb[:, :-1], r"\(48, 63, 3\) where \(48, 64, 3\) was promised", id="narrow"),
        pytest.param(lambda rgb: np.dstack([rgb, rgb[..., 0]]), "promised", id="with alpha"),
        pytest.param(lambda rgb: rgb.astype(np.float32) / 255, "float32 values where 8-bit", id="float"),
        pytest.param(lambda rgb: None, "NoneType values", id="none"),
        pytest.param(np.zeros_like, r"blank picture \(colour \(0, 0, 0\)", id="black"),
        pytest.param(lambda rgb: np.full_like(rgb, 255), "blank", id="white"),
        pytest.param(lambda rgb: 120 + rgb % 4, "blank", id="faint noise"),
    ],
)
def test_an_unusable_picture_is_a_bad_image_and_its_sibling_stands(
    spoil: Callable[[np.ndarray], object], said: str
) -> None:
    def one_spoilt(answers: list[Rendered | EngineFailure]) -> object:
        first, *rest = answers
        assert isinstance(first, Rendered)
        return [dataclasses.replace(first, rgb=spoil(first.rgb), cost_usd=0.03), *rest]  # type: ignore[arg-type]

    spoilt, sound = render_checked(Painter(one_spoilt), [ask("a"), ask("b")])
    assert isinstance(error_of(spoilt), BadImage)
    assert isinstance(spoilt, EngineFailure)
    assert spoilt.cost_usd == 0.03, "it was paid for"
    with pytest.raises(BadImage, match=said):
        raise error_of(spoilt)
    assert isinstance(sound, Rendered)


def test_a_small_product_on_pure_white_is_not_blank() -> None:
    request = ask("a", width_px=1008, height_px=1008)
    rgb = np.full((1008, 1008, 3), 255, np.uint8)
    rgb[500:540, 490:530] = (200, 30, 30)
    (answer,) = check_answers([request], [Rendered("a", rgb, None, 0.1, 0.0)], engine="painter")
    assert isinstance(answer, Rendered)


def test_what_an_engine_cannot_do_it_never_sees() -> None:
    painter = Painter()
    answers = render_checked(
        painter, [ask("a", mode="stage"), ask("b"), ask("c", width_px=100), ask("d", height_px=4096)]
    )
    assert painter.calls == [["b"]]
    assert [type(answer) for answer in answers] == [EngineFailure, Rendered, EngineFailure, EngineFailure]
    sentences = [error_of(answer).sentence for answer in answers if isinstance(answer, EngineFailure)]
    able = "comfyui, dashscope, diffusers, openai_images, studio, zimage_http"
    assert f"does not make 'stage' pictures; engines that can: {able}." in sentences[0]
    assert "multiples of 16 px; width is 100" in sentences[1]
    assert "sides up to 2048 px; height is 4096" in sentences[2]


def test_an_engine_that_starts_from_photos_refuses_a_product_without_one() -> None:
    photographic = dataclasses.replace(INFO, modes=("packshot", "stage"), needs_reference=True)
    refused = screen(photographic, ask("a", mode="packshot"))
    assert refused is not None
    assert "MUG-1 has none; add one to the catalogue" in refused.sentence
