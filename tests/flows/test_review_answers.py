"""What the answer to a review means: exactly these decisions, or a sentence and none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from made_up import NOON, RUN, attempt, decision, grade, judged, promise
from pydantic import ValidationError

from tasks.review import shots_now
from tasks.review_rounds import ReviewAnswer, Round, ask, decisions_of, end_round, rounds_of, undecided
from zimage_core import clock
from zimage_core.domain import DecisionKind
from zimage_core.errors import ConfigurationError
from zimage_core.ledger import Ledger

SHOTS = 4
SKUS = [f"MUG-{n:04d}" for n in range(1, SHOTS + 1)]
HEAD = "attempt_id,decision,who,why\n"
Answer = Callable[..., dict[str, DecisionKind]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A run of four shots whose pictures are all Bs (0.80) that wait."""
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as opened:
        opened.open_run(RUN)
        opened.promise(promise(n) for n in range(1, SHOTS + 1))
        opened.record_attempts(RUN.run_id, [attempt(n) for n in range(1, SHOTS + 1)])
        for n in range(1, SHOTS + 1):
            rejudge(opened, n)
        yield opened


def rejudge(ledger: Ledger, n: int, rubric: str = "rubric-1") -> None:
    given = grade(attempt(n), "B", rubric=rubric)
    ledger.record_grades([given])
    ledger.record_verdicts(RUN.run_id, [judged(attempt(n), "review", given)])


@pytest.fixture
def asked(ledger: Ledger) -> Round:
    return ask(ledger, RUN.run_id, "flow-run-1", 1, clock.now() + timedelta(hours=1))


@pytest.fixture
def answer(ledger: Ledger, asked: Round) -> Answer:
    """Return a function that records an answer by mei and returns what it decided, by SKU."""

    def give(**fields: object) -> dict[str, DecisionKind]:
        decisions, _ = decisions_of(ledger, RUN.run_id, ReviewAnswer(who="mei", **fields), asked.seen)  # type: ignore[arg-type]
        ledger.record_decisions(decisions)
        skus = {attempt(n).attempt_id: sku for n, sku in enumerate(SKUS, 1)}
        return {skus[one.attempt_id]: one.kind for one in decisions}

    return give


def test_a_score_approves_what_reaches_it_and_is_not_rejected(ledger: Ledger, asked: Round, answer: Answer):
    assert answer(approve_from=0.81) == {}
    given = answer(approve_from=0.8, reject=[{"what": SKUS[1], "why": "crooked"}], note="as agreed")
    assert given == {SKUS[0]: "approve", SKUS[1]: "reject", SKUS[2]: "approve", SKUS[3]: "approve"}
    assert undecided(ledger, RUN.run_id, asked) == 0
    said = ledger.decisions([attempt(1).attempt_id])[attempt(1).attempt_id][0]
    assert (said.who, said.why) == ("mei", "score 0.80, approved from 0.80: as agreed")


def test_what_was_not_asked_about_or_changed_since_is_not_approved(ledger: Ledger, asked: Round, answer: Answer):
    rejudge(ledger, 2, "rubric-2")
    ledger.promise([promise(5)])
    ledger.record_attempts(RUN.run_id, [attempt(5)])
    rejudge(ledger, 5)
    assert answer(approve_from=0.0) == {SKUS[0]: "approve", SKUS[2]: "approve", SKUS[3]: "approve"}
    states = [now.state for now in shots_now(ledger, RUN.run_id).values()]
    assert states == ["accepted", "doubtful", "accepted", "accepted", "doubtful"]


def test_the_same_answer_again_decides_nothing_new(answer: Answer):
    fields = {"approve_from": 0.5, "reject": [{"what": attempt(3).attempt_id, "why": "crooked"}]}
    assert len(answer(**fields)) == SHOTS
    assert answer(**fields) == {}


def test_a_pasted_file_or_its_path_decides_and_the_score_the_rest(answer: Answer, tmp_path: Path):
    line = f"{attempt(1).attempt_id},reject,li,a scratch\n"
    assert answer(decisions_file=HEAD + line, approve_from=0.5)[SKUS[0]] == "reject"
    (tmp_path / "decisions.csv").write_text(HEAD + f"{attempt(2).attempt_id},regenerate,,brighter\n", "utf-8")
    assert answer(decisions_file=str(tmp_path / "decisions.csv")) == {SKUS[1]: "regenerate"}


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "decides nothing"),
        ({"reject": [{"what": "MUG-9999", "why": "dark"}]}, "'MUG-9999' is not in question here; what is: MUG-0001"),
        (
            {"reject": [{"what": SKUS[0], "why": "dark"}, {"what": SKUS[0], "why": "bent"}]},
            "rejected twice, for different reasons",
        ),
        (
            {
                "reject": [{"what": SKUS[0], "why": "dark"}],
                "decisions_file": f"{HEAD}{attempt(1).attempt_id},approve,,",
            },
            "in the decisions file and among the rejected",
        ),
        ({"decisions_file": "/nowhere/decisions.csv"}, "cannot be read"),
        ({"decisions_file": f"{HEAD}0123456789abcdef,approve,li,"}, "this ledger holds no attempt"),
        ({"decisions_file": f"{HEAD}{attempt(1).attempt_id},,li,"}, "decides nothing: no line has a decision"),
        (
            {"decisions_file": f"attempt_id,decision,run_id\n{attempt(1).attempt_id},approve,618-00"},
            "no run 618-00",
        ),
    ],
)
def test_a_wrong_answer_is_a_sentence_and_decides_nothing(
    ledger: Ledger, answer: Answer, fields: dict[str, object], complaint: str
):
    with pytest.raises(ConfigurationError, match=complaint):
        answer(**fields)
    assert {now.state for now in shots_now(ledger, RUN.run_id).values()} == {"doubtful"}


def test_a_rejection_of_what_somebody_else_decided_since_is_told(ledger: Ledger, asked: Round, answer: Answer):
    ledger.record_decisions([decision(attempt(1), "approve", who="li", at=NOON)])
    with pytest.raises(ConfigurationError, match="MUG-0001 · studio changed since this review asked"):
        answer(reject=[{"what": SKUS[0], "why": "dark"}])


@pytest.mark.parametrize("fields", [{}, {"who": " "}, {"who": "mei", "approve_from": 1.2}, {"who": "mei", "ok": True}])
def test_the_form_itself_refuses_what_is_no_answer(fields: dict[str, object]):
    with pytest.raises(ValidationError):
        ReviewAnswer.model_validate(fields)


def test_rounds_are_kept_in_the_ledger_with_what_they_asked_and_how_they_ended(ledger: Ledger, asked: Round):
    assert [(one.review, one.number, one.end) for one in rounds_of(ledger, RUN.run_id)] == [("flow-run-1", 1, "open")]
    assert rounds_of(ledger, RUN.run_id)[0].seen == asked.seen
    assert len(asked.seen) == SHOTS
    end_round(ledger, RUN.run_id, asked, "refused", "not in question")
    ask(ledger, RUN.run_id, "flow-run-1", 2, asked.deadline)
    found = rounds_of(ledger, RUN.run_id)
    assert [(one.number, one.end, one.said) for one in found] == [(1, "refused", "not in question"), (2, "open", "")]
    assert found[1].deadline == asked.deadline
