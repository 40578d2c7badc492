"""Policy that learns: which change is tried first, how far a picture is made safer, and when nothing is worth it."""

from __future__ import annotations

import dataclasses

import pytest
from judged_shots import attempt_of, finding, graded, shot_of

from zimage_core.domain import Change, Finding, Likeness, Mode, Regeneration, Verdict
from zimage_core.quality.experience import Experience, experience_of
from zimage_core.quality.likeness import with_likenesses
from zimage_core.quality.policy import next_verdict

ALL_MODES: tuple[Mode, ...] = ("packshot", "stage", "inpaint", "text")
TEXT = finding("unexpected_text", 0.1, veto=True)


def verdict(*history: tuple[Change, Finding], experience: Experience | None = None, modes=ALL_MODES, mode="inpaint"):
    made = [(attempt_of(n, change), graded("C", found)) for n, (change, found) in enumerate(history, 1)]
    return next_verdict(shot_of(mode), made, max_attempts=6, experience=experience or Experience(), modes=modes)


def learnt(check: str, after: Change, cured: bool, times: int) -> list[Regeneration]:
    return [Regeneration("studio", Change(), after, (check,), () if cured else (check,), 1.0)] * times


def bare(result: Verdict) -> Change:
    assert result.change is not None
    return dataclasses.replace(result.change, why="")


def test_the_table_decides_first_and_the_history_when_it_says_otherwise() -> None:
    assert bare(verdict((Change(), TEXT))) == Change(wording=1)
    history = learnt("unexpected_text", Change(wording=1), False, 12)
    history += learnt("unexpected_text", Change(mode="stage"), True, 6)
    assert bare(verdict((Change(), TEXT), experience=experience_of(history))) == Change(mode="stage")


def test_the_same_history_gives_the_same_decision() -> None:
    experience = experience_of(learnt("unexpected_text", Change(wording=1), False, 5))
    first = verdict((Change(), TEXT), experience=experience)
    assert all(verdict((Change(), TEXT), experience=experience) == first for _ in range(5))


def test_a_cheaper_change_goes_before_an_equally_likely_one() -> None:
    dear = [Regeneration("studio", Change(), Change(wording=1), ("unexpected_text",), (), 9.0)] * 20
    cheap = [Regeneration("studio", Change(), Change(mode="stage"), ("unexpected_text",), (), 1.0)] * 20
    assert bare(verdict((Change(), TEXT), experience=experience_of(dear + cheap))) == Change(mode="stage")


def test_what_failed_on_this_very_shot_is_tried_after_what_did_not() -> None:
    assert bare(verdict((Change(), TEXT), (Change(wording=1), TEXT))) == Change(wording=1, mode="stage")


def test_a_change_that_never_cured_is_not_paid_for() -> None:
    blank = finding("blank", 0.0, veto=True)
    hopeless = experience_of(learnt("blank", Change(wording=1), False, 60))
    assert verdict((Change(), blank), mode="stage").kind == "regenerate"
    ended = verdict((Change(), blank), mode="stage", experience=hopeless)
    assert ended.kind == "give_up"
    assert "check its safety filter" in ended.reason


def test_a_product_that_is_not_kept_is_made_safer_step_by_step_as_far_as_the_engine_goes() -> None:
    lost = finding("fidelity_structure", 0.1, veto=True)
    staged = verdict((Change(), lost))
    assert bare(staged) == Change(mode="stage")
    packed = verdict((Change(), lost), (bare(staged), lost))
    assert bare(packed) == Change(mode="packshot")
    assert verdict((Change(), lost), (bare(staged), lost), (bare(packed), lost)).kind == "give_up"
    assert bare(verdict((Change(), lost), modes=("packshot", "inpaint"))) == Change(mode="packshot")
    assert verdict((Change(), lost), modes=("inpaint", "text")).kind == "give_up"


def test_a_tint_is_answered_with_the_palettes_words_and_then_with_others() -> None:
    tinted = finding("colour_cast", 0.1, veto=True)
    first = verdict((Change(), tinted), mode="stage")
    assert bare(first) == Change(backdrop="palette")
    assert bare(verdict((Change(), tinted), (bare(first), tinted), mode="stage")) == Change(
        wording=1, backdrop="palette"
    )


def repeated(kind: str = "repeated_picture") -> Likeness:
    return Likeness(kind, "a1", "other", "MUG-9", "lifestyle", 0.4)  # type: ignore[arg-type]


def test_a_repeated_picture_is_made_in_other_words_and_left_to_a_person_when_that_does_not_help() -> None:
    good = graded("A", finding("separation", 0.95), score=0.95)
    history = [(attempt_of(1), with_likenesses(good, [repeated()]))]
    first = next_verdict(shot_of("stage"), history, max_attempts=2)
    assert (first.kind, bare(first)) == ("regenerate", Change(wording=1))
    assert first.change is not None
    assert "lifestyle" in first.change.why
    history.append((attempt_of(2, first.change), with_likenesses(good, [repeated()])))
    assert next_verdict(shot_of("stage"), history, max_attempts=2).kind == "review"


def test_a_packshot_that_repeats_cannot_be_made_another() -> None:
    history = [(attempt_of(1), with_likenesses(graded("A", score=0.95), [repeated()]))]
    assert next_verdict(shot_of("packshot"), history, max_attempts=3).kind == "review"


@pytest.mark.parametrize(("letter", "kind"), [("A", "review"), ("B", "review"), ("C", "regenerate")])
def test_a_photo_sold_twice_waits_for_a_person_unless_the_picture_is_bad_anyway(letter, kind) -> None:
    bad = finding("separation", 0.1) if letter == "C" else finding("separation", 0.95)
    history = [(attempt_of(1), with_likenesses(graded(letter, bad, score=0.9), [repeated("sold_twice")]))]
    result = next_verdict(shot_of("stage"), history, max_attempts=3)
    assert result.kind == kind
    assert letter == "C" or "MUG-9" in result.reason
