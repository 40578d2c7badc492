"""What only a real PostgreSQL can show: its locks, its disconnections, and its idea of our tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from made_up import RUN, attempt, promise
from sqlalchemy import create_engine, inspect

from zimage_core.errors import LeaseLost, LedgerBusy, LedgerError
from zimage_core.ledger import Ledger, schema


@pytest.fixture
def ledger(postgresql_url: str) -> Iterator[Ledger]:
    with Ledger.open(postgresql_url, busy_timeout_s=0.2) as opened:
        yield opened


def test_the_migrations_make_the_tables_that_the_statements_use(ledger: Ledger, postgresql_url: str) -> None:
    engine = create_engine(postgresql_url.replace("postgresql://", "postgresql+psycopg://"))
    found = inspect(engine)
    assert set(found.get_table_names()) == set(schema.metadata.tables)
    for name, table in schema.metadata.tables.items():
        made = {column["name"]: column["nullable"] for column in found.get_columns(name)}
        assert made == {column.name: column.nullable for column in table.columns}, name
    engine.dispose()


def test_a_table_that_somebody_locks_makes_the_ledger_busy(ledger: Ledger, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url) as other:
        other.execute("LOCK TABLE attempt")
        with pytest.raises(LedgerBusy, match="lock timeout"):
            ledger.record_attempts(RUN.run_id, [attempt(1)])
        other.rollback()
    assert ledger.record_attempts(RUN.run_id, [attempt(1)]) == 1


def break_other_connections(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_connection_that_broke_is_made_again(ledger: Ledger, postgresql_url: str) -> None:
    ledger.open_run(RUN)
    break_other_connections(postgresql_url)
    assert ledger.runs()[0].run == RUN


def test_a_connection_that_breaks_in_the_middle_is_busy_and_nothing_is_kept(
    ledger: Ledger, postgresql_url: str
) -> None:
    def write() -> None:
        row = {"shard_id": "s", "owner": "o", "epoch": 1, "expires_at_s": 0.0}
        with ledger._database.writing() as connection:
            connection.execute(schema.lease.insert(), row)
            break_other_connections(postgresql_url)
            connection.execute(schema.lease.select())

    with pytest.raises(LedgerBusy):
        write()
    with psycopg.connect(postgresql_url) as other:
        assert other.execute("SELECT count(*) FROM lease").fetchone() == (0,)


def test_while_a_worker_writes_nobody_can_take_its_shard(ledger: Ledger, postgresql_url: str) -> None:
    lease = ledger.acquire_lease("shard-1", "one", -1.0)
    assert lease is not None
    with Ledger.open(postgresql_url, busy_timeout_s=0.2) as elsewhere:
        with ledger._database.writing() as connection:
            lease.check(connection)
            with pytest.raises(LedgerBusy):
                elsewhere.acquire_lease("shard-1", "two", 60.0)
        assert elsewhere.acquire_lease("shard-1", "two", 60.0) is not None
    with pytest.raises(LeaseLost):
        lease.renew()


def test_a_database_that_is_not_there_will_not_appear_by_waiting(postgresql_server: str) -> None:
    with pytest.raises(LedgerError, match="does not exist") as raised:
        Ledger.open(postgresql_server.replace("/postgres?", "/nowhere?"))
    assert not raised.value.retryable


def test_text_that_postgresql_cannot_hold_is_refused_and_its_batch_with_it(ledger: Ledger) -> None:
    odd = replace(promise(2), product=replace(promise(2).product, sku="NUL-\x00"))
    with pytest.raises(LedgerError):
        ledger.promise([promise(1), odd])
    assert ledger.promises(RUN.run_id) == []
