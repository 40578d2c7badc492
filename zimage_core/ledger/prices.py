"""Prices as they are when a run publishes: what the catalogue says now, where that is not what was promised.

A promise keeps the product as it was extracted. Pictures are drawn with the latest price that is known of the run, so
that whoever asks for a promise (drawing, grading, publishing, the report) is told the same one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from zimage_core.domain import Product
from zimage_core.ledger import rows, schema
from zimage_core.ledger.database import insert_new


def with_price_of(product: Product, now: Product) -> Product:
    """Return the promised product with the price, old price and currency of `now`; nothing else of it changes."""
    return dataclasses.replace(product, price=now.price, original_price=now.original_price, currency=now.currency)


def same_price(one: Product, other: Product) -> bool:
    """Tell whether two states of a product are sold at the same price, the old price beside it included."""
    return (one.price, one.original_price, one.currency) == (other.price, other.original_price, other.currency)


def latest(connection: Connection, run_id: str) -> dict[str, Product]:
    """Return the products of a run whose price was changed, by SKU, as the last change left them."""
    table = schema.repricing
    query = select(table.c.sku, table.c.payload).where(table.c.run_id == run_id).order_by(table.c.seq)
    return {row.sku: rows.from_json(Product, row.payload) for row in connection.execute(query)}


def record(connection: Connection, run_id: str, products: Sequence[Product], at: datetime) -> int:
    """Keep these products' prices as the run's latest; return how many differ from what was the latest before.

    A price that goes back to an earlier one is a change like any other.
    """
    known = latest(connection, run_id)
    changed = [
        product for product in products if product.sku not in known or not same_price(known[product.sku], product)
    ]
    found = [
        {"run_id": run_id, "sku": product.sku, "payload": rows.to_json(product), "at": rows.time_text(at)}
        for product in sorted(changed, key=lambda product: product.sku)
    ]
    return insert_new(connection, schema.repricing, found)
