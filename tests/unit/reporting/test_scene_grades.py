"""The table of grades says what each scene cost, and the summary what an accepted image did."""

from __future__ import annotations

from made_up import outcome

from zimage_core.reporting import summarise


def test_costs_are_those_of_all_tries_over_what_is_accepted() -> None:
    summary = summarise([outcome(1), outcome(2, made_again=True), outcome(4, "given_up", letter="C")], [])
    assert (summary.attempts, summary.count("accepted")) == (4, 2)
    assert summary.attempts_per_accepted == 2
    assert summary.cost_per_accepted_usd == summary.cost_usd / 2
    assert "Per accepted image: 0.5000 USD, 2.00 attempts, 1.0 s of engine time." in summary.to_markdown()
    (scene,) = summary.grades
    row = scene.row()
    assert (row["scene"], row["promised"], row["accepted"], row["A"], row["C"]) == ("studio", 3, 2, 2, 1)
    assert (row["attempts per accepted"], row["USD per accepted"]) == ("2.00", "0.5000")


def test_the_worst_check_of_what_is_not_good_is_named() -> None:
    (scene,) = summarise([outcome(n, "given_up", letter="C") for n in range(3)], []).grades
    ((check, count),) = scene.found
    assert count == 3
    assert scene.row()["found most"] == f"{check} (3)"


def test_where_nothing_is_accepted_no_cost_is_made_up() -> None:
    summary = summarise([outcome(1, "failed", letter=None)], [])
    assert summary.cost_per_accepted_usd is None
    assert summary.attempts_per_accepted is None
    assert "Per accepted image" not in summary.to_markdown()
    assert summary.grades[0].row()["USD per accepted"] == "–"
