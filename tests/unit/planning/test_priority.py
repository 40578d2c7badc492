"""Which products' pictures are made first."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from zimage_core.domain import Product
from zimage_core.planning.priority import lines_by_value


def skus(folder: Path, *products: Product) -> str:
    file = folder / "products.jsonl"
    file.write_bytes(
        b"".join(json.dumps(product.to_line(), ensure_ascii=False).encode() + b"\n" for product in products)
    )
    return "".join(json.loads(line)["sku"] for line in lines_by_value(file))


def product(sku: str, value: float | None = None, price: str | None = None, currency: str = "CNY") -> Product:
    return Product(sku, "素白马克杯", 1, price=Decimal(price) if price else None, currency=currency, value=value)


def test_the_highest_value_is_first_and_equals_stay_in_order(tmp_path: Path) -> None:
    given = [product("A", 5.0), product("B", 80.5), product("C", 5.0), product("D", -3.0), product("E", 0.0)]
    assert skus(tmp_path, *given) == "BACED"


def test_a_product_without_a_value_counts_as_its_price(tmp_path: Path) -> None:
    given = [product("A"), product("B", price="59.00"), product("C", 100.0), product("D", price="139.00")]
    assert skus(tmp_path, *given) == "DCBA"


def test_prices_in_several_currencies_are_not_compared(tmp_path: Path) -> None:
    given = [product("A", price="9"), product("B", price="5000", currency="JPY"), product("C", 1.0)]
    assert skus(tmp_path, *given) == "CAB"


def test_no_products_are_no_lines(tmp_path: Path) -> None:
    assert skus(tmp_path) == ""


@given(st.lists(st.one_of(st.none(), st.floats(-1e9, 1e9)), max_size=40))
def test_every_product_comes_once_whatever_the_values(tmp_path_factory, values: list[float | None]) -> None:
    folder = tmp_path_factory.mktemp("products")
    found = skus(folder, *(product(chr(200 + n), value) for n, value in enumerate(values)))
    assert sorted(found) == [chr(200 + n) for n in range(len(values))]


def test_a_value_orders_the_work_and_changes_no_id() -> None:
    assert product("A", 5.0).product_key == product("A").product_key
    assert "value" not in product("A").to_line()
    assert product("A", 5.0).to_line()["value"] == 5.0
