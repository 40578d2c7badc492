"""Releases from outside a run: what is live, going live later, going back, telling caches, clearing up."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tasks.notify import notify
from tasks.order import ProductionOrder
from tasks.prices import changed_prices
from tasks.runs import order_of
from tasks.runtime import Rooms, rooms
from zimage_core import clock
from zimage_core.domain import Release
from zimage_core.errors import PublishError, ZImageError
from zimage_core.publishing import held, retention
from zimage_core.publishing.canary import canary
from zimage_core.publishing.expiry import is_over, writes_something
from zimage_core.publishing.history import Held
from zimage_core.publishing.overview import (
    LivePromotion,
    ReleaseLine,
    live_promotion,
    live_promotions,
    release_lines,
)
from zimage_core.publishing.purge import PurgeOutcome, purge_of, purge_switch
from zimage_core.publishing.release import rollback
from zimage_core.publishing.retention import Pruning

log = logging.getLogger("zimage_core.tasks")


@dataclass(frozen=True)
class Shelf:
    """What is live and what waits. `lines` are one promotion's releases, empty where all promotions are looked at."""

    live: tuple[LivePromotion, ...]
    held: tuple[Held, ...]
    lines: tuple[ReleaseLine, ...] = ()


def shelf(promotion: str | None, work_dir: Path | None, out_dir: Path | None) -> Shelf:
    """Return what is live and what waits, of one promotion or of all."""
    cdn = _rooms(work_dir, out_dir).cdn
    if promotion is None:
        return Shelf(live_promotions(cdn), held.read_held(cdn))
    live = live_promotion(cdn, promotion)
    return Shelf(() if live is None else (live,), held.read_held(cdn, promotion), release_lines(cdn, promotion))


def roll_back(
    promotion: str, to: str | None, who: str | None, work_dir: Path | None, out_dir: Path | None
) -> tuple[Release, PurgeOutcome]:
    """Point the promotion at an earlier release (none given: the one before), write that down, tell who has to know."""
    opened = _rooms(work_dir, out_dir)
    restored = rollback(opened.cdn, promotion, to, by=who, threads=opened.publishing.threads)
    opened.ledger.record_release(None, restored, "rolled_back")
    purged = after_switch(opened, promotion)
    notify.fn(_order(promotion, work_dir, out_dir))
    return restored, purged


def refuse_after_the_end(opened: Rooms, promotion: str, *, although_over: bool) -> None:
    """Raise PublishError when a promotion is over, its plain set is live, and this would put its prices back.

    A promotion whose end nobody knows, or that was not taken down yet, is not refused: what it shows does not change
    for the worse, and `zimage expire` finds it.
    """
    if although_over or promotion not in opened.library.promotion_slugs:
        return
    found, live = opened.library.promotion(promotion), live_promotion(opened.cdn, promotion)
    if live is None or live.kind != "expired" or not (writes_something(found) and is_over(found, clock.now())):
        return
    raise PublishError(
        f"{promotion} ended on {found.ends} ({found.time_zone}) and shows no badge and no price since; publishing it "
        "again would put them back. Correct `ends` in prompts/promotions, or say --although-over if that is meant."
    )


def go_live(
    promotion: str,
    release_id: str | None,
    *,
    early: bool,
    who: str | None,
    work_dir: Path | None,
    out_dir: Path | None,
    although_over: bool = False,
) -> tuple[Release, PurgeOutcome]:
    """Make a held release live, look at its published files before, write it down, tell who has to know.

    Raises PublishError as `held.go_live` does, and after a promotion's end; see `refuse_after_the_end`.
    """
    opened = _rooms(work_dir, out_dir)
    refuse_after_the_end(opened, promotion, although_over=although_over)
    makers = {one.release_id: one.by for one in held.read_held(opened.cdn, promotion)}
    release = held.go_live(
        opened.cdn,
        promotion,
        release_id,
        early=early,
        by=who,
        threads=opened.publishing.threads,
        look=canary(opened.publishing.public_url),
    )
    maker = makers.get(release.release_id)
    run_id = maker if maker is not None and opened.ledger.events(maker) else None  # a run prepared it, or a person
    opened.ledger.record_release(run_id, release, "published")
    purged = after_switch(opened, promotion)
    notify.fn(_order(promotion, work_dir, out_dir))
    return release, purged


def outdated(
    promotion: str, release_id: str | None, *, early: bool, work_dir: Path | None, out_dir: Path | None
) -> tuple[ProductionOrder, str, Held] | None:
    """Return the order, the run and the held release that may go live now but shows a price that has changed since.

    None where the prices are right, where its time has not come, or where no run of this ledger prepared it. Raises
    CatalogueError when the catalogue cannot be read: a price that cannot be looked up does not go live.
    """
    opened = _rooms(work_dir, out_dir)
    waiting = held.chosen(opened.cdn, promotion, release_id)
    if waiting is None or waiting.by is None or not opened.ledger.events(waiting.by):
        return None
    if waiting.not_before is not None and waiting.not_before > clock.now() and not early:
        return None
    order, run_id = order_of(waiting.by, work_dir, out_dir)
    now = order.model_copy(update={"hold": False, "go_live_at": None})
    return (now, run_id, waiting) if changed_prices(now, run_id) else None


def due(work_dir: Path | None, out_dir: Path | None) -> tuple[Held, ...]:
    """Return the held releases whose time has come, one per promotion."""
    return held.due_releases(_rooms(work_dir, out_dir).cdn, clock.now())


def let_go(promotion: str, release_id: str | None, work_dir: Path | None, out_dir: Path | None) -> Held:
    """Hold a release no longer."""
    return held.let_go(_rooms(work_dir, out_dir).cdn, promotion, release_id)


def prune(grace_days: float, *, dry: bool, work_dir: Path | None, out_dir: Path | None) -> Pruning:
    """Delete what no kept release names; dry = only say what."""
    opened = _rooms(work_dir, out_dir)
    return retention.prune(
        opened.cdn,
        opened.publishing.keep_releases,
        grace=timedelta(days=grace_days),
        dry=dry,
        threads=opened.publishing.threads,
    )


def purge_again(promotion: str, work_dir: Path | None, out_dir: Path | None) -> PurgeOutcome:
    """Tell the cache once more that a promotion's pointers have moved."""
    opened = _rooms(work_dir, out_dir)
    if opened.publishing.purge == "none":
        raise PublishError("No cache is configured to be told; see ZIMAGE_PUBLISH_PURGE.")
    public_url = opened.publishing.public_url
    return purge_switch(purge_of(opened.publishing), opened.cdn, promotion, public_url=public_url, again=True)


def publishing_lines() -> Iterator[str]:
    """Say where releases go and what they carry, after asking the store for an object, which proves address and keys.

    Raises ConfigurationError, StorageError.
    """
    opened = _rooms(None, None)
    opened.cdn.exists("current/none.json")
    purge_of(opened.publishing)
    yield f"to {opened.publishing.to or opened.settings.out_dir / 'cdn'}"
    yield f"{len(opened.channels)} channels"
    yield "with content credentials" if opened.signer else "without content credentials"
    yield f"{len(opened.publishing.webhook_urls)} receivers of webhooks"


def after_switch(opened: Rooms, promotion: str) -> PurgeOutcome:
    """Tell the cache in front of the store that a promotion's pointers have moved; a failure is told, not raised.

    The release is live by now, so neither a wrong setting nor a store that fails may keep it from being told of.
    """
    publishing = opened.publishing
    try:
        return purge_switch(purge_of(publishing), opened.cdn, promotion, public_url=publishing.public_url)
    except ZImageError as error:
        sentence = (
            f"{promotion} is switched, but its cache was not told: {error.sentence} Readers see it when cached "
            f"pointers run out; repeat with `zimage releases {promotion} --purge`."
        )
        log.warning("%s", sentence)
        return PurgeOutcome(False, sentence)


def _rooms(work_dir: Path | None, out_dir: Path | None) -> Rooms:
    """Open the rooms by their folders alone: releases belong to no catalogue."""
    return rooms(ProductionOrder(catalogue="-", work_dir=work_dir, out_dir=out_dir))


def _order(promotion: str, work_dir: Path | None, out_dir: Path | None) -> ProductionOrder:
    return ProductionOrder(catalogue="-", promotion=promotion, work_dir=work_dir, out_dir=out_dir)
