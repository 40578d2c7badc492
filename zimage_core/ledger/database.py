"""The door to the database: how it is opened, how a transaction begins, and what its errors become.

SQLite runs in WAL mode with synchronous=NORMAL: a committed row survives the death of the process, and a power cut
loses at most the last commits but never corrupts the file (https://sqlite.org/pragma.html#pragma_synchronous). Writes
begin with BEGIN IMMEDIATE, so a writer waits at the door and never finds out in the middle that another was faster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, Table, event
from sqlalchemy.dialects import postgresql, sqlite

from zimage_core.errors import ConfigurationError, LedgerBusy, LedgerError, ZImageError
from zimage_core.ledger import migrations

WRITE_OPTION = "zimage_write"
CONNECT_TIMEOUT_S = 10

# https://www.postgresql.org/docs/current/errcodes-appendix.html: serialization failure, deadlock, lock not available,
# too many connections, server starting or stopping, connection exceptions (class 08, matched by prefix)
_BUSY_SQLSTATES = ("40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03", "08")
_NOT_PASSING = ("authentication failed", "does not exist", "no password supplied", "no pg_hba.conf entry")


class Database:
    """One SQLAlchemy engine with our rules for transactions and errors. Belongs to the process that opened it."""

    def __init__(self, url: str, *, now: Callable[[], datetime], busy_timeout_s: float) -> None:
        self._url = _parsed(url)
        self._secrets = _secrets_of(self._url)
        self._pid = os.getpid()
        self._closed = False
        self.place = _place(self._url)
        with self._translated():
            self._engine = _engine(self._url, busy_timeout_s)
        try:
            self._bring_up_to_date(now)
        except BaseException:
            self.close()
            raise

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    def close(self) -> None:
        """Close every connection; the ledger cannot be used any more."""
        self._closed = True
        self._engine.dispose(close=self._pid == os.getpid())

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Run the body in one read transaction."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Run the body in one write transaction: all of it is kept, or, when the body raises, none.

        Raises LedgerBusy when another process holds the ledger (nothing was written: try again), else LedgerError.
        """
        with (
            self._translated(),
            self._engine.connect().execution_options(**{WRITE_OPTION: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def _bring_up_to_date(self, now: Callable[[], datetime]) -> None:
        with self.reading() as connection:
            behind = migrations.version_of(connection) < len(migrations.MIGRATIONS)
        if behind:
            with self.writing() as connection:
                migrations.migrate(connection, now())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Let our own errors through and turn the driver's into sentences without passwords or row contents."""
        if self._closed or self._pid != os.getpid():
            raise LedgerError(
                f"The ledger at {self.place} was closed, or opened by another process: open it here, anew."
            )
        try:
            yield
        except ZImageError:
            raise
        except sqlalchemy.exc.TimeoutError as error:
            raise LedgerBusy(f"All connections to the ledger at {self.place} are in use.") from error
        except sqlalchemy.exc.DBAPIError as error:
            said = self._without_secrets(" ".join(str(error.orig).split()))
            if _is_busy(error, said):
                raise LedgerBusy(f"The ledger at {self.place} is busy or out of reach for now: {said}") from None
            raise LedgerError(f"The ledger at {self.place} refused: {said}") from None
        except UnicodeEncodeError as error:
            raise LedgerError(f"The ledger cannot keep text that is not valid Unicode: {error.reason}.") from None

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def insert_new(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    """Insert the rows whose content key is not there yet and return how many those were. Needs a write transaction.

    Rows should come sorted by their content key: two processes that insert the same rows then lock them in the same
    order and cannot deadlock (PostgreSQL).
    """
    if not rows:
        return 0
    key = next(iter(table.primary_key.columns))
    wanted = insert_into(connection, table).on_conflict_do_nothing().returning(key)
    return len(connection.execute(wanted, rows).all())  # psycopg does not count rows over several statements


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return the dialect's own INSERT, which knows ON CONFLICT; both spell it alike."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _parsed(url: str) -> URL:
    try:
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        # the original message may quote a piece of the password
        raise ConfigurationError(
            "The ledger's URL cannot be read; write sqlite:///path/to/ledger.sqlite or "
            "postgresql://user:password@host/database, with special characters of the password percent-encoded."
        ) from None
    kind = parsed.drivername.partition("+")[0]
    if kind in ("postgresql", "postgres"):
        if "@" in (parsed.database or ""):
            raise ConfigurationError("The ledger's URL has an @ after the host: percent-encode the password.")
        return parsed.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise ConfigurationError("The ledger can be SQLite or PostgreSQL; its URL names something else.")
    if not parsed.database or ":memory:" in parsed.database:
        raise ConfigurationError("The ledger needs a file: one in memory would forget everything at the end.")
    return parsed.set(drivername="sqlite+pysqlite")


def _place(url: URL) -> str:
    return url.set(password=None, query={}).render_as_string(hide_password=True)


def _secrets_of(url: URL) -> tuple[str, ...]:
    in_query = url.query.get("password", ())
    found = [url.password or "", *([in_query] if isinstance(in_query, str) else in_query)]
    return tuple(secret for secret in found if len(secret) > 2)


def _engine(url: URL, busy_timeout_s: float) -> Engine:
    if url.drivername == "postgresql+psycopg":
        engine = sqlalchemy.create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "zimage-ledger"},
        )
        event.listen(engine, "connect", lambda raw, _record: _prepare_postgresql(raw, busy_timeout_s))
        return engine
    assert url.database is not None
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(
        url, hide_parameters=True, connect_args={"timeout": busy_timeout_s, "isolation_level": None}
    )
    event.listen(engine, "connect", lambda raw, _record: _prepare_sqlite(raw, busy_timeout_s))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(raw: Any, busy_timeout_s: float) -> None:
    cursor = raw.cursor()
    cursor.execute(f"PRAGMA busy_timeout={int(busy_timeout_s * 1000)}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get(WRITE_OPTION, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _prepare_postgresql(raw: Any, busy_timeout_s: float) -> None:
    raw.autocommit = True
    raw.execute(f"SET lock_timeout = {int(busy_timeout_s * 1000)}")
    raw.autocommit = False


def _is_busy(error: sqlalchemy.exc.DBAPIError, said: str) -> bool:
    """Tell whether the same call may succeed later: locked, deadlocked, starting up, or the connection is gone."""
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return str(name).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is not None:
        return str(sqlstate).startswith(_BUSY_SQLSTATES)
    return isinstance(error, sqlalchemy.exc.OperationalError) and not any(words in said for words in _NOT_PASSING)
