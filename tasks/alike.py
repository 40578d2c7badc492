"""Alike: which pictures repeat another one, within a SKU, across SKUs, and against what other runs have kept.

Two passes, so that the outcome does not depend on which worker was faster:

    compare_scenes     after each round of a shard, whose every attempt is graded by then: one SKU's pictures in several
                       scenes. A SKU is always in one shard. A repeated picture is made again in other words.
    compare_products   once every shard has ended, before anything is published: one product photo sold as two SKUs.
                       That no new attempt can cure: a person decides.

Of two that are alike the later one in a fixed order is the duplicate: the order of the promises, and within a SKU
packshots first, then by attempt number; what another run has kept was there before. Every pair and when it was first
found is kept in the ledger, so that an approval given afterwards counts in every later run.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from prefect import task

from tasks.experience import experience_of_run
from tasks.lease import held_lease
from tasks.order import ProductionOrder
from tasks.runtime import RETRYING, Rooms, resident_engine, rooms
from zimage_core.domain import Attempt, Grade, Likeness, Promise, Signature, SignedAttempt, Verdict
from zimage_core.ledger import FoundLikeness, Ledger
from zimage_core.quality.duplicates import (
    NEAR,
    SIGNATURE_VERSION,
    most_alike_backdrops,
    read_cells,
    repeat_distance,
)
from zimage_core.quality.likeness import sizes_of_one, with_likenesses
from zimage_core.quality.near_index import NearIndex
from zimage_core.quality.policy import next_verdict
from zimage_core.standing import Standing

log = logging.getLogger("zimage_core.tasks")


SAME_BACKDROP_SHARE, SAME_BACKDROP_SKUS = 0.5, 5
"""From this share of a scene's products on, and from so many, one backdrop for all is told in the run's report."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture that this run keeps as things stand: accepted, or waiting for a person."""

    promise: Promise
    standing: Standing
    attempt: Attempt
    signature: Signature


@task(name="compare-scenes", task_run_name="compare scenes {label}", **RETRYING)
def compare_scenes(order: ProductionOrder, run_id: str, shard_id: str, label: str) -> int:
    """Find pictures of a shard that repeat another scene's of the same SKU; return how many are made again or wait."""
    open_rooms = rooms(order)
    shown = shown_pictures(open_rooms, run_id, shard_id)
    by_sku: defaultdict[str, list[SignedAttempt]] = defaultdict(list)
    skus = list(dict.fromkeys(one.promise.product.sku for one in shown))
    for kept in open_rooms.ledger.kept_elsewhere(run_id, SIGNATURE_VERSION, skus=skus):
        by_sku[kept.sku].append(kept)
    found: list[Likeness] = []
    for one in sorted(shown, key=_place_within_sku):
        before = by_sku[one.promise.product.sku]
        found += _repeats(one, [kept for kept in before if kept.scene != one.promise.shot.scene.name])
        before.append(_signed(one))
    return _judge(open_rooms, order, run_id, shown, found, shard_id)


@task(name="compare-products", task_run_name="compare products {run_id}", **RETRYING)
def compare_products(order: ProductionOrder, run_id: str) -> int:
    """Find pictures that show the product photo of another SKU; return how many wait for a person because of it."""
    open_rooms = rooms(order)
    shown = [
        one for shard in open_rooms.ledger.promised_shards(run_id) for one in shown_pictures(open_rooms, run_id, shard)
    ]
    shown.sort(key=lambda one: (one.promise.ordinal, one.promise.shot.shot_id))
    elsewhere = open_rooms.ledger.kept_elsewhere(run_id, SIGNATURE_VERSION)
    found = [pair for photo in (True, False) for pair in _sold_twice(open_rooms, shown, elsewhere, photo=photo)]
    return _judge(open_rooms, order, run_id, shown, found, None)


def shown_pictures(open_rooms: Rooms, run_id: str, shard_id: str) -> list[Shown]:
    """Return the signed pictures that a shard keeps as things stand, in the order of their promises."""
    kept = [
        (promise, standing, standing.attempt)
        for promise, standing in open_rooms.ledger.standings(run_id, shard_id)
        if standing.state in ("accepted", "doubtful") and standing.attempt is not None
    ]
    signed = open_rooms.ledger.signatures([attempt.attempt_id for _, _, attempt in kept], SIGNATURE_VERSION)
    return [
        Shown(promise, standing, attempt, signed[attempt.attempt_id])
        for promise, standing, attempt in kept
        if attempt.attempt_id in signed
    ]


def same_backdrops(open_rooms: Rooms, run_id: str) -> tuple[str, ...]:
    """Return a sentence for every scene in which most products stand before nearly the same backdrop.

    That is a finding of the run, not of any picture: the engine draws one stage again and again. Packshots are white.
    """
    scenes: defaultdict[str, list[Shown]] = defaultdict(list)
    for shard_id in open_rooms.ledger.promised_shards(run_id):
        for one in shown_pictures(open_rooms, run_id, shard_id):
            if (one.attempt.change.mode or one.promise.shot.mode) != "packshot":
                scenes[one.promise.shot.scene.name].append(one)
    sentences = []
    for scene, shown in sorted(scenes.items()):
        cells = read_cells([one.signature.picture for one in shown])
        alike = {shown[row].promise.product.sku for row in most_alike_backdrops(cells)}
        skus = {one.promise.product.sku for one in shown}
        if len(alike) >= SAME_BACKDROP_SKUS and len(alike) >= SAME_BACKDROP_SHARE * len(skus):
            sentences.append(
                f"{scene.replace('_', ' ')}: {len(alike)} of {len(skus)} products stand before nearly the same "
                f"backdrop ({100.0 * len(alike) / len(skus):.0f} %); give the scene more paraphrases or colours."
            )
    return tuple(sentences)


# ---------------------------------------------------------------- who repeats whom


def _place_within_sku(one: Shown) -> tuple[object, ...]:
    """Return the fixed order within a SKU: a packshot is the photo itself, so it is never what repeats."""
    mode = one.attempt.change.mode or one.promise.shot.mode
    return (mode != "packshot", one.attempt.number, one.promise.ordinal, one.promise.shot.shot_id)


def _signed(one: Shown) -> SignedAttempt:
    shot = one.promise.shot
    return SignedAttempt(one.signature, shot.shot_id, one.promise.product.sku, shot.scene.name)


def _repeats(one: Shown, before: Sequence[SignedAttempt]) -> list[Likeness]:
    """Return the nearest of the pictures before it that this one repeats, if it repeats any."""
    if not before:
        return []
    theirs = read_cells([kept.signature.picture for kept in before])
    mine = read_cells([one.signature.picture]).take(np.zeros(len(before), dtype=np.intp))
    distances = repeat_distance(mine, theirs)
    nearest = int(np.argmin(distances))
    if distances[nearest] > NEAR:
        return []
    return [_likeness("repeated_picture", one, before[nearest], float(distances[nearest]))]


def _sold_twice(
    open_rooms: Rooms, shown: Sequence[Shown], elsewhere: Sequence[SignedAttempt], *, photo: bool
) -> list[Likeness]:
    """Return for each picture of this run the first other SKU's that it repeats: by photo, or as whole pictures.

    Whole pictures are compared where nobody knows the product's place: an engine drew it. One photo for the sizes of
    one product is as it should be.
    """
    here = [one for one in shown if (one.signature.product is not None) == photo]
    there = [kept for kept in elsewhere if (kept.signature.product is not None) == photo]
    signed = [*there, *(_signed(one) for one in here)]
    codes = [(one.signature.product if photo else one.signature.picture) or "" for one in signed]
    cells = read_cells(codes)
    asked = cells.take(np.arange(len(there), len(signed), dtype=np.intp))
    near = [
        pair
        for pair in NearIndex(cells, whole=not photo).near(asked, before=len(there))
        if signed[pair[1]].sku != here[pair[0]].promise.product.sku
    ]
    products = open_rooms.ledger.products(signed[other].shot_id for _, other, _ in near)
    found: dict[int, Likeness] = {}
    for row, other, far in near:
        earlier, one = signed[other], here[row]
        if sizes_of_one(products[earlier.shot_id], one.promise.product):
            continue
        same_scene = earlier.scene == one.promise.shot.scene.name
        if row not in found or (same_scene and found[row].other_scene != earlier.scene):
            found[row] = _likeness("sold_twice", one, earlier, far)
    return [found[row] for row in sorted(found)]


def _likeness(kind: str, one: Shown, other: SignedAttempt, far: float) -> Likeness:
    return Likeness(
        kind="repeated_picture" if kind == "repeated_picture" else "sold_twice",
        attempt_id=one.attempt.attempt_id,
        other_attempt_id=other.signature.attempt_id,
        other_sku=other.sku,
        other_scene=other.scene,
        distance=round(far, 6),
    )


# ---------------------------------------------------------------- what follows


def _judge(
    open_rooms: Rooms,
    order: ProductionOrder,
    run_id: str,
    shown: Sequence[Shown],
    found: Sequence[Likeness],
    shard_id: str | None,
) -> int:
    """Keep what was found and write the verdicts that follow; return how many are new.

    Without a picture that is alike nothing is written. What a person has decided about after the pair was first found
    stays as it is, and so does what already waits because of it.
    """
    ledger = open_rooms.ledger
    lease = held_lease(shard_id) if shard_id is not None else None
    found = _not_decided_the_other_way(ledger, found)
    ledger.record_likenesses(found, lease=lease)
    alike = {likeness.attempt_id for likeness in found}
    concerned = [one for one in shown if one.attempt.attempt_id in alike]
    known = ledger.likenesses(sorted(alike))
    recorded = ledger.verdicts(run_id, [one.promise.shot.shot_id for one in concerned])
    decisions = ledger.decisions(sorted(alike))
    verdicts: list[tuple[str, str, str | None, Verdict]] = []
    for one in concerned:
        attempt_id = one.attempt.attempt_id
        since = min(pair.at for pair in known[attempt_id])
        if any(decision.decided_at >= since for decision in decisions.get(attempt_id, ())):
            continue
        verdict = _verdict(open_rooms, order, run_id, one, known, may_make=shard_id is not None)
        before = recorded[one.standing.chain[-1].attempt_id]
        if (before.verdict.kind, before.verdict.reason) != (verdict.kind, verdict.reason):
            verdicts.append((one.promise.shot.shot_id, before.attempt_id, before.grade_id, verdict))
            log.info("%s %s: %s", one.promise.product.sku, one.promise.shot.scene.name, verdict.reason)
    return ledger.record_verdicts(run_id, verdicts, lease=lease)


def _not_decided_the_other_way(ledger: Ledger, found: Sequence[Likeness]) -> list[Likeness]:
    """Leave out the pairs that a person has decided about when the other one was the later: prices change the order."""
    others = sorted({pair.other_attempt_id for pair in found})
    known, decisions = ledger.likenesses(others), ledger.decisions(others)

    def decided(pair: Likeness) -> bool:
        return any(
            earlier.likeness.other_attempt_id == pair.attempt_id and decision.decided_at >= earlier.at
            for earlier in known.get(pair.other_attempt_id, ())
            for decision in decisions.get(pair.other_attempt_id, ())
        )

    return [pair for pair in found if not decided(pair)]


def _verdict(
    open_rooms: Rooms,
    order: ProductionOrder,
    run_id: str,
    one: Shown,
    known: Mapping[str, Sequence[FoundLikeness]],
    *,
    may_make: bool,
) -> Verdict:
    """Return what policy says now; a review rests on the moment the pair was found.

    Once the shards have ended (`may_make` False) nothing is made any more in this run: a person decides.
    """
    history = chain_with_grades(open_rooms, run_id, one.standing.chain)
    verdict = next_verdict(
        one.promise.shot,
        history,
        max_attempts=open_rooms.settings.max_attempts if may_make else 0,
        experience=experience_of_run(order, run_id),
        modes=resident_engine(order).engine.info.modes if may_make else (),
    )
    if verdict.kind != "review":
        return verdict
    since = min(pair.at for pair in known[one.attempt.attempt_id])
    return Verdict(verdict.kind, verdict.reason, attempt_id=verdict.attempt_id, since=since)


def chain_with_grades(open_rooms: Rooms, run_id: str, chain: Iterable[Attempt]) -> list[tuple[Attempt, Grade | None]]:
    """Return a shot's attempts, each with the grade its verdict rests on and what it was found to repeat."""
    made = list(chain)
    if not made:
        return []
    ids = [attempt.attempt_id for attempt in made]
    grades, alike = open_rooms.ledger.verdict_grades(ids, run_id=run_id), open_rooms.ledger.likenesses(ids)
    found: list[tuple[Attempt, Grade | None]] = []
    for attempt in made:
        grade = grades.get(attempt.attempt_id)
        pairs = [pair.likeness for pair in alike.get(attempt.attempt_id, ())]
        found.append((attempt, None if grade is None else with_likenesses(grade, pairs)))
    return found
