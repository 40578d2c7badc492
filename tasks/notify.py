"""Notify: receivers are told of a release by signed webhooks. What a receiver does wrong never stops a run."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from prefect import task
from pydantic import ValidationError

from tasks.extract import catalogue_source
from tasks.order import ProductionOrder
from tasks.runs import order_of
from tasks.runtime import Rooms, rooms
from zimage_core import clock
from zimage_core.catalogue import read_passthrough
from zimage_core.domain import Product
from zimage_core.errors import ConfigurationError, ZImageError
from zimage_core.ledger import Delivery
from zimage_core.publishing.manifest import parse_manifest
from zimage_core.publishing.webhook_delivery import WebhookSender, deliver_due
from zimage_core.publishing.webhooks import Switch, events_of, receivers_of

log = logging.getLogger("zimage_core.tasks")

AT_MOST_S: Final = 30.0
"""For how long a run waits on receivers; what is left is sent by the next run, or by `zimage webhooks send`."""


@dataclass(frozen=True)
class Notified:
    """What one pass did: events that were new, and how many tries were delivered, or failed in whatever way."""

    events: int = 0
    delivered: int = 0
    failed: int = 0


@task(name="notify", task_run_name="notify {order.promotion}")
def notify(order: ProductionOrder) -> Notified | None:
    """Tell the receivers which release of the order's promotion is live, and of what is still due; None without any.

    To be called after each switch, by a run or a person; a call that was killed can be made again. It never raises for
    a receiver, a setting or a ledger that fails: the release stands, and the reason is in the log.
    """
    open_rooms = rooms(order)
    if not open_rooms.publishing.webhook_urls:
        return None
    new = delivered = failed = 0
    try:
        with WebhookSender(open_rooms.publishing) as sender:
            new = enqueue_live(order, tuple(sender.receivers))
            ended = deliver_due(open_rooms.ledger.outbox, sender, wait_s=AT_MOST_S, within_s=AT_MOST_S)
            delivered = ended["delivered"]
            failed = ended.total() - delivered
    except ZImageError as error:
        log.error("Receivers were not told of %s: %s", order.promotion, error)  # noqa: TRY400 - a sentence, no trace
    if failed:
        log.warning("%d webhooks were not delivered; see `zimage webhooks list`.", failed)
    return Notified(new, delivered, failed)


def enqueue_live(order: ProductionOrder, receivers: tuple[str, ...]) -> int:
    """Put what the last switch of the order's promotion made live into the outbox; return how many events were new.

    Raises ConfigurationError without a public address, LedgerError and StorageError.
    """
    opened = rooms(order)
    switches = opened.ledger.releases(order.promotion)
    if not switches:
        return 0
    last = switches[0]
    manifest = parse_manifest(opened.cdn.get(last.release.manifest_key))
    run_id = next((e.run_id for e in switches if e.run_id and e.release.release_id == last.release.release_id), None)
    made, given = ({}, {}) if run_id is None else _facts(opened, run_id)
    own = {} if run_id is None else _own_columns(order, run_id, {entry.sku for entry in manifest.entries})
    for sku, columns in own.items():
        given[sku] = given.get(sku, {}) | columns
    switch = Switch(last.release.release_id, order.promotion, last.kind, last.at)
    events = events_of(switch, manifest, public_url=opened.publishing.public_url, generated_at=made, passthrough=given)
    return opened.ledger.outbox.enqueue(events, receivers)


def _facts(opened: Rooms, run_id: str) -> tuple[dict[str, datetime], dict[str, dict[str, Any]]]:
    """Return when the picture under each key was made, and what the run's catalogue said of each SKU.

    The run is the last that published the release; a person who rolled back is no run.
    """
    renditions = opened.ledger.run_renditions(run_id)
    moments = opened.ledger.outbox.attempt_moments(one.attempt_id for one in renditions)
    made = {one.object_key: moments[one.attempt_id] for one in renditions if one.attempt_id in moments}
    return made, {p.product.sku: passthrough_of(p.product) for p in opened.ledger.iter_promises(run_id)}


def _own_columns(order: ProductionOrder, run_id: str, skus: Collection[str]) -> dict[str, dict[str, str]]:
    """Return what the catalogue holds now in the columns that the run's order passes on, by SKU.

    A catalogue that cannot be read any more is no error of the release: its receivers are told without these columns.
    """
    try:
        made_by, _ = order_of(run_id, order.work_dir, order.out_dir)
        return read_passthrough(
            catalogue_source(made_by),
            skus,
            mapping=made_by.columns,
            query=made_by.query,
            table=made_by.table,
            sheet=made_by.sheet,
        )
    except (ZImageError, ValidationError) as error:
        log.warning("Receivers of %s are told without the catalogue's own columns: %s", order.promotion, error)
        return {}


def passthrough_of(product: Product) -> dict[str, Any]:
    """Return what the catalogue's row says of a product, for receivers: what is not blank, amounts as text."""
    found: Mapping[str, object] = {
        "recordNo": product.record_no,
        "name": product.name,
        "nameEn": product.name_en,
        "category": product.category,
        "color": product.color,
        "material": product.material,
        "brand": product.brand,
        "price": None if product.price is None else str(product.price),
        "originalPrice": None if product.original_price is None else str(product.original_price),
        "currency": None if product.price is None else product.currency,
    }
    return {name: value for name, value in found.items() if value is not None}


# ---------------------------------------------------------------- what a person asks for


def send_due(order: ProductionOrder, wait_s: float) -> Notified:
    """Send what is due now and what becomes due `wait_s` seconds from now. Raises ConfigurationError, LedgerError."""
    open_rooms = rooms(order)
    with WebhookSender(open_rooms.publishing) as sender:
        ended = deliver_due(open_rooms.ledger.outbox, sender, wait_s=wait_s)
    return Notified(0, ended["delivered"], ended.total() - ended["delivered"])


def replay(order: ProductionOrder, event_ids: tuple[str, ...], release_id: str | None, *, dead: bool) -> int:
    """Make webhooks due again, under their ids; return how many. Raises ConfigurationError where nothing was named."""
    if not event_ids and release_id is None and not dead:
        raise ConfigurationError("Say what to send again: ids of events, --release, or --dead for all dead letters.")
    receivers = _names(order)
    return rooms(order).ledger.outbox.replay(list(receivers), event_ids=event_ids, release_id=release_id, dead=dead)


def delivery_lines(order: ProductionOrder, state: str | None, release_id: str | None, limit: int) -> list[str]:
    """Return a line per event and receiver, the newest first: how it stands, and why.

    Raises ConfigurationError for a state that there is not.
    """
    if state not in (None, "waiting", "delivered", "dead", "gone"):
        raise ConfigurationError(f"There is no state '{state}'; a webhook is waiting, delivered, dead or gone.")
    names = _names(order)
    found = rooms(order).ledger.outbox.deliveries(state=state, release_id=release_id, limit=limit)  # type: ignore[arg-type]
    return [_line(one, names) for one in found]


def _names(order: ProductionOrder) -> dict[str, str]:
    settings = rooms(order).publishing
    found = receivers_of(settings.webhook_urls, private=settings.webhook_private)
    return {receiver.receiver_id: receiver.name for receiver in found}


def _line(one: Delivery, names: Mapping[str, str]) -> str:
    name = names.get(one.receiver, f"receiver {one.receiver}, which is not configured any more")
    tries = f"{one.tries} {'try' if one.tries == 1 else 'tries'}"
    parts = [one.event_id, one.promotion, f"release {one.release_id}", one.state, tries, name]
    if one.due_at is not None:
        moment = "now" if one.due_at <= clock.now() else f"{one.due_at:%Y-%m-%d %H:%M:%S} UTC"
        parts.append(f"next {moment}")
    return " · ".join(parts + ([one.sentence] if one.sentence else []))
