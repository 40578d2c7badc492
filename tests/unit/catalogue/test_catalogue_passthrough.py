"""Columns that mean nothing to us are kept for those who asked for them, from every kind of catalogue."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from zimage_core.catalogue import read_catalogue, read_passthrough
from zimage_core.catalogue.columns import MAX_PASSED
from zimage_core.errors import CatalogueError

ROWS = pl.DataFrame(
    {
        "sku": ["A-1", " A-2 ", "A-1", "B-1"],
        "name": ["Mug", "Lamp", "Mug again", "Cup"],
        "price": ["59", "329", "59", "12"],
        "ERP id": ["E-1", "  E-2 ", "E-3", "E-4"],
        "Notes": ["", None, "x", "y" * 2000],
    }
)
MAPPING = {"passthrough.erp": "ERP id", "passthrough.notes": "Notes", "passthrough.price": "price"}
EXPECTED = {
    "A-1": {"erp": "E-1", "price": "59"},
    "A-2": {"erp": "E-2", "price": "329"},
    "B-1": {"erp": "E-4", "notes": "y" * 500, "price": "12"},
}


@pytest.fixture(params=["csv", "tsv", "xlsx", "parquet", "sqlite", "ragged"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    kind = request.param
    path = tmp_path / f"shop.{'csv' if kind == 'ragged' else kind}"
    if kind in ("csv", "tsv", "ragged"):
        ROWS.write_csv(path, separator="\t" if kind == "tsv" else ",")
        if kind == "ragged":
            path.write_text(path.read_text() + "C-1,too,short\n" * 3)
    elif kind == "xlsx":
        ROWS.write_excel(path)
    elif kind == "parquet":
        ROWS.write_parquet(path)
    else:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute('CREATE TABLE goods (sku, name, price, "ERP id", "Notes")')
            database.executemany("INSERT INTO goods VALUES (?, ?, ?, ?, ?)", ROWS.rows())
        return {"source": f"sqlite:///{path}", "query": "SELECT * FROM goods ORDER BY rowid"}
    return {"source": str(path)}


def test_the_columns_asked_for_are_kept_by_sku_and_no_others(source: dict[str, str]) -> None:
    assert read_passthrough(**source, skus={"A-1", "A-2", "B-1"}, mapping=MAPPING) == EXPECTED
    assert read_passthrough(**source, skus={"A-2"}, mapping=MAPPING) == {"A-2": EXPECTED["A-2"]}
    assert read_passthrough(**source, skus={"A-1"}, mapping={"sku": "sku"}) == {}


def test_products_are_the_same_whether_columns_are_passed_on_or_not(source: dict[str, str]) -> None:
    found = []
    for mapping in ({}, MAPPING):
        with read_catalogue(**source, mapping=mapping) as catalogue:  # type: ignore[arg-type]
            found.append((list(catalogue.products()), catalogue.fingerprint, dict(catalogue.columns)))
    assert found[0] == found[1]


def test_a_table_is_read_with_the_columns_that_are_passed_on(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database, database:
        database.execute("CREATE TABLE goods (sku, name, bin)")
        database.executemany("INSERT INTO goods VALUES (?, ?, ?)", [("A-1", "Mug", "7"), ("A-2", "Lamp", "8")])
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    assert read_passthrough(url, {"A-2"}, mapping={"passthrough.bin": "bin"}, table="goods") == {"A-2": {"bin": "8"}}


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"passthrough.x": "No such"}, "takes the passthrough.x from column 'No such'"),
        ({"passthrough.": "name"}, "which does not exist"),
        ({f"passthrough.{n}": "name" for n in range(MAX_PASSED + 1)}, "passes on more than 20 columns"),
    ],
)
def test_a_mapping_that_cannot_be_is_told_before_anything_is_made(
    tmp_path: Path, mapping: dict[str, str], said: str
) -> None:
    path = tmp_path / "shop.csv"
    ROWS.write_csv(path)
    with pytest.raises(CatalogueError, match=said):
        read_catalogue(path, mapping=mapping)
