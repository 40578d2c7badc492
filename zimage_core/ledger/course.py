"""How a run moves: what is left of each scene, how fast pictures come, who works on it, and what is left out for time.

These are counts for forecasts, one statement each, and much cheaper than the walk of `accounts`; a run of 100,000 shots
is counted in less than a second. `left_out` is insert-only: a shot is left out when its last row says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from zimage_core.ledger import schema
from zimage_core.ledger.database import Database, insert_new
from zimage_core.ledger.queries import chunks, rows_of
from zimage_core.ledger.rows import time_text

LOOKED_BACK: Final = 5_000
"""The latest attempts of any engine among which an engine's own history is looked for."""

COURSE_LOCK: Final = 0x637273
"""First key of the PostgreSQL advisory lock ("crs") that leaving out takes; the run is the second."""

# A shot is to be drawn when nothing was tried yet, or when its latest verdict asks for another; a person's wish for
# another is seen when the shard is walked. What is drawn and waits for its grade is not to be drawn.
_SHOTS = """
SELECT p.shot_id AS shot_id, p.ordinal AS ordinal, s.scene AS scene, v.kind AS kind, coalesce(o.is_out, 0) AS is_out,
    CASE WHEN v.kind = 'regenerate' THEN 1
         WHEN v.kind IS NULL AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.shot_id = p.shot_id) THEN 1
         ELSE 0 END AS undrawn
FROM promise p JOIN shot s ON s.shot_id = p.shot_id
LEFT JOIN verdict v ON v.seq = (
    SELECT max(w.seq) FROM verdict w WHERE w.run_id = p.run_id AND w.shot_id = p.shot_id)
LEFT JOIN left_out o ON o.seq = (
    SELECT max(l.seq) FROM left_out l WHERE l.run_id = p.run_id AND l.shot_id = p.shot_id)
WHERE p.run_id = :run_id
"""

_SCENES = text(
    """SELECT scene, count(*) AS promised, sum(undrawn * (1 - is_out)) AS undrawn, sum(undrawn * is_out) AS out,
    sum(CASE WHEN kind IS NOT NULL AND kind <> 'regenerate' THEN 1 ELSE 0 END) AS finished
    FROM ({SHOTS}) AS shots GROUP BY scene ORDER BY min(ordinal)""".replace("{SHOTS}", _SHOTS)
)
_LOWEST = text(
    """SELECT shot_id FROM ({SHOTS}) AS shots WHERE scene = :scene AND undrawn = 1 AND is_out = 0
    ORDER BY ordinal DESC, shot_id LIMIT :most""".replace("{SHOTS}", _SHOTS)
)
_OUT = text("SELECT shot_id FROM ({SHOTS}) AS shots WHERE is_out = 1 ORDER BY shot_id".replace("{SHOTS}", _SHOTS))
_LOCK = text("SELECT pg_advisory_xact_lock(:key, hashtext(:run_id))")
_COUNT_OUT = text(
    "SELECT count(*) FROM ({SHOTS}) AS shots WHERE scene = :scene AND is_out = 1 AND undrawn = 1".replace(
        "{SHOTS}", _SHOTS
    )
)
_ANY_OUT = text("SELECT seq FROM left_out WHERE run_id = :run_id LIMIT 1")
_TRIED = text("SELECT count(DISTINCT attempt_id) FROM verdict WHERE run_id = :run_id")
_OPENED = text("SELECT max(at) FROM run_event WHERE run_id = :run_id AND kind IN ('opened', 'resumed')")
_FIRST = text("SELECT min(at) FROM attempt WHERE run_id = :run_id AND at >= :since")
_AFTER = text("SELECT count(*) FROM attempt WHERE run_id = :run_id AND at > :since AND error_code IS NULL")
_WORKERS = text(
    """SELECT count(DISTINCT l.owner) FROM lease l WHERE l.expires_at_s > :now_s
    AND EXISTS (SELECT 1 FROM promise p WHERE p.run_id = :run_id AND p.shard_id = l.shard_id)"""
)
_HISTORY = text(
    """SELECT shot_id, seconds, payload FROM (SELECT * FROM attempt ORDER BY seq DESC LIMIT :looked_back) AS latest
    WHERE engine = :engine AND error_code IS NULL"""
)


@dataclass(frozen=True, slots=True)
class SceneCourse:
    """A scene of a run in shots: promised, at their end, still to be drawn, and left out for time."""

    scene: str
    promised: int
    finished: int
    undrawn: int
    left_out: int


@dataclass(frozen=True, slots=True)
class RunCourse:
    """A run as it moves. `tried`: attempts that were judged. `pictures` came in the `seconds` since the first ones did,
    in this sitting: from when the run was opened or resumed last. `workers` hold a shard of it right now.
    """

    scenes: tuple[SceneCourse, ...]
    tried: int
    pictures: int
    seconds: float
    workers: int


@dataclass(frozen=True, slots=True)
class EngineHistory:
    """What an engine did lately, in any run: pictures, of how many shots, and seconds a picture on one device."""

    pictures: int = 0
    shots: int = 0
    seconds_per_image: float = 0.0


class Course:
    """The course of a ledger's runs; see `Ledger` for what its methods raise. Threads may share it."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def of_run(self, run_id: str) -> RunCourse:
        """Return how a run stands and moves, counted now."""
        now = self._clock()
        asked = {"run_id": run_id}
        with self._database.reading() as connection:
            scenes = tuple(_scene(row) for row in connection.execute(_SCENES, asked))
            tried = connection.execute(_TRIED, asked).scalar_one()
            opened = connection.execute(_OPENED, asked).scalar_one() or ""
            first = connection.execute(_FIRST, asked | {"since": opened}).scalar_one()
            pictures, seconds = 0, 0.0
            if first is not None:
                pictures = connection.execute(_AFTER, asked | {"since": first}).scalar_one()
                seconds = max(0.0, (now - datetime.fromisoformat(first)).total_seconds())
            workers = connection.execute(_WORKERS, asked | {"now_s": now.timestamp()}).scalar_one()
        return RunCourse(scenes, tried, pictures, seconds, workers)

    def history(self, engine: str, fingerprint: str) -> EngineHistory:
        """Return what the engine of this name and fingerprint did among the latest attempts of all."""
        with self._database.reading() as connection:
            found = connection.execute(_HISTORY, {"engine": engine, "looked_back": LOOKED_BACK}).all()
        mine = [row for row in found if json.loads(row.payload).get("engine_fingerprint") == fingerprint]
        if not mine:
            return EngineHistory()
        seconds = sum(float(row.seconds) for row in mine) / len(mine)
        return EngineHistory(len(mine), len({row.shot_id for row in mine}), seconds)

    def leave_out(self, run_id: str, scene: str, most: int, why: str, *, already_out: int) -> int:
        """Leave out up to `most` shots of a scene that are not drawn yet, the last promised first; return how many.

        `why` is the sentence that stands for each of them until `take_back`. `already_out`: how many the caller knew to
        be left out when it decided; where they are others by now, somebody has decided meanwhile, and nothing is done.
        """
        asked = {"run_id": run_id, "scene": scene}
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(_LOCK, {"key": COURSE_LOCK, "run_id": run_id})
            if connection.execute(_COUNT_OUT, asked).scalar_one() != already_out:
                return 0
            lowest = connection.execute(_LOWEST, asked | {"most": most})
            return _note(connection, run_id, list(lowest.scalars()), 1, why, self._clock())

    def take_back(self, run_id: str) -> int:
        """Leave nothing out any more; return how many shots were."""
        with self._database.writing() as connection:
            if connection.execute(_ANY_OUT, {"run_id": run_id}).scalar_one_or_none() is None:
                return 0
            shot_ids = list(connection.execute(_OUT, {"run_id": run_id}).scalars())
            return _note(connection, run_id, shot_ids, 0, "", self._clock())

    def left_out(self, run_id: str, shot_ids: Iterable[str]) -> dict[str, str]:
        """Return those of the shots that are left out now, with why."""
        with self._database.reading() as connection:
            return left_out(connection, run_id, shot_ids)


def left_out(connection: Connection, run_id: str, shot_ids: Iterable[str]) -> dict[str, str]:
    """Return those of the shots that are left out of the run now, with why."""
    table = schema.left_out
    query = table.select().where(table.c.run_id == run_id).order_by(table.c.seq)
    if connection.execute(_ANY_OUT, {"run_id": run_id}).scalar_one_or_none() is None:
        return {}
    said = {row["shot_id"]: row for row in rows_of(connection, query, table.c.shot_id, shot_ids)}
    return {shot_id: row["why"] for shot_id, row in said.items() if row["is_out"]}


def _scene(row: Row[Any]) -> SceneCourse:
    return SceneCourse(row.scene, row.promised, int(row.finished), int(row.undrawn), int(row.out))


def _note(connection: Connection, run_id: str, shot_ids: Iterable[str], is_out: int, why: str, at: datetime) -> int:
    noted = {"run_id": run_id, "is_out": is_out, "why": why, "at": time_text(at)}
    return sum(
        insert_new(connection, schema.left_out, [noted | {"shot_id": key} for key in ids]) for ids in chunks(shot_ids)
    )
