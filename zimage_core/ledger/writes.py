"""What one write transaction does. Each function takes an open write transaction; inserting again is a no-op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select, text

from zimage_core.domain import Grade, Promise, Release, Run
from zimage_core.errors import LedgerError
from zimage_core.ledger import rows, schema
from zimage_core.ledger.database import insert_into, insert_new
from zimage_core.ledger.rows import ReleaseKind

RELEASE_LOCK = 0x72656C
"""PostgreSQL advisory lock ("rel") under which a release event is compared with the one before it."""


def open_run(connection: Connection, run: Run, at: datetime) -> bool:
    """Add the run if it is new, and an event either way; True when it was new."""
    row = {"run_id": run.run_id, "promotion": run.promotion, "payload": rows.to_json(run)}
    new = insert_new(connection, schema.run, [row | {"opened_at": rows.time_text(at)}]) == 1
    add_event(connection, run.run_id, "opened" if new else "resumed", "running", "", at)
    return new


def close_run(connection: Connection, run_id: str, state: str, detail: str, at: datetime) -> None:
    """Add the closing event of a run that was opened; LedgerError for one that was not."""
    known = select(func.count()).where(schema.run.c.run_id == run_id)
    if not connection.execute(known).scalar_one():
        raise LedgerError(f"Run {run_id} was never opened, so it cannot be closed.")
    add_event(connection, run_id, "closed", state, detail, at)


def add_event(connection: Connection, run_id: str, kind: str, state: str | None, detail: str, at: datetime) -> None:
    """Add something that happened to a run; events are never the same one twice."""
    row = {"run_id": run_id, "kind": kind, "state": state, "detail": detail, "at": rows.time_text(at)}
    connection.execute(schema.run_event.insert(), row)


def promise(connection: Connection, promises: Sequence[Promise]) -> int:
    """Add promises with their products and shots; return how many promises were new."""
    products = {promise.product.product_key: promise.product for promise in promises}
    shots = {promise.shot.shot_id: promise.shot for promise in promises}
    product_rows = [
        {"product_key": key, "sku": product.sku, "payload": rows.to_json(product)}
        for key, product in sorted(products.items())
    ]
    shot_rows = [
        {"shot_id": key, "sku": shot.sku, "scene": shot.scene.name, "payload": rows.to_json(shot)}
        for key, shot in sorted(shots.items())
    ]
    insert_new(connection, schema.product, product_rows)
    insert_new(connection, schema.shot, shot_rows)
    found = sorted(map(rows.promise_row, promises), key=lambda row: (row["run_id"], row["shot_id"]))
    return insert_new(connection, schema.promise, found)


def grades(connection: Connection, given: Mapping[str, Grade], at: datetime) -> int:
    """Add grades by id, and the findings of those that were new; return how many those were.

    Findings follow their grade: a second, slightly different judgement must not mix into the first.
    """
    wanted = insert_into(connection, schema.grade).on_conflict_do_nothing().returning(schema.grade.c.grade_id)
    new = connection.execute(wanted, [rows.grade_row(given[key], at) for key in sorted(given)]).scalars().all()
    findings = [row for key in sorted(new) for row in rows.finding_rows(given[key])]
    if findings:
        connection.execute(schema.finding.insert(), findings)
    return len(new)


def release(connection: Connection, run_id: str | None, release: Release, kind: ReleaseKind, at: datetime) -> bool:
    """Add the release and the event of its going live, unless that is what the promotion's last event says."""
    table = schema.release_event
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": RELEASE_LOCK})
    row = {"release_id": release.release_id, "promotion": release.promotion, "payload": rows.to_json(release)}
    insert_new(connection, schema.release, [row])
    said = select(table.c.release_id, table.c.kind).where(table.c.promotion == release.promotion)
    last = connection.execute(said.order_by(table.c.seq.desc()).limit(1)).one_or_none()
    if last is not None and tuple(last) == (release.release_id, kind):
        return False
    happened = {"run_id": run_id, "release_id": release.release_id, "promotion": release.promotion}
    connection.execute(table.insert(), happened | {"kind": kind, "at": rows.time_text(at)})
    return True
