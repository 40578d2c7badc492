"""What happens at the door of the ledger: wrong URLs, wrong files, other programs, and who else holds it."""

from __future__ import annotations

import multiprocessing
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import RUN, attempt, product, promise
from sqlalchemy import create_engine, inspect, text

from zimage_core.domain import Signature
from zimage_core.errors import ConfigurationError, LedgerBusy, LedgerError
from zimage_core.ledger import Ledger, migrations, schema


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "ledger.sqlite"


@pytest.fixture
def ledger(file: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{file}", busy_timeout_s=0.05) as opened:
        yield opened


def test_the_folder_and_the_file_are_made(ledger: Ledger, file: Path) -> None:
    assert file.is_file()
    assert ledger.runs() == []
    assert ledger.last_opening() is None


def test_sqlite_writes_ahead_and_does_not_wait_for_the_disk_at_every_commit(ledger: Ledger, file: Path) -> None:
    ledger.open_run(RUN)
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with ledger._database.reading() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 1  # NORMAL


def test_a_ledger_that_somebody_else_writes_to_is_busy_and_nothing_is_half_written(ledger: Ledger, file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerBusy, match="busy"):
            ledger.record_attempts(RUN.run_id, [attempt(1)])
        assert ledger.attempts([attempt(1).shot_id])[attempt(1).shot_id] == []  # reading goes on meanwhile
        other.execute("ROLLBACK")
    assert LedgerBusy.retryable
    assert ledger.record_attempts(RUN.run_id, [attempt(1)]) == 1


def test_a_reader_sees_one_moment_while_others_write(ledger: Ledger) -> None:
    ledger.promise([promise(n) for n in range(3)])
    reading = ledger.outcomes(RUN.run_id)
    next(reading)
    ledger.promise([promise(n) for n in range(3, 6)])
    assert len(list(reading)) == 2


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u@h/d", "not a url", ""])
def test_a_url_that_cannot_hold_a_ledger_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ledger"):
        Ledger.open(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://zimage:s3cr3t-word@127.0.0.1:1/ledger",
        "postgresql://zimage:s3cr3t-word/x@127.0.0.1:1/ledger",
        "postgresql://zimage:1234/s3cr3t-word@127.0.0.1/ledger",
        "postgresql://zimage@127.0.0.1:1/ledger?password=s3cr3t-word",
        "mysql://zimage:s3cr3t-word@127.0.0.1/ledger",
        "postgresql:/zimage:s3cr3t-word@127.0.0.1/ledger",
    ],
)
def test_no_error_shows_the_password(url: str) -> None:
    with pytest.raises((ConfigurationError, LedgerError)) as raised:
        Ledger.open(url)
    chain: BaseException | None = raised.value
    while chain is not None:
        assert "s3cr3t" not in str(chain)
        chain = chain.__cause__


def test_a_server_that_does_not_answer_may_answer_later() -> None:
    with pytest.raises(LedgerBusy, match=re.escape("127.0.0.1:1/ledger")):
        Ledger.open("postgresql://zimage@127.0.0.1:1/ledger")


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("this is not a database, it is a text of some length " * 40)
    with pytest.raises(LedgerError, match="not a database") as raised:
        Ledger.open(f"sqlite:///{other}")
    assert not raised.value.retryable


def test_the_ledger_of_a_newer_program_is_not_touched(ledger: Ledger, file: Path) -> None:
    ledger.close()
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("INSERT INTO migration VALUES (7, 'from the future', '2030-01-01')")
        raw.commit()
    with pytest.raises(LedgerError, match="at version 7, and this program knows versions up to"):
        Ledger.open(f"sqlite:///{file}")


def test_opening_again_migrates_nothing(ledger: Ledger, file: Path) -> None:
    with Ledger.open(f"sqlite:///{file}") as again, again._database.reading() as connection:
        applied = connection.execute(text("SELECT number, name FROM migration")).all()
    assert [tuple(row) for row in applied] == [(n, name) for n, (name, _) in enumerate(migrations.MIGRATIONS, 1)]


def test_a_ledger_of_the_first_version_gets_what_is_missing_and_keeps_what_it_has(ledger: Ledger, file: Path) -> None:
    ledger.promise([promise(1)])
    ledger.close()
    with closing(sqlite3.connect(file)) as raw:
        raw.executescript(
            "DROP TABLE signature; DROP TABLE likeness; DROP INDEX verdict_kind; DROP TABLE outbox; "
            "DROP TABLE delivery; DROP TABLE due_delivery; DROP TABLE repricing; DROP TABLE reservation; "
            "DROP TABLE left_out; DROP INDEX attempt_run_spent; DROP INDEX engine_failure_run_spent; "
            "DELETE FROM migration WHERE number > 1"
        )
    with Ledger.open(f"sqlite:///{file}") as again:
        assert again.promises(RUN.run_id) == [promise(1)]
        assert again.record_signatures([Signature(attempt(1).attempt_id, "cells-1", "p", None)]) == 1


def test_the_migrations_make_the_tables_that_the_statements_use(ledger: Ledger, file: Path) -> None:
    engine = create_engine(f"sqlite:///{file}")
    found = inspect(engine)
    assert set(found.get_table_names()) - {"sqlite_sequence"} == set(schema.metadata.tables)
    for name, table in schema.metadata.tables.items():
        made = {column["name"]: column["nullable"] for column in found.get_columns(name)}
        # SQLite says of its own counting key that it may be NULL; it never is
        assert made | {"seq": False} == {column.name: column.nullable for column in table.columns} | {"seq": False}, (
            name
        )
    engine.dispose()


def test_a_closed_ledger_says_that_it_is_closed(ledger: Ledger) -> None:
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.runs()


def test_a_forked_child_must_open_its_own(ledger: Ledger) -> None:
    def child(pipe: object) -> None:
        try:
            ledger.runs()
        except LedgerError as error:
            pipe.send(str(error))  # type: ignore[attr-defined]

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(there,))
    process.start()
    process.join(30)
    assert here.poll(5)
    assert "another process" in here.recv()


def test_a_row_that_another_version_wrote_is_told_as_such(ledger: Ledger, file: Path) -> None:
    ledger.promise([promise(1)])
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("UPDATE product SET payload = '{}'")
        raw.commit()
    with pytest.raises(LedgerError, match="A Product in the ledger cannot be read"):
        ledger.promises(RUN.run_id)


def test_text_that_is_no_unicode_is_refused_with_a_sentence(ledger: Ledger) -> None:
    renamed = replace(promise(2), product=product(2, name="half a \ud83d pair"))
    with pytest.raises(LedgerError, match="Unicode"):
        ledger.promise([promise(1), renamed])
    assert ledger.promises(RUN.run_id) == []
