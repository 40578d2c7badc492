"""How fast the ledger writes and answers: batches against one commit per row, in the same run on the same machine.

    python benchmarks/ledger.py                      # SQLite in a temporary folder, 100,000 attempts
    python benchmarks/ledger.py --url postgresql://… --attempts 20000

One commit per row is what a pipeline does that records each image as it comes; it is measured on fewer rows, because
it is slow, and both are told in rows per second.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from zimage_core.clock import elapsed_s
from zimage_core.domain import (
    Attempt,
    Change,
    Clause,
    Finding,
    Grade,
    Light,
    Placement,
    Product,
    Promise,
    Prompt,
    Run,
    Scene,
    Shot,
    Stage,
    Verdict,
    attempt_id_of,
    content_id,
    seed_of,
)
from zimage_core.ledger import Ledger

SHARD_SIZE = 200
ROWS_ONE_BY_ONE = 2_000
FINDINGS = 12
RUN = Run("benchmark-0000000000000001", "benchmark", "catalogue", "settings")


def made_up_promise(n: int) -> Promise:
    """Return a promise about as large as real ones are: eight clauses of prompt."""
    scene = Scene("studio", "home", "stage", Stage("sweep", "paper", ("#fff",), Light(-40, 45)), "85 mm", "v1", "f")
    prompt = Prompt(
        "暖色木质台面，柔和晨光，" * 12, "文字", "zh", tuple(Clause("暖色木质台面", "f", "v1") for _ in range(8))
    )
    sku = f"SKU-{n // 3:06d}"
    shot = Shot(content_id(n), sku, scene, "stage", 1024, 1024, prompt, "a.jpg", "0" * 64, "studio", "studio-1")
    return Promise(
        RUN.run_id, shot, Product(sku, "素白马克杯", n // 3), ("taobao_main",), f"shard-{n // SHARD_SIZE}", n
    )


def made_up_attempt(shot_id: str) -> Attempt:
    """Return a rendered first attempt at a shot."""
    attempt_id = attempt_id_of(shot_id, 1, Change())
    key = f"attempts/{attempt_id}.png"
    return Attempt(
        attempt_id, shot_id, 1, seed_of(shot_id, 1), Change(), "studio", "studio-1", key, "0" * 64, 1024, 1024,
        Placement(0.5, 10.0, 20.0), 1.5, 0.0,
    )  # fmt: skip


def made_up_grade(attempt_id: str) -> Grade:
    """Return a grade with as many findings as a real one has."""
    findings = tuple(
        Finding(f"check_{n}", "measured", "As asked for.", 0.8, "ratio", 0.4, 0.95) for n in range(FINDINGS)
    )
    return Grade(attempt_id, "finished", "rubric", 0.95, "A", findings, ())


@contextmanager
def timed(what: str, rows: int) -> Iterator[None]:
    """Print how long the body took and how many rows a second that is."""
    start_s = elapsed_s()
    yield
    took_s = elapsed_s() - start_s
    print(f"{what:<58} {rows:>8,} rows {took_s:>8.2f} s {rows / took_s:>10,.0f} rows/s", flush=True)


def per_second(rows: int, work: Callable[[], object]) -> float:
    """Return rows per second of some work."""
    start_s = elapsed_s()
    work()
    return rows / (elapsed_s() - start_s)


def measure(ledger: Ledger, count: int) -> None:
    """Write a whole run's story, then ask about it."""
    ledger.open_run(RUN)
    promises = [made_up_promise(n) for n in range(count)]
    attempts = [made_up_attempt(promise.shot.shot_id) for promise in promises]
    grades = [made_up_grade(attempt.attempt_id) for attempt in attempts]
    verdict = Verdict("accept", "grade A")
    said = [(a.shot_id, a.attempt_id, g.grade_id, verdict) for a, g in zip(attempts, grades, strict=True)]

    few = attempts[:ROWS_ONE_BY_ONE]
    alone = per_second(len(few), lambda: [ledger.record_attempts(RUN.run_id, [a]) for a in few])
    rest = attempts[ROWS_ONE_BY_ONE:]
    batched = per_second(len(rest), lambda: ledger.record_attempts(RUN.run_id, rest))
    print(f"attempts, one commit per row: {alone:,.0f} rows/s; batches of 500: {batched:,.0f} rows/s; "
          f"{batched / alone:.1f} times faster\n")  # fmt: skip

    with timed("promises (with product and shot)", count):
        ledger.promise(promises)
    with timed("the same promises again: nothing new", count):
        ledger.promise(promises)
    with timed(f"grades, each with {FINDINGS} findings", count):
        ledger.record_grades(grades)
    with timed("verdicts", count):
        ledger.record_verdicts(RUN.run_id, said)
    with timed("tally, first time", count):
        print(ledger.tally(RUN.run_id))
    with timed("tally, nothing happened since", count):
        ledger.tally(RUN.run_id)
    with timed("standings of one shard", SHARD_SIZE):
        list(ledger.standings(RUN.run_id, "shard-0"))
    with timed("standings of a batch of 8", 8):
        list(ledger.standings(RUN.run_id, "shard-0", shot_ids=[p.shot.shot_id for p in promises[:8]]))
    with timed("outcomes of the whole run, streamed", count):
        accepted = sum(outcome.state == "accepted" for outcome in ledger.outcomes(RUN.run_id))
    print(f"{accepted:,} accepted")


def main() -> None:
    """Measure the ledger at --url, or a SQLite one made for this."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="SQLAlchemy URL of an EMPTY ledger")
    parser.add_argument("--attempts", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.sqlite"
        with Ledger.open(given.url or f"sqlite:///{file}") as ledger:
            measure(ledger, given.attempts)
        if file.exists():
            print(f"the file is {file.stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
