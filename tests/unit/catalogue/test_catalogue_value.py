"""The value column: a number that orders the work. What cannot be read costs a product its turn, never its picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from zimage_core.catalogue import read_catalogue


def values(folder: Path, header: str, *cells: str) -> tuple[list[float | None], tuple[str, ...]]:
    file = folder / "catalogue.csv"
    rows = "".join(f'S{n},Mug,"{cell}"\n' for n, cell in enumerate(cells))
    file.write_text(f"sku,name,{header}\n{rows}")
    with read_catalogue(file) as catalogue:
        return [product.value for product in catalogue.products()], catalogue.notes


@pytest.mark.parametrize("header", ["value", "Sales per day", "日均毛利"])
def test_the_column_is_known_by_its_names(tmp_path: Path, header: str) -> None:
    assert values(tmp_path, header, "12.5", "-3", "1e3") == ([12.5, -3.0, 1000.0], ())


def test_what_is_no_number_is_no_value_and_is_told(tmp_path: Path) -> None:
    found, notes = values(tmp_path, "value", "high", "", "NaN", "inf", "1,234,567.5", "1,2", " 7 ")
    assert found == [None, None, None, None, 1_234_567.5, None, 7.0]
    assert notes == ("In the value column 4 rows are not a number; these products count as if they had none.",)


def test_a_catalogue_without_the_column_has_none(tmp_path: Path) -> None:
    assert values(tmp_path, "color", "red") == ([None], ())
