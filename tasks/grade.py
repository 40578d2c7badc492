"""Grade: attempts of a batch get their findings, a grade, and the verdict of policy on what happens next."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect import task

from tasks.alike import chain_with_grades
from tasks.experience import experience_of_run
from tasks.layers import Finished, cutout_of, finish
from tasks.lease import held_lease
from tasks.order import ProductionOrder
from tasks.runtime import RETRYING, Rooms, resident_engine, rooms, shard_promises
from tasks.wording import prompt_of
from zimage_core.domain import Attempt, Grade, Promise, Signature, Verdict, attempt_size, grade_id_of
from zimage_core.imaging.cutout import CutOut
from zimage_core.logs import about
from zimage_core.quality.duplicates import SIGNATURE_VERSION, signature_of
from zimage_core.quality.grade import GradeInput
from zimage_core.quality.grade import grade as grade_attempt
from zimage_core.quality.policy import next_verdict
from zimage_core.quality.rubric import Rubric, load_rubric
from zimage_core.standing import Standing

log = logging.getLogger("zimage_core.tasks")


@task(
    name="grade",
    task_run_name="grade {label}",
    **RETRYING,
)
def grade(order: ProductionOrder, run_id: str, shard_id: str, shot_ids: Sequence[str], label: str) -> int:
    """Judge the latest attempt of each of these shots where this run has not yet judged it; return how many it judged.

    What the picture looks like is kept before the verdict is: no verdict is without it. A grade that is already kept
    for the same pixels, overlay and rubric is used as it is.
    """
    open_rooms = rooms(order)
    promises = shard_promises(order, run_id, shard_id)
    judged: list[tuple[str, str, str | None, Verdict]] = []
    grades: list[Grade] = []
    signatures: list[Signature] = []
    modes, experience = resident_engine(order).engine.info.modes, experience_of_run(order, run_id)
    waiting = [
        (promise, standing, standing.attempt)
        for promise, standing in open_rooms.ledger.standings(run_id, shard_id, shot_ids=shot_ids)
        if standing.needs == "grade" and standing.attempt is not None
    ]
    attempt_ids = [attempt.attempt_id for _, _, attempt in waiting]
    signed = open_rooms.ledger.signatures(attempt_ids, SIGNATURE_VERSION)
    kept = {one.grade_id: one for found in open_rooms.ledger.grades(attempt_ids).values() for one in found}
    rubric = open_rooms.rubric
    for promise, standing, attempt in waiting:
        shot_id = promise.shot.shot_id
        with about(sku=promise.product.sku, shot=shot_id, attempt=attempt.number):
            new = None
            if attempt.object_key is not None:
                finished, cutout = _looked_at(open_rooms, promises[shot_id], attempt, order)
                new = kept.get(grade_id_of(attempt.attempt_id, finished.key, rubric.hash))
                new = new or _judged(open_rooms, promises[shot_id], attempt, finished, cutout, order, rubric)
                grades.append(new)
                if attempt.attempt_id not in signed:
                    signatures.append(signature_of(attempt.attempt_id, finished.attempt_rgb, cutout, attempt.placement))
            verdict = next_verdict(
                promise.shot,
                _history(open_rooms, run_id, standing, new),
                max_attempts=open_rooms.settings.max_attempts,
                experience=experience,
                modes=modes,
            )
            judged.append((shot_id, attempt.attempt_id, new.grade_id if new else None, verdict))
            if verdict.kind != "accept":
                log.info("%s %s: %s: %s", promise.product.sku, promise.shot.scene.name, verdict.kind, verdict.reason)
    open_rooms.ledger.record_signatures(signatures, lease=held_lease(shard_id))
    open_rooms.ledger.record_grades(grades)
    open_rooms.ledger.record_verdicts(run_id, judged, lease=held_lease(shard_id))
    return len(judged)


def any_made(order: ProductionOrder, run_id: str, shard_id: str) -> bool:
    """Tell whether a shard has attempts already: after a crash, or when another run made them."""
    return any(standing.attempt is not None for _, standing in rooms(order).ledger.standings(run_id, shard_id))


def ungraded_shots(order: ProductionOrder, run_id: str, shard_id: str) -> list[str]:
    """Return the shots whose latest attempt this run has not judged: after a crash, or when another run made it."""
    return [
        promise.shot.shot_id
        for promise, standing in rooms(order).ledger.standings(run_id, shard_id)
        if standing.needs == "grade"
    ]


def judge(open_rooms: Rooms, promise: Promise, attempt: Attempt, order: ProductionOrder, rubric: Rubric) -> Grade:
    """Return the grade of an attempt with the overlay of this run's promotion and prices; nothing is written."""
    finished, cutout = _looked_at(open_rooms, promise, attempt, order)
    kept = open_rooms.ledger.grade(attempt.attempt_id, finished.key, rubric.hash)
    return kept or _judged(open_rooms, promise, attempt, finished, cutout, order, rubric)


def _looked_at(
    open_rooms: Rooms, promise: Promise, attempt: Attempt, order: ProductionOrder
) -> tuple[Finished, CutOut | None]:
    """Return an attempt with its overlay drawn, and the product's cut-out where there is a usable one."""
    cutout = cutout_of(open_rooms, promise, order)
    usable = cutout if isinstance(cutout, CutOut) else None
    return finish(open_rooms, promise, attempt, order.promotion, usable), usable


def _judged(
    open_rooms: Rooms,
    promise: Promise,
    attempt: Attempt,
    finished: Finished,
    cutout: CutOut | None,
    order: ProductionOrder,
    rubric: Rubric,
) -> Grade:
    brand = open_rooms.library.brand(open_rooms.library.promotion(order.promotion).brand)
    width_px, height_px = attempt_size(promise.shot.width_px, promise.shot.height_px, attempt.change)
    return grade_attempt(
        GradeInput(
            attempt_id=attempt.attempt_id,
            finished_key=finished.key,
            sku=promise.product.sku,
            scene=promise.shot.scene,
            mode=attempt.change.mode or promise.shot.mode,
            attempt_rgb=finished.attempt_rgb,
            finished_rgb=finished.rgb,
            placed_texts=finished.texts,
            cutout=cutout,
            placement=attempt.placement,
            palette=(*brand.palette, brand.badge_color, brand.badge_text_color, brand.price_color),
            width_px=width_px,
            height_px=height_px,
            placed=finished.placed,
            category=promise.product.category,
            overlay=finished.overlay,
            words=prompt_of(open_rooms, promise, attempt.change, order.promotion).text,
        ),
        rubric,
    )


def _history(
    open_rooms: Rooms, run_id: str, standing: Standing, new: Grade | None
) -> list[tuple[Attempt, Grade | None]]:
    """Return the shot's chain so far, each attempt with the grade its verdict rested on, the newest last."""
    *earlier, newest = standing.chain
    return [*chain_with_grades(open_rooms, run_id, earlier), (newest, new)]


@dataclass(frozen=True)
class LetterChange:
    """One image's letter under the run's rubric and under another."""

    sku: str
    scene: str
    before: str
    after: str
    score: float
    reason: str


@task(name="regrade", task_run_name="regrade {label}")
def regrade_shots(
    order: ProductionOrder, run_id: str, shot_ids: Sequence[str], rubric_path: Path, label: str
) -> list[LetterChange]:
    """Judge the latest attempt of each shot by another rubric, keep those grades, and say what each would become."""
    open_rooms = rooms(order)
    rubric = load_rubric(rubric_path)
    changes, grades = [], []
    for promise, standing in open_rooms.ledger.standings(run_id, shot_ids=shot_ids):
        attempt = standing.attempt
        if attempt is None or attempt.object_key is None:
            continue
        before = open_rooms.ledger.verdict_grades([attempt.attempt_id], run_id=run_id).get(attempt.attempt_id)
        after = judge(open_rooms, promise, attempt, order, rubric)
        grades.append(after)
        reason = after.reasons[0] if after.reasons else ""
        letter = before.letter if before else "-"
        changes.append(
            LetterChange(promise.product.sku, promise.shot.scene.name, letter, after.letter, after.score, reason)
        )
    open_rooms.ledger.record_grades(grades)
    return changes
