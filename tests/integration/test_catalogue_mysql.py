"""A catalogue in a real MariaDB: types, names, rights, and a password that never shows."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pymysql
import pytest
from free_ports import free_port

from zimage_core.catalogue import PriceFormat, read_catalogue
from zimage_core.clock import elapsed_s
from zimage_core.domain import Product
from zimage_core.errors import CatalogueError

PASSWORD = "w:rd#1%2@x"
START_S = 60
SCHEMA = f"""
CREATE DATABASE `shop 1` CHARACTER SET utf8mb4;
CREATE TABLE `shop 1`.`商品 ``A``` (`货号` varchar(40), name varchar(200), `售价` decimal(12, 3), original_price double,
    `类目` varchar(40), `卖点` text, made datetime, raw blob);
INSERT INTO `shop 1`.`商品 ``A``` VALUES
    ('B-2', '台灯 🛋 "折臂"', 329, 399.5, '灯具', '暖光；省电', now(), x'FF'),
    ('0001', '杯; O''Neil 100%', 59.9, NULL, '餐具', NULL, now(), NULL),
    ('a-1', '三位小数', 1.299, NULL, NULL, NULL, now(), NULL),
    (NULL, '没有货号', 5, NULL, NULL, NULL, now(), NULL);
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE TABLE shop.many (sku varchar(20), name varchar(40), price decimal(10, 2));
INSERT INTO shop.many
    SELECT concat('SKU-', lpad(seq, 7, '0')), concat('名称 ', seq), seq % 900 + 1 FROM shop.seq_1_to_45000;
CREATE TABLE shop.gbk (sku varchar(20), name varchar(40)) CHARACTER SET gbk;
INSERT INTO shop.gbk VALUES ('1', '素白马克杯');
CREATE FUNCTION shop.spoil() RETURNS int MODIFIES SQL DATA
    BEGIN DELETE FROM shop.gbk; RETURN 1; END;
CREATE USER stranger@'%' IDENTIFIED BY '{PASSWORD}'
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """host:port of a MariaDB server of these tests' own."""
    folder = Path(tempfile.mkdtemp(prefix="maria"))
    common = ["--no-defaults", f"--datadir={folder / 'data'}", "--user=root"]
    subprocess.run(
        ["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True,
        capture_output=True,
    )
    port = free_port()
    process = subprocess.Popen(
        ["mariadbd", *common, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder / 's'}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(port, process) as connection, connection.cursor() as cursor:
            for statement in SCHEMA.split(";\n"):
                cursor.execute(statement)
            connection.commit()
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=START_S)
        shutil.rmtree(folder)


def connect(port: int, process: subprocess.Popen[bytes]) -> pymysql.Connection[pymysql.cursors.Cursor]:
    deadline_s = elapsed_s() + START_S
    while True:
        try:
            return pymysql.connect(host="127.0.0.1", port=port, user="root", charset="utf8mb4")
        except pymysql.err.OperationalError:
            if process.poll() is not None or elapsed_s() > deadline_s:
                raise
            time.sleep(0.05)  # the server gives no sign but answering


def refused(url: str, **options: str) -> str:
    started_s = elapsed_s()
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(url, **options)  # type: ignore[arg-type]
    assert elapsed_s() - started_s < 15
    assert PASSWORD not in str(caught.value)
    assert quote(PASSWORD, safe="") not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


@pytest.mark.parametrize("price_format", ["auto", "dot", "comma"])
def test_a_table_with_difficult_names_and_types_is_read(server: str, price_format: PriceFormat) -> None:
    url = f"mysql://root@{server}/"
    with read_catalogue(url, table='"shop 1"."商品 `A`"', price_format=price_format) as catalogue:
        assert list(catalogue.products()) == [
            Product("0001", "杯; O'Neil 100%", 2, category="home", price=Decimal("59.90")),
            Product(
                "B-2",
                '台灯 🛋 "折臂"',
                4,
                category="home",
                price=Decimal("329.00"),
                original_price=Decimal("399.50"),
                selling_points=("暖光", "省电"),
            ),
        ]
        assert [(r.sku, r.code) for r in catalogue.refusals()] == [(None, "sku_blank"), ("a-1", "price_too_precise")]


def test_a_long_table_streams_in_order_with_one_fingerprint(server: str) -> None:
    def read() -> tuple[str, list[str]]:
        with read_catalogue(f"mysql+pymysql://root@{server}/shop", table="many") as catalogue:
            return catalogue.fingerprint, [p.sku for p in catalogue.products()]

    fingerprint, skus = read()
    assert skus == [f"SKU-{n:07d}" for n in range(1, 45_001)]
    assert read()[0] == fingerprint


def test_a_query_keeps_its_order_and_its_percent_signs(server: str) -> None:
    query = "SELECT sku, name FROM many WHERE name LIKE '%9%' ORDER BY sku DESC LIMIT 3;"
    with read_catalogue(f"mariadb://root@{server}/shop", query=query) as catalogue:
        assert [(p.record_no, p.sku) for p in catalogue.products()] == [
            (1, "SKU-0044999"),
            (2, "SKU-0044998"),
            (3, "SKU-0044997"),
        ]


def test_a_gbk_table_arrives_as_it_is(server: str) -> None:
    with read_catalogue(f"mysql://root@{server}/shop", table="gbk") as catalogue:
        assert [p.name for p in catalogue.products()] == ["素白马克杯"]


def test_nothing_can_be_written_not_even_by_a_function(server: str) -> None:
    said = refused(f"mysql://root@{server}/shop", query="SELECT spoil() AS sku, 'a' AS name")
    assert "READ ONLY" in said
    with read_catalogue(f"mysql://root@{server}/shop", table="gbk") as catalogue:
        assert catalogue.product_count == 1


def test_what_is_wrong_is_said_promptly_and_without_the_password(server: str) -> None:
    stranger = f"mysql://stranger:{quote(PASSWORD, safe='')}@{server}/"
    assert "denied" in refused(f"{stranger}shop", table="many")
    assert "Access denied for user 'nobody'" in refused(stranger.replace("stranger", "nobody"), table="many")
    assert "Unknown database 'nowhere'" in refused(f"mysql://root@{server}/nowhere", table="many")
    assert "has no table `nowhere`" in refused(f"mysql://root@{server}/shop", table="nowhere")
    assert "Unknown column 'nope'" in refused(f"mysql://root@{server}/shop", query="SELECT nope FROM many")
    assert "SQL syntax" in refused(f"mysql://root@{server}/shop", query="SELECT FROM WHERE")
