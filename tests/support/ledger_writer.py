"""A worker process for tests of the ledger: `python ledger_writer.py WHAT URL FIRST LAST [MORE]`."""

from __future__ import annotations

import sys

from made_up import RUN, attempt, grade, judged, promise

from zimage_core.errors import ZImageError
from zimage_core.ledger import Ledger


def everything(url: str, first: int, last: int) -> None:
    """Write the whole story of these shots in small batches, as a shard would."""
    with Ledger.open(url) as ledger:
        ledger.open_run(RUN)
        for start in range(first, last, 20):
            numbers = range(start, min(last, start + 20))
            made = [attempt(n) for n in numbers]
            grades = [grade(one) for one in made]
            ledger.promise([promise(n) for n in numbers])
            ledger.record_attempts(RUN.run_id, made)
            ledger.record_grades(grades)
            ledger.record_verdicts(RUN.run_id, [judged(a, "accept", g) for a, g in zip(made, grades, strict=True)])


def one_by_one(url: str, first: int, last: int) -> None:
    """Write attempts one commit at a time and say each number once it is kept; meant to be killed in the middle."""
    with Ledger.open(url) as ledger:
        for n in range(first, last):
            ledger.record_attempts(RUN.run_id, [attempt(n)])
            print(n, flush=True)


def take_lease(url: str, first: int, _last: int) -> None:
    """Try to take one shard and say whether it worked."""
    with Ledger.open(url) as ledger:
        print("taken" if ledger.acquire_lease("shard-1", f"worker-{first}", 600.0) else "held", flush=True)


if __name__ == "__main__":
    doing = {"everything": everything, "one_by_one": one_by_one, "take_lease": take_lease}[sys.argv[1]]
    try:
        doing(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    except ZImageError as error:
        sys.exit(f"{type(error).__name__}: {error}")
