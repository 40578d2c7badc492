"""Feeds of shops as catalogues: whose export a file is, by its headers, and what its rows mean.

Shopify's product CSV (`Handle`, `Title`, `Variant SKU` ..., or the newer `URL handle`, `SKU`, `Product image URL`) has
a row per variant and further rows that hold nothing but another image; what belongs to the product stands in its first
row only. Google's product data (`id`, `title`, `price`, `sale price` ...) holds the regular price under `price` and
what is asked now under `sale price`. Both name photos by URL: the photo is looked for beside the feed under the last
part of the URL.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final

import polars as pl

from zimage_core.catalogue.source import TextSource

_PRODUCT_LEVEL: Final = ("name", "brand", "category", "image")


def shop_rows(opened: TextSource) -> TextSource:
    """Return the source with a shop's rows made products: image rows dropped, variants completed, prices sorted out."""
    shop = opened.columns.shop
    if shop is None:
        return opened
    rows = _shopify_rows if shop == "shopify" else _google_rows
    return dataclasses.replace(opened, batches=rows(opened.batches))


def _shopify_rows(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield the variants, each with its product's name, brand, category and first photo.

    Rows of a product stand together, as Shopify writes them; a batch may end between them. A product without any SKU
    goes by its handle.
    """
    handle, facts = "", dict[str, str | None]()
    for batch in batches:
        known = [name for name in _PRODUCT_LEVEL if name in batch.columns]
        blank = [name for name in ("sku", "handle", *known) if name in batch.columns]
        whole = pl.col("ragged").is_null() if "ragged" in batch.columns else pl.lit(value=True)
        frame = batch.with_columns(_filled(name) for name in blank)
        if "sku" not in frame.columns:
            frame = frame.with_columns(sku=pl.lit(None, dtype=pl.String))
        frame = frame.with_columns(
            pl.when(whole).then(pl.col("handle").forward_fill().fill_null(handle)).alias("handle"),
            first=pl.col("name").is_not_null(),
        )
        said = [pl.col(name).drop_nulls().first().over("handle").alias(name) for name in known]
        carried = [
            pl.when(pl.col("handle") == handle).then(pl.coalesce(pl.lit(facts.get(name), dtype=pl.String), name))
            .otherwise(pl.col(name)).alias(name)
            for name in known
        ]  # fmt: skip
        frame = frame.with_columns(*said).with_columns(*carried)
        last = frame.filter(whole).tail(1)
        if last.height:
            handle, facts = last["handle"][0], {name: last[name][0] for name in known}
        kept = frame.filter(~whole | pl.col("sku").is_not_null() | pl.col("first"))
        kept = kept.with_columns(
            sku=pl.when(whole & pl.col("first")).then(pl.coalesce("sku", "handle")).otherwise(pl.col("sku"))
        )
        yield _local_photos(_with_variant_photo(kept)).drop("handle", "first")


def _with_variant_photo(frame: pl.DataFrame) -> pl.DataFrame:
    if "variant_image" not in frame.columns:
        return frame
    photo = _filled("variant_image")
    image = pl.coalesce(photo, "image") if "image" in frame.columns else photo
    return frame.with_columns(image=image).drop("variant_image")


def _google_rows(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield each item with what is asked now as its price, and the regular price beside it where that is another."""
    for batch in batches:
        frame = batch
        if {"price", "sale_price"} <= set(batch.columns):
            sale, regular = _filled("sale_price"), _filled("price")
            frame = batch.with_columns(
                price=pl.coalesce(sale, regular),
                original_price=pl.when(sale.is_not_null() & (sale != regular)).then(regular),
            )
        yield _local_photos(frame).drop("sale_price", strict=False)


def _local_photos(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with the last part of a photo's URL in its place."""
    if "image" not in frame.columns:
        return frame
    is_url = pl.col("image").str.contains(r"(?i)^\s*https?://")
    name = pl.col("image").str.strip_chars().str.extract(r"^[^?#]*/([^/?#]+)", 1)
    return frame.with_columns(image=pl.when(is_url).then(name).otherwise(pl.col("image")))


def _filled(name: str) -> pl.Expr:
    stripped = pl.col(name).str.strip_chars()
    return pl.when(stripped != "").then(stripped).alias(name)
