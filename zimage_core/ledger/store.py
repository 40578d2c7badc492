"""The ledger as its callers see it: what can be written, and what can be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, Table

from zimage_core import clock as the_clock
from zimage_core.domain import (
    Attempt,
    Decision,
    Grade,
    Likeness,
    Product,
    Promise,
    Refusal,
    Regeneration,
    Release,
    Rendition,
    Run,
    ShotOutcome,
    Signature,
    SignedAttempt,
    Verdict,
)
from zimage_core.ledger import accounts, leases, looks, made, prices, queries, rows, schema, writes
from zimage_core.ledger.database import Database, insert_new
from zimage_core.ledger.leases import Lease
from zimage_core.ledger.parts import Parts
from zimage_core.ledger.rows import (
    FoundLikeness,
    RecordedVerdict,
    ReleaseEvent,
    ReleaseKind,
    RunEvent,
    RunOpening,
    RunRow,
    Tally,
)
from zimage_core.standing import Standing

ROWS_PER_COMMIT = 500
"""Rows written in one transaction: 5 (SQLite) to 16 (PostgreSQL) times faster than one by one, benchmarks/ledger.py."""


class Ledger(Parts):
    """Everything that happened. Threads may share one; each process opens its own. `with Ledger.open(url) as ledger:`

    Every method may raise LedgerBusy (nothing was written, call it again) or LedgerError. Writes that take `lease`
    raise LeaseLost, and write nothing of that batch, when another worker has taken over the shard.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._counting = accounts.Counting(database)

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
        with self._database.writing() as connection:
            return writes.open_run(connection, run, self._clock())

    def close_run(self, run_id: str, *, state: str, detail: str) -> None:
        """Record how a run ended. Raises LedgerError for a run that was never opened."""
        with self._database.writing() as connection:
            writes.close_run(connection, run_id, state, detail, self._clock())

    def record_event(self, run_id: str, kind: str, detail: str) -> None:
        """Note something about a run as a whole; its state stays as it is."""
        with self._database.writing() as connection:
            writes.add_event(connection, run_id, kind, None, detail, self._clock())

    def events(self, run_id: str) -> list[RunEvent]:
        """Return what happened to a run, oldest first."""
        with self._database.reading() as connection:
            return queries.events(connection, run_id)

    def last_opening(self) -> RunOpening | None:
        """Return which run was opened or resumed last, and when; None in an empty ledger. Cheap: it counts nothing."""
        with self._database.reading() as connection:
            return queries.last_opening(connection)

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
        return self._insert(schema.refusal, [rows.refusal_row(run_id, refusal) for refusal in refusals])

    def refusals(self, run_id: str) -> list[Refusal]:
        """Return the refusals of a run in the order they were recorded."""
        with self._database.reading() as connection:
            return queries.refusals(connection, run_id)

    # ------------------------------------------------------------ promises

    def promise(self, promises: Iterable[Promise]) -> int:
        """Promise shots, with the product as it is in the catalogue now; return how many promises were new."""
        new = 0
        for batch in queries.chunks(promises, ROWS_PER_COMMIT):
            with self._database.writing() as connection:
                new += writes.promise(connection, batch)
        return new

    def reprice(self, run_id: str, products: Sequence[Product]) -> int:
        """Let these products' prices be the run's from now on; return how many are new. Promises are read with them."""
        with self._database.writing() as connection:
            return prices.record(connection, run_id, products, self._clock())

    def products_made(self, promotion: str) -> dict[str, str]:
        """Return by SKU the product_key with which it was last part of a completed run of the promotion."""
        with self._database.reading() as connection:
            return made.products_made(connection, promotion)

    def runs_behind_products(self, promotion: str) -> dict[str, str]:
        """Return by SKU the completed run of the promotion that it was last part of."""
        with self._database.reading() as connection:
            return made.runs_behind_products(connection, promotion)

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

    def attempts_by_id(self, attempt_ids: Iterable[str]) -> dict[str, Attempt]:
        """Return those of the attempts that are there, by attempt_id."""
        with self._database.reading() as connection:
            return queries.attempts_by_id(connection, attempt_ids)

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
        for batch in queries.chunks(sorted(by_id), ROWS_PER_COMMIT):
            with self._writing(lease) as connection:
                new += writes.grades(connection, {key: by_id[key] for key in batch}, self._clock())
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

    # ------------------------------------------------------------ looks, and what was learnt

    def record_signatures(self, signatures: Iterable[Signature], *, lease: Lease | None = None) -> int:
        """Keep what pictures look like; return how many were new. The first one of an attempt and version stays."""
        at = self._clock()
        given = sorted(signatures, key=lambda signature: signature.attempt_id)
        return self._insert(schema.signature, [rows.signature_row(one, at) for one in given], lease=lease)

    def signatures(self, attempt_ids: Iterable[str], version: str) -> dict[str, Signature]:
        """Return those of the attempts' signatures that are there, by attempt_id, of one version of the code."""
        with self._database.reading() as connection:
            return looks.signatures(connection, attempt_ids, version)

    def kept_elsewhere(self, run_id: str, version: str, *, skus: Sequence[str] | None = None) -> list[SignedAttempt]:
        """Return the signed pictures that other runs keep of SKUs (all, or `skus`) and scenes not promised here."""
        with self._database.reading() as connection:
            return list(looks.kept_elsewhere(connection, run_id, version, skus))

    def products(self, shot_ids: Iterable[str]) -> dict[str, Product]:
        """Return the product of each of these shots as it was promised last; shots never promised are left out."""
        with self._database.reading() as connection:
            return queries.products(connection, shot_ids)

    def record_likenesses(self, found: Iterable[Likeness], *, lease: Lease | None = None) -> int:
        """Keep which attempts repeat which; return how many were new. A pair keeps the moment it was first found."""
        at = self._clock()
        given = sorted(found, key=lambda one: (one.attempt_id, one.other_attempt_id))
        return self._insert(schema.likeness, [rows.likeness_row(one, at) for one in given], lease=lease)

    def likenesses(self, attempt_ids: Iterable[str]) -> dict[str, list[FoundLikeness]]:
        """Return what each attempt was found to repeat and when; attempts without any are not in the answer."""
        with self._database.reading() as connection:
            return looks.likenesses(connection, attempt_ids)

    def regenerations(self, before: datetime) -> list[Regeneration]:
        """Return what was made again and judged before a moment, oldest first: what policy learns from."""
        with self._database.reading() as connection:
            return looks.regenerations(connection, before)

    # ------------------------------------------------------------ publishing

    def record_renditions(self, run_id: str, renditions: Iterable[Rendition]) -> int:
        """Keep which files a run publishes, made by it or found made; return how many were new to the run."""
        given = sorted(renditions, key=lambda rendition: rendition.rendition_id)
        return self._insert(schema.rendition, [rows.rendition_row(run_id, rendition) for rendition in given])

    def renditions(self, rendition_ids: Iterable[str]) -> dict[str, Rendition]:
        """Return those of the renditions that any run has recorded, by rendition_id."""
        with self._database.reading() as connection:
            return queries.renditions(connection, rendition_ids)

    def run_renditions(self, run_id: str, shot_ids: Iterable[str] | None = None) -> list[Rendition]:
        """Return the renditions recorded for a run, all or those of some shots."""
        with self._database.reading() as connection:
            return queries.run_renditions(connection, run_id, shot_ids)

    def record_release(self, run_id: str | None, release: Release, kind: ReleaseKind) -> bool:
        """Record that a release went live; False when it is what the promotion's last event already says.

        `run_id` is None where no run did it: a person rolled back.
        """
        with self._database.writing() as connection:
            return writes.release(connection, run_id, release, kind, self._clock())

    def releases(self, promotion: str) -> list[ReleaseEvent]:
        """Return what went live for a promotion, newest first; the first is what is live."""
        with self._database.reading() as connection:
            return queries.releases(connection, promotion)

    # ------------------------------------------------------------ where things stand

    def standings(
        self, run_id: str, shard_id: str | None = None, *, shot_ids: Sequence[str] | None = None
    ) -> Iterator[tuple[Promise, Standing]]:
        """Yield each promise, of all or of `shot_ids`, with where its shot stands and what it needs next, in order."""
        shards = self._shards(run_id, shard_id) if shot_ids is None else (shard_id,)
        for shard in shards:
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
        return self._counting.tally(run_id)

    def end_shard(self, run_id: str, shard_id: str) -> None:
        """Note that a shard was gone through to its end: nothing to make, nothing to grade, nothing to compare."""
        with self._database.writing() as connection:
            mark = accounts.ended_mark(connection, run_id, shard_id)
            writes.add_event(connection, run_id, accounts.ENDED, None, mark, self._clock())

    def open_shards(self, run_id: str) -> list[str]:
        """Return the shards that are not at their end, or in which something happened since, in order."""
        with self._database.reading() as connection:
            return accounts.open_shards(connection, run_id)

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
