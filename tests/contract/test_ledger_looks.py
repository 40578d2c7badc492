"""What the ledger keeps of how pictures look and of what making them again has brought, in both databases alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from made_up import CONTRAST, NOON, RUN, attempt, decision, grade, judged, promise, shot
from standing_clock import StandingClock

from zimage_core.domain import Change, Likeness, Regeneration, Run, Signature
from zimage_core.ledger import Ledger

BEFORE = Run("618-0000000000000009", "618", "catalogue-0", "settings-0", NOON)
LATER = Run("everyday-000000000007", "everyday", "catalogue-7", "settings-7", NOON)


def signature(n: int, number: int = 1, picture: str = "p", product: str | None = "q") -> Signature:
    return Signature(attempt(n, number).attempt_id, "cells-1", picture, product)


def likeness(n: int, other: int, far: float = 0.25) -> Likeness:
    return Likeness("sold_twice", attempt(n).attempt_id, attempt(other).attempt_id, f"MUG-{other:04d}", "studio", far)


def keep(ledger: Ledger, run: Run, *numbers: int, kind: str = "accept") -> None:
    """Open a run that keeps these shots' first attempts, signed."""
    ledger.open_run(run)
    ledger.promise([promise(n, run_id=run.run_id) for n in numbers])
    ledger.record_attempts(run.run_id, [attempt(n) for n in numbers])
    ledger.record_signatures([signature(n, picture=f"p{n}") for n in numbers])
    ledger.record_verdicts(run.run_id, [judged(attempt(n), kind) for n in numbers])  # type: ignore[arg-type]


def kept(ledger: Ledger, run: Run = RUN, **only: list[str]) -> list[str]:
    return sorted(one.sku for one in ledger.kept_elsewhere(run.run_id, "cells-1", **only))


def test_the_first_signature_of_an_attempt_and_version_stays(ledger: Ledger) -> None:
    assert ledger.record_signatures([signature(1), signature(2, product=None)]) == 2
    assert ledger.record_signatures([signature(1, picture="another")]) == 0
    asked = [attempt(n).attempt_id for n in (1, 2, 3)]
    assert ledger.signatures(asked, "cells-1") == {asked[0]: signature(1), asked[1]: signature(2, product=None)}
    assert ledger.signatures(asked, "cells-2") == {}
    assert ledger.record_signatures([replace(signature(1), version="cells-2")]) == 1


def test_a_pair_keeps_the_moment_it_was_first_found(ledger: Ledger, clock: StandingClock) -> None:
    first = clock.now
    assert ledger.record_likenesses([likeness(2, 1)]) == 1
    clock.pass_s(3600)
    assert ledger.record_likenesses([likeness(2, 1, far=0.9), likeness(2, 3)]) == 1
    found = ledger.likenesses([attempt(2).attempt_id, "nobody"])
    assert list(found) == [attempt(2).attempt_id]
    assert [(pair.likeness, pair.at) for pair in found[attempt(2).attempt_id]] == [
        (likeness(2, 1), first),
        (likeness(2, 3), clock.now),
    ]


def test_what_other_runs_keep_is_accepted_or_waits_and_is_signed(ledger: Ledger) -> None:
    keep(ledger, BEFORE, 1, kind="accept")
    keep(ledger, BEFORE, 2, kind="review")
    keep(ledger, BEFORE, 3, kind="give_up")
    ledger.record_verdicts(BEFORE.run_id, [judged(attempt(4), "accept")])  # never signed
    ledger.open_run(RUN)
    assert kept(ledger) == ["MUG-0001", "MUG-0002"]
    assert kept(ledger, skus=["MUG-0002", "MUG-0003"]) == ["MUG-0002"]
    assert kept(ledger, BEFORE) == [], "a run is not another one to itself"


def test_what_a_person_rejected_is_not_kept(ledger: Ledger) -> None:
    keep(ledger, BEFORE, 1, 2, kind="review")
    ledger.record_decisions([decision(attempt(1), "reject"), decision(attempt(2), "reject")])
    ledger.record_decisions([decision(attempt(2), "approve", at=NOON + timedelta(hours=1))])
    assert kept(ledger) == ["MUG-0002"]


def test_the_last_verdict_of_a_run_counts(ledger: Ledger) -> None:
    keep(ledger, BEFORE, 1, kind="accept")
    ledger.record_verdicts(BEFORE.run_id, [judged(attempt(1), "give_up")])
    assert kept(ledger) == []


def test_what_a_run_promises_itself_takes_the_place_of_what_there_was(ledger: Ledger) -> None:
    keep(ledger, BEFORE, 1, 2)
    ledger.promise([promise(1)])
    assert kept(ledger) == ["MUG-0002"]


def test_of_several_runs_the_one_opened_last_counts(ledger: Ledger) -> None:
    keep(ledger, BEFORE, 1)
    keep(ledger, LATER, 1, kind="give_up")
    assert kept(ledger) == [], "the later run gave the shot up: there is no such picture any more"


def test_the_product_of_a_shot_is_the_one_promised_last(ledger: Ledger) -> None:
    ledger.promise([promise(1, run_id=BEFORE.run_id, price="59.00")])
    ledger.promise([promise(1, price="49.00")])
    found = ledger.products([shot(1).shot_id, "nobody"])
    assert {shot_id: str(product.price) for shot_id, product in found.items()} == {shot(1).shot_id: "49.00"}


# ---------------------------------------------------------------- what making again has brought


def made_again(ledger: Ledger, n: int, letter: str, run_id: str = RUN.run_id) -> None:
    first, again = attempt(n), attempt(n, 2, CONTRAST)
    grades = grade(first, "C"), grade(again, letter)  # type: ignore[arg-type]
    ledger.record_attempts(run_id, [first, again])
    ledger.record_grades(grades)
    ledger.record_verdicts(
        run_id, [judged(first, "regenerate", grades[0], CONTRAST), judged(again, "accept", grades[1])]
    )


def test_a_regeneration_names_what_failed_what_was_changed_and_what_is_left(
    ledger: Ledger, clock: StandingClock
) -> None:
    made_again(ledger, 1, "A")
    made_again(ledger, 2, "C")
    clock.pass_s(1)
    cured = Regeneration("studio", Change(), CONTRAST, ("contrast",), (), 0.5)
    assert ledger.regenerations(clock.now) == [cured, replace(cured, left=("contrast",))]


def test_history_ends_at_the_moment_that_is_asked_for(ledger: Ledger, clock: StandingClock) -> None:
    made_again(ledger, 1, "A")
    clock.pass_s(60)
    moment = clock.now
    clock.pass_s(60)
    made_again(ledger, 2, "A")
    assert len(ledger.regenerations(moment)) == 1
    assert len(ledger.regenerations(clock.now)) == 1, "what happens at that very moment is not yet history"


def test_an_attempt_that_is_not_judged_yet_has_brought_nothing(ledger: Ledger, clock: StandingClock) -> None:
    first = attempt(1)
    ledger.record_attempts(RUN.run_id, [first, attempt(1, 2, CONTRAST)])
    ledger.record_grades([grade(first, "C")])
    ledger.record_verdicts(RUN.run_id, [judged(first, "regenerate", grade(first, "C"), CONTRAST)])
    clock.pass_s(1)
    assert ledger.regenerations(clock.now) == []


def test_an_attempt_that_several_runs_find_made_counts_once(ledger: Ledger, clock: StandingClock) -> None:
    made_again(ledger, 1, "A")
    made_again(ledger, 1, "A", run_id="next")
    clock.pass_s(1)
    assert len(ledger.regenerations(clock.now)) == 1


def test_a_picture_that_could_not_be_made_again_leaves_nothing(ledger: Ledger, clock: StandingClock) -> None:
    first, refused = attempt(1), attempt(1, 2, CONTRAST, error="It does not do that.")
    ledger.record_attempts(RUN.run_id, [first, refused])
    ledger.record_grades([grade(first, "C")])
    ledger.record_verdicts(RUN.run_id, [judged(first, "regenerate", grade(first, "C"), CONTRAST)])
    clock.pass_s(1)
    assert [one.left for one in ledger.regenerations(clock.now)] == [None]


def test_a_repeated_picture_is_part_of_what_failed(ledger: Ledger, clock: StandingClock) -> None:
    made_again(ledger, 1, "A")
    ledger.record_likenesses([replace(likeness(1, 2), kind="repeated_picture")])
    clock.pass_s(1)
    (one,) = ledger.regenerations(clock.now)
    assert (one.failing, one.left) == (("contrast", "repeated_picture"), ())
