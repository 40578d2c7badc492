from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_core.domain import Change, Regeneration
from zimage_core.errors import QualityError
from zimage_core.quality.cures import CURES
from zimage_core.quality.experience import (
    REMEDIES,
    Experience,
    Record,
    experience_of,
    read_experience,
    remedies_between,
)

OTHER_WORDS = Regeneration("studio", Change(), Change(wording=1), ("noise",), (), 2.0)


def test_without_history_the_guess_stands() -> None:
    assert Experience().chance("studio", "noise", "wording", 0.6) == pytest.approx(0.6)
    assert Experience().cost("studio", "noise", "size", 0.6) == pytest.approx(0.6)


def test_what_cured_before_is_likelier_and_what_did_not_less_likely() -> None:
    cured = experience_of([OTHER_WORDS] * 8)
    failed = experience_of([Regeneration("studio", Change(), Change(wording=1), ("noise",), ("noise",), 2.0)] * 8)
    assert cured.chance("studio", "noise", "wording", 0.6) == pytest.approx((4 * 0.6 + 8) / 12)
    assert failed.chance("studio", "noise", "wording", 0.6) == pytest.approx(4 * 0.6 / 12)


def test_an_engine_learns_for_itself_and_a_check_for_itself() -> None:
    learnt = experience_of([OTHER_WORDS] * 8)
    assert learnt.chance("comfyui", "noise", "wording", 0.6) == pytest.approx(0.6)
    assert learnt.chance("studio", "blank", "wording", 0.6) == pytest.approx(0.6)


def test_an_attempt_that_gave_no_picture_cured_nothing() -> None:
    assert experience_of([Regeneration("studio", Change(), Change(wording=1), ("noise",), None, 0.0)]).records == {
        ("studio", "noise", "wording"): Record(1, 0, 1.0)
    }


def test_costs_are_told_in_attempts_of_the_same_engine() -> None:
    dear = Regeneration("studio", Change(), Change(mode="stage"), ("noise",), (), 6.0)
    learnt = experience_of([OTHER_WORDS, dear])
    assert learnt.records["studio", "noise", "wording"].costs == pytest.approx(0.5)
    assert learnt.records["studio", "noise", "mode"].costs == pytest.approx(1.5)


def test_every_change_is_seen() -> None:
    after = Change(wording=2, backdrop="plain", layout=1, size="smaller", mode="stage")
    assert set(remedies_between(Change(), after)) == {"wording", "backdrop", "layout", "size", "mode"}
    assert remedies_between(Change(), Change(backdrop="palette")) == ("palette",)
    assert remedies_between(after, after) == ()


def test_every_remedy_of_the_table_is_one_that_can_be_told_from_a_change() -> None:
    assert {remedy for cures in CURES.values() for remedy in cures} <= set(REMEDIES)


def test_a_text_that_is_no_experience_is_refused() -> None:
    for text in ("{", "[[1]]", '[["studio","noise","wording",1,2,1.0]]'):
        with pytest.raises(QualityError):
            read_experience(text)


changes = st.builds(
    Change, st.integers(0, 3), st.sampled_from(["as_planned", "contrast", "plain", "palette"]), st.integers(0, 3)
)
checks = st.sets(st.sampled_from(sorted(CURES)), max_size=3).map(lambda some: tuple(sorted(some)))
steps = st.builds(
    Regeneration, st.sampled_from(["studio", "诺物"]), changes, changes, checks, checks | st.none(), st.floats(0, 100)
)


@given(st.lists(steps, max_size=20), st.sampled_from(REMEDIES), st.floats(0, 1))
def test_any_history_gives_chances_and_costs_and_reads_back_the_same(history, remedy, guess) -> None:
    learnt = experience_of(history)
    assert read_experience(learnt.to_text()).to_text() == learnt.to_text()
    for check in CURES:
        assert 0.0 <= learnt.chance("studio", check, remedy, guess) <= 1.0
        assert learnt.cost("studio", check, remedy, guess) > 0.0
