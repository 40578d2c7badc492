from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from zimage_core.domain import Finding
from zimage_core.errors import QualityError
from zimage_core.quality import grade as grade_module
from zimage_core.quality.checks import CHECKS, Check
from zimage_core.quality.grade import GradeInput, grade, letter_of, score_of
from zimage_core.quality.reading import default_reader
from zimage_core.quality.rubric import load_rubric

NAMES = ("mug", "lamp", "phone", "perfume", "lipstick", "cushion")
RUBRIC = load_rubric()


@pytest.mark.parametrize(("name", "scene"), list(itertools.product(NAMES, ("packshot", "studio"))))
def test_every_good_picture_of_the_six_real_photos_is_an_a(studio, name, scene) -> None:
    result = studio.grade(name=name, scene=scene)
    assert (result.letter, result.reasons) == ("A", ())
    assert not [f.sentence for f in result.findings if f.state == "error" or f.veto]


def test_the_same_pixels_give_the_same_grade(studio) -> None:
    assert studio.grade(name="phone") == studio.grade(name="phone")


def test_pixels_placed_by_the_caller_give_the_same_grade(studio) -> None:
    given = studio.shoot("phone")
    assert given.placed is not None
    assert studio.grade(dataclasses.replace(given, placed=None)) == studio.grade(given)


def test_grading_does_not_write_into_the_pixels(studio) -> None:
    given = studio.shoot("mug")
    before = given.attempt_rgb.copy(), given.finished_rgb.copy()
    for pixels in (given.attempt_rgb, given.finished_rgb):
        pixels.flags.writeable = False
    studio.grade(given)
    assert np.array_equal(before[0], given.attempt_rgb)
    assert np.array_equal(before[1], given.finished_rgb)


def test_nine_good_answers_do_not_buy_off_a_wrong_price(studio) -> None:
    result = studio.grade(says={"price": "¥189"})
    passed = [f.passed for f in result.findings if f.state == "measured"]
    assert sum(passed) / len(passed) >= 0.9, "passed over total would call it an A"
    assert result.letter == "C"


def test_reasons_are_sorted_worst_first(studio) -> None:
    result = studio.grade(name="mug", color=(226, 225, 221), plate="#2255cc", says={"price": "¥189"})
    assert "it should be '¥189'" in result.reasons[0]
    scores = {f.sentence: f.score for f in result.findings}
    rest = [scores[reason] for reason in result.reasons[1:]]
    assert len(rest) >= 2
    assert rest == sorted(rest)


def test_without_a_photo_the_product_is_compared_with_nothing_and_the_rest_is_still_asked(studio) -> None:
    given = dataclasses.replace(studio.shoot("phone", texts=()), cutout=None, placement=None, placed=None, mode="text")
    result = studio.grade(given)
    states = {f.check: f.state for f in result.findings}
    assert states["fidelity_structure"] == states["fidelity_colour"] == "not_applicable"
    assert states["sharpness"] == states["exposure_clipped"] == "measured", (
        "the product is seen before a plain backdrop"
    )


def test_a_check_that_breaks_caps_the_grade_and_says_so(studio, monkeypatch) -> None:
    def broken(evidence, rubric):
        raise ValueError("boom")

    checks = tuple(Check(c.name, broken, c.decisive) if c.name == "separation" else c for c in CHECKS)
    monkeypatch.setattr(grade_module, "CHECKS", checks)
    result = studio.grade()
    assert result.letter == "B"
    assert result.reasons == ("The check separation broke: ValueError: boom",)


def test_a_brand_colour_that_is_none_is_an_error_not_a_silent_a(studio) -> None:
    result = studio.grade(dataclasses.replace(studio.shoot(), palette=("red",)))
    assert result.letter == "B"
    assert "'red' is not a colour of the form #rrggbb" in result.reasons[0]


def test_wrong_arrays_are_refused_at_the_door(studio) -> None:
    given = studio.shoot(texts=())
    with pytest.raises(QualityError, match="must be"):
        dataclasses.replace(given, attempt_rgb=given.attempt_rgb.astype(np.float32))
    with pytest.raises(QualityError, match="placed"):
        dataclasses.replace(given, placed=np.zeros((8, 8, 4), np.uint8))


def test_the_grade_carries_the_rubric_it_was_made_by(studio) -> None:
    stricter = RUBRIC.model_copy(update={"a_from": 0.999})
    first = studio.grade(name="mug")
    second = grade(studio.shoot("mug"), stricter, reader=default_reader())
    assert first.rubric_hash == RUBRIC.hash
    assert first.grade_id != second.grade_id


@pytest.mark.parametrize("shape", [(64, 64), (1, 1), (3, 900), (2000, 10)])
def test_no_size_or_shape_of_picture_loses_the_grade(studio, shape) -> None:
    base = studio.shoot(texts=())
    pixels = np.random.default_rng(5).integers(0, 256, (*shape, 3)).astype(np.uint8)
    given = GradeInput(
        **{
            **{field.name: getattr(base, field.name) for field in dataclasses.fields(base)},
            "attempt_rgb": pixels,
            "finished_rgb": pixels,
            "cutout": None,
            "placement": None,
            "placed": None,
            "width_px": shape[1],
            "height_px": shape[0],
        }
    )
    result = studio.grade(given)
    assert not [f.sentence for f in result.findings if f.state == "error"]


# ---------------------------------------------------------------- arithmetic

scores = st.floats(0.0, 1.0)
found = st.lists(
    st.builds(
        lambda check, score, veto: Finding(check, "measured", check, 0.0, "", 0.0, score, score >= 0.6, veto),
        st.sampled_from([check.name for check in CHECKS]),
        scores,
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


@for_all(found)
def test_the_score_lies_between_the_worst_and_the_best(findings) -> None:
    values = [max(f.score, RUBRIC.score_floor) for f in findings]
    assert min(values) - 1e-6 <= score_of(findings, RUBRIC) <= max(values) + 1e-6


@for_all(found, st.integers(0, 19), scores)
def test_lowering_one_finding_never_raises_score_or_letter(findings, place, lower) -> None:
    old = findings[place % len(findings)]
    worse = dataclasses.replace(old, score=min(lower, old.score), passed=min(lower, old.score) >= 0.6)
    changed = [worse if f is old else f for f in findings]
    before, after = score_of(findings, RUBRIC), score_of(changed, RUBRIC)
    assert after <= before + 1e-6
    assert letter_of(after, changed, RUBRIC) >= letter_of(before, findings, RUBRIC)


@for_all(found)
def test_a_veto_is_a_c_and_a_failed_check_is_never_an_a(findings) -> None:
    letter = letter_of(score_of(findings, RUBRIC), findings, RUBRIC)
    if any(f.veto for f in findings):
        assert letter == "C"
    if any(not f.passed for f in findings):
        assert letter != "A"


def test_nothing_measured_is_not_good() -> None:
    assert score_of([], RUBRIC) == 0.0
    assert letter_of(0.0, [], RUBRIC) == "C"


def test_a_passing_check_cannot_outvote_a_failing_one_of_its_group() -> None:
    low = Finding("legibility_height", "measured", "small", 0.01, "", 0.02, 0.3, False)
    high = Finding("text_truth", "measured", "right", 1.0, "", 0.5, 1.0)
    assert score_of([low, high], RUBRIC) <= score_of([low], RUBRIC)
