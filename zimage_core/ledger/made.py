"""Which products a promotion has been produced for, and how the catalogue described each of them then."""

from __future__ import annotations

from sqlalchemy import Connection, text

# Only runs that ended as completed count, the one that ended last first: what an interrupted run promised may not have
# been made.
_MADE = text(
    """SELECT product.sku AS sku, promise.product_key AS product_key, run.run_id AS run_id, closed.seq AS seq
    FROM run
    JOIN run_event closed ON closed.seq = (
        SELECT max(e.seq) FROM run_event e WHERE e.run_id = run.run_id AND e.state IS NOT NULL)
    JOIN promise ON promise.run_id = run.run_id
    JOIN product ON product.product_key = promise.product_key
    WHERE run.promotion = :promotion AND closed.state = 'completed'
    GROUP BY product.sku, promise.product_key, run.run_id, closed.seq
    ORDER BY seq"""
)


def products_made(connection: Connection, promotion: str) -> dict[str, str]:
    """Return by SKU the product_key with which it was last part of a completed run of the promotion."""
    return {row.sku: row.product_key for row in connection.execute(_MADE, {"promotion": promotion})}


def runs_behind_products(connection: Connection, promotion: str) -> dict[str, str]:
    """Return by SKU the completed run of the promotion that it was last part of."""
    return {row.sku: row.run_id for row in connection.execute(_MADE, {"promotion": promotion})}
