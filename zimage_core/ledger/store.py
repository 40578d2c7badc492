"""The ledger as its callers see it: what can be written, and what can be asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, Table, func, select, text

from zimage_core import clock as the_clock
from zimage_core.domain import (
    Attempt,
    Decision,
    Grade,
    Promise,
    Refusal,
    Release,
    Rendition,
    Run,
    ShotOutcome,
    Verdict,
)
from zimage_core.errors import LedgerError
from zimage_core.ledger import accounts, leases, queries, rows, schema
from zimage_core.ledger.database import Database, insert_into, insert_new
from zimage_core.ledger.leases import Lease
from zimage_core.ledger.rows import RecordedVerdict, ReleaseEvent, ReleaseKind, RunEvent, RunRow, Tally
from zimage_core.standing import Standing

ROWS_PER_COMMIT = 500
"""Rows written in one transaction: a hundred times cheaper than one by one, and other writers wait milliseconds."""

RELEASE_LOCK = 0x72656C
"""PostgreSQL advisory lock under which a release event is compared with the one before it."""


class Ledger:
    """Everything that happened. Threads may share one; each process opens its own. `with Ledger.open(url) as ledger:`

    Every method may raise LedgerBusy (nothing was written, call it again) or LedgerError. Writes that take `lease`
    raise LeaseLost, and write nothing of that batch, when another worker has taken over the shard.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    def open(cls, url: str, *, clock: Callable[[], datetime] = the_clock.now, busy_timeout_s: float = 30.0) -> Ledger:
        """Open (and make or migrate, if needed) the ledger at a SQLAlchemy URL of SQLite or PostgreSQL.

        Raises ConfigurationError for a URL that cannot be used, LedgerError when a newer program made the ledger.
        """
        return cls(Database(url, now=clock, busy_timeout_s=busy_timeout_s), clock)

    def close(self) -> None:
        """Close its connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # ------------------------------------------------------------ runs

    def open_run(self, run: Run) -> bool:
        """Record that a run begins: True when it is new, False when the same run goes on (noted as `resumed`)."""
        at = rows.time_text(self._clock())
        row = {"run_id": run.run_id, "promotion": run.promotion, "payload": rows.to_json(run), "opened_at": at}
        with self._database.writing() as connection:
            new = insert_new(connection, schema.run, [row]) == 1
            _add_event(connection, run.run_id, "opened" if new else "resumed", "running", "", at)
        return new

    def close_run(self, run_id: str, *, state: str, detail: str) -> None:
        """Record how a run ended. Raises LedgerError for a run that was never opened."""
        with self._database.writing() as connection:
            known = select(func.count()).where(schema.run.c.run_id == run_id)
            if not connection.execute(known).scalar_one():
                raise LedgerError(f"Run {run_id} was never opened, so it cannot be closed.")
            _add_event(connection, run_id, "closed", state, detail, rows.time_text(self._clock()))

    def record_event(self, run_id: str, kind: str, detail: str) -> None:
        """Note something about a run as a whole; its state stays as it is."""
        with self._database.writing() as connection:
            _add_event(connection, run_id, kind, None, detail, rows.time_text(self._clock()))

    def events(self, run_id: str) -> list[RunEvent]:
        """Return what happened to a run, oldest first."""
        with self._database.reading() as connection:
            return queries.events(connection, run_id)

    def runs(self, limit: int = 20) -> list[RunRow]:
        """Return the latest runs, newest first, each with its state and counts."""
        with self._database.reading() as connection:
            found = queries.runs(connection, limit)
        listed = []
        for run, opened_at in found:
            last = next(event for event in reversed(self.events(run.run_id)) if event.state is not None)
            listed.append(RunRow(run, last.state or "", last.detail, opened_at, self.tally(run.run_id)))
        return listed

    def record_refusals(self, run_id: str, refusals: Iterable[Refusal]) -> int:
        """Keep refused rows and shots with their reasons; return how many were new."""
        found = [
            {
                "run_id": run_id,
                "refusal_id": refusal.refusal_id,
                "stage": refusal.stage,
                "code": refusal.code,
                "sku": refusal.sku,
                "payload": rows.to_json(refusal),
            }
            for refusal in refusals
        ]
        return self._insert(schema.refusal, found)

    def refusals(self, run_id: str) -> list[Refusal]:
        """Return the refusals of a run in the order they were recorded."""
        with self._database.reading() as connection:
            return queries.refusals(connection, run_id)

    # ------------------------------------------------------------ promises

    def promise(self, promises: Iterable[Promise]) -> int:
        """Promise shots, with the product as it is in the catalogue now; return how many promises were new."""
        new = 0
        for batch in queries.chunks(promises, ROWS_PER_COMMIT):
            products = {p.product.product_key: p.product for p in batch}
            shots = {p.shot.shot_id: p.shot for p in batch}
            with self._database.writing() as connection:
                insert_new(connection, schema.product, [
                    {"product_key": key, "sku": product.sku, "payload": rows.to_json(product)}
                    for key, product in sorted(products.items())
                ])  # fmt: skip
                insert_new(connection, schema.shot, [
                    {"shot_id": key, "sku": shot.sku, "scene": shot.scene.name, "payload": rows.to_json(shot)}
                    for key, shot in sorted(shots.items())
                ])  # fmt: skip
                found = sorted((rows.promise_row(p) for p in batch), key=lambda row: (row["run_id"], row["shot_id"]))
                new += insert_new(connection, schema.promise, found)
        return new

    def promised_shards(self, run_id: str) -> tuple[str, ...]:
        """Return the shards of a run in the order of their first promise."""
        with self._database.reading() as connection:
            return queries.promised_shards(connection, run_id)

    def promises(self, run_id: str, shard_id: str | None = None) -> list[Promise]:
        """Return the promises of a shard, or of the whole run, by ordinal."""
        return list(self.iter_promises(run_id, shard_id))

    def iter_promises(self, run_id: str, shard_id: str | None = None) -> Iterator[Promise]:
        """Yield the promises of a run shard by shard, holding one shard in memory."""
        for shard in self._shards(run_id, shard_id):
            with self._database.reading() as connection:
                found = queries.promises(connection, run_id, shard)
            yield from found

    # ------------------------------------------------------------ attempts

    def record_attempts(self, run_id: str, attempts: Iterable[Attempt], *, lease: Lease | None = None) -> int:
        """Keep attempts that were rendered or failed for good; return how many were new.

        One whose failure is retryable is kept as a failed try (`record_failures`), not as the attempt.
        """
        at = self._clock()
        given = sorted(attempts, key=lambda attempt: attempt.attempt_id)
        passing = [a for a in given if a.error_code is not None and a.error_retryable]
        final = [rows.attempt_row(run_id, a, at) for a in given if a.error_code is None or not a.error_retryable]
        self.record_failures(run_id, passing, lease=lease)
        return self._insert(schema.attempt, final, lease=lease)

    def record_failures(self, run_id: str, failed: Iterable[Attempt], *, lease: Lease | None = None) -> int:
        """Keep failed tries that may be repeated under the same attempt_id; return how many. Each try is a row."""
        at, owner = self._clock(), lease.owner if lease else ""
        return self._insert(
            schema.engine_failure, [rows.failure_row(run_id, attempt, owner, at) for attempt in failed], lease=lease
        )

    def attempts(self, shot_ids: Iterable[str]) -> dict[str, list[Attempt]]:
        """Return each shot's attempts by number, whichever run made them; every shot asked for is in the answer."""
        wanted = list(shot_ids)
        with self._database.reading() as connection:
            return {shot_id: [] for shot_id in wanted} | queries.attempts(connection, wanted)

    def failures(self, shot_ids: Iterable[str]) -> dict[str, list[Attempt]]:
        """Return each shot's retryable failed tries, oldest first; every shot asked for is in the answer."""
        wanted = list(shot_ids)
        with self._database.reading() as connection:
            return {shot_id: [] for shot_id in wanted} | queries.failures(connection, wanted)

    # ------------------------------------------------------------ grades, verdicts, decisions

    def record_grades(self, grades: Iterable[Grade], *, lease: Lease | None = None) -> int:
        """Keep grades with their findings; return how many were new."""
        new = 0
        by_id = {grade.grade_id: grade for grade in grades}
        at = self._clock()
        for batch in queries.chunks(sorted(by_id), ROWS_PER_COMMIT):
            with self._writing(lease) as connection:
                wanted = (
                    insert_into(connection, schema.grade).on_conflict_do_nothing().returning(schema.grade.c.grade_id)
                )
                kept = connection.execute(wanted, [rows.grade_row(by_id[key], at) for key in batch]).scalars().all()
                # findings follow their grade: a second, slightly different judgement must not mix into the first
                findings = [row for key in sorted(kept) for row in rows.finding_rows(by_id[key])]
                if findings:
                    connection.execute(schema.finding.insert(), findings)
                new += len(kept)
        return new

    def grades(self, attempt_ids: Iterable[str]) -> dict[str, list[Grade]]:
        """Return every grade of each attempt, oldest first, with findings; every attempt asked for is in the answer."""
        found: dict[str, list[Grade]] = {attempt_id: [] for attempt_id in attempt_ids}
        with self._database.reading() as connection:
            for grade in queries.grades(connection, schema.grade.c.attempt_id, list(found)):
                found[grade.attempt_id].append(grade)
        return found

    def grade(self, attempt_id: str, finished_key: str, rubric_hash: str) -> Grade | None:
        """Return the grade kept for these pixels, this overlay and this rubric, None when there is none."""
        wanted = Grade(attempt_id, finished_key, rubric_hash, 0.0, "C", (), ()).grade_id
        with self._database.reading() as connection:
            found = queries.grades(connection, schema.grade.c.grade_id, [wanted])
        return found[0] if found else None

    def record_verdicts(
        self, run_id: str, items: Iterable[tuple[str, str, str | None, Verdict]], *, lease: Lease | None = None
    ) -> int:
        """Keep verdicts given as (shot_id, attempt_id, grade_id or None, Verdict); return how many were new.

        A verdict is a run's: another run with other prices judges the same attempt by itself.
        """
        at = self._clock()
        found = [rows.verdict_row(run_id, RecordedVerdict(*item), at) for item in items]
        return self._insert(schema.verdict, found, lease=lease)

    def verdicts(self, run_id: str, shot_ids: Iterable[str]) -> dict[str, RecordedVerdict]:
        """Return the run's latest verdict on each attempt of these shots, by attempt_id."""
        with self._database.reading() as connection:
            return queries.verdicts(connection, run_id, shot_ids)

    def verdict_grades(self, attempt_ids: Iterable[str], *, run_id: str | None = None) -> dict[str, Grade]:
        """Return, by attempt_id, the grade that the latest verdict on it rests on: of one run, or of any."""
        with self._database.reading() as connection:
            said = queries.verdicts_on(connection, attempt_ids, run_id)
            wanted = [recorded.grade_id for recorded in said.values() if recorded.grade_id is not None]
            return {grade.attempt_id: grade for grade in queries.grades(connection, schema.grade.c.grade_id, wanted)}

    def record_decisions(self, decisions: Iterable[Decision]) -> int:
        """Keep what people decided; the latest on an attempt counts. Return how many were new."""
        return self._insert(schema.decision, [rows.decision_row(decision) for decision in decisions])

    def decisions(self, attempt_ids: Iterable[str]) -> dict[str, list[Decision]]:
        """Return the decisions on each attempt, the latest last; attempts without any are not in the answer."""
        with self._database.reading() as connection:
            return queries.decisions(connection, attempt_ids)

    # ------------------------------------------------------------ publishing

    def record_renditions(self, run_id: str, renditions: Iterable[Rendition]) -> int:
        """Keep which files this run wrote; return how many were new to it."""
        found = [
            {
                "run_id": run_id,
                "rendition_id": rendition.rendition_id,
                "shot_id": rendition.shot_id,
                "attempt_id": rendition.attempt_id,
                "channel": rendition.channel,
                "payload": rows.to_json(rendition),
            }
            for rendition in sorted(renditions, key=lambda rendition: rendition.rendition_id)
        ]
        return self._insert(schema.rendition, found)

    def renditions(self, run_id: str, shot_ids: Iterable[str] | None = None) -> list[Rendition]:
        """Return the renditions of a run, all or those of some shots."""
        with self._database.reading() as connection:
            return queries.renditions(connection, run_id, shot_ids)

    def renditions_by_id(self, rendition_ids: Iterable[str]) -> dict[str, Rendition]:
        """Return the renditions that any run has recorded under these ids."""
        with self._database.reading() as connection:
            return queries.renditions_by_id(connection, rendition_ids)

    def record_release(self, run_id: str, release: Release, kind: ReleaseKind) -> bool:
        """Record that a release went live; False when it is what the promotion's last event already says."""
        table = schema.release_event
        with self._database.writing() as connection:
            if self._database.dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": RELEASE_LOCK})
            row = {"release_id": release.release_id, "promotion": release.promotion, "payload": rows.to_json(release)}
            insert_new(connection, schema.release, [row])
            said = select(table.c.release_id, table.c.kind).where(table.c.promotion == release.promotion)
            last = connection.execute(said.order_by(table.c.seq.desc()).limit(1)).one_or_none()
            if last is not None and tuple(last) == (release.release_id, kind):
                return False
            happened = {"run_id": run_id, "release_id": release.release_id, "promotion": release.promotion}
            at = rows.time_text(self._clock())
            connection.execute(table.insert(), happened | {"kind": kind, "at": at})
        return True

    def releases(self, promotion: str) -> list[ReleaseEvent]:
        """Return what went live for a promotion, newest first; the first is what is live."""
        with self._database.reading() as connection:
            return queries.releases(connection, promotion)

    # ------------------------------------------------------------ where things stand

    def standings(
        self, run_id: str, shard_id: str | None = None, *, shot_ids: Sequence[str] | None = None
    ) -> Iterator[tuple[Promise, Standing]]:
        """Yield each promise with where its shot stands and what it needs next, shard by shard in order."""
        for shard in self._shards(run_id, shard_id):
            with self._database.reading() as connection:
                found = accounts.standings(connection, run_id, queries.promises(connection, run_id, shard, shot_ids))
            yield from found

    def outcomes(self, run_id: str, shard_id: str | None = None) -> Iterator[ShotOutcome]:
        """Yield each promised shot with all that a person needs to judge it, shard by shard in order."""
        for shard in self._shards(run_id, shard_id):
            with self._database.reading() as connection:
                found = accounts.outcomes(connection, run_id, queries.promises(connection, run_id, shard))
            yield from found

    def tally(self, run_id: str) -> Tally:
        """Count how the run stands by the same walk as `standings`, and add up what it spent."""
        states: Counter[str] = Counter()
        graded: Counter[str] = Counter()
        for shard in self.promised_shards(run_id):
            with self._database.reading() as connection:
                shots = queries.promised_shots(connection, run_id, shard)
                in_state, with_letter = accounts.count_shard(connection, run_id, shots)
            states.update(in_state)
            graded.update(with_letter)
        with self._database.reading() as connection:
            return accounts.tally(connection, run_id, states, graded)

    # ------------------------------------------------------------ leases

    def acquire_lease(self, shard_id: str, owner: str, lease_s: float) -> Lease | None:
        """Take the shard for `lease_s` seconds; None when another owner holds it. `owner` names one worker only."""
        return leases.acquire(self._database, self._clock, shard_id, owner, lease_s)

    def lease_owner(self, shard_id: str) -> str | None:
        """Return who holds the shard now, None when nobody does or the lease has run out."""
        with self._database.reading() as connection:
            return leases.owner_of(connection, shard_id, at_s=self._clock().timestamp())

    def break_lease(self, shard_id: str, owner: str) -> bool:
        """End the lease of an owner known to be dead, at once; False when it was no longer that owner's."""
        return leases.break_lease(self._database, shard_id, owner)

    # ------------------------------------------------------------ inside

    def _shards(self, run_id: str, shard_id: str | None) -> tuple[str, ...]:
        return self.promised_shards(run_id) if shard_id is None else (shard_id,)

    @contextmanager
    def _writing(self, lease: Lease | None) -> Iterator[Connection]:
        with self._database.writing() as connection:
            if lease is not None:
                lease.check(connection)
            yield connection

    def _insert(self, table: Table, found: Sequence[dict[str, Any]], *, lease: Lease | None = None) -> int:
        new = 0
        for batch in queries.chunks(found, ROWS_PER_COMMIT):
            with self._writing(lease) as connection:
                new += insert_new(connection, table, batch)
        return new


def _add_event(connection: Connection, run_id: str, kind: str, state: str | None, detail: str, at: str) -> None:
    row = {"run_id": run_id, "kind": kind, "state": state, "detail": detail, "at": at}
    connection.execute(schema.run_event.insert(), row)
