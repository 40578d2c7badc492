"""Publish: accepted attempts become renditions, renditions a release, and one small pointer makes it current."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from prefect import task
from prefect.artifacts import create_link_artifact, create_table_artifact

from tasks.metrics import beat
from tasks.moderate import is_cleared
from tasks.order import ProductionOrder
from tasks.releases import after_switch
from tasks.renditions import Publishable, keep_renditions, publishables
from tasks.runtime import RETRYING, Rooms, artifact_key, rooms
from zimage_core import clock
from zimage_core.domain import Attempt, GradeLetter, Promise, Release
from zimage_core.errors import PublishError
from zimage_core.publishing.canary import canary
from zimage_core.publishing.expiry import is_over, writes_something
from zimage_core.publishing.held import prepare_release
from zimage_core.publishing.history import Held, read_manifest, read_pointer
from zimage_core.publishing.manifest import Manifest, ManifestEntry, build_manifest, public_file_url
from zimage_core.publishing.release import publish_release

SHOWN_FILES = 500
"""Rows of the tables in the Prefect UI; the manifest and report.csv have all."""

log = logging.getLogger("zimage_core.tasks")


def accepted_shots(order: ProductionOrder, run_id: str) -> list[tuple[str, str]]:
    """Return (shard_id, shot_id) of every accepted shot, in the order they were promised."""
    return [
        (promise.shard_id, promise.shot.shot_id)
        for promise, standing in rooms(order).ledger.standings(run_id)
        if standing.state == "accepted"
    ]


@task(
    name="publish",
    task_run_name="publish {label}",
    **RETRYING,
)
def make_renditions(order: ProductionOrder, run_id: str, shots: Sequence[tuple[str, str]], label: str) -> int:
    """Make and store the renditions of these accepted shots that are missing; return how many were made.

    A rendition that its channel's rules forbid is kept as a refusal with its reason; its siblings go on.
    """
    beat(order, run_id, stage="publish")
    open_rooms = rooms(order)
    pictures = _accepted(open_rooms, run_id, [shot_id for _, shot_id in shots], order.promotion)
    return keep_renditions(open_rooms, order, run_id, pictures)


@task(name="release", task_run_name="release {run_id}")
def release(order: ProductionOrder, run_id: str) -> Release | Held | None:
    """Switch the promotion's pointer to a manifest of every accepted picture; None when none is accepted.

    Where the order is about a part of the catalogue, what is live of the other products stays live with it.
    An order that holds its release has it stored and proved, and nothing is switched. Raises PublishError when a file
    that should be there is not; the release before it still stands.
    """
    open_rooms = rooms(order)
    listed = list(_listed(open_rooms, run_id, order.promotion))
    if not listed:
        return None
    settings = open_rooms.publishing
    entries = [*(entry for _, entry in listed), *_of_other_products(open_rooms, order, run_id)]
    manifest = build_manifest(order.promotion, entries, public_url=settings.public_url)
    look, threads = canary(settings.public_url), settings.threads
    if order.held(clock.now()):
        held = prepare_release(
            open_rooms.cdn, manifest, not_before=order.go_live_at, by=run_id, threads=threads, look=look
        )
        log.info("Release %s of %s is held: %s", held.release_id, order.promotion, order.go_live_at or "for a person")
        _show(order, open_rooms, manifest, listed)
        return held
    published = publish_release(open_rooms.cdn, manifest, by=run_id, threads=threads, look=look)
    open_rooms.ledger.record_release(run_id, published, "published")
    log.info("%s points at release %s: %d files", order.promotion, published.release_id, published.rendition_count)
    after_switch(open_rooms, order.promotion)
    promotion = open_rooms.library.promotion(order.promotion)
    if writes_something(promotion) and is_over(promotion, clock.now()):
        log.warning(
            "%s ended on %s and its badge is live: `zimage expire` takes it down.", order.promotion, promotion.ends
        )
    _show(order, open_rooms, manifest, listed)
    return published


# ---------------------------------------------------------------- behind the verbs


def _accepted(rooms: Rooms, run_id: str, shot_ids: Sequence[str], promotion: str) -> Iterator[tuple[Promise, Attempt]]:
    for promise, standing in rooms.ledger.standings(run_id, shot_ids=shot_ids):
        attempt = standing.attempt
        if standing.state == "accepted" and attempt is not None and is_cleared(rooms, promise, attempt, promotion):
            yield promise, attempt


def _listed(rooms: Rooms, run_id: str, promotion: str) -> Iterator[tuple[Publishable, ManifestEntry]]:
    """Yield the manifest's lines: every accepted shot's renditions but those that were refused with a reason."""
    refused = {refusal.value for refusal in rooms.ledger.refusals(run_id) if refusal.stage == "publish"}
    for outcome in rooms.ledger.outcomes(run_id):
        if outcome.state != "accepted" or outcome.chosen is None or outcome.grade is None:
            continue
        if not is_cleared(rooms, outcome.promise, outcome.chosen, promotion):
            raise PublishError(
                f"The {outcome.promise.shot.scene.name} picture was not moderated yet; publish again.",
                sku=outcome.promise.product.sku,
                shot_id=outcome.promise.shot.shot_id,
            )
        letter: GradeLetter = outcome.grade.letter
        wanted = publishables(rooms, outcome.promise, outcome.chosen, promotion)
        known = rooms.ledger.renditions([p.rendition_id for p in wanted])
        for item in wanted:
            rendition = known.get(item.rendition_id)
            if rendition is not None:
                yield item, ManifestEntry.of(rendition, letter)
            elif item.rendition_id not in refused:
                raise PublishError(
                    f"The {item.channel.slug} file of the {item.promise.shot.scene.name} picture was not made; "
                    "publish again.",
                    sku=item.promise.product.sku,
                    shot_id=item.promise.shot.shot_id,
                )


def _of_other_products(rooms: Rooms, order: ProductionOrder, run_id: str) -> list[ManifestEntry]:
    """Return the live files of products that a part of a catalogue was not about: neither promised nor refused."""
    pointer = read_pointer(rooms.cdn, order.promotion) if order.is_partial else None
    if pointer is None:
        return []
    concerned = {promise.product.sku for promise in rooms.ledger.iter_promises(run_id)}
    concerned |= {refusal.sku for refusal in rooms.ledger.refusals(run_id) if refusal.sku}
    live = read_manifest(rooms.cdn, pointer.manifest_key)
    return [entry for entry in live.entries if entry.sku not in concerned]


def _show(
    order: ProductionOrder, rooms: Rooms, manifest: Manifest, listed: Sequence[tuple[Publishable, ManifestEntry]]
) -> None:
    """Show a release in the Prefect UI: its files, the manifest, and what whoever lists them has to declare."""
    create_table_artifact(
        table=[
            {"SKU": e.sku, "scene": e.scene, "channel": e.channel, "size": f"{e.width_px}×{e.height_px}", "file": e.key}
            for _, e in listed[:SHOWN_FILES]
        ],
        key=artifact_key("release", order.promotion),
        description=f"Release {manifest.release_id}: {len(listed)} files",
    )
    public_url = rooms.publishing.public_url
    local = (rooms.settings.out_dir / "cdn" / manifest.key).resolve().as_uri()
    in_bucket = f"{rooms.publishing.to}/{manifest.key}"
    link = public_file_url(public_url, manifest.key) if public_url else in_bucket if rooms.publishing.to else local
    create_link_artifact(link=link, link_text="manifest", key=artifact_key("manifest", order.promotion))
    declared = [(item, entry) for item, entry in listed if item.disclosure.decision == "disclose"]
    if declared:
        create_table_artifact(
            table=[
                {"SKU": entry.sku, "scene": entry.scene, "channel": entry.channel, "declare": item.disclosure.reason}
                for item, entry in declared[:SHOWN_FILES]
            ],
            key=artifact_key("declare", order.promotion),
            description=f"{len(declared)} files whose listing has to declare how they were made, or what they say",
        )
