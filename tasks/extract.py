"""Extract: a catalogue becomes products and refusals; the run is opened under an id of all that decides its outcome."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact
from sqlalchemy import make_url

from tasks.order import ProductionOrder
from tasks.runtime import Rooms, artifact_key, photo_root, resident_engine, rooms
from zimage_core import clock
from zimage_core.catalogue import Catalogue, check_photos, read_catalogue
from zimage_core.domain import Product, Refusal, Run, content_id, to_plain
from zimage_core.errors import PlanError
from zimage_core.storage import sweep, unfinished

SHOWN_REFUSALS = 200
"""Rows of the refusals table in the Prefect UI; refusals.csv and the ledger hold all of them."""

log = logging.getLogger("zimage_core.tasks")


@dataclass(frozen=True)
class Extracted:
    """What extract leaves behind: the run it opened, and the file with its products, one JSON object a line."""

    run_id: str
    source: str
    products_file: Path
    product_count: int
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...]


@task(name="extract", task_run_name="extract {order.catalogue_name}")
def extract(order: ProductionOrder) -> Extracted:
    """Read, validate and keep the catalogue; open the run (or go on with it); record and show what was refused.

    Where the order is about a part of the catalogue and that part is empty, no run is opened. Raises CatalogueError
    when the catalogue as a whole cannot be used, PlanError when the order is about an earlier run that there is not.
    """
    open_rooms = rooms(order)
    extracted = read_products(order)
    if order.only in ("failed", "C") and not open_rooms.ledger.events(extracted.run_id):
        raise PlanError(
            f"Only {order.only} was ordered, and nothing was made of this order before: the catalogue, the settings, "
            "the prompts or the engine are others now. Order all, or changed."
        )
    if not extracted.product_count and order.only in ("new", "changed"):
        return extracted
    open_rooms.ledger.open_run(
        Run(extracted.run_id, order.promotion, extracted.source, order.model_dump_json(), clock.now())
    )
    open_rooms.ledger.record_refusals(extracted.run_id, extracted.refusals)
    log.info(
        "%s: %d products, %d rows refused; run %s",
        extracted.source,
        extracted.product_count,
        len(extracted.refusals),
        extracted.run_id,
    )
    create_table_artifact(
        table=[_row(refusal) for refusal in extracted.refusals[:SHOWN_REFUSALS]] or [{"refused": "nothing"}],
        key=artifact_key("refused", order.promotion),
        description=" ".join(
            [
                f"{len(extracted.refusals)} of the rows of {extracted.source} were refused; the rest go on.",
                *extracted.notes,
            ]
        ),
    )
    return extracted


def read_products(order: ProductionOrder) -> Extracted:
    """Do all of extract but what needs a ledger or Prefect; `zimage plan` stops here."""
    open_rooms = rooms(order)
    folder = open_rooms.settings.work_dir / "catalogues"
    sweep(folder)
    catalogue = read_catalogue(
        catalogue_source(order),
        mapping=order.columns or None,
        table=order.table,
        query=order.query,
        sheet=order.sheet,
        price_format=order.price_format,
        default_currency=order.currency,
        work_dir=folder,
    )
    with catalogue:
        refusals: list[Refusal] = list(catalogue.refusals())
        kept, digest, count = _keep_products(_checked(catalogue, order, open_rooms, refusals), folder)
    refusals.sort(key=lambda refusal: (refusal.record_no or 0, refusal.code, refusal.field or ""))
    return Extracted(
        _run_id(order, digest, open_rooms), catalogue.source, kept, count, tuple(refusals), catalogue.notes
    )


def catalogue_source(order: ProductionOrder) -> str:
    """Return what the order names, with the password of the settings put into a database URL; never print it."""
    password = order.settings().catalogue_password
    if "://" not in order.catalogue or password is None:
        return order.catalogue
    return make_url(order.catalogue).set(password=password.get_secret_value()).render_as_string(hide_password=False)


def _checked(
    catalogue: Catalogue, order: ProductionOrder, open_rooms: Rooms, refusals: list[Refusal]
) -> Iterator[Product]:
    """Yield the products that the order is about and whose photos are usable, up to its limit.

    The others' refusals are collected.
    """
    root = photo_root(order)
    taken = 0
    checked = check_photos(catalogue.products(), root, max_megapixels=open_rooms.settings.max_photo_megapixels)
    for answer in _part(checked, order, open_rooms):
        if isinstance(answer, Refusal):
            refusals.append(answer)
            continue
        yield answer
        taken += 1
        if order.limit is not None and taken >= order.limit:
            return


def _part(
    checked: Iterator[Product | Refusal], order: ProductionOrder, open_rooms: Rooms
) -> Iterator[Product | Refusal]:
    """Leave out the products that the promotion has been produced for, as they are now or at all; refusals pass."""
    made = open_rooms.ledger.products_made(order.promotion) if order.only in ("new", "changed") else {}
    for answer in checked:
        known = made.get(answer.sku) if isinstance(answer, Product) else None
        same = isinstance(answer, Product) and known == answer.product_key
        if known is None or (order.only == "changed" and not same):
            yield answer


def _keep_products(products: Iterator[Product], folder: Path) -> tuple[Path, str, int]:
    """Write one JSON object a line into a file named by its content; return path, sha256 and count."""
    digest, count = hashlib.sha256(), 0
    growing = unfinished(folder)
    with growing.open("wb") as out:
        for product in products:
            line = json.dumps(product.to_line(), ensure_ascii=False, sort_keys=True).encode() + b"\n"
            digest.update(line)
            out.write(line)
            count += 1
    return growing.replace(folder / f"{digest.hexdigest()[:16]}.jsonl"), digest.hexdigest(), count


def _run_id(order: ProductionOrder, products_digest: str, open_rooms: Rooms) -> str:
    """The same promotion, products (photos included), engine, prompts, channels and rubric are the same run."""
    settings = open_rooms.settings
    decides = (
        products_digest,
        order.scenes,
        order.channels,
        resident_engine(order).engine.info.fingerprint,
        open_rooms.library.fingerprint,
        sorted(to_plain(channel).items() for channel in open_rooms.channels.values()),
        open_rooms.rubric.hash,
        settings.max_attempts,
    )
    return f"{order.promotion}-{content_id('run', order.promotion, *map(repr, decides))[:10]}"


def _row(refusal: Refusal) -> dict[str, object]:
    return {
        "row": refusal.record_no,
        "SKU": refusal.sku,
        "field": refusal.field,
        "why": refusal.reason,
        "value": refusal.value,
    }
