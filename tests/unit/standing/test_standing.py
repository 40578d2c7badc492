"""The walk that decides what every shot needs next."""

import dataclasses
from datetime import UTC, datetime, timedelta

from zimage_core.domain import Attempt, Change, Decision, Verdict, attempt_id_of, seed_of
from zimage_core.standing import standing_of

SHOT = "0123456789abcdef"
NOTHING = Change()


def made(number: int, change: Change = NOTHING) -> Attempt:
    return Attempt(
        attempt_id=attempt_id_of(SHOT, number, change),
        shot_id=SHOT,
        number=number,
        seed=seed_of(SHOT, number),
        change=change,
        engine="studio",
        engine_fingerprint="studio-1",
        object_key="attempts/x.png",
        sha256="00",
        width_px=8,
        height_px=8,
        placement=None,
        seconds=0.1,
        cost_usd=0.0,
    )


def by_id(*attempts: Attempt) -> dict[str, Attempt]:
    return {a.attempt_id: a for a in attempts}


def decided(attempt: Attempt, kind: str, why: str = "") -> dict[str, Decision]:
    return {attempt.attempt_id: Decision(attempt.attempt_id, kind, "mei", why, datetime(2026, 1, 1, tzinfo=UTC))}


DARKER = Change(backdrop="contrast", why="the mug does not stand out")


def test_a_new_promise_needs_its_first_attempt_unchanged():
    standing = standing_of(SHOT, {}, {}, {}, {})
    assert (standing.state, standing.needs, standing.number, standing.change) == ("promised", "render", 1, Change())


def test_a_retryable_failure_shows_as_failed_and_the_same_attempt_is_asked_for_again():
    failures = {attempt_id_of(SHOT, 1, Change()): "the engine was busy"}
    standing = standing_of(SHOT, {}, {}, {}, failures)
    assert (standing.state, standing.needs, standing.number) == ("failed", "render", 1)
    assert standing.reason == "the engine was busy"


def test_an_attempt_without_a_verdict_of_this_run_is_graded_not_made_again():
    standing = standing_of(SHOT, by_id(made(1)), {}, {}, {})
    assert (standing.needs, standing.attempt) == ("grade", made(1))


def test_a_c_leads_to_the_next_attempt_with_the_change_the_verdict_named():
    first = made(1)
    verdicts = {first.attempt_id: Verdict("regenerate", "too pale", DARKER)}
    standing = standing_of(SHOT, by_id(first), verdicts, {}, {})
    assert (standing.needs, standing.number, standing.change) == ("render", 2, DARKER)
    second = made(2, DARKER)
    verdicts[second.attempt_id] = Verdict("accept", "A")
    standing = standing_of(SHOT, by_id(first, second), verdicts, {}, {})
    assert (standing.state, standing.attempt, len(standing.chain)) == ("accepted", second, 2)


def test_an_attempt_made_for_another_change_is_not_taken_for_this_one():
    first, other = made(1), made(2, Change(backdrop="plain"))
    verdicts = {first.attempt_id: Verdict("regenerate", "too pale", DARKER), other.attempt_id: Verdict("accept", "A")}
    standing = standing_of(SHOT, by_id(first, other), verdicts, {}, {})
    assert (standing.needs, standing.number, standing.change) == ("render", 2, DARKER)


def test_a_doubtful_attempt_waits_until_a_person_speaks():
    first = made(1)
    verdicts = {first.attempt_id: Verdict("review", "B: a little soft")}
    assert standing_of(SHOT, by_id(first), verdicts, {}, {}).state == "doubtful"
    assert standing_of(SHOT, by_id(first), verdicts, decided(first, "approve"), {}).state == "accepted"
    rejected = standing_of(SHOT, by_id(first), verdicts, decided(first, "reject", "wrong mood"), {})
    assert (rejected.state, rejected.reason) == ("given_up", "rejected by mei: wrong mood")


def test_a_person_may_ask_for_another_even_of_an_accepted_picture():
    first = made(1)
    verdicts = {first.attempt_id: Verdict("accept", "A")}
    standing = standing_of(SHOT, by_id(first), verdicts, decided(first, "regenerate", "more air"), {})
    assert (standing.needs, standing.number, standing.change.wording) == ("render", 2, 1)
    assert "mei asked for another: more air" in standing.change.why


def test_an_approval_given_before_the_verdict_learnt_something_does_not_count():
    first = made(1)
    learnt = datetime(2026, 1, 2, tzinfo=UTC)
    verdicts = {first.attempt_id: Verdict("review", "the moderation service wants a person", since=learnt)}
    early, late = decided(first, "approve"), decided(first, "approve")
    late[first.attempt_id] = dataclasses.replace(late[first.attempt_id], decided_at=learnt + timedelta(seconds=1))
    assert standing_of(SHOT, by_id(first), verdicts, early, {}).state == "doubtful"
    assert standing_of(SHOT, by_id(first), verdicts, late, {}).state == "accepted"


def test_a_rejection_or_a_wish_for_another_counts_whenever_it_was_made():
    first = made(1)
    verdicts = {first.attempt_id: Verdict("accept", "allowed", since=datetime(2026, 1, 2, tzinfo=UTC))}
    assert standing_of(SHOT, by_id(first), verdicts, decided(first, "reject"), {}).state == "given_up"
    assert standing_of(SHOT, by_id(first), verdicts, decided(first, "regenerate"), {}).needs == "render"


def test_a_decision_cannot_publish_what_the_verdict_gave_up():
    first = made(1)
    verdicts = {first.attempt_id: Verdict("give_up", "the price cannot be read")}
    standing = standing_of(SHOT, by_id(first), verdicts, decided(first, "approve"), {})
    assert (standing.state, standing.reason) == ("given_up", "the price cannot be read")


def test_when_the_last_verdict_means_an_earlier_attempt_that_one_is_shown_to_the_person():
    first = made(1)
    anew = decided(first, "regenerate")
    second = made(2, standing_of(SHOT, by_id(first), {first.attempt_id: Verdict("review", "B")}, anew, {}).change)
    verdicts = {
        first.attempt_id: Verdict("review", "B"),
        second.attempt_id: Verdict("review", "the first stayed the best", attempt_id=first.attempt_id),
    }
    standing = standing_of(SHOT, by_id(first, second), verdicts, anew, {})
    assert (standing.state, standing.attempt) == ("doubtful", first)
    said = decided(first, "approve")
    standing = standing_of(SHOT, by_id(first, second), verdicts, said, {})
    assert (standing.state, standing.attempt) == ("accepted", first)
    assert standing_of(SHOT, by_id(first, second), verdicts, decided(first, "reject"), {}).state == "given_up"
    of_the_last = anew | decided(second, "approve")
    standing = standing_of(SHOT, by_id(first, second), verdicts, of_the_last, {})
    assert (standing.state, standing.attempt) == ("accepted", second)
