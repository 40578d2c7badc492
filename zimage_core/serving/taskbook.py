"""Promises that outlive the process: tasks and idempotency keys, in one SQLite file (WAL).

A task is written here before its caller hears of it, and its end after its picture is on disk; so that whatever moment
the process is killed at, the next one knows what was promised. Once a row is committed it survives a kill; a power cut
may take the last ones (synchronous=NORMAL). Times are seconds since 1970.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

from zimage_core import clock
from zimage_core.errors import StorageError
from zimage_core.serving.work import Priority, TaskState

SCHEMA_VERSION: Final = 1
FINISHED: Final[tuple[TaskState, ...]] = ("done", "failed", "cancelled", "lost")
BUSY_TIMEOUT_S: Final = 10.0

_SCHEMA: Final = """
CREATE TABLE task (
    task_id TEXT PRIMARY KEY,
    caller TEXT NOT NULL,
    state TEXT NOT NULL,
    priority TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    content_key TEXT NOT NULL,
    request BLOB NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    failure TEXT NOT NULL DEFAULT '',
    starts INTEGER NOT NULL DEFAULT 0,
    created_s REAL NOT NULL,
    started_s REAL,
    finished_s REAL
) WITHOUT ROWID;
CREATE INDEX task_by_state ON task (state, created_s);
CREATE TABLE idempotency (
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    task_id TEXT NOT NULL,
    created_s REAL NOT NULL,
    PRIMARY KEY (caller, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_s);
"""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task: whose, in which state, what it asks for (`request`: a RequestForm as JSON) and what became of it.

    `request` is empty once it ended; `starts` counts how often drawing was begun; `reason` says why it is cancelled
    or lost, `failure` is the FailureForm of a failed one as JSON.
    """

    task_id: str
    caller: str
    state: TaskState
    priority: Priority
    fingerprint: str
    content_key: str
    request: bytes
    reason: str
    failure: str
    starts: int
    created_s: float
    started_s: float | None
    finished_s: float | None


_End = tuple[TaskState, str, str, float, str]
_COLUMNS: Final = ", ".join(TaskRow.__dataclass_fields__)
Claim = Literal["new", "same", "other"]
"""What became of a promise: written down, kept already, or refused because its key stands for another body."""


class TaskBook:
    """The file of tasks. One connection behind a lock: every statement here is a matter of microseconds."""

    def __init__(
        self,
        path: Path,
        *,
        now: Callable[[], datetime] = clock.now,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        """Open the file, or make it. Raises StorageError: it cannot be used, is damaged, or of another release."""
        self._path = path
        self._now, self._elapsed_s = now, elapsed_s
        self._opened_s, self._opened_elapsed_s = now().timestamp(), elapsed_s()
        self._lock = threading.Lock()
        self._unwritten: list[_End] = []
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
        self._bring_up_to_date()

    def close(self) -> None:
        """Close the file; may be called twice."""
        with self._lock:
            self._connection.close()

    # ------------------------------------------------------------ tasks

    def promise(
        self, row: TaskRow, *, key: str | None, body: str, still_good: Callable[[TaskRow], bool]
    ) -> tuple[Claim, TaskRow]:
        """Write down a new task, unless its caller's idempotency key stands for one that is `still_good`.

        ("new", row), ("same", the task before), or ("other", row): the key was used for another body, nothing is
        written. A key whose task is not good any more (it failed, its picture is gone) stands for the new one.
        """
        with self._writing() as connection:
            if key is not None:
                used_for, before = _task_of_key(connection, row.caller, key)
                if used_for not in (None, body):
                    return "other", row
                if before is not None and still_good(before):
                    return "same", before
                _point_key(connection, row, key, body)
            marks = ", ".join("?" for _ in TaskRow.__dataclass_fields__)
            values = [getattr(row, name) for name in TaskRow.__dataclass_fields__]
            connection.execute(f"INSERT INTO task ({_COLUMNS}) VALUES ({marks})", values)  # noqa: S608 - our own names
        return "new", row

    def strike_out(self, task_id: str) -> None:
        """Remove a task that was refused after all, before anybody heard of it, and the key that points to it."""
        with self._writing() as connection:
            connection.execute("DELETE FROM task WHERE task_id = ?", (task_id,))
            connection.execute("DELETE FROM idempotency WHERE task_id = ?", (task_id,))

    def begun(self, task_ids: Iterable[str]) -> None:
        """Write down that these tasks are being drawn."""
        started_s = self._now().timestamp()
        with self._writing() as connection:
            connection.executemany(
                "UPDATE task SET state = 'running', starts = starts + 1, started_s = ? "
                "WHERE task_id = ? AND state = 'queued'",
                [(started_s, task_id) for task_id in task_ids],
            )

    def finished(self, task_ids: Iterable[str], state: TaskState, *, reason: str = "", failure: str = "") -> None:
        """Write down how these tasks ended; what has ended before stays as it is.

        What they asked for, product photos and all, is needed no more and goes: the file stays small. Raises
        StorageError when the disk refuses; it is remembered then, for `catch_up`.
        """
        finished_s = self._now().timestamp()
        self._write_ends([(state, reason, failure, finished_s, task_id) for task_id in task_ids])

    def catch_up(self) -> None:
        """Write down the ends that the disk refused before. Raises StorageError when it still refuses."""
        with self._lock:
            ends, self._unwritten = self._unwritten, []
        self._write_ends(ends)

    def queued_again(self, task_ids: Iterable[str]) -> None:
        """Write down that tasks which were being drawn wait once more."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE task SET state = 'queued', started_s = NULL WHERE task_id = ? AND state = 'running'",
                [(task_id,) for task_id in task_ids],
            )

    def get(self, task_id: str, caller: str) -> TaskRow | None:
        """Return a caller's task, None when that caller has no such task."""
        with self._reading() as connection:
            found = connection.execute(
                f"SELECT {_COLUMNS} FROM task WHERE task_id = ? AND caller = ?",  # noqa: S608 - our own names
                (task_id, caller),
            ).fetchone()
        return None if found is None else _row(found)

    def unfinished(self) -> list[TaskRow]:
        """Return every task that is queued or being drawn, the oldest first."""
        with self._reading() as connection:
            found = connection.execute(
                f"SELECT {_COLUMNS} FROM task WHERE state IN ('queued', 'running') "  # noqa: S608 - our own names
                "ORDER BY created_s, task_id"
            ).fetchall()
        return [_row(values) for values in found]

    def prune(self, *, task_ttl_s: float, key_ttl_s: float) -> int:
        """Forget tasks that ended, and keys that came, longer ago than that; return how many rows went.

        Where the system's clock was set meanwhile, the earlier of both times counts: nothing is forgotten too soon.
        """
        now_s = min(self._now().timestamp(), self._opened_s + self._elapsed_s() - self._opened_elapsed_s)
        with self._writing() as connection:
            tasks = connection.execute("DELETE FROM task WHERE finished_s < ?", (now_s - task_ttl_s,)).rowcount
            keys = connection.execute(
                "DELETE FROM idempotency WHERE created_s < ? "
                "AND NOT EXISTS (SELECT 1 FROM task WHERE task.task_id = idempotency.task_id)",
                (now_s - key_ttl_s,),
            ).rowcount
        return tasks + keys

    def claim_key(self, caller: str, key: str, body: str) -> bool:
        """Remember that this caller used a key for a body; False when it was used for another one before."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO idempotency (caller, key, body, task_id, created_s) VALUES (?, ?, ?, '', ?) "
                "ON CONFLICT DO NOTHING",
                (caller, key, body, self._now().timestamp()),
            )
            used_for, _ = _task_of_key(connection, caller, key)
        return used_for == body

    # ------------------------------------------------------------ inside

    def _write_ends(self, ends: list[_End]) -> None:
        try:
            with self._writing() as connection:
                connection.executemany(
                    "UPDATE task SET state = ?, reason = ?, failure = ?, finished_s = ?, request = x'' "
                    "WHERE task_id = ? AND state IN ('queued', 'running')",
                    ends,
                )
        except StorageError:
            with self._lock:
                self._unwritten += ends
            raise

    def _bring_up_to_date(self) -> None:
        with self._writing() as connection:
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if sound != "ok":
                raise sqlite3.DatabaseError(sound)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                raise StorageError(
                    f"The tasks in {self._path} were written by another release (version {version}, this one knows "
                    f"{SCHEMA_VERSION}); start that release, or move the file away."
                )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            # its own class, not a subclass, is what SQLite raises for a file that is damaged or no database
            advice = (
                "; the file is damaged: bring it back from a copy, or move it away and have its tasks taken again"
                if type(error) is sqlite3.DatabaseError
                else ""
            )
            raise StorageError(f"The tasks in {self._path} cannot be read or written: {error}{advice}.") from error
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"The tasks in {self._path} cannot be read or written: {error}.") from error


def _row(values: tuple[Any, ...]) -> TaskRow:
    return TaskRow(**dict(zip(TaskRow.__dataclass_fields__, values, strict=True)))


def _task_of_key(connection: sqlite3.Connection, caller: str, key: str) -> tuple[str | None, TaskRow | None]:
    """Return (the body a key was used for, the task it stands for); None for what there is not."""
    found = connection.execute(
        "SELECT body, task_id FROM idempotency WHERE caller = ? AND key = ?", (caller, key)
    ).fetchone()
    if found is None:
        return None, None
    task = connection.execute(
        f"SELECT {_COLUMNS} FROM task WHERE task_id = ? AND caller = ?",  # noqa: S608 - our own names
        (found[1], caller),
    ).fetchone()
    return str(found[0]), None if task is None else _row(task)


def _point_key(connection: sqlite3.Connection, row: TaskRow, key: str, body: str) -> None:
    connection.execute(
        "INSERT INTO idempotency (caller, key, body, task_id, created_s) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (caller, key) DO UPDATE SET task_id = excluded.task_id, created_s = excluded.created_s",
        (row.caller, key, body, row.task_id, row.created_s),
    )
