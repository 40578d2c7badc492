"""Publish: accepted attempts become renditions, renditions a release, and one small pointer makes it current."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.artifacts import create_link_artifact, create_table_artifact

from tasks.grade import judge
from tasks.layers import Finished, cutout_of, finish, finished_key_of, overlay_of
from tasks.moderate import is_cleared
from tasks.order import ProductionOrder
from tasks.prices import misread_price
from tasks.runtime import (
    RETRYING,
    Rooms,
    artifact_key,
    rooms,
)
from zimage_core.catalogue import path_safe
from zimage_core.domain import (
    Attempt,
    Channel,
    GradeLetter,
    Promise,
    Refusal,
    Release,
    Rendition,
    content_id,
)
from zimage_core.errors import PublishError
from zimage_core.imaging.cutout import CutOut
from zimage_core.publishing.alt_text import alt_text
from zimage_core.publishing.frames import RenditionRefusal, frame_of
from zimage_core.publishing.manifest import ManifestEntry, build_manifest, rendition_key
from zimage_core.publishing.release import publish_release, rollback
from zimage_core.publishing.renditions import RenditionBytes, make_rendition, rendition_id_of
from zimage_core.publishing.seal import SealFacts
from zimage_core.storage import IMMUTABLE

log = logging.getLogger("zimage_core.tasks")


@dataclass(frozen=True)
class Publishable:
    """One accepted picture for one channel, named before it is made."""

    promise: Promise
    attempt: Attempt
    channel: Channel
    seal: SealFacts
    rendition_id: str


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
    open_rooms = rooms(order)
    made: list[Rendition] = []
    found: list[Rendition] = []
    refused: list[Refusal] = []
    for promise, attempt in _accepted(open_rooms, run_id, [shot_id for _, shot_id in shots], order.promotion):
        wanted = publishables(open_rooms, promise, attempt, order.promotion)
        known = open_rooms.ledger.renditions([p.rendition_id for p in wanted])
        missing = [p for p in wanted if not _is_there(open_rooms, known.get(p.rendition_id))]
        found += known.values()
        for answer in _make(open_rooms, order, missing):
            if isinstance(answer, Refusal):
                refused.append(answer)
            else:
                made.append(answer)
    open_rooms.ledger.record_renditions(run_id, [*found, *made])
    open_rooms.ledger.record_refusals(run_id, refused)
    return len(made)


@task(name="release", task_run_name="release {run_id}")
def release(order: ProductionOrder, run_id: str) -> Release | None:
    """Switch the promotion's pointer to a manifest of every accepted picture; None when none is accepted.

    Raises PublishError when a file that should be there is not; the release before it still stands.
    """
    open_rooms = rooms(order)
    entries = list(_entries(open_rooms, run_id, order.promotion))
    if not entries:
        return None
    published = publish_release(open_rooms.cdn, build_manifest(order.promotion, entries))
    open_rooms.ledger.record_release(run_id, published, "published")
    log.info("%s points at release %s: %d files", order.promotion, published.release_id, published.rendition_count)
    create_table_artifact(
        table=[
            {"SKU": e.sku, "scene": e.scene, "channel": e.channel, "size": f"{e.width_px}×{e.height_px}", "file": e.key}
            for e in entries[:500]
        ],
        key=artifact_key("release", order.promotion),
        description=f"Release {published.release_id}: {published.rendition_count} files",
    )
    manifest = (open_rooms.settings.out_dir / "cdn" / published.manifest_key).resolve()
    create_link_artifact(link=manifest.as_uri(), link_text="manifest", key=artifact_key("manifest", order.promotion))
    return published


def roll_back(promotion: str, to: str | None, work_dir: Path | None, out_dir: Path | None) -> Release:
    """Point the promotion at an earlier release (none given: the one before), and write that down."""
    order = ProductionOrder(catalogue="-", promotion=promotion, work_dir=work_dir, out_dir=out_dir)
    open_rooms = rooms(order)
    restored = rollback(open_rooms.cdn, promotion, to)
    open_rooms.ledger.record_release(None, restored, "rolled_back")
    return restored


# ---------------------------------------------------------------- behind the verbs


def publishables(rooms: Rooms, promise: Promise, attempt: Attempt, promotion: str) -> list[Publishable]:
    """Return what an accepted attempt gives for each channel of its shot; pure ids, no pixels."""
    language = rooms.library.promotion(promotion).language
    finished_key = finished_key_of(attempt, overlay_of(rooms, promise, attempt, promotion))
    seal = SealFacts(
        engine=attempt.engine,
        engine_version=attempt.engine_fingerprint,
        mode=attempt.change.mode or promise.shot.mode,
        content_id=finished_key,
        alt_text=alt_text(promise.product, promise.shot.scene.name, language),
        language=language,
    )
    channels = [rooms.channels[slug] for slug in promise.channels]
    # Sizes of one product share photo and name, so their pictures are the same pixels; each has files of its own.
    whose = (promise.shot.sku, promise.shot.scene.name)
    return [
        Publishable(promise, attempt, c, seal, content_id("rendition", *whose, rendition_id_of(finished_key, c, seal)))
        for c in channels
    ]


def _accepted(rooms: Rooms, run_id: str, shot_ids: Sequence[str], promotion: str) -> Iterator[tuple[Promise, Attempt]]:
    for promise, standing in rooms.ledger.standings(run_id, shot_ids=shot_ids):
        attempt = standing.attempt
        if standing.state == "accepted" and attempt is not None and is_cleared(rooms, promise, attempt, promotion):
            yield promise, attempt


def _is_there(rooms: Rooms, known: Rendition | None) -> bool:
    return known is not None and rooms.cdn.exists(known.object_key)


def _make(rooms: Rooms, order: ProductionOrder, missing: Sequence[Publishable]) -> Iterator[Rendition | Refusal]:
    if not missing:
        return
    promise, attempt = missing[0].promise, missing[0].attempt
    cutout = cutout_of(rooms, promise, order)
    finished = finish(rooms, promise, attempt, order.promotion, cutout if isinstance(cutout, CutOut) else None)
    poor = _redrawn_poorly(rooms, order, promise, attempt, finished.key)
    for wanted in missing:
        if poor is not None and wanted.channel.overlay_allowed:
            yield _refused(wanted, "redrawn_poor", poor)
            continue
        made = make_rendition(finished.attempt_rgb, finished.rgb, wanted.channel, seal=wanted.seal)
        if isinstance(made, RenditionRefusal):
            yield _refused(wanted, made.code, made.reason)
            continue
        misread = _misread(rooms, finished, wanted.channel, made)
        yield _refused(wanted, "price_wrong", misread) if misread else _keep(rooms, wanted, made)


def _redrawn_poorly(
    rooms: Rooms, order: ProductionOrder, promise: Promise, attempt: Attempt, finished_key: str
) -> str | None:
    """Return why a picture may not be published whose overlay was drawn anew after its grade; None where it may.

    A new price changes no pixel of the attempt, but it is longer or lies elsewhere: every check is asked again.
    """
    graded = rooms.ledger.grades([attempt.attempt_id]).get(attempt.attempt_id, [])
    if any(grade.finished_key == finished_key for grade in graded):
        return None
    grade = judge(rooms, promise, attempt, order, rooms.rubric)
    rooms.ledger.record_grades([grade])
    return None if grade.letter != "C" else f"With its new price it is a C: {' '.join(grade.reasons)}"


def _misread(rooms: Rooms, finished: Finished, channel: Channel, made: RenditionBytes) -> str | None:
    """Return which price cannot be read back from the file as it was drawn; None where all can, or none is shown."""
    frame = frame_of(finished.rgb.shape[1], finished.rgb.shape[0], channel)
    if not made.overlay_drawn or isinstance(frame, RenditionRefusal):
        return None
    return misread_price(rooms, made.data, finished.texts, frame)


def _refused(wanted: Publishable, code: str, reason: str) -> Refusal:
    return Refusal(
        stage="publish",
        code=code,
        reason=f"{wanted.promise.shot.scene.name} for {wanted.channel.slug}: {reason}",
        sku=wanted.promise.product.sku,
        field=wanted.channel.slug,
        value=wanted.rendition_id,
    )


def _keep(rooms: Rooms, wanted: Publishable, made: RenditionBytes) -> Rendition:
    """Bytes to the store first, then the ledger's row: a crash between the two leaves an orphan file, never a lie."""
    shot = wanted.promise.shot
    key = rendition_key(
        path_safe(shot.sku), shot.scene.name, made.channel, made.width_px, made.height_px, made.sha256, made.extension
    )
    rooms.cdn.put(key, made.data, content_type=made.media_type, cache_control=IMMUTABLE)
    return Rendition(
        rendition_id=wanted.rendition_id,
        shot_id=shot.shot_id,
        attempt_id=wanted.attempt.attempt_id,
        sku=shot.sku,
        scene=shot.scene.name,
        channel=made.channel,
        object_key=key,
        sha256=made.sha256,
        size_bytes=len(made.data),
        width_px=made.width_px,
        height_px=made.height_px,
        media_type=made.media_type,
        alt_text=wanted.seal.alt_text,
    )


def _entries(rooms: Rooms, run_id: str, promotion: str) -> Iterator[ManifestEntry]:
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
                yield ManifestEntry.of(rendition, letter)
            elif item.rendition_id not in refused:
                raise PublishError(
                    f"The {item.channel.slug} file of the {item.promise.shot.scene.name} picture was not made; "
                    "publish again.",
                    sku=item.promise.product.sku,
                    shot_id=item.promise.shot.shot_id,
                )
