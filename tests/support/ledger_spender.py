"""A worker process for tests of budgets: `python ledger_spender.py URL WORKER BUDGET_USD`. Worker 0 stops to be killed.

The others spend until, for longer than a lease, nothing was granted any more: what a killed worker had reserved is
theirs by then.
"""

from __future__ import annotations

import dataclasses
import sys
import time

from made_up import RUN, attempt

from zimage_core.clock import fresh_id
from zimage_core.ledger import Ledger

LEASE_S = 2.5
EACH = 0.07


def spend(url: str, worker: int, budget_usd: float) -> None:
    with Ledger.open(url) as ledger:
        lease = ledger.acquire_lease(f"shard-{worker}", f"worker-{worker}", LEASE_S)
        assert lease is not None
        made, granted_at_s = 0, time.monotonic()
        while time.monotonic() < granted_at_s + 1.5 * LEASE_S:
            key = fresh_id()
            granted = ledger.budget.reserve(RUN.run_id, lease, key, 3, usd_each=EACH, budget_usd=budget_usd)
            if worker == 0 and granted.pictures:
                print("reserved", flush=True)
                time.sleep(600)
            numbers = range(1000 * worker + made, 1000 * worker + made + granted.pictures)
            drawn = [dataclasses.replace(attempt(n), cost_usd=EACH) for n in numbers]
            ledger.record_attempts(RUN.run_id, drawn, lease=lease)
            ledger.budget.release(key)
            made += granted.pictures
            if granted.pictures:
                granted_at_s = time.monotonic()
            else:
                time.sleep(0.1)


if __name__ == "__main__":
    spend(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
