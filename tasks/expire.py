"""Expire: a promotion is over, so its pictures without badge and price are made and take the place of the others."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Container, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from prefect import task

from tasks.moderate import is_cleared
from tasks.order import ProductionOrder
from tasks.releases import after_switch
from tasks.renditions import keep_renditions, publishables
from tasks.runtime import RETRYING, Rooms, rooms
from zimage_core.domain import Attempt, GradeLetter, Promise, Release
from zimage_core.errors import ConfigurationError, PublishError
from zimage_core.publishing.canary import canary
from zimage_core.publishing.expiry import PlainLibrary, is_over, plain_manifest, writes_something
from zimage_core.publishing.history import read_manifest, read_pointer
from zimage_core.publishing.manifest import Manifest, ManifestEntry
from zimage_core.publishing.overview import live_promotion, live_promotions
from zimage_core.publishing.release import publish_release

log = logging.getLogger("zimage_core.tasks")

_RUNS = 100_000
"""All of them: a promotion's run may be months old when the promotion ends."""


def plain_rooms(open_rooms: Rooms) -> Rooms:
    """Return the same rooms, in which no promotion writes anything over a picture.

    Nobody is asked about plain pictures: their pixels were seen beneath the badge, and `is_cleared` is asked of the
    rooms as they are.
    """
    return dataclasses.replace(open_rooms, library=PlainLibrary(open_rooms.library.files), moderation=None)


def expired_promotions(now: datetime, zone: ZoneInfo | None, work_dir: Path | None, out_dir: Path | None) -> list[str]:
    """Return the promotions that are over, live, write something over pictures, and are not plain yet.

    `zone` None = each promotion's own.
    """
    opened = rooms(ProductionOrder(catalogue="-", work_dir=work_dir, out_dir=out_dir))
    known = set(opened.library.promotion_slugs)
    found: list[str] = []
    for live in live_promotions(opened.cdn):
        if live.promotion not in known:
            log.warning("%s is live, but no promotion of that name says when it ends.", live.promotion)
            continue
        promotion = opened.library.promotion_as_written(live.promotion)
        if live.kind != "expired" and writes_something(promotion) and is_over(promotion, now, zone):
            found.append(live.promotion)
    return found


def refuse_while_running(promotion: str, now: datetime, zone: ZoneInfo | None, order: ProductionOrder) -> None:
    """Raise ConfigurationError when a promotion is not over yet; `zone` None = its own."""
    found = rooms(order).library.promotion_as_written(promotion)
    if not is_over(found, now, zone):
        where = zone.key if zone else found.time_zone
        raise ConfigurationError(
            f"{promotion} runs until the end of {found.ends} ({where}); say --although-running to take its prices "
            "down all the same."
        )


def order_of_live(promotion: str, work_dir: Path | None, out_dir: Path | None) -> tuple[ProductionOrder, str]:
    """Return the order and the run that made what is live. Raises PublishError where the ledger knows of none."""
    opened = rooms(ProductionOrder(catalogue="-", promotion=promotion, work_dir=work_dir, out_dir=out_dir))
    live = live_promotion(opened.cdn, promotion)
    if live is None:
        raise PublishError(f"Nothing of {promotion} is live, so nothing can expire.")
    runs = [  # the newest first
        event.run_id
        for event in opened.ledger.releases(promotion)
        if event.release.release_id == live.release_id and event.run_id is not None
    ]
    known = (row.run for row in opened.ledger.runs(limit=_RUNS if runs else 0))
    made_by = next((run for run in known if run.run_id == runs[0]), None)
    if made_by is None:
        raise PublishError(
            f"This ledger knows no run that made release {live.release_id} of {promotion}; expire it where it was made."
        )
    order = ProductionOrder.model_validate_json(made_by.settings)
    return order.model_copy(update={"work_dir": work_dir, "out_dir": out_dir}), made_by.run_id


def live_shots(order: ProductionOrder, run_id: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (run_id, its (shard_id, shot_id) of accepted shots whose files are live) for every run behind a release.

    Where the run was about a part of a catalogue, other runs of the promotion made the other products' pictures.
    """
    opened = rooms(order)
    live = _live_manifest(opened, order.promotion)
    places = {(entry.sku, entry.scene) for entry in live.entries}
    return [
        (
            behind,
            [
                (promise.shard_id, promise.shot.shot_id)
                for promise, standing in opened.ledger.standings(behind)
                if standing.state == "accepted"
                and promise.shot.sku in skus
                and (promise.shot.sku, promise.shot.scene.name) in places
            ],
        )
        for behind, skus in _runs_behind(opened, live, run_id)
    ]


@task(name="plain", task_run_name="plain {label}", **RETRYING)
def make_plain(order: ProductionOrder, run_id: str, shots: Sequence[tuple[str, str]], label: str) -> int:
    """Make and store the plain renditions of these shots that are missing; return how many were made."""
    opened = rooms(order)
    standings = opened.ledger.standings(run_id, shot_ids=[shot_id for _, shot_id in shots])
    pictures = (
        (promise, standing.attempt)
        for promise, standing in standings
        if standing.attempt is not None and is_cleared(opened, promise, standing.attempt, order.promotion)
    )
    return keep_renditions(plain_rooms(opened), order, run_id, pictures)


@task(name="expire", task_run_name="expire {run_id}")
def release_plain(order: ProductionOrder, run_id: str, who: str | None) -> Release:
    """Switch the promotion to its plain set. Raises PublishError when files are missing; what is live then stays."""
    opened = rooms(order)
    live = _live_manifest(opened, order.promotion)
    without: set[tuple[str, str, str]] = set()
    entries: list[ManifestEntry] = []
    plain = plain_rooms(opened)
    behind = _runs_behind(opened, live, run_id)
    refused = {r.value for run, _ in behind for r in opened.ledger.refusals(run) if r.stage == "publish"}
    for promise, attempt, letter in (found for run, skus in behind for found in _accepted(opened, order, run, skus)):
        wanted = publishables(plain, promise, attempt, order.promotion)
        known = opened.ledger.renditions([one.rendition_id for one in wanted])
        entries += [ManifestEntry.of(rendition, letter) for rendition in known.values()]
        place = (promise.shot.sku, promise.shot.scene.name)
        without |= {(*place, one.channel.slug) for one in wanted if one.rendition_id in refused - known.keys()}
    settings = opened.publishing
    manifest = plain_manifest(live, entries, without=without, public_url=settings.public_url)
    look = canary(settings.public_url)
    release = publish_release(
        opened.cdn, manifest, by=who or run_id, kind="expired", threads=settings.threads, look=look
    )
    opened.ledger.record_release(run_id, release, "expired")
    gone = len(live.entries) - release.rendition_count
    log.info("%s is plain: %d files, %d gone", order.promotion, release.rendition_count, gone)
    after_switch(opened, order.promotion)
    return release


# ---------------------------------------------------------------- behind the verbs


def _runs_behind(opened: Rooms, live: Manifest, run_id: str) -> list[tuple[str, set[str]]]:
    """Return the runs that made what is live, each with the SKUs it made: the run itself, then others for the rest."""
    mine = {promise.product.sku for promise in opened.ledger.iter_promises(run_id)}
    behind: dict[str, set[str]] = {run_id: mine}
    made_by = opened.ledger.runs_behind_products(live.promotion)
    for sku in sorted({entry.sku for entry in live.entries} - mine):
        if sku in made_by:  # else the release is refused: this file has no plain one
            behind.setdefault(made_by[sku], set()).add(sku)
    return list(behind.items())


def _accepted(
    opened: Rooms, order: ProductionOrder, run_id: str, skus: Container[str]
) -> Iterator[tuple[Promise, Attempt, GradeLetter]]:
    """Yield the accepted pictures of some of a run's SKUs that may be published, with their grades."""
    for outcome in opened.ledger.outcomes(run_id):
        if outcome.state != "accepted" or outcome.chosen is None or outcome.grade is None:
            continue
        if outcome.promise.product.sku not in skus:
            continue
        if is_cleared(opened, outcome.promise, outcome.chosen, order.promotion):
            yield outcome.promise, outcome.chosen, outcome.grade.letter


def _live_manifest(opened: Rooms, promotion: str) -> Manifest:
    pointer = read_pointer(opened.cdn, promotion)
    if pointer is None:
        raise PublishError(f"Nothing of {promotion} is live, so nothing can expire.")
    return read_manifest(opened.cdn, pointer.manifest_key)
