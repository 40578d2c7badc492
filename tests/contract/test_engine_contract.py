"""What every engine promises, whoever wrote it: each known engine is made and asked the same things."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from zimage_core.domain import Change, Light, Mode, Prompt, Scene, Stage, attempt_id_of, seed_of
from zimage_core.engines.base import Engine, EngineFailure, Rendered, RenderRequest, render_checked
from zimage_core.engines.registry import create_engine, engines_for_mode, known_engines
from zimage_core.errors import EngineRefused
from zimage_core.imaging.composite import OPAQUE_ALPHA, placed_premultiplied
from zimage_core.imaging.cutout import CutOut, cut_out
from zimage_core.imaging.pixels import read_photo

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MODES: tuple[Mode, ...] = get_args(Mode)


@pytest.fixture(scope="module", params=sorted(known_engines()))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def options(name: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """What the engine cannot do without, from the fixture `{name}_options`: it starts servers where there are any."""
    return dict(request.getfixturevalue(f"{name}_options"))


@pytest.fixture(scope="module")
def engine(name: str, options: dict[str, str]) -> Iterator[Engine]:
    made = create_engine(name, options)
    yield made
    made.close()


@pytest.fixture(scope="module")
def product() -> CutOut:
    made = cut_out(read_photo(EXAMPLES / "products" / "lipstick.jpg"))
    assert isinstance(made, CutOut)
    return made


def ask(
    engine: Engine,
    reference: CutOut | None,
    *,
    shot: str = "shot1",
    number: int = 1,
    side: int = 320,
    mode: Mode | None = None,
) -> RenderRequest:
    """A request that this engine can do, in its first mode unless told otherwise."""
    mode = mode or engine.info.modes[0]
    side -= side % engine.info.size_multiple_px
    shot = f"{shot}-{mode}-{side}"  # an id stands for one picture only: servers know requests again by it
    stage = Stage(
        backdrop="white" if mode == "packshot" else "sweep",
        floor="none" if mode == "packshot" else "paper",
        palette=("#d8c7b0", "#f3ece2"),
        light=Light(azimuth_deg=-40, elevation_deg=50),
    )
    scene = Scene("packshot" if mode == "packshot" else "studio", "beauty", mode, stage, "50 mm", "v1", "test.md")
    prompt = Prompt("A lipstick on a paper sweep, soft light.", "", "en", ())
    return RenderRequest(
        attempt_id=attempt_id_of(shot, number, Change()),
        sku="LIP-021",
        shot_id=shot,
        number=number,
        mode=mode,
        prompt=prompt,
        scene=scene,
        change=Change(),
        seed=seed_of(shot, number),
        width_px=side,
        height_px=side,
        reference=reference,
    )


def picture(answer: Rendered | EngineFailure) -> Rendered:
    assert isinstance(answer, Rendered), answer
    return answer


def test_an_engine_says_what_it_is(engine: Engine) -> None:
    info = engine.info
    assert info.name
    assert info.fingerprint
    assert info.modes
    assert set(info.modes) <= set(MODES)
    assert info.batch_limit >= 1
    assert info.size_multiple_px >= 1
    assert info.max_side_px >= 1024
    assert info.seconds_per_image > 0
    assert info.cost_usd_per_image >= 0


def test_two_engines_made_alike_have_the_same_fingerprint(engine: Engine, options: dict[str, str]) -> None:
    again = create_engine(engine.info.name, options)
    assert again.info == engine.info
    again.close()


def test_one_answer_per_request_in_order_and_of_the_size_that_was_promised(engine: Engine, product: CutOut) -> None:
    requests = [ask(engine, product, shot=f"shot{i}", side=side) for i, side in enumerate((320, 256, 384))]
    answers = engine.render(requests)
    assert [answer.attempt_id for answer in answers] == [request.attempt_id for request in requests]
    for request, answer in zip(requests, answers, strict=True):
        rendered = picture(answer)
        assert rendered.rgb.shape == (request.height_px, request.width_px, 3)
        assert rendered.rgb.dtype == np.uint8
        assert rendered.seconds >= 0
        assert rendered.cost_usd >= 0


def test_a_picture_need_not_be_square(engine: Engine, product: CutOut) -> None:
    multiple = engine.info.size_multiple_px
    request = dataclasses.replace(
        ask(engine, product, shot="wide"), width_px=480 - 480 % multiple, height_px=272 - 272 % multiple
    )
    rendered = picture(render_checked(engine, [request])[0])
    assert rendered.rgb.shape == (request.height_px, request.width_px, 3)


def test_the_same_request_twice_gives_the_same_pixels(engine: Engine, product: CutOut) -> None:
    request = ask(engine, product)
    first, second = (picture(engine.render([request])[0]) for _ in range(2))
    assert np.array_equal(first.rgb, second.rgb)
    assert first.placement == second.placement


def test_alone_or_in_a_batch_a_request_gives_the_same_picture(engine: Engine, product: CutOut) -> None:
    """The same bytes, or as near as the engine says; two seeds differ by 20 levels and more."""
    for mode in engine.info.modes:
        requests = [ask(engine, product, shot=f"shot{i}", mode=mode) for i in range(3)]
        together = [picture(answer).rgb.astype(int) for answer in engine.render(requests)]
        alone = [picture(engine.render([request])[0]).rgb for request in requests]
        for one, other in zip(together, alone, strict=True):
            assert np.abs(one - other).mean() <= engine.info.batch_tolerance_levels


def test_a_product_that_was_placed_keeps_its_own_pixels(engine: Engine, product: CutOut) -> None:
    for mode in set(engine.info.modes) - {"text"}:
        request = ask(engine, product, mode=mode)
        rendered = picture(engine.render([request])[0])
        assert rendered.placement is not None
        placed = placed_premultiplied(product, rendered.placement, request.width_px, request.height_px)
        opaque = placed[..., 3] == OPAQUE_ALPHA
        assert opaque.sum() > 500
        assert np.array_equal(rendered.rgb[opaque], placed[opaque][:, :3])


def test_two_calls_at_a_time_are_answered_where_the_engine_says_so(engine: Engine, product: CutOut) -> None:
    calls = engine.info.concurrent_calls
    requests = [[ask(engine, product, shot=f"call{call}-{i}") for i in range(2)] for call in range(calls)]
    with ThreadPoolExecutor(calls) as pool:
        answers = list(pool.map(engine.render, requests))
    for asked, answered in zip(requests, answers, strict=True):
        again = engine.render(asked)
        for one, other in zip(answered, again, strict=True):
            assert np.abs(picture(one).rgb.astype(int) - picture(other).rgb).max() <= 1


def test_a_bad_request_never_fails_its_siblings(engine: Engine, product: CutOut) -> None:
    good = [ask(engine, product, shot=f"shot{i}") for i in range(2)]
    bad = dataclasses.replace(ask(engine, product, shot="bad"), width_px=engine.info.max_side_px + 16)
    answers = render_checked(engine, [good[0], bad, good[1]])
    assert isinstance(answers[0], Rendered)
    assert isinstance(answers[2], Rendered)
    refused = answers[1]
    assert isinstance(refused, EngineFailure)
    assert refused.attempt_id == bad.attempt_id
    assert isinstance(refused.error, EngineRefused)
    assert str(engine.info.max_side_px) in refused.error.sentence


def test_a_mode_it_does_not_make_is_refused_and_those_who_could_are_named(engine: Engine, product: CutOut) -> None:
    for mode in set(MODES) - set(engine.info.modes):
        request = dataclasses.replace(ask(engine, product), mode=mode)
        (answer,) = render_checked(engine, [request])
        assert isinstance(answer, EngineFailure)
        assert isinstance(answer.error, EngineRefused)
        assert not answer.error.retryable
        assert answer.error.sku == request.sku
        assert mode in answer.error.sentence
        for name in engines_for_mode(mode):
            assert name in answer.error.sentence


def test_without_the_reference_it_needs_it_refuses(engine: Engine) -> None:
    if not engine.info.needs_reference:
        assert "text" in engine.info.modes
        return
    (answer,) = render_checked(engine, [ask(engine, None)])
    assert isinstance(answer, EngineFailure)
    assert isinstance(answer.error, EngineRefused)
    assert answer.error.sku is not None
    assert answer.error.sku in answer.error.sentence


def test_a_request_is_not_written_to(engine: Engine, product: CutOut) -> None:
    before = product.rgba.copy()
    engine.render([ask(engine, product)])
    assert np.array_equal(product.rgba, before)


def test_no_requests_no_answers(engine: Engine) -> None:
    assert engine.render([]) == []
    assert render_checked(engine, []) == []


def test_an_engine_may_be_closed_twice(name: str, options: dict[str, str]) -> None:
    made = create_engine(name, options)
    made.close()
    made.close()
