"""A price that changed before publishing is the one a run draws with, in SQLite and in PostgreSQL alike."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from made_up import RUN, promise

from zimage_core.ledger import Ledger


def test_the_latest_price_is_what_every_reader_of_a_promise_is_told(ledger: Ledger) -> None:
    ledger.promise([promise(1), promise(2)])
    first, second = (one.product for one in ledger.promises(RUN.run_id))
    dearer = replace(first, price=Decimal("61.50"), original_price=None, currency="USD", name="renamed", record_no=99)
    assert ledger.reprice(RUN.run_id, [dearer]) == 1
    now, other = (one.product for one in ledger.promises(RUN.run_id))
    assert now == replace(first, price=Decimal("61.50"), original_price=None, currency="USD")
    assert other == second
    assert [one.product for one, _ in ledger.standings(RUN.run_id)] == [now, other]
    assert [outcome.promise.product for outcome in ledger.outcomes(RUN.run_id)] == [now, other]


def test_a_price_is_recorded_when_it_changes_and_when_it_changes_back(ledger: Ledger) -> None:
    ledger.promise([promise(1)])
    (promised,) = (one.product for one in ledger.promises(RUN.run_id))
    dearer = replace(promised, price=Decimal(100))
    assert ledger.reprice(RUN.run_id, [dearer]) == 1
    assert ledger.reprice(RUN.run_id, [dearer, replace(dearer, record_no=5)]) == 0
    assert ledger.reprice(RUN.run_id, [promised]) == 1
    assert ledger.promises(RUN.run_id)[0].product == promised


def test_a_price_of_one_run_is_no_other_runs(ledger: Ledger) -> None:
    ledger.promise([promise(1), replace(promise(1), run_id="another run")])
    (promised,) = (one.product for one in ledger.promises(RUN.run_id))
    ledger.reprice("another run", [replace(promised, price=None)])
    assert ledger.promises(RUN.run_id)[0].product == promised
    assert ledger.promises("another run")[0].product.price is None
