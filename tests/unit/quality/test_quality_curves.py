"""Every curve, of the shipped rubric and of any other: monotone, within 0 and 1, defined for every float there is."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zimage_core.errors import QualityError
from zimage_core.quality.checks import CHECKS
from zimage_core.quality.curves import Curve, Logistic, Ramp
from zimage_core.quality.findings import measured
from zimage_core.quality.grade import ask
from zimage_core.quality.rubric import load_rubric

RUBRIC = load_rubric()
SHIPPED: dict[str, Curve] = {check.name: RUBRIC.rule(check.name).curve for check in CHECKS} | {
    f"deviation {k} of {one.check}": one.curve for k, one in enumerate(RUBRIC.deviations) if one.curve is not None
}
ANY_FLOAT = st.floats(allow_nan=True, allow_infinity=True)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBER = st.floats(allow_nan=False, allow_infinity=True)
shipped = pytest.mark.parametrize("name", SHIPPED)


def rises(curve: Curve) -> bool:
    return curve.width > 0 if isinstance(curve, Logistic) else curve.points[0][1] < curve.points[-1][1]


@st.composite
def logistics(draw: st.DrawFn) -> Logistic:
    width = draw(FINITE.filter(lambda value: value != 0))
    return Logistic(kind="logistic", middle=draw(FINITE), width=width)


@st.composite
def ramps(draw: st.DrawFn) -> Ramp:
    values = sorted(draw(st.lists(FINITE, min_size=2, max_size=6, unique=True)))
    assume(all(low < high for low, high in pairwise(values)))
    count = len(values)
    scores = sorted(draw(st.lists(st.floats(0.0, 1.0), min_size=count, max_size=count)), reverse=draw(st.booleans()))
    assume(scores[0] != scores[-1])
    return Ramp(kind="ramp", points=tuple(zip(values, scores, strict=True)))


def check_bounded(curve: Curve, value: float) -> None:
    score = curve.score(value)
    assert 0.0 <= score <= 1.0, "NaN would fail here too"
    if math.isnan(value):
        assert score == 0.0, "what is not a number passes nothing"


def check_monotone(curve: Curve, one: float, two: float) -> None:
    low, high = sorted((one, two))
    first, second = curve.score(low), curve.score(high)
    assert first <= second if rises(curve) else first >= second


@shipped
@given(value=ANY_FLOAT)
def test_every_curve_of_the_rubric_stays_within_0_and_1_for_any_float(name: str, value: float) -> None:
    check_bounded(SHIPPED[name], value)


@shipped
@given(one=NUMBER, two=NUMBER)
def test_every_curve_of_the_rubric_is_monotone(name: str, one: float, two: float) -> None:
    check_monotone(SHIPPED[name], one, two)


@shipped
@given(one=st.floats(-2.0, 110.0), step=st.floats(0.0, 1.0))
def test_every_curve_of_the_rubric_is_monotone_where_values_are_measured(name: str, one: float, step: float) -> None:
    check_monotone(SHIPPED[name], one, one + step)


@shipped
def test_every_curve_of_the_rubric_reaches_its_ends(name: str) -> None:
    curve = SHIPPED[name]
    worst, best = sorted((curve.score(-math.inf), curve.score(math.inf)))
    assert best == 1.0, "a perfect picture loses nothing by this check"
    assert worst < RUBRIC.cap_below, "the worst there is does not pass"


@shipped
@given(score=st.floats(0.001, 0.999))
def test_a_value_found_for_a_score_has_that_score(name: str, score: float) -> None:
    curve = SHIPPED[name]
    ends = sorted((curve.score(-math.inf), curve.score(math.inf)))
    found = curve.value_at(score)
    assert math.isfinite(found)
    assert curve.score(found) == pytest.approx(min(max(score, ends[0]), ends[1]), abs=1e-6)


@given(curve=st.one_of(logistics(), ramps()), value=ANY_FLOAT)
def test_any_curve_that_can_be_written_stays_within_0_and_1(curve: Curve, value: float) -> None:
    check_bounded(curve, value)


@given(curve=st.one_of(logistics(), ramps()), one=NUMBER, two=NUMBER)
def test_any_curve_that_can_be_written_is_monotone(curve: Curve, one: float, two: float) -> None:
    check_monotone(curve, one, two)


@given(curve=ramps())
def test_a_ramp_goes_through_its_points(curve: Ramp) -> None:
    assert all(curve.score(value) == score for value, score in curve.points)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", [check.name for check in CHECKS])
def test_a_check_that_measures_no_value_is_an_error_and_no_pass(name: str, value: float) -> None:
    with pytest.raises(QualityError, match=f"The check {name} measured"):
        measured(RUBRIC, name, value, "levels", "Something was measured.")


@given(value=FINITE)
def test_a_finding_agrees_with_its_curve(value: float) -> None:
    finding = measured(RUBRIC, "grain", value, "levels", "Something was measured.")
    assert finding.score == pytest.approx(RUBRIC.rule("grain").curve.score(value), abs=1e-6)
    assert finding.passed == (RUBRIC.rule("grain").curve.score(value) >= RUBRIC.cap_below)


def test_such_a_check_holds_the_grade_at_b(studio) -> None:
    from zimage_core.quality.checks import Check
    from zimage_core.quality.evidence import Evidence
    from zimage_core.quality.grade import letter_of

    broken = Check("grain", lambda evidence, rubric: (measured(rubric, "grain", math.nan, "levels", "?"),))
    (finding,) = ask(broken, Evidence(studio.shoot(texts=()), studio), RUBRIC)
    assert finding.state == "error"
    assert letter_of(1.0, [finding], RUBRIC) == "B"
