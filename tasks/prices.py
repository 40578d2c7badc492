"""Prices: what the catalogue says at the moment of publishing, and what stands in the files about to be public.

A price that changed since the catalogue was extracted is drawn anew over the kept pictures, without an engine. A file
in which the price cannot be read back as the catalogue has it is not published.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image
from prefect import task

from tasks.extract import catalogue_source
from tasks.order import ProductionOrder
from tasks.runtime import RETRYING, Rooms, rooms
from zimage_core.catalogue import read_catalogue
from zimage_core.domain import PlacedText, Product
from zimage_core.ledger.prices import same_price
from zimage_core.publishing.frames import Frame
from zimage_core.quality.checks.text_truth import read_back
from zimage_core.quality.reading import default_reader

log = logging.getLogger("zimage_core.tasks")

PRICE_ROLES = ("price", "original_price")


@task(name="prices", task_run_name="prices {run_id}", **RETRYING)
def check_prices(order: ProductionOrder, run_id: str) -> int:
    """Read the catalogue again and let its prices be the run's; return how many products have another price now.

    A product that the catalogue no longer has loses its price: nothing is shown that cannot be looked up. Promotions
    that show no price ask nothing. Raises CatalogueError when the catalogue cannot be read: then nothing is released.
    """
    changed = changed_prices(order, run_id)
    rooms(order).ledger.reprice(run_id, changed)
    return len(changed)


def changed_prices(order: ProductionOrder, run_id: str) -> list[Product]:
    """Return the products whose price in the catalogue is not the one that the run draws; nothing is written."""
    open_rooms = rooms(order)
    if not open_rooms.library.promotion(order.promotion).price_style.show:
        return []
    promised = {promise.product.sku: promise.product for promise in open_rooms.ledger.iter_promises(run_id)}
    now = _products_now(order, open_rooms, promised.keys())
    changed: list[Product] = []
    for sku, product in promised.items():
        current = now.get(sku) or dataclasses.replace(product, price=None, original_price=None)
        if not same_price(product, current):
            changed.append(current)
            log.info("%s: %s, was %s", sku, _said(current, known=sku in now), _said(product, known=True))
    return changed


def _products_now(order: ProductionOrder, open_rooms: Rooms, skus: Collection[str]) -> dict[str, Product]:
    with read_catalogue(
        catalogue_source(order),
        mapping=order.columns or None,
        table=order.table,
        query=order.query,
        sheet=order.sheet,
        price_format=order.price_format,
        default_currency=order.currency,
        work_dir=open_rooms.settings.work_dir / "catalogues",
    ) as catalogue:
        return {product.sku: product for product in catalogue.products() if product.sku in skus}


def _said(product: Product, *, known: bool) -> str:
    if not known:
        return "no longer in the catalogue, so no price is shown"
    return "no price" if product.price is None else f"{product.price} {product.currency}"


def misread_price(open_rooms: Rooms, data: bytes, texts: Sequence[PlacedText], frame: Frame) -> str | None:
    """Return why a price in a file is not the one that was drawn, None when every price reads as it should.

    `texts` are placed in the master, of which the file shows `frame`. Both readers must miss the price: one that
    doubts is outvoted by the other.
    """
    priced = [text for text in texts if text.role in PRICE_ROLES]
    if not priced:
        return None
    with Image.open(io.BytesIO(data)) as image:
        rgb = np.asarray(image.convert("RGB"))
    for text in priced:
        there = dataclasses.replace(text, box=frame.map(text.box), plate=frame.map(text.plate))
        finding = read_back(rgb, there, default_reader(), open_rooms.rubric)
        if finding.veto:
            return finding.sentence
    return None
