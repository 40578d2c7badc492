"""The file of refusals opens in Excel as it should: right characters, no formula run, always the same bytes."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from zimage_core.catalogue import write_refusals_csv
from zimage_core.domain import Refusal
from zimage_core.errors import StorageError

REFUSALS = [
    Refusal("plan", "no_scene", "No scene takes it.", sku="B"),
    Refusal("extract", "sku_blank", "The SKU is blank; give one.", record_no=10),
    Refusal("extract", "price_unreadable", "The price, \"=1+1\"; write one.", "=cmd()", 9, "price", "-5"),
    Refusal("extract", "name_blank", "名称为空。", "素白杯", 9, "name", "\t=x"),
]  # fmt: skip


def test_rows_are_ordered_escaped_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "refusals.csv"
    assert write_refusals_csv(iter(REFUSALS), path) == 4
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["stage", "record_no", "sku", "field", "code", "reason", "value"],
        ["extract", "9", "'=cmd()", "price", "price_unreadable", 'The price, "=1+1"; write one.', "'-5"],
        ["extract", "9", "素白杯", "name", "name_blank", "名称为空。", "'\t=x"],
        ["extract", "10", "", "", "sku_blank", "The SKU is blank; give one.", ""],
        ["plan", "", "B", "", "no_scene", "No scene takes it.", ""],
    ]


def test_the_order_given_does_not_matter(tmp_path: Path) -> None:
    write_refusals_csv(REFUSALS, tmp_path / "a.csv")
    write_refusals_csv(reversed(REFUSALS), tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_the_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "refusals.csv"
    write_refusals_csv(REFUSALS, path)
    assert write_refusals_csv([], path) == 0
    assert path.read_text(encoding="utf-8-sig").count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["refusals.csv"]


def test_a_character_that_has_no_utf_8_form_does_not_stop_the_report(tmp_path: Path) -> None:
    write_refusals_csv([Refusal("extract", "x", "lone surrogate", value="\ud800")], tmp_path / "a.csv")
    assert "\\ud800" in (tmp_path / "a.csv").read_text(encoding="utf-8-sig")


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        write_refusals_csv(REFUSALS, tmp_path / "file" / "refusals.csv")
