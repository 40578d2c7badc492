"""What the ledger promises, in SQLite and in PostgreSQL alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from made_up import (
    CONTRAST,
    NOON,
    RUN,
    attempt,
    decision,
    grade,
    judged,
    product,
    promise,
    rendition,
    shot,
)
from standing_clock import StandingClock

from zimage_core.domain import Refusal, Release, Run
from zimage_core.errors import LedgerError
from zimage_core.ledger import Ledger

# ---------------------------------------------------------------- runs


def test_a_run_opened_again_goes_on_and_the_ledger_says_so(ledger: Ledger, clock: StandingClock) -> None:
    assert ledger.open_run(RUN) is True
    clock.pass_s(60)
    assert ledger.open_run(RUN) is False
    assert [event.kind for event in ledger.events(RUN.run_id)] == ["opened", "resumed"]
    opening = ledger.last_opening()
    assert opening is not None
    assert opening.at == clock.now


def test_a_closed_run_shows_how_it_ended_and_runs_again_when_resumed(ledger: Ledger) -> None:
    ledger.open_run(RUN)
    ledger.record_event(RUN.run_id, "note", "the catalogue was read")
    assert ledger.runs()[0].state == "running"
    ledger.close_run(RUN.run_id, state="completed", detail="3 of 3")
    assert (ledger.runs()[0].state, ledger.runs()[0].detail) == ("completed", "3 of 3")
    ledger.open_run(RUN)
    assert ledger.runs()[0].state == "running"


def test_runs_come_newest_first_with_their_counts(ledger: Ledger) -> None:
    later = Run("double11-0000000000000002", "double11", "catalogue-2", "settings-1", NOON)
    ledger.open_run(RUN)
    ledger.open_run(later)
    ledger.promise([promise(1)])
    newest, oldest = ledger.runs(limit=5)
    assert (newest.run, newest.counts.promised) == (later, 0)
    assert (oldest.run, oldest.counts.promised) == (RUN, 1)
    assert len(ledger.runs(limit=1)) == 1


def test_a_run_that_was_never_opened_cannot_be_closed(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="never opened"):
        ledger.close_run("nobody", state="completed", detail="")


def test_refusals_are_kept_once_per_run_in_their_order(ledger: Ledger) -> None:
    refusals = [
        Refusal("extract", "price_missing", "The price is empty.", "MUG-0107", 7, "price", ""),
        Refusal("plan", "no_mode", "No engine can do it.", None, None),
    ]
    assert ledger.record_refusals(RUN.run_id, refusals) == 2
    assert ledger.record_refusals(RUN.run_id, refusals) == 0
    assert ledger.record_refusals("another run", refusals[:1]) == 1
    assert ledger.refusals(RUN.run_id) == refusals


# ---------------------------------------------------------------- promises


def test_a_promise_comes_back_as_it_was_made(ledger: Ledger) -> None:
    made = [promise(2), promise(1), promise(3, shard_id="shard-2")]
    assert ledger.promise(made) == 3
    assert ledger.promises(RUN.run_id) == [promise(1), promise(2), promise(3, shard_id="shard-2")]
    assert ledger.promises(RUN.run_id, "shard-2") == [promise(3, shard_id="shard-2")]
    assert ledger.promised_shards(RUN.run_id) == ("shard-1", "shard-2")


def test_promising_again_promises_nothing_new(ledger: Ledger) -> None:
    ledger.promise([promise(1), promise(1)])
    assert ledger.promise([promise(1), promise(2)]) == 1
    assert len(ledger.promises(RUN.run_id)) == 2


def test_each_run_keeps_the_price_it_was_promised_at(ledger: Ledger) -> None:
    ledger.promise([promise(1, price="59.00")])
    ledger.promise([promise(1, run_id="next", price="49.00")])
    assert str(ledger.promises(RUN.run_id)[0].product.price) == "59.00"
    assert str(ledger.promises("next")[0].product.price) == "49.00"


def test_the_same_product_in_another_row_keeps_its_own_record_number(ledger: Ledger) -> None:
    moved = replace(promise(1, run_id="next"), product=replace(product(1), record_no=99))
    ledger.promise([promise(1)])
    ledger.promise([moved])
    assert [p.product.record_no for p in (*ledger.promises(RUN.run_id), *ledger.promises("next"))] == [1, 99]


def test_more_promises_than_one_batch_holds_come_back_in_order(ledger: Ledger) -> None:
    assert ledger.promise(promise(n, shard_id=f"shard-{n // 400}") for n in range(1, 1203)) == 1202
    assert [p.ordinal for p in ledger.iter_promises(RUN.run_id)] == list(range(1, 1203))


# ---------------------------------------------------------------- attempts


def test_an_attempt_is_kept_once_and_comes_back_whole(ledger: Ledger) -> None:
    made = [attempt(1, 2, CONTRAST), attempt(1), attempt(2, error="It does not do that.")]
    assert ledger.record_attempts(RUN.run_id, made) == 3
    assert ledger.record_attempts("another run", made) == 0
    found = ledger.attempts([shot(1).shot_id, shot(2).shot_id, shot(3).shot_id])
    assert found[shot(1).shot_id] == [attempt(1), attempt(1, 2, CONTRAST)]
    assert found[shot(2).shot_id] == [attempt(2, error="It does not do that.")]
    assert found[shot(3).shot_id] == []
    assert ledger.attempts_by_id([attempt(1).attempt_id, "nobody"]) == {attempt(1).attempt_id: attempt(1)}


def test_a_failure_that_may_pass_does_not_take_the_attempts_place(ledger: Ledger) -> None:
    busy = attempt(1, error="The engine is busy.", retryable=True)
    assert ledger.record_attempts(RUN.run_id, [busy]) == 0
    assert ledger.attempts([busy.shot_id])[busy.shot_id] == []
    assert ledger.failures([busy.shot_id])[busy.shot_id] == [busy]
    assert ledger.record_attempts(RUN.run_id, [attempt(1)]) == 1
    assert ledger.attempts([busy.shot_id])[busy.shot_id] == [attempt(1)]


def test_every_failed_try_is_remembered(ledger: Ledger) -> None:
    busy = attempt(1, error="The engine is busy.", retryable=True)
    ledger.record_failures(RUN.run_id, [busy])
    ledger.record_failures(RUN.run_id, [busy])
    assert len(ledger.failures([busy.shot_id])[busy.shot_id]) == 2
    assert ledger.tally(RUN.run_id).engine_seconds == 1.0


def test_asking_about_thousands_of_shots_is_one_question(ledger: Ledger) -> None:
    ledger.record_attempts(RUN.run_id, [attempt(n) for n in range(1200)])
    found = ledger.attempts([shot(n).shot_id for n in range(1200)])
    assert all(found[shot(n).shot_id] == [attempt(n)] for n in range(1200))


# ---------------------------------------------------------------- grades, verdicts, decisions


def test_a_grade_is_kept_once_with_its_findings(ledger: Ledger) -> None:
    good = grade(attempt(1), "B")
    assert ledger.record_grades([good]) == 1
    second_look = replace(good, score=0.1, letter="C", findings=good.findings[:1])
    assert ledger.record_grades([second_look, good]) == 0
    assert ledger.grades([attempt(1).attempt_id, "nobody"]) == {attempt(1).attempt_id: [good], "nobody": []}


def test_another_overlay_or_rubric_is_another_grade(ledger: Ledger) -> None:
    one = grade(attempt(1))
    other_price, other_rubric = grade(attempt(1), finished_key="finished-2"), grade(attempt(1), "B", rubric="rubric-2")
    assert ledger.record_grades([one, other_price, other_rubric]) == 3
    assert ledger.grade(one.attempt_id, "finished-1", "rubric-2") == other_rubric
    assert ledger.grade(one.attempt_id, "finished-9", "rubric-1") is None


def test_the_latest_verdict_on_an_attempt_counts(ledger: Ledger) -> None:
    one, before, after = attempt(1), grade(attempt(1), "C"), grade(attempt(1), "A", rubric="rubric-2")
    ledger.record_grades([before, after])
    assert ledger.record_verdicts(RUN.run_id, [judged(one, "regenerate", before, CONTRAST)]) == 1
    assert ledger.record_verdicts(RUN.run_id, [judged(one, "accept", after)]) == 1
    assert ledger.record_verdicts(RUN.run_id, [judged(one, "accept", after)]) == 0
    assert ledger.verdicts(RUN.run_id, [one.shot_id])[one.attempt_id].verdict.kind == "accept"
    assert ledger.verdict_grades([one.attempt_id]) == {one.attempt_id: after}


def test_a_verdict_belongs_to_its_run(ledger: Ledger) -> None:
    one = attempt(1)
    ledger.record_verdicts(RUN.run_id, [judged(one)])
    assert ledger.verdicts("next", [one.shot_id]) == {}
    assert ledger.verdict_grades([one.attempt_id], run_id="next") == {}


def test_decisions_are_kept_in_order_and_the_last_one_counts(ledger: Ledger) -> None:
    first, second = decision(attempt(1), "reject", why="too dark"), decision(attempt(1), "approve", who="王敏")
    assert ledger.record_decisions([first, second]) == 2
    assert ledger.record_decisions([first]) == 0
    assert ledger.decisions([attempt(1).attempt_id]) == {attempt(1).attempt_id: [first, second]}


# ---------------------------------------------------------------- publishing


def test_renditions_are_kept_per_run_and_found_by_id_from_any(ledger: Ledger) -> None:
    files = [rendition(attempt(1), channel) for channel in ("taobao_main", "wechat_moments")]
    assert ledger.record_renditions(RUN.run_id, files) == 2
    assert ledger.record_renditions("next", files[:1]) == 1
    assert ledger.renditions([files[1].rendition_id, "nobody"]) == {files[1].rendition_id: files[1]}
    assert ledger.run_renditions("next") == files[:1]
    assert ledger.run_renditions(RUN.run_id, ["nobody"]) == []


def test_what_went_live_is_told_newest_first_and_a_repeat_is_no_news(ledger: Ledger) -> None:
    one, two = (Release(f"release-{n}", "double11", f"manifests/{n}.json", n) for n in (1, 2))
    assert ledger.record_release(RUN.run_id, one, "published") is True
    assert ledger.record_release(RUN.run_id, one, "published") is False
    assert ledger.record_release(RUN.run_id, two, "published") is True
    assert ledger.record_release(None, one, "rolled_back") is True
    assert ledger.record_release(RUN.run_id, two, "published") is True
    told = [(event.release.release_id, event.kind, event.run_id) for event in ledger.releases("double11")]
    assert told[:2] == [("release-2", "published", RUN.run_id), ("release-1", "rolled_back", None)]
    assert ledger.releases("black_friday") == []


# ---------------------------------------------------------------- where shots stand


def tell(ledger: Ledger) -> None:
    """Nine shots, each with another story."""
    ledger.promise([promise(n, shard_id=f"shard-{1 + n // 5}") for n in range(1, 10)])
    made = {n: attempt(n) for n in range(1, 9) if n != 7}
    again = attempt(2, 2, CONTRAST)
    grades = {n: grade(made[n], letter) for n, letter in ((1, "A"), (2, "C"), (3, "B"), (4, "B"), (5, "C"))}
    better = grade(again, "A")
    ledger.record_attempts(RUN.run_id, [*made.values(), again])
    ledger.record_attempts(RUN.run_id, [attempt(7, error="The engine is busy.", retryable=True)])
    ledger.record_grades([*grades.values(), better])
    ledger.record_verdicts(
        RUN.run_id,
        [
            judged(made[1], "accept", grades[1]),
            judged(made[2], "regenerate", grades[2], CONTRAST),
            judged(again, "accept", better),
            judged(made[3], "review", grades[3]),
            judged(made[4], "review", grades[4]),
            judged(made[5], "give_up", grades[5]),
            judged(made[6], "regenerate", None, CONTRAST),
        ],
    )
    ledger.record_decisions([decision(made[4], "reject", why="too dark")])
    ledger.record_renditions(RUN.run_id, [rendition(made[1]), rendition(made[1], "wechat_moments")])


STORY = ["accepted", "accepted", "doubtful", "given_up", "given_up", "promised", "failed", "promised", "promised"]


def test_outcomes_tell_every_story_to_its_end(ledger: Ledger) -> None:
    tell(ledger)
    outcomes = list(ledger.outcomes(RUN.run_id))
    assert [outcome.state for outcome in outcomes] == STORY
    assert [outcome.promise.ordinal for outcome in outcomes] == list(range(1, 10))
    made_again = outcomes[1]
    assert [a.number for a in made_again.attempts] == [1, 2]
    assert [g.letter for g in made_again.grades] == ["C", "A"]
    assert made_again.chosen == attempt(2, 2, CONTRAST)
    assert [file.channel for file in outcomes[0].renditions] == ["taobao_main", "wechat_moments"]
    assert outcomes[2].chosen == attempt(3)
    rejected = outcomes[3]
    assert (rejected.chosen, rejected.reason) == (None, "rejected by 李倩: too dark")
    assert rejected.decision == decision(attempt(4), "reject", why="too dark")
    assert outcomes[6].reason == "The engine is busy."


def test_the_tally_agrees_with_the_outcomes(ledger: Ledger) -> None:
    tell(ledger)
    states = Counter(outcome.state for outcome in ledger.outcomes(RUN.run_id))
    letters = Counter(outcome.grade.letter for outcome in ledger.outcomes(RUN.run_id) if outcome.grade)
    tally = ledger.tally(RUN.run_id)
    assert (tally.promised, tally.attempts) == (9, 8)
    counted = (tally.accepted, tally.doubtful, tally.given_up, tally.failed, tally.pending)
    assert counted == tuple(states[s] for s in ("accepted", "doubtful", "given_up", "failed", "promised"))
    assert tally.letters == letters
    assert (tally.engine_seconds, tally.cost_usd) == (4.5, 2.25)


def test_the_tally_follows_what_happens_after_it_was_taken(ledger: Ledger) -> None:
    tell(ledger)
    assert ledger.tally(RUN.run_id).doubtful == 1
    ledger.record_decisions([decision(attempt(3), "approve")])
    assert (ledger.tally(RUN.run_id).doubtful, ledger.tally(RUN.run_id).accepted) == (0, 3)
    ledger.record_decisions([decision(attempt(3), "regenerate", at=NOON + timedelta(hours=1))])
    assert (ledger.tally(RUN.run_id).accepted, ledger.tally(RUN.run_id).pending) == (2, 4)
    ledger.record_failures(RUN.run_id, [attempt(9, error="Out of memory.", retryable=True)])
    assert ledger.tally(RUN.run_id).failed == 2


def test_standings_name_what_each_shot_needs_next(ledger: Ledger) -> None:
    tell(ledger)
    needs = [standing.needs for _, standing in ledger.standings(RUN.run_id)]
    assert needs == ["nothing"] * 5 + ["render", "render", "grade", "render"]
    wanted = [shot(6).shot_id, shot(8).shot_id]
    found = [(p.ordinal, s.needs) for p, s in ledger.standings(RUN.run_id, shot_ids=wanted)]
    assert found == [(6, "render"), (8, "grade")]
    assert [p.ordinal for p, _ in ledger.standings(RUN.run_id, "shard-1", shot_ids=wanted)] == []


def test_a_run_at_a_new_price_finds_the_attempts_and_judges_them_anew(ledger: Ledger) -> None:
    tell(ledger)
    ledger.promise([promise(1, run_id="next", price="49.00")])
    ((_, standing),) = ledger.standings("next")
    assert (standing.needs, standing.attempt) == ("grade", attempt(1))
    assert ledger.tally("next").cost_usd == 0.0
