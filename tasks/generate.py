"""Generate: a batch of assignments becomes attempts. What the ledger already has is not made again."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from prefect import task

from tasks.budget import affordable, is_reached
from tasks.deadline import watch_deadline
from tasks.drain import told_to_end
from tasks.layers import cutout_of, keep_attempt
from tasks.lease import held_lease
from tasks.metrics import beat
from tasks.order import ProductionOrder
from tasks.runtime import (
    RETRYING,
    Rooms,
    batches_of,
    resident_engine,
    rooms,
    shard_promises,
)
from tasks.wording import prompt_of
from zimage_core.domain import (
    Attempt,
    Change,
    EngineInfo,
    Promise,
    Prompt,
    attempt_id_of,
    attempt_size,
    seed_of,
)
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest, expect_checked, render_checked
from zimage_core.errors import EngineError, EngineRefused, EngineUnavailable, ImageError, PromptError
from zimage_core.imaging.cutout import CutOut, CutOutFailure

log = logging.getLogger("zimage_core.tasks")


@dataclass(frozen=True)
class Assignment:
    """One attempt to be made: of which shot, which number it is, and what it changes."""

    shot_id: str
    number: int
    change: Change


def due_assignments(order: ProductionOrder, run_id: str, shard_id: str) -> list[Assignment]:
    """Return the attempts that the shard's shots need now, in the order they were promised.

    Once the run's budget is reached these are the ones that cost nothing.
    """
    free_alone = is_reached(order, run_id)
    return [
        Assignment(promise.shot.shot_id, standing.number, standing.change)
        for promise, standing in rooms(order).ledger.standings(run_id, shard_id)
        if standing.needs == "render" and not (free_alone and (standing.change.mode or promise.shot.mode) != "packshot")
    ]


def expect(order: ProductionOrder, run_id: str, shard_id: str, due: Sequence[Assignment]) -> None:
    """Tell the engine the words of all that is due, so that it can encode them in one go; never raises.

    Packshots are made from the photo alone. Words that cannot be put together are named by the batch they belong to.
    """
    open_rooms, resident = rooms(order), resident_engine(order)
    promises = shard_promises(order, run_id, shard_id)
    prompts: list[Prompt] = []
    for assignment in due:
        promise = promises[assignment.shot_id]
        if (assignment.change.mode or promise.shot.mode) == "packshot":
            continue
        with contextlib.suppress(PromptError):
            prompts.append(prompt_of(open_rooms, promise, assignment.change, order.promotion))
    with resident.slots:
        expect_checked(resident.engine, prompts)


@task(
    name="generate",
    task_run_name="generate {label}",
    **RETRYING,
)
def generate(order: ProductionOrder, run_id: str, shard_id: str, share: Sequence[Assignment], label: str) -> int:
    """Make the attempts of this share that are missing, batch by batch, and return how many were made now.

    Every batch is kept before the next is drawn. A request the engine refuses is kept as an attempt with its reason.
    When some failed in a way that may pass, the rest of their batch is kept first and then the error is raised, so that
    Prefect's retry makes only what is still missing. What the budget does not allow, or was left out for time
    meanwhile, is not asked for. Nothing new is begun once the process was told to end.
    """
    made = 0
    passing: list[EngineError] = []
    for batch in batches_of(order, _missing(rooms(order), run_id, share)):
        if told_to_end():
            break
        new, failed = _batch(order, run_id, shard_id, batch)
        made += new
        passing += failed
        beat(order, run_id)
        watch_deadline(order, run_id)
        if failed and not new:
            break  # nothing of it could be made: the others would knock at the same door
    if passing:
        raise passing[0]
    return made


def _batch(
    order: ProductionOrder, run_id: str, shard_id: str, batch: Sequence[Assignment]
) -> tuple[int, list[EngineError]]:
    """Make one batch and keep what came of it; return how many were made, and the failures that may pass."""
    open_rooms, resident = rooms(order), resident_engine(order)
    promises = shard_promises(order, run_id, shard_id)
    drafts = [(a, _request(open_rooms, promises[a.shot_id], a, order)) for a in batch]
    requests = [draft for _, draft in drafts if isinstance(draft, RenderRequest)]
    tried: list[Attempt] = []
    passing: list[EngineError] = []
    with affordable(order, run_id, shard_id, requests) as allowed:
        with resident.slots:
            answers = dict(zip(allowed, render_checked(resident.engine, allowed), strict=True))
        for assignment, draft in drafts:
            answer = answers.get(draft) if isinstance(draft, RenderRequest) else draft
            if isinstance(answer, Rendered):
                warnings = draft.reference.warnings if isinstance(draft, RenderRequest) and draft.reference else ()
                tried.append(_made(open_rooms, assignment, answer, resident.engine.info, warnings))
            elif answer is not None:
                known = {"shot": assignment.shot_id, "attempt": assignment.number, "engine": resident.engine.info.name}
                log.info("Not made: %s", answer.error, extra=known)
                tried.append(_not_made(assignment, answer, resident.engine.info))
                passing += [answer.error] if answer.error.retryable else []
        open_rooms.ledger.record_attempts(run_id, tried, lease=held_lease(shard_id))
    made = sum(attempt.object_key is not None for attempt in tried)
    log.info("%d of %d attempts made, %d to be tried again", made, len(drafts), len(passing))
    return made, passing


def _missing(open_rooms: Rooms, run_id: str, batch: Sequence[Assignment]) -> list[Assignment]:
    """Return what of a batch is neither made nor left out for time since the batch was put together."""
    shot_ids = [assignment.shot_id for assignment in batch]
    known, left_out = open_rooms.ledger.attempts(shot_ids), open_rooms.ledger.course.left_out(run_id, shot_ids)
    have = {attempt.attempt_id for attempts in known.values() for attempt in attempts}
    wanted = [assignment for assignment in batch if assignment.shot_id not in left_out]
    return [a for a in wanted if attempt_id_of(a.shot_id, a.number, a.change) not in have]


def _request(
    open_rooms: Rooms, promise: Promise, assignment: Assignment, order: ProductionOrder
) -> RenderRequest | EngineFailure:
    """Return the request for one assignment, or why there can be none: its photo is gone or gives no usable cut-out."""
    shot, change = promise.shot, assignment.change
    attempt_id = attempt_id_of(shot.shot_id, assignment.number, change)
    try:
        cutout = cutout_of(open_rooms, promise, order)
    except ImageError as error:  # a drive that is away for a moment: the same photo may be there again
        return EngineFailure(attempt_id, EngineUnavailable(error.sentence, sku=shot.sku, shot_id=shot.shot_id), 0.0)
    if isinstance(cutout, CutOutFailure):
        sentence = f"The product could not be cut out of its photo: {cutout.reason}"
        refused = EngineRefused(sentence, sku=shot.sku, shot_id=shot.shot_id)
        return EngineFailure(attempt_id, refused, 0.0)
    width_px, height_px = attempt_size(shot.width_px, shot.height_px, change)
    return RenderRequest(
        attempt_id=attempt_id,
        sku=shot.sku,
        shot_id=shot.shot_id,
        number=assignment.number,
        mode=change.mode or shot.mode,
        prompt=prompt_of(open_rooms, promise, change, order.promotion),
        scene=shot.scene,
        change=change,
        seed=seed_of(shot.shot_id, assignment.number),
        width_px=width_px,
        height_px=height_px,
        reference=cutout if isinstance(cutout, CutOut) else None,
    )


def _made(
    open_rooms: Rooms, assignment: Assignment, answer: Rendered, engine: EngineInfo, warnings: tuple[str, ...]
) -> Attempt:
    """The attempt whose pixels are in the store; bytes first, so that a row is never without them.

    What the cut-out warned of goes into its notes, before the engine's own.
    """
    object_key, sha256 = keep_attempt(open_rooms, answer.attempt_id, answer.rgb)
    return dataclasses.replace(
        _tried(assignment, engine),
        object_key=object_key,
        sha256=sha256,
        width_px=answer.rgb.shape[1],
        height_px=answer.rgb.shape[0],
        placement=answer.placement,
        seconds=answer.seconds,
        cost_usd=answer.cost_usd,
        notes=(*warnings, *answer.notes),
    )


def _not_made(assignment: Assignment, failure: EngineFailure, engine: EngineInfo) -> Attempt:
    """A try that gave no picture, with its reason and whether it may be repeated."""
    return dataclasses.replace(
        _tried(assignment, engine),
        seconds=failure.seconds,
        cost_usd=failure.cost_usd,
        error_code=failure.error.code,
        error=failure.error.sentence,
        error_retryable=failure.error.retryable,
    )


def _tried(assignment: Assignment, engine: EngineInfo) -> Attempt:
    return Attempt(
        attempt_id=attempt_id_of(assignment.shot_id, assignment.number, assignment.change),
        shot_id=assignment.shot_id,
        number=assignment.number,
        seed=seed_of(assignment.shot_id, assignment.number),
        change=assignment.change,
        engine=engine.drawn_by or engine.name,
        engine_fingerprint=engine.fingerprint,
        object_key=None,
        sha256=None,
        width_px=None,
        height_px=None,
        placement=None,
        seconds=0.0,
        cost_usd=0.0,
    )
