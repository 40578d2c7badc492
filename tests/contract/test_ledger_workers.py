"""Several workers at one ledger: leases, zombies, writers at the same time and writers that die. Both databases."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from made_up import RUN, attempt, grade, judged, shot
from standing_clock import StandingClock

from zimage_core.errors import LeaseLost
from zimage_core.ledger import Ledger

WRITER = Path(__file__).resolve().parents[1] / "support" / "ledger_writer.py"


def work(what: str, url: str, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(WRITER), what, url, str(first), str(last)]
    root = str(WRITER.parents[2])
    return subprocess.Popen(command, cwd=root, env={"PYTHONPATH": root}, text=True, stdout=-1, stderr=-1)


# ---------------------------------------------------------------- leases


def test_a_shard_is_held_by_one_worker_until_its_lease_runs_out(ledger: Ledger, clock: StandingClock) -> None:
    assert ledger.acquire_lease("shard-1", "one", 60.0) is not None
    assert ledger.acquire_lease("shard-1", "two", 60.0) is None
    assert ledger.acquire_lease("shard-2", "two", 60.0) is not None
    clock.pass_s(59)
    assert ledger.acquire_lease("shard-1", "two", 60.0) is None
    assert ledger.lease_owner("shard-1") == "one"
    clock.pass_s(1)
    assert ledger.lease_owner("shard-1") is None
    assert ledger.acquire_lease("shard-1", "two", 60.0) is not None


def test_a_heartbeat_keeps_a_lease_alive(ledger: Ledger, clock: StandingClock) -> None:
    lease = ledger.acquire_lease("shard-1", "one", 60.0)
    assert lease is not None
    for _ in range(5):
        clock.pass_s(50)
        lease.renew()
    assert ledger.acquire_lease("shard-1", "two", 60.0) is None


def test_a_zombie_is_told_and_writes_nothing(ledger: Ledger, clock: StandingClock) -> None:
    zombie = ledger.acquire_lease("shard-1", "one", 60.0)
    clock.pass_s(61)
    replacement = ledger.acquire_lease("shard-1", "two", 60.0)
    assert zombie is not None
    assert replacement is not None
    one = attempt(1)
    with pytest.raises(LeaseLost, match="two"):
        zombie.renew()
    for write in (
        lambda: ledger.record_attempts(RUN.run_id, [one], lease=zombie),
        lambda: ledger.record_failures(RUN.run_id, [attempt(1, error="busy", retryable=True)], lease=zombie),
        lambda: ledger.record_grades([grade(one)], lease=zombie),
        lambda: ledger.record_verdicts(RUN.run_id, [judged(one)], lease=zombie),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert ledger.attempts([one.shot_id])[one.shot_id] == []
    zombie.release()
    assert ledger.lease_owner("shard-1") == "two"
    assert ledger.record_attempts(RUN.run_id, [one], lease=replacement) == 1


def test_a_late_worker_whom_nobody_replaced_goes_on(ledger: Ledger, clock: StandingClock) -> None:
    lease = ledger.acquire_lease("shard-1", "one", 60.0)
    assert lease is not None
    clock.pass_s(3600)
    assert ledger.record_attempts(RUN.run_id, [attempt(1)], lease=lease) == 1
    lease.renew()
    assert ledger.lease_owner("shard-1") == "one"


def test_a_released_shard_is_free_at_once_and_its_old_lease_stays_dead(ledger: Ledger) -> None:
    first = ledger.acquire_lease("shard-1", "one", 60.0)
    assert first is not None
    first.release()
    assert ledger.acquire_lease("shard-1", "two", 60.0) is not None
    with pytest.raises(LeaseLost):
        first.renew()


def test_the_lease_of_a_dead_owner_can_be_broken_but_not_anothers(ledger: Ledger) -> None:
    dead = ledger.acquire_lease("shard-1", "one", 60.0)
    assert dead is not None
    assert ledger.break_lease("shard-1", "somebody else") is False
    assert ledger.break_lease("shard-1", "one") is True
    with pytest.raises(LeaseLost):
        ledger.record_attempts(RUN.run_id, [attempt(1)], lease=dead)
    assert ledger.acquire_lease("shard-1", "two", 60.0) is not None


def test_of_many_processes_one_gets_the_shard(ledger_url: str) -> None:
    with Ledger.open(ledger_url):
        workers = [work("take_lease", ledger_url, n, 0) for n in range(4)]
        answers = [worker.communicate(timeout=120) for worker in workers]
    assert sorted(out.strip() for out, _ in answers) == ["held", "held", "held", "taken"], answers


# ---------------------------------------------------------------- several writers at once


def test_processes_that_write_the_same_story_keep_each_row_once(ledger_url: str) -> None:
    workers = [work("everything", ledger_url, first, 160) for first in (0, 0, 60, 100)]
    for worker in workers:
        _, said = worker.communicate(timeout=240)
        assert worker.returncode == 0, said
    with Ledger.open(ledger_url) as ledger:
        outcomes = list(ledger.outcomes(RUN.run_id))
        assert len(outcomes) == 160
        assert all(outcome.state == "accepted" and outcome.attempts == (outcome.chosen,) for outcome in outcomes)
        assert all(len(outcome.grade.findings) == 3 for outcome in outcomes if outcome.grade)
        kinds = Counter(event.kind for event in ledger.events(RUN.run_id))
        assert kinds == {"opened": 1, "resumed": 3}


def test_threads_may_share_one_ledger(ledger: Ledger) -> None:
    def write(first: int) -> None:
        for start in range(first, 200, 10):
            new = ledger.record_attempts(RUN.run_id, [attempt(n) for n in range(start, min(200, start + 10))])
            with lock:
                total.append(new)

    total: list[int] = []
    lock = threading.Lock()
    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 0, 50, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(total) == 200
    assert len(ledger.attempts([shot(n).shot_id for n in range(200)])) == 200


def test_what_a_killed_writer_said_is_kept_and_the_ledger_is_whole(ledger_url: str) -> None:
    with Ledger.open(ledger_url):
        writer = work("one_by_one", ledger_url, 0, 100_000)
        assert writer.stdout is not None
        said = [int(writer.stdout.readline()) for _ in range(50)]
        writer.kill()
        writer.communicate(timeout=60)
    with Ledger.open(ledger_url) as ledger:
        found = ledger.attempts([shot(n).shot_id for n in range(60)])
        assert all(found[shot(n).shot_id] == [attempt(n)] for n in said)
        assert ledger.record_attempts(RUN.run_id, [attempt(n) for n in said]) == 0
        assert ledger.record_attempts(RUN.run_id, [attempt(100_000)]) == 1
