"""A catalogue in a real PostgreSQL: types, names, rights, time limits, and a password that never shows."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from real_postgresql import running_postgresql

from zimage_core.catalogue import PriceFormat, read_catalogue
from zimage_core.clock import elapsed_s
from zimage_core.domain import Product
from zimage_core.errors import CatalogueError

PASSWORD = "w:rd#1%2@x"
SCHEMA = f'''
CREATE SCHEMA "Shop 1";
CREATE TABLE "Shop 1"."商品 ""A""" (
    "货号" varchar(40), "Product Name" text, "售价" numeric(12, 3), original_price double precision, "类目" text,
    "卖点" text[], updated_at timestamptz DEFAULT now(), cost money, tags jsonb
);
INSERT INTO "Shop 1"."商品 ""A""" VALUES
    ('B-2', '台灯 🛋 "折臂"', 329, 399.5, '灯具', ARRAY['暖光', '省电'], now(), 1, '{{"a": 1}}'),
    ('0001', '杯; O''Neil', 59.9, NULL, '餐具', NULL, now(), 2, NULL),
    ('a-1', '三位小数', 1.299, NULL, NULL, NULL, now(), 3, NULL),
    ('N', '不是数', 'NaN', NULL, NULL, NULL, now(), 4, NULL),
    (NULL, '没有货号', 5, NULL, NULL, NULL, now(), 5, NULL);
CREATE TABLE prices AS SELECT '1.299' AS price, 't' AS sku, DATE '2026-06-18' AS name;
CREATE FUNCTION spoil() RETURNS text LANGUAGE sql AS $$ DELETE FROM prices; SELECT 'x' $$;
CREATE TABLE many AS
    SELECT 'SKU-' || lpad(n::text, 7, '0') AS sku, '名称 ' || n AS name, (n % 900 + 1)::numeric(10, 2) AS price
    FROM generate_series(1, 60000) AS n ORDER BY random();
CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}';
'''


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a PostgreSQL server of these tests' own, on a unix socket."""
    with running_postgresql() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA)
            (found,) = connection.execute("SHOW hba_file").fetchone() or ("",)
            rules = Path(found)
            rules.write_text(f"local all stranger scram-sha-256\n{rules.read_text()}")
            connection.execute("SELECT pg_reload_conf()")
        yield url


def refused(url: str, **options: str) -> str:
    started_s = elapsed_s()
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(url, **options)  # type: ignore[arg-type]
    assert elapsed_s() - started_s < 15
    assert PASSWORD not in str(caught.value)
    assert quote(PASSWORD, safe="") not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_a_table_with_difficult_names_and_types_is_read(server: str) -> None:
    with read_catalogue(server, table='"Shop 1"."商品 ""A"""') as catalogue:
        assert list(catalogue.products()) == [
            Product("0001", "杯; O'Neil", 1, category="home", price=Decimal("59.90")),
            Product(
                "B-2",
                '台灯 🛋 "折臂"',
                2,
                category="home",
                price=Decimal("329.00"),
                original_price=Decimal("399.50"),
                selling_points=("暖光", "省电"),
            ),
        ]
        assert [(r.record_no, r.sku, r.code) for r in catalogue.refusals()] == [
            (3, "N", "price_unreadable"),
            (4, "a-1", "price_too_precise"),
            (5, None, "sku_blank"),
        ]
        assert catalogue.columns["price"] == "售价"


@pytest.mark.parametrize("price_format", ["auto", "dot", "comma"])
def test_typed_numbers_are_not_read_by_the_price_format(server: str, price_format: PriceFormat) -> None:
    with read_catalogue(server, table='"Shop 1"."商品 ""A"""', price_format=price_format) as catalogue:
        assert [p.price for p in catalogue.products()] == [Decimal("59.90"), Decimal("329.00")]


def test_text_in_a_price_column_is_and_dates_have_a_text_form(server: str) -> None:
    assert "can be read in two ways" in refused(server, table="prices")
    with read_catalogue(server, table="prices", price_format="comma") as catalogue:
        assert list(catalogue.products()) == [Product("t", "2026-06-18", 1, price=Decimal("1299.00"))]


def test_a_table_has_one_order_and_one_fingerprint_wherever_its_rows_lie(server: str) -> None:
    def read() -> tuple[str, list[Product]]:
        with read_catalogue(server, table="public.many") as catalogue:
            return catalogue.fingerprint, list(catalogue.products())

    fingerprint, products = read()
    assert [p.sku for p in products] == [f"SKU-{n:07d}" for n in range(1, 60_001)]
    assert [p.record_no for p in products] == list(range(1, 60_001))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("UPDATE many SET name = name WHERE random() < 0.5")
        connection.execute("ALTER TABLE many ADD COLUMN looked_at timestamptz DEFAULT now()")
    assert read() == (fingerprint, products)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("UPDATE many SET price = 7 WHERE sku = 'SKU-0000001'")
    assert read()[0] != fingerprint


def test_a_query_keeps_its_order_and_its_own_semicolons(server: str) -> None:
    query = "SELECT sku, name || ';' AS name FROM many WHERE name LIKE '%9%' ORDER BY sku DESC LIMIT 3 -- last"
    with read_catalogue(server, query=query) as catalogue:
        assert [p.sku for p in catalogue.products()] == ["SKU-0059999", "SKU-0059998", "SKU-0059997"]


def test_nothing_can_be_written_not_even_by_a_function(server: str) -> None:
    assert "read-only transaction" in refused(server, query="SELECT spoil() AS sku, 'a' AS name")
    with psycopg.connect(server) as connection:
        assert connection.execute("SELECT count(*) FROM prices").fetchone() == (1,)


def test_what_is_wrong_is_said_promptly_and_without_the_password(server: str) -> None:
    socket = server.partition("host=")[2]
    stranger = f"postgresql://stranger:{quote(PASSWORD, safe='')}@/postgres?host={socket}"
    assert "permission denied for table many" in refused(stranger, table="many")
    wrong = stranger.replace(quote(PASSWORD, safe=""), quote(f"{PASSWORD}!", safe=""))
    assert 'password authentication failed for user "stranger"' in refused(wrong, table="many")
    assert 'role "nobody" does not exist' in refused(stranger.replace("stranger", "nobody"), table="many")
    assert 'database "nowhere" does not exist' in refused(stranger.replace("/postgres?", "/nowhere?"), table="many")
    assert 'relation "nowhere" does not exist' in refused(server, table="nowhere")
    assert 'column "nope" does not exist' in refused(server, query="SELECT nope FROM many")
    assert "syntax error" in refused(server, query="SELECT FROM WHERE")
    assert "division by zero" in refused(server, query="SELECT sku, name, 1 / (length(sku) - 11) AS price FROM many")
    assert "No such file or directory" in refused(stranger.replace(socket, "/nowhere"), table="many")


def test_the_source_shows_no_password(server: str) -> None:
    socket = server.partition("host=")[2]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON many TO stranger")
    url = f"postgresql+psycopg://stranger:{quote(PASSWORD, safe='')}@/postgres?host={socket}"
    with read_catalogue(url, table="many") as catalogue:
        assert catalogue.source == "postgresql+psycopg://stranger:***@/postgres"
        assert PASSWORD not in repr(catalogue)
