"""`zimage decide` applies exactly the decided lines, and refuses each one that is not about what stands there now."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from made_up import CONTRAST, NOON, RUN, attempt, decision, grade, judged, promise
from typer.testing import CliRunner

from flows.cli import app
from tasks.review import Judged, record_decisions, shots_now
from tasks.runtime import opened_rooms
from zimage_core import clock
from zimage_core.domain import Verdict
from zimage_core.errors import ConfigurationError
from zimage_core.ledger import Ledger
from zimage_core.reporting.decisions import DECISION_COLUMNS

SHOTS = 5
Row = dict[str, str]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A run of five shots: all Bs that wait, but for the fifth, which policy gave up."""
    with opened_rooms(), Ledger.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}") as opened:
        opened.open_run(RUN)
        opened.promise(promise(n) for n in range(1, SHOTS + 1))
        opened.record_attempts(RUN.run_id, [attempt(n) for n in range(1, SHOTS + 1)])
        for n in range(1, SHOTS + 1):
            judge(opened, n, "B" if n < SHOTS else "C", "review" if n < SHOTS else "give_up")
        yield opened


def judge(ledger: Ledger, n: int, letter: str, kind: str, *, number: int = 1, rubric: str = "rubric-1") -> None:
    of = attempt(n) if number == 1 else attempt(n, number, CONTRAST)
    given = grade(of, letter, rubric=rubric)
    ledger.record_grades([given])
    ledger.record_verdicts(RUN.run_id, [judged(of, kind, given)])


@pytest.fixture
def exported(ledger: Ledger) -> Callable[..., Row]:
    """Return a function that gives the line a sheet would export for a shot as it stands now."""

    def line(n: int, kind: str = "approve", why: str = "", *, who: str = "mei") -> Row:
        now = shots_now(ledger, RUN.run_id)[promise(n).shot.shot_id]
        said = [now.attempt_id, kind, who, why, RUN.run_id, promise(n).shot.shot_id, now.sku, now.scene]
        shown = [str(now.number), now.grade, now.state, now.seen, clock.now().isoformat()]
        return dict(zip(DECISION_COLUMNS, [*said, *shown], strict=True))

    return line


@pytest.fixture
def decide(tmp_path: Path, ledger: Ledger) -> Callable[..., Judged]:
    """Return a function that writes lines as a file and applies it as the command does."""

    def apply(*rows: Row, **options: object) -> Judged:
        path = tmp_path / "decisions.csv"
        with path.open("w", encoding="utf-8-sig", newline="") as out:
            writer = csv.DictWriter(out, DECISION_COLUMNS if rows[0].get("seen") else DECISION_COLUMNS[:4])
            writer.writeheader()
            writer.writerows(rows)
        return record_decisions(path, None, tmp_path, tmp_path, **options)  # type: ignore[arg-type]

    return apply


def states(ledger: Ledger) -> list[str]:
    return [standing.state for _, standing in ledger.standings(RUN.run_id)]


def test_exactly_the_decided_lines_are_applied_and_twice_is_once(ledger: Ledger, decide, exported):
    rows = [exported(1), exported(2, "reject", "dark"), exported(3, "regenerate", "brighter"), exported(4, "")]
    done = decide(*rows)
    assert (done.kinds, done.undecided, done.recorded) == ({"approve": 1, "reject": 1, "regenerate": 1}, 1, 0)
    assert states(ledger) == ["accepted", "given_up", "promised", "doubtful", "given_up"]
    again = decide(*rows)
    assert (again.kinds, again.recorded, again.undecided) == ({}, 3, 1)
    assert {len(said) for said in ledger.decisions([attempt(n).attempt_id for n in (1, 2, 3)]).values()} == {1}


def test_a_file_applied_again_after_the_picture_was_made_anew_changes_nothing(ledger: Ledger, decide, exported):
    row = exported(1, "regenerate", "brighter")
    decide(row)
    (_, standing), *_ = ledger.standings(RUN.run_id)
    ledger.record_attempts(RUN.run_id, [attempt(1, 2, standing.change)])
    assert decide(row).recorded == 1
    assert states(ledger)[0] == "promised"


def after_a_newer_attempt(ledger: Ledger) -> None:
    given = grade(attempt(1), "C", rubric="rubric-2")
    ledger.record_grades([given])
    ledger.record_verdicts(RUN.run_id, [judged(attempt(1), "regenerate", given, CONTRAST)])
    ledger.record_attempts(RUN.run_id, [attempt(1, 2, CONTRAST)])
    judge(ledger, 1, "B", "review", number=2)


def after_another_rubric(ledger: Ledger) -> None:
    judge(ledger, 1, "A", "accept", rubric="rubric-2")


def after_somebody_else(ledger: Ledger) -> None:
    ledger.record_decisions([decision(attempt(1), "reject", who="li", why="a scratch", at=datetime.now(UTC))])


def after_something_was_learnt(ledger: Ledger) -> None:
    verdict = Verdict("review", "The moderation service wants a person to look", since=clock.now())
    known = ledger.verdicts(RUN.run_id, [promise(1).shot.shot_id])[attempt(1).attempt_id]
    ledger.record_verdicts(RUN.run_id, [(promise(1).shot.shot_id, attempt(1).attempt_id, known.grade_id, verdict)])


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (after_a_newer_attempt, "another picture stands there now, attempt 2"),
        (after_another_rubric, "judged again: B when it was marked, A now"),
        (after_somebody_else, "li rejected it on .*a scratch"),
        (after_something_was_learnt, "moderation service"),
    ],
)
def test_a_stale_line_refuses_the_file_and_can_be_left_out(ledger: Ledger, decide, exported, happens, said):
    rows = [exported(2), exported(1), exported(3, "reject", "dark")]
    happens(ledger)
    before = states(ledger)
    with pytest.raises(
        ConfigurationError, match=rf"because of these lines(?s:.*)line 3, MUG-0001 · studio: (?s:.*){said}"
    ):
        decide(*rows)
    assert states(ledger) == before
    done = decide(*rows, skip_stale=True)
    assert [(one.line, one.stale) for one in done.refused] == [(3, True)]
    assert done.kinds == {"approve": 1, "reject": 1}
    assert states(ledger)[1:3] == ["accepted", "given_up"]


def test_each_line_that_is_wrong_is_named_and_cannot_be_left_out(ledger: Ledger, decide, exported):
    rows = [exported(1), exported(1, "reject", "dark"), exported(2, "reject"), exported(3, "aprove"), exported(5)]
    rows.append(exported(4) | {"who": ""})
    with pytest.raises(ConfigurationError) as caught:
        decide(*rows, skip_stale=True)
    lines = str(caught.value).splitlines()
    for part in (
        "line 2, MUG-0001 · studio: lines 2, 3 decide the same picture",
        "line 3, MUG-0001 · studio: lines 2, 3 decide the same picture",
        "line 4, MUG-0002 · studio: it rejects without a reason",
        "line 5, MUG-0003 · studio: 'aprove' is no decision",
        "line 6, MUG-0005 · studio: it cannot be approved, because it was not left to a person",
        "line 7, MUG-0004 · studio: it does not say who decided",
    ):
        assert any(part in line for line in lines), part
    assert states(ledger) == ["doubtful"] * 4 + ["given_up"]


def test_lines_of_another_ledger_or_run_are_refused(decide, exported):
    elsewhere = [exported(1) | {"attempt_id": "0123456789abcdef"}, exported(2) | {"run_id": "618-0000000000000000"}]
    with pytest.raises(ConfigurationError) as caught:
        decide(*elsewhere)
    assert "this ledger holds no attempt 0123456789abcdef" in str(caught.value)
    assert "this ledger has no run 618-0000000000000000 that promises it" in str(caught.value)


def test_a_file_of_four_columns_is_still_read_and_what_is_not_checked_is_counted(ledger: Ledger, decide):
    row = {"attempt_id": attempt(1).attempt_id, "decision": "approve", "who": "mei", "why": ""}
    after_another_rubric(ledger)
    done = decide(row)
    assert (done.kinds, done.unsure) == ({"approve": 1}, 1)
    assert decide(row).recorded == 1
    after_a_newer_attempt(ledger)
    with pytest.raises(ConfigurationError, match="another picture stands there now"):
        decide(row | {"why": "nicer"})


def test_an_earlier_attempt_that_was_the_best_is_what_a_decision_is_about(ledger: Ledger, decide, exported):
    """Another picture asked for in its place follows the newest attempt: the one after the best is there already."""
    after_a_newer_attempt(ledger)
    given = grade(attempt(1, 2, CONTRAST), "C", rubric="rubric-2")
    ledger.record_grades([given])
    best = Verdict("review", "attempt 1 was the best", attempt_id=attempt(1).attempt_id)
    newest = attempt(1, 2, CONTRAST)
    ledger.record_verdicts(RUN.run_id, [(promise(1).shot.shot_id, newest.attempt_id, given.grade_id, best)])
    row = exported(1, "regenerate", "closer")
    assert row["attempt_id"] == attempt(1).attempt_id
    assert decide(row).kinds == {"regenerate": 1}
    (_, standing), *_ = ledger.standings(RUN.run_id)
    assert (standing.needs, standing.number) == ("render", 3)
    assert decide(row).recorded == 1


def test_a_word_of_a_spreadsheet_that_kept_a_formula_away_is_taken_off(ledger: Ledger, decide, exported):
    decide(exported(1, "reject", "'=too dark"))
    assert ledger.decisions([attempt(1).attempt_id])[attempt(1).attempt_id][0].why == "=too dark"


def test_a_clock_that_is_ahead_never_applies_a_line_twice(ledger: Ledger, decide, exported):
    row = exported(1) | {"marked_at": (NOON + timedelta(days=3650)).isoformat()}
    decide(row)
    with pytest.raises(ConfigurationError, match="mei approved it"):
        decide(row)
    assert len(ledger.decisions([attempt(1).attempt_id])[attempt(1).attempt_id]) == 1


@pytest.mark.parametrize("text", ["", "sku,why\nA,b\n", "attempt_id,decision\n\x00,approve\n"])
def test_what_is_no_file_of_decisions_is_told_in_a_sentence(tmp_path: Path, ledger: Ledger, text: str):
    (tmp_path / "decisions.csv").write_text(text, "utf-8")
    with pytest.raises(ConfigurationError):
        record_decisions(tmp_path / "decisions.csv", "mei", tmp_path, tmp_path)


def test_the_command_says_what_it_recorded_and_which_lines_it_did_not_take(tmp_path: Path, ledger: Ledger, exported):
    rows = [exported(1), exported(2, "regenerate", "brighter"), exported(3, ""), exported(4)]
    judge(ledger, 4, "A", "accept", rubric="rubric-2")
    path = tmp_path / "decisions.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, DECISION_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    folders = ["--work-dir", str(tmp_path), "--out-dir", str(tmp_path)]
    refused = CliRunner().invoke(app, ["decide", str(path), *folders])
    assert isinstance(refused.exception, ConfigurationError)
    done = CliRunner().invoke(app, ["decide", str(path), "--skip-stale", *folders])
    assert done.exit_code == 0
    for said in (
        "1 × approve, 1 × regenerate",
        "Without a decision: 1 line.",
        "stale: 1 line.",
        "line 5, MUG-0004 · studio",
    ):
        assert said in done.stdout
    assert "run again for the images asked for anew" in done.stdout
    again = CliRunner().invoke(app, ["decide", str(path), "--skip-stale", *folders])
    assert "Recorded: nothing new.\nRecorded before: 2 lines." in again.stdout
