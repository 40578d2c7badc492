"""A price list changes overnight: of a thousand products ten cost something else, and only their files are made."""

from __future__ import annotations

import dataclasses

import pytest
from PIL import Image
from prefect import flow
from workshop import MUG, Workshop

from flows.publish import publish
from tasks.extract import extract
from tasks.generate import due_assignments, generate
from tasks.layers import finished_key_of, overlay_of
from tasks.lease import shard_lease
from tasks.order import ProductionOrder
from tasks.plan import plan
from tasks.runtime import rooms
from zimage_core.domain import Grade, Verdict, attempt_id_of, seed_of

PRODUCTS, CHANGED = 1000, range(100, 1000, 97)
PHOTO_PX = 1000
"""No larger than the picture needs: cutting a product's place out of its photo is what each file costs most."""
SMALL = """
small:
  like: taobao_main
  width_px: 640
  height_px: 640
  min_short_side_px: 600
"""


def rows(*, cheaper: bool) -> list[dict[str, str]]:
    prices = dict.fromkeys(CHANGED, "49.00") if cheaper else {}
    return [{**MUG, "sku": f"CUP-{n:04d}", "price": prices.get(n, f"{59 + n}.00")} for n in range(PRODUCTS)]


def write(workshop: Workshop, *, cheaper: bool) -> None:
    workshop.write(*rows(cheaper=cheaper))
    photo = workshop.folder / MUG["image"]
    with Image.open(photo) as large:
        large.convert("RGB").resize((PHOTO_PX, PHOTO_PX), Image.Resampling.LANCZOS).save(photo, quality=95)


@flow
def accepted_run(order: ProductionOrder) -> str:
    """Plan the run, draw one picture, and let every shot have these pixels and an A: only publishing is asked here."""
    extracted = extract(order)
    plan(order, extracted)
    open_rooms, run_id = rooms(order), extracted.run_id
    shard_id, *_ = open_rooms.ledger.promised_shards(run_id)
    first = due_assignments(order, run_id, shard_id)[:1]
    with shard_lease(order, shard_id):
        generate(order, run_id, shard_id, first, "the first")
    (drawn,) = open_rooms.ledger.attempts([first[0].shot_id])[first[0].shot_id]
    promises = open_rooms.ledger.promises(run_id)
    attempts = [
        dataclasses.replace(
            drawn,
            attempt_id=attempt_id_of(promise.shot.shot_id, 1, drawn.change),
            shot_id=promise.shot.shot_id,
            seed=seed_of(promise.shot.shot_id, 1),
        )
        for promise in promises
    ]
    grades = [
        Grade(attempt.attempt_id, finished_key_of(attempt, overlay_of(open_rooms, promise, attempt, order.promotion)),
              open_rooms.rubric.hash, 0.95, "A", (), ())
        for promise, attempt in zip(promises, attempts, strict=True)
    ]  # fmt: skip
    open_rooms.ledger.record_attempts(run_id, attempts)
    open_rooms.ledger.record_grades(grades)
    open_rooms.ledger.record_verdicts(
        run_id,
        [(attempt.shot_id, attempt.attempt_id, grade.grade_id, Verdict("accept", "an A"))
         for attempt, grade in zip(attempts, grades, strict=True)],
    )  # fmt: skip
    return run_id


@pytest.mark.slow
def test_ten_prices_of_a_thousand_change_and_ten_files_are_made(workshop: Workshop, monkeypatch: pytest.MonkeyPatch):
    (workshop.folder / "channels.yaml").write_text(SMALL)
    monkeypatch.setenv("ZIMAGE_CHANNELS", "channels.yaml")
    write(workshop, cheaper=False)
    order = ProductionOrder(catalogue=str(workshop.catalogue), promotion="618", scenes=("studio",), channels=("small",))
    run_id = accepted_run(order)
    publish(order, run_id)
    before, bytes_before = workshop.live("618"), workshop.files()
    assert len(before) == PRODUCTS
    calls = workshop.calls()
    write(workshop, cheaper=True)
    publish(order, run_id)
    after, bytes_after = workshop.live("618"), workshop.files()
    changed = {place[0] for place in before if before[place] != after[place]}
    assert changed == {f"CUP-{n:04d}" for n in CHANGED}
    assert workshop.calls() == calls
    new = {name for name in bytes_after if name not in bytes_before and name.startswith("cdn/img/")}
    assert len(new) == len(CHANGED) == 10
    kept = [name for name in bytes_before if name.startswith("cdn/img/")]
    assert len(kept) == PRODUCTS
    assert all(bytes_after[name] == bytes_before[name] for name in kept)
