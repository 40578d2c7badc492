"""Money: what several workers reserve and spend at the same time never passes the budget. Both databases."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from made_up import RUN, attempt
from standing_clock import StandingClock

from zimage_core.clock import fresh_id
from zimage_core.errors import LeaseLost
from zimage_core.ledger import Lease, Ledger

SPENDER = Path(__file__).resolve().parents[1] / "support" / "ledger_spender.py"
EACH = 0.07


def lease_on(ledger: Ledger, shard_id: str, owner: str = "one") -> Lease:
    lease = ledger.acquire_lease(shard_id, owner, 60.0)
    assert lease is not None
    return lease


def paid(n: int, usd: float, number: int = 1):
    return dataclasses.replace(attempt(n, number), cost_usd=usd)


def test_what_fits_is_granted_and_the_rest_is_not(ledger: Ledger) -> None:
    ledger.open_run(RUN)
    lease = lease_on(ledger, "shard-1")
    first = ledger.budget.reserve(RUN.run_id, lease, "a", 8, usd_each=0.10, budget_usd=1.0)
    assert first.pictures == 8
    assert not ledger.budget.is_reached(RUN.run_id)
    assert ledger.budget.reserve(RUN.run_id, lease, "b", 8, usd_each=0.10, budget_usd=1.0).pictures == 2
    assert ledger.budget.reserve(RUN.run_id, lease, "c", 8, usd_each=0.10, budget_usd=1.0).pictures == 0
    assert ledger.budget.reserved_usd(RUN.run_id) == pytest.approx(1.0)
    assert [e.kind for e in ledger.events(RUN.run_id)] == ["opened", "budget_reached"]
    assert ledger.budget.is_reached(RUN.run_id)


def test_a_reservation_becomes_what_it_really_cost(ledger: Ledger) -> None:
    lease = lease_on(ledger, "shard-1")
    ledger.budget.reserve(RUN.run_id, lease, "a", 4, usd_each=0.25, budget_usd=1.0)
    ledger.record_attempts(RUN.run_id, [paid(n, 0.20) for n in range(4)], lease=lease)
    ledger.budget.release("a")
    ledger.budget.release("a")
    assert ledger.budget.spent_usd(RUN.run_id) == pytest.approx(0.80)
    assert ledger.budget.reserved_usd(RUN.run_id) == 0.0
    assert ledger.budget.reserve(RUN.run_id, lease, "b", 4, usd_each=0.20, budget_usd=1.0).pictures == 1


def test_ten_times_a_tenth_is_one(ledger: Ledger) -> None:
    lease = lease_on(ledger, "shard-1")
    for n in range(10):
        key = f"r{n}"
        assert ledger.budget.reserve(RUN.run_id, lease, key, 1, usd_each=0.10, budget_usd=1.0).pictures == 1
        ledger.record_attempts(RUN.run_id, [paid(n, 0.10)], lease=lease)
        ledger.budget.release(key)
    assert ledger.budget.reserve(RUN.run_id, lease, "more", 1, usd_each=0.10, budget_usd=1.0).pictures == 0


def test_an_engine_that_costs_nothing_never_stops(ledger: Ledger) -> None:
    lease = lease_on(ledger, "shard-1")
    granted = ledger.budget.reserve(RUN.run_id, lease, "a", 10_000, usd_each=0.0, budget_usd=0.01)
    assert (granted.pictures, granted.usd_each) == (10_000, 0.0)
    assert ledger.budget.reserved_usd(RUN.run_id) == 0.0


def test_a_picture_is_taken_to_cost_what_the_dearest_one_did(ledger: Ledger) -> None:
    lease = lease_on(ledger, "shard-1")
    ledger.record_attempts(RUN.run_id, [paid(1, 0.10), paid(2, 0.30)], lease=lease)
    granted = ledger.budget.reserve(RUN.run_id, lease, "a", 8, usd_each=0.10, budget_usd=1.0)
    assert (granted.pictures, granted.usd_each) == (2, 0.30)


def test_failed_tries_that_cost_money_count(ledger: Ledger) -> None:
    lease = lease_on(ledger, "shard-1")
    busy = dataclasses.replace(attempt(1, error="timed out", retryable=True), cost_usd=0.50)
    ledger.record_attempts(RUN.run_id, [busy], lease=lease)
    assert ledger.budget.reserve(RUN.run_id, lease, "a", 8, usd_each=0.10, budget_usd=1.0).pictures == 5


def test_the_reservation_of_a_dead_worker_ends_with_its_lease(ledger: Ledger, clock: StandingClock) -> None:
    ledger.budget.reserve(RUN.run_id, lease_on(ledger, "shard-1", "dead"), "a", 10, usd_each=0.10, budget_usd=1.0)
    other = lease_on(ledger, "shard-2", "alive")
    assert ledger.budget.reserve(RUN.run_id, other, "b", 1, usd_each=0.10, budget_usd=1.0).pictures == 0
    clock.pass_s(61)
    other = lease_on(ledger, "shard-2", "alive")
    assert ledger.budget.reserve(RUN.run_id, other, "c", 10, usd_each=0.10, budget_usd=1.0).pictures == 10


def test_a_shard_that_is_resumed_replaces_what_was_reserved_for_it(ledger: Ledger) -> None:
    ledger.budget.reserve(RUN.run_id, lease_on(ledger, "shard-1", "dead"), "a", 10, usd_each=0.10, budget_usd=1.0)
    assert ledger.break_lease("shard-1", "dead")
    heir = lease_on(ledger, "shard-1", "heir")
    assert ledger.budget.reserve(RUN.run_id, heir, "b", 10, usd_each=0.10, budget_usd=1.0).pictures == 10
    assert ledger.budget.reserved_usd(RUN.run_id) == pytest.approx(1.0)


def test_a_zombie_reserves_nothing(ledger: Ledger, clock: StandingClock) -> None:
    zombie = lease_on(ledger, "shard-1", "zombie")
    clock.pass_s(61)
    lease_on(ledger, "shard-1", "heir")
    with pytest.raises(LeaseLost, match="heir"):
        ledger.budget.reserve(RUN.run_id, zombie, "a", 1, usd_each=0.10, budget_usd=1.0)
    assert ledger.budget.reserved_usd(RUN.run_id) == 0.0


def test_reserving_renews_the_lease(ledger: Ledger, clock: StandingClock) -> None:
    lease = lease_on(ledger, "shard-1")
    clock.pass_s(59)
    ledger.budget.reserve(RUN.run_id, lease, "a", 1, usd_each=0.10, budget_usd=1.0)
    clock.pass_s(59)
    assert ledger.lease_owner("shard-1") == "one"
    assert ledger.budget.reserved_usd(RUN.run_id) == pytest.approx(0.10)


def test_a_run_that_is_resumed_may_spend_again(ledger: Ledger) -> None:
    ledger.open_run(RUN)
    lease = lease_on(ledger, "shard-1")
    for _ in range(2):
        ledger.budget.reserve(RUN.run_id, lease, fresh_id(), 1, usd_each=2.0, budget_usd=1.0)
    assert [e.kind for e in ledger.events(RUN.run_id)] == ["opened", "budget_reached"]
    ledger.open_run(RUN)
    assert not ledger.budget.is_reached(RUN.run_id)


def test_eight_threads_never_spend_more_than_the_budget(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        ledger.open_run(RUN)

        def spend(worker: int) -> None:
            lease = lease_on(ledger, f"shard-{worker}", f"worker-{worker}")
            for turn in range(20):
                key = fresh_id()
                granted = ledger.budget.reserve(RUN.run_id, lease, key, 3, usd_each=EACH, budget_usd=5.0)
                worth = ledger.budget.spent_usd(RUN.run_id)
                above.append(worth > 5.0 + 1e-6)
                made = [paid(1000 * worker + 10 * turn + n, EACH) for n in range(granted.pictures)]
                ledger.record_attempts(RUN.run_id, made, lease=lease)
                ledger.budget.release(key)

        above: list[bool] = []
        threads = [threading.Thread(target=spend, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(above) == 160
        assert not any(above)
        assert 5.0 - EACH < ledger.budget.spent_usd(RUN.run_id) <= 5.0
        assert ledger.budget.reserved_usd(RUN.run_id) == 0.0


def test_five_processes_one_of_them_killed_never_spend_more_than_the_budget(ledger_url: str) -> None:
    root = str(SPENDER.parents[2])
    with Ledger.open(ledger_url) as ledger:
        ledger.open_run(RUN)

        def spender(worker: int) -> subprocess.Popen[str]:
            return subprocess.Popen(
                [sys.executable, str(SPENDER), ledger_url, str(worker), "3.00"],
                cwd=root, env={"PYTHONPATH": root}, text=True, stdout=subprocess.PIPE,
            )  # fmt: skip

        # the one that will be killed asks first: the others could spend everything before it has started
        with spender(0) as doomed:
            assert doomed.stdout is not None
            assert doomed.stdout.readline() == "reserved\n"  # and now it waits, with its reservation in hand
            others = [spender(worker) for worker in range(1, 5)]
            doomed.kill()
        for other in others:
            other.communicate(timeout=120)
        assert [other.returncode for other in others] == [0] * 4
        # the others went on after its lease had run out, to the last picture that fits
        assert 3.0 - EACH < ledger.budget.spent_usd(RUN.run_id) <= 3.0
