"""What the ledger can be asked. Each function takes an open read transaction and returns nouns.

Ids are asked for in chunks, because databases bound the number of parameters of one statement.
"""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, RowMapping, Select, func, select

from zimage_core.domain import (
    Attempt,
    Decision,
    Finding,
    Grade,
    Product,
    Promise,
    Refusal,
    Release,
    Rendition,
    Run,
    Shot,
)
from zimage_core.ledger import prices, schema
from zimage_core.ledger.rows import (
    RecordedVerdict,
    ReleaseEvent,
    RunEvent,
    RunOpening,
    from_json,
    read_grade,
    read_verdict,
)

Thing = TypeVar("Thing")
IDS_AT_ONCE = 500


def chunks(things: Iterable[Thing], size: int = IDS_AT_ONCE) -> Iterator[list[Thing]]:
    """Yield the things in lists of at most `size`."""
    left = iter(things)
    while chunk := list(islice(left, size)):
        yield chunk


def rows_of(
    connection: Connection, query: Select[Any], column: Column[str], ids: Iterable[str]
) -> Iterator[RowMapping]:
    """Yield the rows of a query whose column is among the ids, asked for in chunks."""
    for chunk in chunks(dict.fromkeys(ids)):
        yield from connection.execute(query.where(column.in_(chunk))).mappings()


# ---------------------------------------------------------------- runs


def runs(connection: Connection, limit: int) -> list[tuple[Run, datetime]]:
    """Return the latest runs, newest first, with when they were opened."""
    table = schema.run
    query = select(table.c.payload, table.c.opened_at).order_by(table.c.seq.desc()).limit(limit)
    return [(from_json(Run, row.payload), datetime.fromisoformat(row.opened_at)) for row in connection.execute(query)]


def events(connection: Connection, run_id: str) -> list[RunEvent]:
    """Return what happened to a run, oldest first."""
    table = schema.run_event
    query = select(table).where(table.c.run_id == run_id).order_by(table.c.seq)
    return [
        RunEvent(row.kind, row.state, row.detail, datetime.fromisoformat(row.at)) for row in connection.execute(query)
    ]


def last_opening(connection: Connection) -> RunOpening | None:
    """Return which run was opened or resumed last."""
    table = schema.run_event
    query = select(table.c.run_id, table.c.at).where(table.c.kind.in_(("opened", "resumed")))
    row = connection.execute(query.order_by(table.c.seq.desc()).limit(1)).one_or_none()
    return None if row is None else RunOpening(row.run_id, datetime.fromisoformat(row.at))


def refusals(connection: Connection, run_id: str) -> list[Refusal]:
    """Return the refusals of a run in the order they were recorded."""
    table = schema.refusal
    query = select(table.c.payload).where(table.c.run_id == run_id).order_by(table.c.seq)
    return [from_json(Refusal, payload) for payload in connection.execute(query).scalars()]


# ---------------------------------------------------------------- promises


def promised_shards(connection: Connection, run_id: str) -> tuple[str, ...]:
    """Return the shards of a run in the order of their first promise."""
    table = schema.promise
    query = (
        select(table.c.shard_id)
        .where(table.c.run_id == run_id)
        .group_by(table.c.shard_id)
        .order_by(func.min(table.c.ordinal), table.c.shard_id)
    )
    return tuple(connection.execute(query).scalars())


def promised_shots(connection: Connection, run_id: str, shard_id: str) -> list[str]:
    """Return the shot ids a shard answers for, in their order; far cheaper than the promises themselves."""
    table = schema.promise
    query = select(table.c.shot_id).where(table.c.run_id == run_id, table.c.shard_id == shard_id)
    return list(connection.execute(query.order_by(table.c.ordinal, table.c.shot_id)).scalars())


def promises(
    connection: Connection, run_id: str, shard_id: str | None, shot_ids: Iterable[str] | None = None
) -> list[Promise]:
    """Return the promises of a run by ordinal: those of one shard (None = any), all of them or those of `shot_ids`.

    Their products have the latest price that is known of the run (see `prices`).
    """
    table, product, shot = schema.promise, schema.product, schema.shot
    query = (
        select(table, product.c.payload.label("product_payload"), shot.c.payload.label("shot_payload"))
        .join(product, product.c.product_key == table.c.product_key)
        .join(shot, shot.c.shot_id == table.c.shot_id)
        .where(table.c.run_id == run_id)
    )
    if shard_id is not None:
        query = query.where(table.c.shard_id == shard_id)
    if shot_ids is None:
        rows: Iterable[RowMapping] = connection.execute(query).mappings()
    else:
        rows = rows_of(connection, query, table.c.shot_id, shot_ids)
    products: dict[str, Product] = {}
    found = [_promise(row, products) for row in rows]
    repriced = prices.latest(connection, run_id)
    if repriced:
        found = [_with_latest_price(promise, repriced.get(promise.product.sku)) for promise in found]
    return sorted(found, key=lambda promise: (promise.ordinal, promise.shot.shot_id))


def products(connection: Connection, shot_ids: Iterable[str]) -> dict[str, Product]:
    """Return the product of each shot as its last promise says."""
    table, product = schema.promise, schema.product
    query = (
        select(table.c.shot_id, product.c.payload)
        .join(product, product.c.product_key == table.c.product_key)
        .order_by(table.c.seq)
    )
    return {
        row["shot_id"]: from_json(Product, row["payload"])
        for row in rows_of(connection, query, table.c.shot_id, shot_ids)
    }


def _promise(row: RowMapping, products: dict[str, Product]) -> Promise:
    """Read one promise; `products` keeps what was read, because a product has several shots."""
    key = row["product_key"]
    if key not in products:
        products[key] = from_json(Product, row["product_payload"])
    return Promise(
        run_id=row["run_id"],
        shot=from_json(Shot, row["shot_payload"]),
        product=dataclasses.replace(products[key], record_no=row["record_no"]),
        channels=tuple(json.loads(row["channels"])),
        shard_id=row["shard_id"],
        ordinal=row["ordinal"],
    )


def _with_latest_price(promise: Promise, now: Product | None) -> Promise:
    if now is None:
        return promise
    return dataclasses.replace(promise, product=prices.with_price_of(promise.product, now))


# ---------------------------------------------------------------- attempts, grades, verdicts, decisions


def attempts(connection: Connection, shot_ids: Iterable[str]) -> dict[str, list[Attempt]]:
    """Return the attempts of each shot by number; a shot without any is not in the answer."""
    table = schema.attempt
    query = select(table.c.shot_id, table.c.payload).order_by(table.c.shot_id, table.c.number, table.c.seq)
    found: defaultdict[str, list[Attempt]] = defaultdict(list)
    for row in rows_of(connection, query, table.c.shot_id, shot_ids):
        found[row["shot_id"]].append(from_json(Attempt, row["payload"]))
    return dict(found)


def attempts_by_id(connection: Connection, attempt_ids: Iterable[str]) -> dict[str, Attempt]:
    """Return those of the attempts that are there."""
    table = schema.attempt
    query = select(table.c.attempt_id, table.c.payload)
    rows = rows_of(connection, query, table.c.attempt_id, attempt_ids)
    return {row["attempt_id"]: from_json(Attempt, row["payload"]) for row in rows}


def failures(connection: Connection, shot_ids: Iterable[str]) -> dict[str, list[Attempt]]:
    """Return every retryable failed try of each shot, oldest first, whether or not a later try succeeded."""
    table = schema.engine_failure
    query = select(table.c.shot_id, table.c.payload).order_by(table.c.seq)
    found: defaultdict[str, list[Attempt]] = defaultdict(list)
    for row in rows_of(connection, query, table.c.shot_id, shot_ids):
        found[row["shot_id"]].append(from_json(Attempt, row["payload"]))
    return dict(found)


def failure_sentences(connection: Connection, shot_ids: Iterable[str]) -> dict[str, str]:
    """Return the sentence of the last failed try by attempt_id."""
    table = schema.engine_failure
    query = select(table.c.attempt_id, table.c.sentence, table.c.code).order_by(table.c.seq)
    return {
        row["attempt_id"]: row["sentence"] or row["code"]
        for row in rows_of(connection, query, table.c.shot_id, shot_ids)
    }


def grades(connection: Connection, column: Column[str], ids: Iterable[str]) -> list[Grade]:
    """Return the grades, with findings, whose `column` (grade_id or attempt_id) is among the ids."""
    query = select(schema.grade).order_by(schema.grade.c.seq)
    rows = list(rows_of(connection, query, column, ids))
    findings: defaultdict[str, list[Finding]] = defaultdict(list)
    table = schema.finding
    asked = select(table.c.grade_id, table.c.payload).order_by(table.c.grade_id, table.c.ordinal)
    for row in rows_of(connection, asked, table.c.grade_id, (row["grade_id"] for row in rows)):
        findings[row["grade_id"]].append(from_json(Finding, row["payload"]))
    return [read_grade(row, tuple(findings[row["grade_id"]])) for row in rows]


def letters(connection: Connection, grade_ids: Iterable[str]) -> dict[str, str]:
    """Return the letter of each grade."""
    table = schema.grade
    query = select(table.c.grade_id, table.c.letter)
    return {row["grade_id"]: row["letter"] for row in rows_of(connection, query, table.c.grade_id, grade_ids)}


def verdicts(connection: Connection, run_id: str, shot_ids: Iterable[str]) -> dict[str, RecordedVerdict]:
    """Return the run's latest verdict on each attempt of these shots, by attempt_id."""
    table = schema.verdict
    query = select(table).where(table.c.run_id == run_id).order_by(table.c.seq)
    return {row["attempt_id"]: read_verdict(row) for row in rows_of(connection, query, table.c.shot_id, shot_ids)}


def verdicts_on(connection: Connection, attempt_ids: Iterable[str], run_id: str | None) -> dict[str, RecordedVerdict]:
    """Return the latest verdict on each of these attempts, of one run or of any."""
    table = schema.verdict
    query = select(table).order_by(table.c.seq)
    if run_id is not None:
        query = query.where(table.c.run_id == run_id)
    return {row["attempt_id"]: read_verdict(row) for row in rows_of(connection, query, table.c.attempt_id, attempt_ids)}


def decisions(connection: Connection, attempt_ids: Iterable[str]) -> dict[str, list[Decision]]:
    """Return the decisions on each attempt, the latest last; an attempt without any is not in the answer."""
    table = schema.decision
    query = select(table.c.attempt_id, table.c.payload).order_by(table.c.seq)
    found: defaultdict[str, list[Decision]] = defaultdict(list)
    for row in rows_of(connection, query, table.c.attempt_id, attempt_ids):
        found[row["attempt_id"]].append(from_json(Decision, row["payload"]))
    return dict(found)


# ---------------------------------------------------------------- publishing


def run_renditions(connection: Connection, run_id: str, shot_ids: Iterable[str] | None = None) -> list[Rendition]:
    """Return the renditions of a run in the order they were recorded, all or those of some shots."""
    table = schema.rendition
    query = select(table.c.payload).where(table.c.run_id == run_id).order_by(table.c.seq)
    if shot_ids is None:
        return [from_json(Rendition, payload) for payload in connection.execute(query).scalars()]
    rows = rows_of(connection, query, table.c.shot_id, shot_ids)
    return [from_json(Rendition, row["payload"]) for row in rows]


def renditions(connection: Connection, rendition_ids: Iterable[str]) -> dict[str, Rendition]:
    """Return the renditions that any run has recorded under these ids."""
    table = schema.rendition
    query = select(table.c.rendition_id, table.c.payload)
    rows = rows_of(connection, query, table.c.rendition_id, rendition_ids)
    return {row["rendition_id"]: from_json(Rendition, row["payload"]) for row in rows}


def releases(connection: Connection, promotion: str) -> list[ReleaseEvent]:
    """Return what went live for a promotion and when, newest first."""
    table, release = schema.release_event, schema.release
    query = (
        select(table.c.run_id, table.c.kind, table.c.at, release.c.payload)
        .join(release, release.c.release_id == table.c.release_id)
        .where(table.c.promotion == promotion)
        .order_by(table.c.seq.desc())
    )
    return [
        ReleaseEvent(from_json(Release, row.payload), row.kind, row.run_id, datetime.fromisoformat(row.at))
        for row in connection.execute(query)
    ]
