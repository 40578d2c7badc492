"""Moderate: before anything is published, every accepted picture is shown to the moderation service, if there is one.

What it allows goes on. What it wants a person to see, and what it says nothing about, waits for a person; what it
denies is given up with its reason. That is written as the run's latest verdict on the attempt, resting on the moment of
the answer: an approval that a person gives later counts, one given before does not (`Verdict.since`).
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from prefect import task

from tasks.layers import Finished, cutout_of, finish, finished_key_of, overlay_of
from tasks.order import ProductionOrder
from tasks.runtime import RETRYING, Rooms, rooms
from zimage_core.domain import Attempt, Overlay, Promise, Refusal, Verdict
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.encode import encode
from zimage_core.ledger import RecordedVerdict
from zimage_core.publishing.moderation import ModerationCase
from zimage_core.publishing.moderation_answers import ModerationAnswer, gravest, keep_answer, kept_answer
from zimage_core.standing import Standing

log = logging.getLogger("zimage_core.tasks")

ASKED_AT_A_TIME = 4
"""Pictures of a batch that wait for their answers side by side; two batches are under way."""
MAX_SENT_BYTES = 4_000_000
"""Of the JPEG that is sent; an attempt of 1600 x 1600 px takes about a tenth of it."""
_TURNS = tuple(threading.Lock() for _ in range(256))
"""By the first two digits of a picture's key: the same picture of two shots is asked about once, then found kept."""


def to_be_moderated(order: ProductionOrder, run_id: str) -> list[tuple[str, str]]:
    """Return (shard_id, shot_id) of every shot that may not be published before the service was asked about it.

    Those are the accepted ones it has not cleared, and the ones that wait only because it gave no answer.
    """
    open_rooms = rooms(order)
    if open_rooms.moderation is None:
        return []
    found: list[tuple[str, str]] = []
    for shard_id in open_rooms.ledger.promised_shards(run_id):
        standings = list(open_rooms.ledger.standings(run_id, shard_id))
        recorded = open_rooms.ledger.verdicts(run_id, [promise.shot.shot_id for promise, _ in standings])
        found += [
            (shard_id, promise.shot.shot_id)
            for promise, standing in standings
            if _is_due(open_rooms, order, promise, standing, recorded)
        ]
    return found


@task(
    name="moderate",
    task_run_name="moderate {label}",
    **RETRYING,
)
def moderate(order: ProductionOrder, run_id: str, shots: Sequence[tuple[str, str]], label: str) -> dict[str, int]:
    """Ask about these shots' pictures and write down what follows; return how many shots got which answer.

    A picture that was answered for before, in this run or another, is not shown again. No failure of the service is
    raised: its pictures wait.
    """
    open_rooms = rooms(order)
    assert open_rooms.moderation is not None, "nothing is to be moderated without a service"
    shot_ids = [shot_id for _, shot_id in shots]
    recorded = open_rooms.ledger.verdicts(run_id, shot_ids)
    due = [
        (promise, standing.attempt)
        for promise, standing in open_rooms.ledger.standings(run_id, shot_ids=shot_ids)
        if standing.attempt is not None and _is_due(open_rooms, order, promise, standing, recorded)
    ]
    with ThreadPoolExecutor(ASKED_AT_A_TIME, thread_name_prefix="moderate") as pool:
        answers = list(pool.map(lambda one: _answer(open_rooms, order, *one), due))
    verdicts: list[tuple[str, str, str | None, Verdict]] = []
    refusals: list[Refusal] = []
    for (promise, attempt), answer in zip(due, answers, strict=True):
        before = recorded[attempt.attempt_id]
        verdict = _verdict(answer, before.verdict)
        if verdict is not None:
            verdicts.append((promise.shot.shot_id, attempt.attempt_id, before.grade_id, verdict))
        if answer.verdict == "deny":
            refusals.append(_refusal(promise, attempt, answer))
    open_rooms.ledger.record_refusals(run_id, refusals)
    open_rooms.ledger.record_verdicts(run_id, verdicts)
    counts = Counter(str(answer.verdict) for answer in answers)
    log.info("Moderation %s: %s", label, ", ".join(f"{n} × {word}" for word, n in sorted(counts.items())))
    return dict(counts)


def is_cleared(open_rooms: Rooms, promise: Promise, attempt: Attempt, promotion: str) -> bool:
    """Tell whether an accepted attempt may be published as far as moderation goes.

    Every picture of it was allowed, or a person has approved it after the service had spoken (a denial is final).
    """
    found = _kept(open_rooms, promise, attempt, promotion)
    left = [answer for answer in found if answer is None or answer.verdict != "allow"]
    if not left:
        return True
    known = [answer for answer in left if answer is not None]
    if len(known) < len(left) or gravest(known).verdict == "deny":
        return False
    decisions = open_rooms.ledger.decisions([attempt.attempt_id]).get(attempt.attempt_id, [])
    latest = max(answer.asked_at for answer in known)
    return bool(decisions) and decisions[-1].kind == "approve" and decisions[-1].decided_at >= latest


def moderation_counts(order: ProductionOrder, run_id: str) -> dict[str, int]:
    """Return how many shots of a run have which answer, from what is kept; {} where nobody is asked."""
    open_rooms = rooms(order)
    if open_rooms.moderation is None:
        return {}
    counts: Counter[str] = Counter()
    for promise, standing in open_rooms.ledger.standings(run_id):
        if standing.attempt is not None and standing.attempt.object_key is not None:
            found = _kept(open_rooms, promise, standing.attempt, order.promotion)
            if answers := [answer for answer in found if answer is not None]:
                counts[gravest(answers).verdict] += 1
    return dict(sorted(counts.items()))


# ---------------------------------------------------------------- who is asked about, and what follows


def _is_due(
    open_rooms: Rooms,
    order: ProductionOrder,
    promise: Promise,
    standing: Standing,
    recorded: Mapping[str, RecordedVerdict],
) -> bool:
    attempt = standing.attempt
    if attempt is None:
        return False
    if standing.state == "accepted":
        return not is_cleared(open_rooms, promise, attempt, order.promotion)
    if standing.state != "doubtful" or recorded[attempt.attempt_id].verdict.since is None:
        return False  # done with, or it was the grade that asked for a person
    found = _kept(open_rooms, promise, attempt, order.promotion)
    return any(answer is None or answer.verdict == "unanswered" for answer in found)


def _verdict(answer: ModerationAnswer, before: Verdict) -> Verdict | None:
    """Return the verdict that an answer asks for; None where the one before stands."""
    if answer.verdict == "allow":
        if before.since is None:
            return None
        return Verdict("accept", f"{answer.sentence()} It was asked again.", since=answer.asked_at)
    return Verdict("give_up" if answer.verdict == "deny" else "review", answer.sentence(), since=answer.asked_at)


def _refusal(promise: Promise, attempt: Attempt, answer: ModerationAnswer) -> Refusal:
    return Refusal(
        stage="publish",
        code="moderation_denied",
        reason=f"{promise.shot.scene.name}: {answer.sentence()}",
        sku=promise.product.sku,
        value=attempt.attempt_id,
    )


# ---------------------------------------------------------------- asking


def _answer(open_rooms: Rooms, order: ProductionOrder, promise: Promise, attempt: Attempt) -> ModerationAnswer:
    """Return the gravest answer of an attempt's pictures; those without an answer are shown to the service now."""
    pictures = _pictures(open_rooms, promise, attempt, order.promotion)
    finished: Finished | None = None
    answers: list[ModerationAnswer] = []
    for key, overlay in pictures.items():
        with _TURNS[int(key[:2], 16)]:
            answer = _kept_one(open_rooms, key)
            if answer is None or answer.verdict == "unanswered":
                finished = finished or _finished(open_rooms, order, promise, attempt)
                answer = _asked(open_rooms, order, promise, attempt, key, finished, overlay)
        answers.append(answer)
    return gravest(answers)


def _asked(
    open_rooms: Rooms,
    order: ProductionOrder,
    promise: Promise,
    attempt: Attempt,
    key: str,
    finished: Finished,
    overlay: Overlay,
) -> ModerationAnswer:
    """Show one picture to the service and keep what it says."""
    assert open_rooms.moderation is not None, "a key without a service"
    rgb = finished.rgb if overlay.texts else finished.attempt_rgb
    encoded = encode(rgb, "jpeg", max_bytes=MAX_SENT_BYTES)
    answer = open_rooms.moderation.ask(
        ModerationCase(
            data=encoded.data,
            media_type=encoded.media_type,
            width_px=rgb.shape[1],
            height_px=rgb.shape[0],
            sku=promise.product.sku,
            product=promise.product.name,
            scene=promise.shot.scene.name,
            mode=attempt.change.mode or promise.shot.mode,
            engine=attempt.engine,
            promotion=order.promotion,
            channels=promise.channels,
            texts=tuple(text.text for text in overlay.texts),
        )
    )
    keep_answer(open_rooms.work, open_rooms.moderation.service, key, answer)
    return answer


def _finished(open_rooms: Rooms, order: ProductionOrder, promise: Promise, attempt: Attempt) -> Finished:
    cutout = cutout_of(open_rooms, promise, order)
    return finish(open_rooms, promise, attempt, order.promotion, cutout if isinstance(cutout, CutOut) else None)


def _pictures(open_rooms: Rooms, promise: Promise, attempt: Attempt, promotion: str) -> dict[str, Overlay]:
    """Return the pictures of an attempt that its channels would show: key of the content → what is drawn over it.

    A channel that allows no overlay shows the bare attempt, so there can be two; keys are known without the pixels.
    """
    overlay = overlay_of(open_rooms, promise, attempt, promotion)
    bare = dataclasses.replace(overlay, texts=())
    allowed = {open_rooms.channels[slug].overlay_allowed for slug in promise.channels}
    shown = [overlay if allows else bare for allows in sorted(allowed)]
    return {finished_key_of(attempt, one): one for one in shown}


def _kept(open_rooms: Rooms, promise: Promise, attempt: Attempt, promotion: str) -> list[ModerationAnswer | None]:
    """Return what is kept about each picture of an attempt; nothing where nobody is asked."""
    if open_rooms.moderation is None:
        return []
    return [_kept_one(open_rooms, key) for key in _pictures(open_rooms, promise, attempt, promotion)]


def _kept_one(open_rooms: Rooms, key: str) -> ModerationAnswer | None:
    assert open_rooms.moderation is not None, "answers are kept by service"
    return kept_answer(open_rooms.work, open_rooms.moderation.service, key)
