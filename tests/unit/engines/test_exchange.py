"""The JSON form loses nothing on the way, and whatever else comes is refused with a sentence."""

from __future__ import annotations

import dataclasses
import json
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from zimage_requests import request_for

from zimage_core.domain import (
    Category,
    Change,
    Clause,
    EngineInfo,
    Light,
    Mode,
    Placement,
    Prompt,
    Scene,
    SceneName,
    Stage,
)
from zimage_core.engines import exchange
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.engines.exchange import (
    EngineForm,
    FailureAnswer,
    GenerateAnswer,
    GenerateBody,
    RequestForm,
    engine_form,
    engine_info_from,
    failure_form,
    failure_from,
    generate_answer,
    generate_body,
    read_text,
    rendered_from,
    request_form,
    request_from,
    status_of,
    to_text,
)
from zimage_core.errors import (
    BadImage,
    EngineBusy,
    EngineError,
    EngineOutOfMemory,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
)
from zimage_core.imaging.cutout import CutOut

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.floats(0, 1e12)
SIDES = st.integers(1, 4096)
COLOURS = st.from_regex(r"\A#[0-9a-f]{6}\Z")
NAMES = st.text("abcdefghijklmnop0123456789-", min_size=1, max_size=40)


def one_of(words: object) -> st.SearchStrategy[str]:
    return st.sampled_from(get_args(words))


def pixels(channels: int) -> st.SearchStrategy[np.ndarray]:
    shapes = st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(channels))
    return shapes.flatmap(lambda shape: arrays(np.uint8, shape))


STAGES = st.builds(
    Stage,
    st.sampled_from(["white", "sweep", "wall", "surface", "closeup"]),
    st.sampled_from(["none", "paper", "wood", "stone"]),
    st.lists(COLOURS, max_size=4).map(tuple),
    st.builds(Light, NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.sampled_from(["none", "top", "left", "right", "bottom"]),
)
CHANGES = st.builds(
    Change,
    st.integers(0, 9),
    st.sampled_from(["as_planned", "contrast", "plain"]),
    st.integers(0, 9),
    st.sampled_from(["as_planned", "smaller"]),
    st.none() | one_of(Mode),
    WORDS,
)
CUTOUTS = st.builds(CutOut, pixels(4), st.floats(0, 1), st.lists(WORDS, max_size=3).map(tuple))
REQUESTS = st.builds(
    RenderRequest,
    attempt_id=NAMES,
    sku=WORDS,
    shot_id=NAMES,
    number=st.integers(1, 10),
    mode=one_of(Mode),
    prompt=st.builds(
        Prompt, WORDS, WORDS, st.sampled_from(["zh", "en"]), st.lists(st.builds(Clause, WORDS, WORDS, WORDS)).map(tuple)
    ),
    scene=st.builds(Scene, one_of(SceneName), one_of(Category), one_of(Mode), STAGES, WORDS, NAMES, WORDS),
    change=CHANGES,
    seed=st.integers(0, 2**64 - 1),
    width_px=SIDES,
    height_px=SIDES,
    reference=st.none() | CUTOUTS,
)
RENDERED = st.builds(
    Rendered,
    NAMES,
    pixels(3),
    st.none() | st.builds(Placement, NUMBERS, NUMBERS, NUMBERS),
    COUNTS,
    COUNTS,
    st.lists(WORDS, max_size=3).map(tuple),
)
ERRORS: tuple[type[EngineError], ...] = (
    EngineError,
    EngineBusy,
    EngineUnavailable,
    EngineTimeout,
    EngineOutOfMemory,
    EngineRefused,
    BadImage,
)


def plain(noun: object, *arrays_of: str) -> dict[str, object]:
    """The fields of a dataclass that holds arrays, without those."""
    return {f.name: getattr(noun, f.name) for f in dataclasses.fields(noun) if f.name not in arrays_of}  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(REQUESTS)
def test_a_request_comes_back_exactly(request: RenderRequest) -> None:
    body = read_text(GenerateBody, to_text(generate_body(request, fingerprint="f-1")), what="the body")
    assert body.zimage is not None
    again = request_from(body.zimage)
    assert plain(again, "reference") == plain(request, "reference")
    if request.reference is None:
        assert again.reference is None
        return
    assert again.reference is not None
    assert np.array_equal(again.reference.rgba, request.reference.rgba)
    assert plain(again.reference, "rgba") == plain(request.reference, "rgba")


@settings(max_examples=150, deadline=None)
@given(RENDERED)
def test_a_picture_comes_back_exactly_to_the_last_bit_of_its_placement(rendered: Rendered) -> None:
    again = rendered_from(read_text(GenerateAnswer, to_text(generate_answer(rendered)), what="the answer"))
    assert np.array_equal(again.rgb, rendered.rgb)
    assert plain(again, "rgb") == plain(rendered, "rgb")


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(ERRORS),
    WORDS,
    st.none() | WORDS,
    st.none() | NAMES,
    st.none() | st.integers(1, 9),
    st.none() | st.floats(0, 1e6),
    NAMES,
    COUNTS,
)
def test_a_failure_comes_back_with_all_it_carries(
    kind: type[EngineError],
    sentence: str,
    sku: str | None,
    shot_id: str | None,
    attempt: int | None,
    retry_after_s: float | None,
    attempt_id: str,
    seconds: float,
) -> None:
    error = kind(sentence, sku=sku, shot_id=shot_id, attempt=attempt, engine="studio", retry_after_s=retry_after_s)
    text = to_text(FailureAnswer(detail=failure_form(EngineFailure(attempt_id, error, seconds, seconds / 7))))
    again = failure_from(read_text(FailureAnswer, text, what="the failure").detail)
    assert (again.attempt_id, again.seconds, again.cost_usd) == (attempt_id, seconds, seconds / 7)
    assert type(again.error) is kind
    assert vars(again.error) == vars(error)


@given(
    st.builds(
        EngineInfo,
        NAMES,
        NAMES,
        st.lists(one_of(Mode), min_size=1).map(tuple),
        st.booleans(),
        SIDES,
        SIDES,
        SIDES,
        COUNTS,
        COUNTS,
        st.integers(1, 9),
        COUNTS,
        SIDES,
    )
)
def test_what_an_engine_says_of_itself_comes_back_exactly(info: EngineInfo) -> None:
    assert engine_info_from(read_text(EngineForm, to_text(engine_form(info)), what="it")) == info


def changed(**fields: object) -> str:
    return json.dumps(json.loads(to_text(request_form(request_for("stage")))) | fields)


def test_another_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(BadImage) as caught:
        read_text(RequestForm, changed(version=2, made_up_in_version_2=1), what="The request")
    assert "version 2" in caught.value.sentence
    assert "version 1" in caught.value.sentence
    assert "same release" in caught.value.sentence


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("unknown", 1, "unknown"),
        ("seed", -1, "seed"),
        ("seed", 2**64, "seed"),
        ("width_px", 0, "width_px"),
        ("mode", "sculpt", "mode"),
        ("attempt_id", "", "attempt_id"),
        ("prompt", {"text": 3}, "prompt"),
        ("scene", None, "scene"),
    ],
)
def test_what_does_not_fit_is_named_and_its_value_is_not_repeated(field: str, value: object, named: str) -> None:
    with pytest.raises(BadImage, match=named):
        read_text(RequestForm, changed(**{field: value}), what="The request")


def test_a_palette_or_a_number_no_engine_could_draw_is_refused() -> None:
    for field, value in (("palette", ["#12345"]), ("palette", ["red"]), ("fill_ratio", float("nan"))):
        form = json.loads(changed())
        form["scene"]["stage"][field] = value
        with pytest.raises(ValueError, match=r"not a colour|finite number"):
            RequestForm.model_validate(form)


def test_a_reference_that_is_no_cut_out_is_refused_with_the_product_named() -> None:
    for reference in ("", "####", "aGVsbG8=", exchange._to_base64(b"\x89PNG\r\n\x1a\n" + b"0" * 40)):
        form = RequestForm.model_validate(json.loads(changed(reference=reference)))
        with pytest.raises(EngineRefused, match=r"LIP-021 cannot be read") as caught:
            request_from(form)
        assert caught.value.shot_id == "shot"


def test_a_request_meant_for_another_engine_waits_instead_of_being_drawn() -> None:
    info = EngineInfo("studio", "studio-2", ("stage",), True, 1, 4096, 64, 0.2, 0.0)
    request = request_for("stage")
    assert request_from(request_form(request, fingerprint="studio-2"), info).seed == request.seed
    assert request_from(request_form(request), info).seed == request.seed
    with pytest.raises(EngineUnavailable, match=r"studio-2 now.*studio-1"):
        request_from(request_form(request, fingerprint="studio-1"), info)


def test_an_error_class_of_a_later_release_stays_as_retryable_as_it_was() -> None:
    for retryable, kind in ((True, EngineUnavailable), (False, EngineRefused)):
        form = failure_form(EngineFailure("a", EngineBusy("Later."), 0.0)).model_copy(
            update={"code": "EngineAsleep", "retryable": retryable}
        )
        assert type(failure_from(form).error) is kind


def test_every_kind_of_failure_has_a_status_that_says_whether_to_come_back() -> None:
    assert {kind: status_of(kind("x")) for kind in ERRORS} == {
        EngineBusy: 429,
        EngineRefused: 422,
        BadImage: 502,
        EngineTimeout: 504,
        EngineUnavailable: 503,
        EngineOutOfMemory: 503,
        EngineError: 503,
    }


def test_an_answer_without_its_second_half_or_with_half_a_picture_is_a_bad_image() -> None:
    rendered = Rendered("a", np.zeros((4, 4, 3), np.uint8), None, 0.0, 0.0)
    whole = generate_answer(rendered)
    with pytest.raises(BadImage, match="field zimage"):
        rendered_from(whole.model_copy(update={"zimage": None}))
    for image in (whole.image[: len(whole.image) // 2 // 4 * 4], "no base64!", ""):
        with pytest.raises(BadImage, match="cannot be read"):
            rendered_from(whole.model_copy(update={"image": image}))


def test_a_plain_client_is_understood_and_needs_only_a_prompt() -> None:
    body = read_text(GenerateBody, '{"prompt": "a mug", "some_field_of_theirs": 1}', what="the body")
    assert (body.width, body.height, body.num_inference_steps, body.guidance_scale) == (1024, 1024, 8, 0.0)
    assert body.zimage is None
    assert body.seed is None


def test_the_forms_describe_themselves_for_openapi() -> None:
    for form in (GenerateBody, GenerateAnswer, FailureAnswer, EngineForm):
        assert form.model_json_schema()["properties"]
