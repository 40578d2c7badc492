from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_shots import attempt_of, finding, graded, shot_of

from zimage_core.domain import Attempt, Change, Finding, Grade, Mode, Verdict
from zimage_core.errors import ContentRefused
from zimage_core.imaging.overlay_layout import LAYOUT_COUNT
from zimage_core.quality.checks import CHECKS
from zimage_core.quality.policy import OVERLAY_LAYOUTS, next_verdict


def verdict(
    *findings: Finding, mode: Mode = "stage", reference: str | None = "mug.jpg", change=None, tries=3
) -> Verdict:
    history = [(attempt_of(1, change), graded("C", *findings))]
    return next_verdict(shot_of(mode, reference), history, max_attempts=tries)


def test_the_first_attempt_is_asked_for_as_planned() -> None:
    assert next_verdict(shot_of(), [], max_attempts=3).change == Change()
    assert next_verdict(shot_of(), [], max_attempts=0).kind == "give_up"


@pytest.mark.parametrize(("letter", "kind"), [("A", "accept"), ("B", "review")])
def test_an_a_is_accepted_and_a_b_waits_for_a_person(letter, kind) -> None:
    history = [(attempt_of(1), graded(letter, finding("separation", 0.5), score=0.8))]
    result = next_verdict(shot_of(), history, max_attempts=3)
    assert (result.kind, result.change) == (kind, None)


def test_a_lost_outline_asks_for_a_contrasting_then_a_plain_backdrop() -> None:
    melts = finding("separation", 0.1)
    first = verdict(melts)
    assert (first.kind, first.change.backdrop) == ("regenerate", "contrast")
    assert first.change.why == melts.sentence
    again = verdict(melts, change=first.change)
    assert again.change.backdrop == "plain"
    assert verdict(melts, change=again.change).kind == "regenerate", "contrast was not tried in this history"


@pytest.mark.parametrize("check", ["text_over_product", "legibility_contrast", "legibility_height", "text_truth"])
def test_text_that_fails_asks_for_another_layout_in_every_mode(check) -> None:
    for mode in ("packshot", "stage", "inpaint", "text"):
        assert verdict(finding(check, 0.2, veto=True), mode=mode).change.layout == 1


@pytest.mark.parametrize("check", ["sharpness", "exposure_dark", "noise", "blank", "unexpected_text", "resolution"])
def test_what_an_engine_drew_badly_asks_for_other_words(check) -> None:
    result = verdict(finding(check, 0.1, veto=True), mode="text", reference=None)
    assert (result.kind, result.change.wording) == ("regenerate", 1)


@pytest.mark.parametrize("mode", ["packshot", "stage", "inpaint"])
def test_a_blurred_reference_photo_is_made_once_more_with_fewer_pixels_and_then_given_up(mode) -> None:
    blurred = finding("sharpness", 0.05, veto=True)
    first = verdict(blurred, mode=mode)
    assert (first.kind, first.change.size) == ("regenerate", "smaller")
    history = [(attempt_of(1), graded("C", blurred)), (attempt_of(2, first.change), graded("C", blurred))]
    result = next_verdict(shot_of(mode=mode), history, max_attempts=5)
    assert result.kind == "give_up"
    assert result.reason.endswith("The reference photo is blurred; ask for a sharper photo of MUG-0101.")


def test_beside_a_blurred_photo_what_can_be_changed_is_changed_once() -> None:
    blurred, melts = finding("sharpness", 0.05, veto=True), finding("separation", 0.2)
    first = verdict(blurred, melts)
    assert (first.change.backdrop, first.change.size) == ("contrast", "smaller")
    history = [(attempt_of(1), graded("C", blurred, melts)), (attempt_of(2, first.change), graded("C", blurred, melts))]
    second = next_verdict(shot_of(), history, max_attempts=5)
    assert second.kind == "give_up"
    assert "ask for a sharper photo" in second.reason


def test_a_product_the_painter_changed_is_made_again_as_a_stage() -> None:
    result = verdict(finding("fidelity_structure", 0.1, veto=True), mode="inpaint")
    assert result.change.mode == "stage"
    assert verdict(finding("fidelity_structure", 0.1, veto=True), mode="stage").kind == "give_up"


def test_several_faults_are_cured_by_one_attempt() -> None:
    result = verdict(finding("separation", 0.2), finding("text_over_product", 0.1))
    assert (result.change.backdrop, result.change.layout) == ("contrast", 1)
    assert result.change.why == "text_over_product is 0.1.", "the worst finding is the reason"


def test_a_change_builds_on_the_one_before() -> None:
    result = verdict(finding("text_over_product", 0.1), change=Change(backdrop="contrast", wording=2))
    assert dataclasses.replace(result.change, why="") == Change(backdrop="contrast", wording=2, layout=1)


def test_the_budget_ends_with_the_best_attempt_and_its_reason() -> None:
    history = [
        (attempt_of(1), graded("C", finding("separation", 0.2), score=0.60)),
        (attempt_of(2, Change(backdrop="contrast")), graded("C", finding("separation", 0.1), score=0.40)),
    ]
    result = next_verdict(shot_of(), history, max_attempts=2)
    assert result.kind == "give_up"
    assert result.reason.startswith("All 2 attempts are used; attempt 1 was the best: separation is 0.2.")


def test_an_earlier_b_goes_to_a_person_rather_than_being_thrown_away() -> None:
    history = [
        (attempt_of(1), graded("B", finding("separation", 0.5), score=0.8)),
        (attempt_of(2, Change(wording=1)), graded("C", finding("separation", 0.1))),
    ]
    result = next_verdict(shot_of(), history, max_attempts=2)
    assert result.kind == "review"
    assert "Attempt 1" in result.reason


def test_an_engine_that_refuses_ends_the_shot_with_its_own_words() -> None:
    refused = attempt_of(1, error_code="EngineRefused", error="text mode is not offered")
    result = next_verdict(shot_of(), [(refused, None)], max_attempts=3)
    assert result == Verdict("give_up", "text mode is not offered")


def test_an_engine_that_was_busy_costs_no_attempt() -> None:
    busy = attempt_of(1, error_code="EngineBusy", error="busy", error_retryable=True)
    failed = (attempt_of(1), graded("C", finding("separation", 0.1)))
    assert next_verdict(shot_of(), [(busy, None)], max_attempts=1).change == Change()
    assert next_verdict(shot_of(), [failed, (busy, None)], max_attempts=2).kind == "regenerate"


def refused_for_content(number: int, change: Change | None = None) -> tuple[Attempt, None]:
    said = "The content filter objects to these words."
    return attempt_of(number, change, error_code=ContentRefused("").code, error=said), None


def test_words_that_a_content_filter_refuses_are_said_otherwise() -> None:
    result = next_verdict(shot_of(), [refused_for_content(1)], max_attempts=3)
    assert result.kind == "regenerate"
    assert dataclasses.replace(result.change, why="") == Change(wording=1)
    assert "content filter objects" in result.change.why


def test_other_words_keep_what_was_changed_before_and_were_never_used() -> None:
    history = [
        (attempt_of(1, Change(wording=2)), graded("C", finding("separation", 0.1))),
        refused_for_content(2, Change(wording=2, backdrop="contrast")),
    ]
    result = next_verdict(shot_of(), history, max_attempts=3)
    assert dataclasses.replace(result.change, why="") == Change(wording=3, backdrop="contrast")


def test_a_content_filter_that_refuses_every_wording_ends_the_shot_within_its_budget_with_advice() -> None:
    history = [refused_for_content(1), refused_for_content(2, Change(wording=1))]
    result = next_verdict(shot_of(), history, max_attempts=2)
    assert result.kind == "give_up"
    assert result.reason.startswith("All 2 attempts are used; attempt 2 was refused for its content")
    assert "MUG-0101" in result.reason


def test_a_content_refusal_at_the_end_does_not_hide_a_better_attempt_before_it() -> None:
    history = [
        (attempt_of(1), graded("B", finding("separation", 0.5), score=0.8)),
        refused_for_content(2, Change(wording=1)),
    ]
    result = next_verdict(shot_of(), history, max_attempts=2)
    assert (result.kind, result.attempt_id) == ("review", "a1")


def test_an_attempt_refused_for_its_content_counts_against_the_budget() -> None:
    history = [refused_for_content(1), (attempt_of(2, Change(wording=1)), graded("C", finding("separation", 0.1)))]
    assert next_verdict(shot_of(), history, max_attempts=3).kind == "regenerate"
    ended = next_verdict(shot_of(), history, max_attempts=2)
    assert ended.reason.startswith("All 2 attempts are used; attempt 2 was the best")


def test_the_layouts_are_as_many_as_the_overlay_has() -> None:
    assert OVERLAY_LAYOUTS == LAYOUT_COUNT


# ---------------------------------------------------------------- for any history

checks = st.sampled_from([check.name for check in CHECKS])
findings = st.lists(
    st.builds(lambda c, s, v: finding(c, s, veto=v), checks, st.floats(0, 1), st.booleans()), max_size=6
)
grades = st.builds(
    lambda letter, fs, s: graded(letter, *fs, score=s), st.sampled_from("ABC"), findings, st.floats(0, 1)
)
changes = st.builds(
    Change,
    st.integers(0, 3),
    st.sampled_from(["as_planned", "contrast", "plain"]),
    st.integers(0, 4),
    st.sampled_from([None, "packshot", "stage", "inpaint", "text"]),
    st.just(""),
)
modes = st.sampled_from(["packshot", "stage", "inpaint", "text"])
histories = st.lists(st.tuples(changes, st.one_of(grades, st.none()), st.booleans()), max_size=5)


@settings(deadline=None)
@given(modes, st.sampled_from([None, "mug.jpg"]), histories, st.integers(0, 5))
def test_any_history_gets_a_reasoned_verdict_and_never_a_change_it_had(mode, reference, history, tries) -> None:
    made = [
        (
            attempt_of(i, change, error_code=None if grade else "EngineBusy", error="no", error_retryable=retryable),
            grade,
        )
        for i, (change, grade, retryable) in enumerate(history, start=1)
    ]
    result = next_verdict(shot_of(mode, reference), made, max_attempts=tries)
    assert result.reason
    assert (result.change is not None) == (result.kind == "regenerate")
    if result.change is not None:
        had = [dataclasses.replace(a.change, why="") for a, grade in made if grade is not None]
        assert dataclasses.replace(result.change, why="") not in had
        assert len(had) < tries


answers = st.lists(st.one_of(grades, st.just(None)), min_size=8, max_size=8)


@settings(deadline=None)
@given(modes, st.sampled_from([None, "mug.jpg"]), answers, st.integers(1, 6))
def test_whatever_the_grades_and_content_refusals_every_shot_ends_within_its_budget(
    mode, reference, world, tries
) -> None:
    history: list[tuple[Attempt, Grade | None]] = []
    result = next_verdict(shot_of(mode, reference), history, max_attempts=tries)
    while result.kind == "regenerate":
        assert len(history) < tries
        number = len(history) + 1
        made = attempt_of(number, result.change), world[number - 1]
        history.append(refused_for_content(number, result.change) if made[1] is None else made)
        result = next_verdict(shot_of(mode, reference), history, max_attempts=tries)
    tried = [dataclasses.replace(attempt.change, why="") for attempt, _ in history]
    assert len(set(tried)) == len(tried)
    assert all(one != two for one, two in pairwise(tried))
