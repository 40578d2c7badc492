"""Where each shot of a shard stands: the rows of the ledger, walked by `standing_of`, the one rule for everybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Table, func, select

from zimage_core.domain import Attempt, Decision, Grade, Promise, Rendition, ShotOutcome, Verdict
from zimage_core.ledger import course, queries, schema
from zimage_core.ledger.database import Database
from zimage_core.ledger.rows import RecordedVerdict, Tally
from zimage_core.standing import Standing, standing_of


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that decides where some shots stand in a run; every mapping is keyed by attempt_id, `left_out` by shot_id."""

    attempts: Mapping[str, Attempt]
    recorded: Mapping[str, RecordedVerdict]
    verdicts: Mapping[str, Verdict]
    decisions: Mapping[str, Decision]
    failures: Mapping[str, str]
    left_out: Mapping[str, str]

    def standing(self, shot_id: str) -> Standing:
        """Walk one shot's chain of attempts."""
        left_out = self.left_out.get(shot_id)
        return standing_of(shot_id, self.attempts, self.verdicts, self.decisions, self.failures, left_out)


def evidence(connection: Connection, run_id: str, shot_ids: Sequence[str]) -> Evidence:
    """Return what the ledger holds about these shots, read in one transaction."""
    made = queries.attempts(connection, shot_ids)
    attempts = {attempt.attempt_id: attempt for of_shot in made.values() for attempt in of_shot}
    decided = queries.decisions(connection, attempts)
    recorded = queries.verdicts(connection, run_id, shot_ids)
    return Evidence(
        attempts=attempts,
        recorded=recorded,
        verdicts={attempt_id: one.verdict for attempt_id, one in recorded.items()},
        decisions={attempt_id: of_attempt[-1] for attempt_id, of_attempt in decided.items()},
        failures=queries.failure_sentences(connection, shot_ids),
        left_out=course.left_out(connection, run_id, shot_ids),
    )


def standings(connection: Connection, run_id: str, promises: Sequence[Promise]) -> list[tuple[Promise, Standing]]:
    """Return each promise with where its shot stands."""
    known = evidence(connection, run_id, [promise.shot.shot_id for promise in promises])
    return [(promise, known.standing(promise.shot.shot_id)) for promise in promises]


def outcomes(connection: Connection, run_id: str, promises: Sequence[Promise]) -> list[ShotOutcome]:
    """Return each promise with its attempts, grades, decision and renditions.

    Only the attempts of the shot's chain and the grades that this run's verdicts rest on are shown: a shot may have
    others, made for a run with other prices, another overlay or another rubric.
    """
    shot_ids = [promise.shot.shot_id for promise in promises]
    known = evidence(connection, run_id, shot_ids)
    grade_ids = {v.grade_id for v in known.recorded.values() if v.grade_id is not None}
    found = queries.grades(connection, schema.grade.c.grade_id, sorted(grade_ids))
    grades = {grade.attempt_id: grade for grade in found}
    renditions: dict[str, list[Rendition]] = {}
    for rendition in queries.run_renditions(connection, run_id, shot_ids):
        renditions.setdefault(rendition.attempt_id, []).append(rendition)
    return [_outcome(promise, known, grades, renditions) for promise in promises]


def _outcome(
    promise: Promise, known: Evidence, grades: Mapping[str, Grade], renditions: Mapping[str, Sequence[Rendition]]
) -> ShotOutcome:
    standing = known.standing(promise.shot.shot_id)
    last = standing.attempt.attempt_id if standing.attempt else ""
    chosen = standing.attempt if standing.state in ("accepted", "doubtful") else None
    files = renditions.get(last, ()) if chosen else ()
    return ShotOutcome(
        promise=promise,
        state=standing.state,
        reason=standing.reason,
        attempts=standing.chain,
        grades=tuple(grades[a.attempt_id] for a in standing.chain if a.attempt_id in grades),
        chosen=chosen,
        grade=grades.get(last),
        decision=known.decisions.get(last),
        renditions=tuple(sorted(files, key=lambda rendition: (rendition.channel, rendition.object_key))),
    )


@dataclass(frozen=True, slots=True)
class ShardCount:
    """How many shots of a shard stand in which state, and which letters their latest verdicts rest on."""

    states: Counter[str]
    letters: Counter[str]


def shard_versions(connection: Connection, run_id: str, shard_id: str | None = None) -> dict[str, tuple[int, ...]]:
    """Return for each shard of a run, or for one, how many rows decide where its shots stand.

    Rows are only ever added, so an equal count means that nothing has happened since: far cheaper than a new walk.
    """
    promise, attempt, failed = schema.promise, schema.attempt, schema.engine_failure
    verdict, decision, left_out = schema.verdict, schema.decision, schema.left_out
    mine = promise.c.run_id == run_id
    if shard_id is not None:
        mine &= promise.c.shard_id == shard_id
    per_shard = select(promise.c.shard_id, func.count()).where(mine).group_by(promise.c.shard_id)
    questions = (
        per_shard,
        per_shard.join(attempt, attempt.c.shot_id == promise.c.shot_id),
        per_shard.join(failed, failed.c.shot_id == promise.c.shot_id),
        per_shard.join(verdict, (verdict.c.run_id == run_id) & (verdict.c.shot_id == promise.c.shot_id)),
        per_shard.join(attempt, attempt.c.shot_id == promise.c.shot_id).join(
            decision, decision.c.attempt_id == attempt.c.attempt_id
        ),
        per_shard.join(left_out, (left_out.c.run_id == run_id) & (left_out.c.shot_id == promise.c.shot_id)),
    )
    answers = [{row[0]: row[1] for row in connection.execute(question)} for question in questions]
    return {shard: tuple(answer.get(shard, 0) for answer in answers) for shard in answers[0]}


def count_shard(connection: Connection, run_id: str, shard_id: str) -> ShardCount:
    """Walk every shot of a shard and count."""
    shot_ids = queries.promised_shots(connection, run_id, shard_id)
    known = evidence(connection, run_id, shot_ids)
    letters = queries.letters(connection, {v.grade_id for v in known.recorded.values() if v.grade_id is not None})
    count = ShardCount(Counter(), Counter())
    for shot_id in shot_ids:
        standing = known.standing(shot_id)
        count.states[standing.state] += 1
        verdict = known.recorded.get(standing.attempt.attempt_id) if standing.attempt else None
        if verdict is not None and verdict.grade_id in letters:
            count.letters[letters[verdict.grade_id]] += 1
    return count


class Counting:
    """Counts how runs stand and remembers each shard's count for as long as nothing happens there."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[tuple[str, str], tuple[tuple[int, ...], ShardCount]] = {}

    def tally(self, run_id: str) -> Tally:
        """Count by the same walk as `standings` and add up what the run spent; only changed shards are walked again."""
        with self._database.reading() as connection:
            versions = shard_versions(connection, run_id)
        counts = [self._counted(run_id, shard_id, version) for shard_id, version in versions.items()]
        with self._database.reading() as connection:
            return tally(connection, run_id, counts)

    def _counted(self, run_id: str, shard_id: str, version: tuple[int, ...]) -> ShardCount:
        known = self._counts.get((run_id, shard_id))
        if known is None or known[0] != version:
            with self._database.reading() as connection:
                known = (version, count_shard(connection, run_id, shard_id))
            self._counts[run_id, shard_id] = known
        return known[1]


ENDED = "shard_ended"
"""The event that a shard was gone through to its end; its detail is the shard and how many rows it stood on then."""


def ended_mark(connection: Connection, run_id: str, shard_id: str) -> str:
    """Return the detail of the event that this shard is at its end as it stands."""
    return f"{shard_id} {'.'.join(map(str, shard_versions(connection, run_id, shard_id)[shard_id]))}"


def open_shards(connection: Connection, run_id: str) -> list[str]:
    """Return the shards, in order, that were not gone through to their end, or in which something happened since."""
    table = schema.run_event
    marks = select(table.c.detail).where((table.c.run_id == run_id) & (table.c.kind == ENDED))
    ended = set(connection.execute(marks).scalars())
    versions = shard_versions(connection, run_id)
    shards = queries.promised_shards(connection, run_id)
    return [shard for shard in shards if f"{shard} {'.'.join(map(str, versions[shard]))}" not in ended]


def tally(connection: Connection, run_id: str, counts: Iterable[ShardCount]) -> Tally:
    """Add up the shards of a run and what the run spent."""
    states: Counter[str] = Counter()
    letters: Counter[str] = Counter()
    for count in counts:
        states.update(count.states)
        letters.update(count.letters)
    made, failed = (_spent(connection, table, run_id) for table in (schema.attempt, schema.engine_failure))
    refused = connection.execute(select(func.count()).where(schema.refusal.c.run_id == run_id)).scalar_one()
    return Tally(
        promised=states.total(),
        accepted=states["accepted"],
        doubtful=states["doubtful"],
        given_up=states["given_up"],
        failed=states["failed"],
        pending=states["promised"],
        attempts=made[0],
        refused=refused,
        letters=dict(sorted(letters.items())),
        engine_seconds=made[1] + failed[1],
        cost_usd=made[2] + failed[2],
        left_out=states["left_out"],
    )


def _spent(connection: Connection, table: Table, run_id: str) -> tuple[int, float, float]:
    """Return how many rows of a table this run wrote, their engine seconds, and their cost in USD."""
    sums = (func.coalesce(func.sum(column), 0.0) for column in (table.c.seconds, table.c.cost_usd))
    count, seconds, cost_usd = connection.execute(select(func.count(), *sums).where(table.c.run_id == run_id)).one()
    return count, float(seconds), float(cost_usd)
