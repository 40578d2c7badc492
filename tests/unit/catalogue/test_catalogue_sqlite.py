"""A database is read by table or by one SELECT, never written, and never shows a password."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from zimage_core.catalogue import read_catalogue
from zimage_core.catalogue.select_only import only_select
from zimage_core.domain import Product
from zimage_core.errors import CatalogueError


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "my shop #1.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute('CREATE TABLE "商 品" ("货""号" TEXT, name TEXT, price NUMERIC, 卖点 TEXT, secret TEXT)')
        database.executemany(
            'INSERT INTO "商 品" VALUES (?, ?, ?, ?, ?)',
            [
                ("B-2", "灯", 329.5, "暖光；省电", "x"),
                ("0001", "杯", "¥1,299.00", None, "x"),
                (7, "垫", 59, "软", "x"),
                ("X", "三位小数", 1.299, None, "x"),
                ("Y", "无穷", float("inf"), None, "x"),
            ],
        )
        database.commit()
    return f"sqlite:///{path}"


def test_a_table_is_ordered_by_sku_and_mixed_types_become_text(shop: str) -> None:
    with read_catalogue(shop, table='"商 品"') as catalogue:
        assert list(catalogue.products()) == [
            Product("0001", "杯", 1, price=Decimal("1299.00")),
            Product("7", "垫", 2, price=Decimal("59.00"), selling_points=("软",)),
            Product("B-2", "灯", 3, price=Decimal("329.50"), selling_points=("暖光", "省电")),
        ]
        assert [(r.sku, r.code) for r in catalogue.refusals()] == [
            ("X", "price_too_precise"),
            ("Y", "price_unreadable"),
        ]
        assert catalogue.source == shop


def test_a_query_keeps_the_order_it_asks_for(shop: str) -> None:
    query = 'SELECT name, "货""号" AS sku FROM "商 品" WHERE price < 1000 ORDER BY price DESC; '
    with read_catalogue(shop, query=query) as catalogue:
        assert [(p.record_no, p.sku) for p in catalogue.products()] == [(1, "B-2"), (2, "7"), (3, "X")]


def test_the_fingerprint_is_of_what_is_read(shop: str) -> None:
    def fingerprint() -> str:
        with read_catalogue(shop, table='"商 品"') as catalogue:
            return catalogue.fingerprint

    def change(statement: str) -> None:
        with closing(sqlite3.connect(shop.removeprefix("sqlite:///"))) as database:
            database.execute(statement)
            database.commit()

    first = fingerprint()
    change('CREATE TABLE copy AS SELECT * FROM "商 品" ORDER BY name DESC')
    change('DELETE FROM "商 品"')
    change('INSERT INTO "商 品" SELECT * FROM copy')
    change("UPDATE \"商 品\" SET secret = 'y'")
    assert fingerprint() == first
    change('UPDATE "商 品" SET price = 60 WHERE price = 59')
    assert fingerprint() != first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "either a table or a query"),
        ({"table": "a", "query": "SELECT 1"}, "either a table or a query"),
        ({"table": "nowhere"}, "no such table: nowhere"),
        ({"table": "a.b.c"}, 'write "name" or "schema.name"'),
        ({"query": "SELECT nope FROM sqlite_master"}, "no such column: nope"),
        ({"query": "SELECT 1 AS x"}, "The query has no column for the sku and the name"),
        ({"query": "DELETE FROM copy"}, "must be one SELECT"),
        ({"query": "SELECT 1; DROP TABLE x"}, "more than one statement"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(shop: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(shop, **options)  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_a_missing_file_is_not_created_and_a_foreign_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="There is no SQLite file"):
        read_catalogue(f"sqlite:///{tmp_path / 'no.sqlite'}", table="t")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.sqlite").write_text("sku,name\n" * 100)
    with pytest.raises(CatalogueError, match="file is not a database"):
        read_catalogue(f"sqlite:///{tmp_path / 'a.sqlite'}", table="t")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nosuch://u:hunter22@h/d", "No driver is installed for nosuch"),
        ("postgresql://u:hunter22@127.0.0.1:1/d", "Connection refused"),
        ("mysql://u:hunter22@127.0.0.1:1/d", "Can't connect to MySQL server"),
        ("postgresql://u:hunter22@nohost.invalid/d", "nohost.invalid"),
        ("postgresql://u:hunter22@127.0.0.1:port/d", "cannot be read"),
    ],
)
def test_an_unreachable_database_is_told_promptly_without_the_password(url: str, said: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(url, table="t")
    assert said in str(caught.value)
    assert "hunter22" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        " select * from t -- ; drop\n",
        "WITH a AS (SELECT 1) SELECT * FROM a;",
        "SELECT ';' AS x, \"delete\" FROM `into` /* ; update */",
        "SELECT 'it''s; DROP' FROM t",
        "SELECT $$; drop$$ FROM t",
        "(SELECT 1) UNION (SELECT 2)",
        "SELECT updated_at, deleted FROM t",
    ],
)
def test_a_select_passes(query: str) -> None:
    assert only_select(query) == query.strip().removesuffix(";")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "DROP TABLE t",
        "SELECT 1; SELECT 2",
        "SELECT * INTO new FROM t",
        "SELECT * FROM t INTO OUTFILE '/tmp/x'",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "SELECT 1 /*! ; DROP TABLE t */",
        "/* SELECT */ UPDATE t SET a = 1",
        "EXPLAIN SELECT 1",
        "-- SELECT\nDELETE FROM t",
    ],
)
def test_anything_else_does_not(query: str) -> None:
    with pytest.raises(CatalogueError):
        only_select(query)
