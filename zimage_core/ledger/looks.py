"""What the ledger knows of how pictures look, and of what making them again has brought. Each function takes an open
read transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select

from zimage_core.domain import (
    Attempt,
    Likeness,
    LikenessKind,
    Regeneration,
    Signature,
    SignedAttempt,
    Verdict,
    attempt_id_of,
)
from zimage_core.ledger import schema
from zimage_core.ledger.queries import attempts_by_id, chunks, rows_of
from zimage_core.ledger.rows import FoundLikeness, from_json, time_text

REGENERATIONS_AT_MOST = 20_000
"""The latest so many are read: enough for any rate, and a second's work."""


def signatures(connection: Connection, attempt_ids: Iterable[str], version: str) -> dict[str, Signature]:
    """Return the signatures that are there, by attempt_id, of the code of this version."""
    table = schema.signature
    query = select(table).where(table.c.version == version)
    return {
        row["attempt_id"]: Signature(row["attempt_id"], row["version"], row["picture"], row["product"])
        for row in rows_of(connection, query, table.c.attempt_id, attempt_ids)
    }


def likenesses(connection: Connection, attempt_ids: Iterable[str]) -> dict[str, list[FoundLikeness]]:
    """Return what each attempt was found to repeat, in the order it was found; others are not in the answer."""
    table = schema.likeness
    query = select(table.c.attempt_id, table.c.payload, table.c.at).order_by(table.c.seq)
    found: defaultdict[str, list[FoundLikeness]] = defaultdict(list)
    for row in rows_of(connection, query, table.c.attempt_id, attempt_ids):
        likeness = from_json(Likeness, row["payload"])
        found[row["attempt_id"]].append(FoundLikeness(likeness, datetime.fromisoformat(row["at"])))
    return dict(found)


def kept_elsewhere(
    connection: Connection, run_id: str, version: str, skus: Sequence[str] | None = None
) -> Iterator[SignedAttempt]:
    """Yield what other runs have kept (accepted, or waiting for a person who has not rejected it) and is signed.

    Of a SKU in a scene only the run that was opened last counts, and none when this run promises it itself: what it
    makes takes the place of what there was. `skus`: only these.
    """
    own = select(schema.shot.c.sku, schema.shot.c.scene).join(
        schema.promise, schema.promise.c.shot_id == schema.shot.c.shot_id
    )
    promised = {(row.sku, row.scene) for row in connection.execute(own.where(schema.promise.c.run_id == run_id))}
    latest: dict[tuple[str, str], int] = {}
    kept: defaultdict[tuple[str, str], dict[tuple[int, str], RowMapping]] = defaultdict(dict)
    for row in _verdicts_elsewhere(connection, run_id, skus):
        place = (row["sku"], row["scene"])
        if place not in promised:
            latest[place] = max(latest.get(place, 0), row["run_seq"])
            kept[place][row["run_seq"], row["attempt_id"]] = row
    chosen = {
        row["attempt_id"]: row
        for place, rows in kept.items()
        for (run_seq, _), row in rows.items()
        if run_seq == latest[place] and row["kind"] in ("accept", "review")
    }
    rejected = _rejected(connection, chosen)
    signed = signatures(connection, sorted(set(chosen) - rejected), version)
    for attempt_id, signature in sorted(signed.items()):
        row = chosen[attempt_id]
        yield SignedAttempt(signature, row["shot_id"], row["sku"], row["scene"])


def _verdicts_elsewhere(connection: Connection, run_id: str, skus: Sequence[str] | None) -> Iterator[RowMapping]:
    """Yield every verdict of other runs, oldest first: the last one of an attempt in a run is the one that counts."""
    verdict, run, shot = schema.verdict, schema.run, schema.shot
    asked = (
        run.c.seq.label("run_seq"),
        verdict.c.attempt_id,
        verdict.c.shot_id,
        verdict.c.kind,
        shot.c.sku,
        shot.c.scene,
    )
    query = (
        select(*asked)
        .join(run, run.c.run_id == verdict.c.run_id)
        .join(shot, shot.c.shot_id == verdict.c.shot_id)
        .where(verdict.c.run_id != run_id)
        .order_by(verdict.c.seq)
    )
    if skus is None:
        yield from connection.execute(query).mappings()
        return
    for chunk in chunks(dict.fromkeys(skus)):
        yield from connection.execute(query.where(shot.c.sku.in_(chunk))).mappings()


def _rejected(connection: Connection, attempt_ids: Iterable[str]) -> set[str]:
    table = schema.decision
    query = select(table.c.attempt_id, table.c.kind).order_by(table.c.seq)
    last = {row["attempt_id"]: row["kind"] for row in rows_of(connection, query, table.c.attempt_id, attempt_ids)}
    return {attempt_id for attempt_id, kind in last.items() if kind != "approve"}


# ---------------------------------------------------------------- what making again has brought


def regenerations(connection: Connection, before: datetime) -> list[Regeneration]:
    """Return the attempts that were made again and judged before a moment, the latest 20,000, oldest first."""
    table = schema.verdict
    asked = select(table.c.run_id, table.c.shot_id, table.c.attempt_id, table.c.grade_id, table.c.payload).where(
        table.c.kind == "regenerate", table.c.at < time_text(before)
    )
    rows = list(connection.execute(asked.order_by(table.c.seq.desc()).limit(REGENERATIONS_AT_MOST)))[::-1]
    first = attempts_by_id(connection, (row.attempt_id for row in rows))
    pairs: dict[tuple[str, str], tuple[str, Attempt, str | None]] = {}
    for row in rows:
        change, attempt = from_json(Verdict, row.payload).change, first.get(row.attempt_id)
        if change is not None and attempt is not None:
            made = attempt_id_of(row.shot_id, attempt.number + 1, change)
            pairs.setdefault((row.attempt_id, made), (row.run_id, attempt, row.grade_id))  # other runs find it made
    second = attempts_by_id(connection, (made for _, made in pairs))
    judged = _judged(connection, second, before)
    grade_ids = [grade_id for _, _, grade_id in pairs.values()] + list(judged.values())
    failing = _failing(connection, (grade_id for grade_id in grade_ids if grade_id is not None))
    repeated = likenesses(connection, {attempt_id for pair in pairs for attempt_id in pair})
    found = []
    for (first_id, made), (run_id, attempt, grade_id) in pairs.items():
        again = second.get(made)
        if again is None or (again.object_key is not None and (run_id, made) not in judged):
            continue
        was = {*failing.get(grade_id or "", ()), *_kinds(repeated, first_id, before)}
        left: set[str] | None = None
        if again.object_key is not None:
            left = {*failing.get(judged[run_id, made] or "", ()), *_kinds(repeated, made, before)}
        found.append(
            Regeneration(
                engine=again.engine,
                before=attempt.change,
                after=again.change,
                failing=tuple(sorted(was)),
                left=None if left is None else tuple(sorted(left)),
                seconds=again.seconds,
            )
        )
    return found


def _judged(connection: Connection, attempt_ids: Iterable[str], before: datetime) -> dict[tuple[str, str], str | None]:
    """Return the grade that each run's last verdict before a moment rests on, by (run_id, attempt_id)."""
    table = schema.verdict
    query = select(table.c.run_id, table.c.attempt_id, table.c.grade_id).where(table.c.at < time_text(before))
    rows = rows_of(connection, query.order_by(table.c.seq), table.c.attempt_id, attempt_ids)
    return {(row["run_id"], row["attempt_id"]): row["grade_id"] for row in rows}


def _failing(connection: Connection, grade_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the checks that fail in each grade."""
    table = schema.finding
    query = select(table.c.grade_id, table.c.check_name).where(
        table.c.state == "measured", ~table.c.passed | table.c.veto
    )
    failing: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows_of(connection, query, table.c.grade_id, grade_ids):
        failing[row["grade_id"]].append(row["check_name"])
    return dict(failing)


def _kinds(found: dict[str, list[FoundLikeness]], attempt_id: str, before: datetime) -> set[LikenessKind]:
    return {one.likeness.kind for one in found.get(attempt_id, ()) if one.at < before}
