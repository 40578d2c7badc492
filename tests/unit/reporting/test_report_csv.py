"""The report as people open it: in a spreadsheet."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from made_up import decision, outcome, product, promise

from zimage_core.reporting import REPORT_COLUMNS, write_report_csv


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def test_each_shot_is_a_row_with_its_whole_story(tmp_path: Path) -> None:
    made_again = outcome(1, "doubtful", letter="B", made_again=True)
    assert write_report_csv([made_again, outcome(2, "failed", letter=None)], tmp_path / "report.csv") == 2
    one, two = rows(tmp_path / "report.csv")
    assert list(one) == list(REPORT_COLUMNS)
    assert (one["sku"], one["name"], one["price"], one["size"]) == ("MUG-0001", "素白马克杯 1", "59.00", "800x800")
    assert (one["state"], one["grade"], one["score"], one["attempts"]) == ("doubtful", "B", "0.800", "2")
    assert one["changes"] == "the product drowned in its backdrop"
    assert one["attempt_id"] == made_again.attempts[-1].attempt_id
    assert (two["state"], two["grade"], two["attempt_id"], two["reason"]) == ("failed", "", "", "because failed")


def test_the_same_outcomes_give_the_same_bytes_and_excel_knows_the_encoding(tmp_path: Path) -> None:
    outcomes = [outcome(1), outcome(2)]
    for name in ("one.csv", "two.csv"):
        write_report_csv(outcomes, tmp_path / name)
    data = (tmp_path / "one.csv").read_bytes()
    assert data == (tmp_path / "two.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfsku,")
    assert data.count(b"\r\n") == 3


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    formula = '=HYPERLINK("http://evil","x")'
    hostile = replace(
        outcome(1),
        promise=replace(promise(1), product=product(1, name=formula, sku="+1")),
        reason="@SUM(A1)",
        decision=decision(outcome(1).attempts[0], "approve", who="-2+3"),
    )
    write_report_csv([hostile], tmp_path / "report.csv")
    (row,) = rows(tmp_path / "report.csv")
    for column in ("sku", "name", "reason", "decided_by"):
        assert row[column].startswith("'")
