"""Renditions: what an accepted picture gives for each of its channels, made, sealed, read back and stored."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.grade import judge
from tasks.layers import Finished, cutout_of, finish, finished_key_of, overlay_of
from tasks.order import ProductionOrder
from tasks.prices import misread_price
from tasks.runtime import Rooms
from zimage_core import clock
from zimage_core.catalogue import path_safe
from zimage_core.domain import (
    Attempt,
    Channel,
    Labels,
    Promise,
    Refusal,
    Rendition,
    SizedFile,
    content_id,
)
from zimage_core.imaging.cutout import CutOut
from zimage_core.publishing.alt_text import alt_text
from zimage_core.publishing.disclosure import AI_MAKINGS, Disclosure, disclosure_for, making_of
from zimage_core.publishing.frames import RenditionRefusal, srcset_channels
from zimage_core.publishing.manifest import rendition_key
from zimage_core.publishing.renditions import RenditionBytes, make_rendition, rendition_id_of
from zimage_core.publishing.seal import SealFacts, expected_seal
from zimage_core.storage import IMMUTABLE, Upload, at_once, upload

log = logging.getLogger("zimage_core.tasks")


@dataclass(frozen=True)
class Publishable:
    """One accepted picture for one channel, named before it is made, and what must be told of how it was made."""

    promise: Promise
    attempt: Attempt
    channel: Channel
    seal: SealFacts
    disclosure: Disclosure
    rendition_id: str


def publishables(rooms: Rooms, promise: Promise, attempt: Attempt, promotion: str) -> list[Publishable]:
    """Return what an accepted attempt gives for each channel of its shot; pure ids, no pixels.

    A channel that takes no overlay gets the bare picture under the bare picture's key: a new price is nothing to it.
    """
    found = rooms.library.promotion(promotion)
    overlay = overlay_of(rooms, promise, attempt, promotion)
    mode, scene = attempt.change.mode or promise.shot.mode, promise.shot.scene.name
    making = making_of(attempt.engine, mode, scene)
    facts = SealFacts(
        engine=attempt.engine,
        engine_version=attempt.engine_fingerprint,
        mode=mode,
        content_id="",
        alt_text=alt_text(promise.product, scene, found.language),
        language=found.language,
        producer=rooms.publishing.producer,
        signed_by="" if rooms.signer is None else rooms.signer.fingerprint,
    )
    roles, today = tuple(text.role for text in overlay.texts), clock.now().date()
    bare = dataclasses.replace(overlay, texts=())
    keys = {True: finished_key_of(attempt, overlay), False: finished_key_of(attempt, bare)}
    wanted = []
    for channel in (rooms.channels[slug] for slug in promise.channels):
        drawn, key = roles if channel.overlay_allowed else (), keys[channel.overlay_allowed]
        disclosure = disclosure_for(channel, making, on=today, drawn=drawn)
        always = rooms.publishing.visible_label == "always" and making in AI_MAKINGS
        seal = dataclasses.replace(
            facts,
            content_id=key,
            visible_label=always or "visible" in disclosure.labels,
            source_type=channel.ai.source_type,
        )
        # Sizes of one product share photo and name, so their pictures are the same pixels; each has files of its own.
        name = content_id("rendition", promise.shot.sku, scene, rendition_id_of(key, channel, seal))
        wanted.append(Publishable(promise, attempt, channel, seal, disclosure, name))
    return wanted


def keep_renditions(
    rooms: Rooms, order: ProductionOrder, run_id: str, pictures: Iterable[tuple[Promise, Attempt]]
) -> int:
    """Make and store what is missing of these pictures' renditions, write it all down; return how many were made.

    A rendition that its channel's rules forbid is kept as a refusal with its reason; its siblings go on.
    """
    made: list[Rendition] = []
    found: list[Rendition] = []
    refused: list[Refusal] = []
    for promise, attempt in pictures:
        there, missing = missing_of(rooms, publishables(rooms, promise, attempt, order.promotion))
        found += there
        for answer in make_files(rooms, order, missing):
            if isinstance(answer, Refusal):
                refused.append(answer)
            else:
                made.append(answer)
    rooms.ledger.record_renditions(run_id, [*found, *made])
    rooms.ledger.record_refusals(run_id, refused)
    return len(made)


def missing_of(rooms: Rooms, wanted: Sequence[Publishable]) -> tuple[list[Rendition], list[Publishable]]:
    """Return the renditions whose files are all in the store, and what is still to be made."""
    known = rooms.ledger.renditions([one.rendition_id for one in wanted])
    there = at_once(lambda one: _is_there(rooms, known.get(one.rendition_id)), wanted, rooms.publishing.threads)
    missing = [one for one, found in zip(wanted, there, strict=True) if not found]
    return [known[one.rendition_id] for one, found in zip(wanted, there, strict=True) if found], missing


def _is_there(rooms: Rooms, known: Rendition | None) -> bool:
    return known is not None and all(
        rooms.cdn.exists(key) for key in (known.object_key, *(file.object_key for file in known.srcset))
    )


def make_files(rooms: Rooms, order: ProductionOrder, missing: Sequence[Publishable]) -> list[Rendition | Refusal]:
    """Make these files of one picture, put them into the store and return them, or why a channel gets none.

    Bytes first, then the ledger's row: a crash between the two leaves an orphan file, never a lie. Raises the store's
    error when a file cannot be kept.
    """
    allowed = [one for one in missing if _forbidden(rooms, one) is None]
    answers: list[Rendition | Refusal] = [
        _refused(one, *found) for one in missing if (found := _forbidden(rooms, one)) is not None
    ]
    if not allowed:
        return answers
    promise, attempt = allowed[0].promise, allowed[0].attempt
    cutout = cutout_of(rooms, promise, order)
    finished = finish(rooms, promise, attempt, order.promotion, cutout if isinstance(cutout, CutOut) else None)
    poor = _redrawn_poorly(rooms, order, promise, attempt, finished)
    uploads: list[Upload] = []
    for one in allowed:
        made = _made(rooms, finished, one) if poor is None or not one.channel.overlay_allowed else poor
        if isinstance(made, _Files):
            uploads += made.uploads
            answers.append(made.rendition)
        else:
            answers.append(_refused(one, *made))
    for answer in upload(rooms.cdn, uploads, rooms.publishing.threads):
        if answer.error is not None:
            raise answer.error
    return answers


def _forbidden(rooms: Rooms, one: Publishable) -> tuple[str, str] | None:
    """Return why no file may be made at all: a rule of a market or channel, or a label that the settings forbid."""
    disclosure = one.disclosure
    if disclosure.decision == "deny":
        return "not_allowed", f"{disclosure.reason} ({'; '.join(disclosure.sources)})."
    if rooms.publishing.visible_label == "never" and "visible" in disclosure.labels:
        return "label_required", f"an AI label that people see is needed ({disclosure.reason}), and settings forbid it."
    return None


# ---------------------------------------------------------------- one file


@dataclass(frozen=True)
class _Files:
    """A rendition with what is to be put into the store for it."""

    rendition: Rendition
    uploads: tuple[Upload, ...]


def _made(rooms: Rooms, finished: Finished, one: Publishable) -> _Files | tuple[str, str]:
    """Return the channel's file and its further sizes, or (code, reason) of why there is none."""
    made = _rendered(rooms, finished, one, one.channel)
    if isinstance(made, RenditionRefusal):
        return made.code, made.reason
    misread = misread_price(rooms, made.data, finished.texts, made.frame) if made.overlay_drawn else None
    if misread is not None:
        return "price_wrong", misread
    uploads, sizes = [_upload_of(one, made)], []
    height_px, width_px = finished.rgb.shape[:2]
    for size in srcset_channels(width_px, height_px, one.channel, widths_px=one.channel.srcset_widths_px):
        further = _rendered(rooms, finished, one, size)
        if isinstance(further, RenditionRefusal):
            return further.code, f"{size.width_px} px {size.format}: {further.reason}"
        uploads.append(_upload_of(one, further))
        sizes.append(_sized(uploads[-1].key, further))
    return _Files(_rendition(one, uploads[0].key, made, tuple(sizes)), tuple(uploads))


def _rendered(
    rooms: Rooms, finished: Finished, one: Publishable, channel: Channel
) -> RenditionBytes | RenditionRefusal:
    return make_rendition(
        finished.attempt_rgb,
        finished.rgb,
        channel,
        seal=one.seal,
        product_alpha=None if finished.placed is None else finished.placed[..., 3],
        text_boxes=[text.plate for text in finished.texts],
        required_labels=one.disclosure.labels,
        signer=rooms.signer,
    )


def _upload_of(one: Publishable, made: RenditionBytes) -> Upload:
    shot = one.promise.shot
    key = rendition_key(
        path_safe(shot.sku), shot.scene.name, made.channel, made.width_px, made.height_px, made.sha256, made.extension
    )
    return Upload(key, made.data, made.media_type, IMMUTABLE)


def _sized(key: str, made: RenditionBytes) -> SizedFile:
    return SizedFile(key, made.sha256, len(made.data), made.width_px, made.height_px, made.media_type)


def _rendition(one: Publishable, key: str, made: RenditionBytes, srcset: tuple[SizedFile, ...]) -> Rendition:
    seal = expected_seal(dataclasses.replace(one.seal, text_drawn=made.overlay_drawn))
    return Rendition(
        rendition_id=one.rendition_id,
        shot_id=one.promise.shot.shot_id,
        attempt_id=one.attempt.attempt_id,
        sku=one.promise.shot.sku,
        scene=one.promise.shot.scene.name,
        channel=made.channel,
        object_key=key,
        sha256=made.sha256,
        size_bytes=len(made.data),
        width_px=made.width_px,
        height_px=made.height_px,
        media_type=made.media_type,
        alt_text=one.seal.alt_text,
        labels=Labels(seal.digital_source_type, bool(seal.aigc), made.label_box is not None),
        srcset=srcset,
    )


def _redrawn_poorly(
    rooms: Rooms, order: ProductionOrder, promise: Promise, attempt: Attempt, finished: Finished
) -> tuple[str, str] | None:
    """Return why a picture may not be published whose overlay was drawn anew after its grade; None where it may.

    A new price changes no pixel of the attempt, but it is longer or lies elsewhere: every check is asked again.
    """
    graded = rooms.ledger.grades([attempt.attempt_id])[attempt.attempt_id]
    if not finished.texts or any(grade.finished_key == finished.key for grade in graded):
        return None
    grade = judge(rooms, promise, attempt, order, rooms.rubric)
    rooms.ledger.record_grades([grade])
    return None if grade.letter != "C" else ("redrawn_poor", f"With its new price it is a C: {' '.join(grade.reasons)}")


def _refused(one: Publishable, code: str, reason: str) -> Refusal:
    return Refusal(
        stage="publish",
        code=code,
        reason=f"{one.promise.shot.scene.name} for {one.channel.slug}: {reason}",
        sku=one.promise.product.sku,
        field=one.channel.slug,
        value=one.rendition_id,
    )
