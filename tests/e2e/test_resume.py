"""SIGKILL at every stage boundary: run again, nothing is lost, nothing is made twice, the files are the same bytes."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest
from workshop import Workshop

from zimage_core.ledger import Ledger

ORDER = (
    "run",
    "catalogue.csv",
    "-p",
    "618",
    "-s",
    "packshot",
    "-s",
    "studio",
    "-c",
    "taobao_main",
    "-c",
    "amazon_main",
)
PATIENCE_S = 120


def seen(shop: Workshop, what: Callable[[Ledger, str], bool]) -> bool:
    """Tell whether the ledger of a running process shows this already; another process may hold it, none may exist."""
    path = shop.folder / "work" / "ledger.sqlite"
    if not path.exists():
        return False
    with Ledger.open(f"sqlite:///{path}") as ledger:
        opening = ledger.last_opening()
        return opening is not None and what(ledger, opening.run_id)


def attempts(ledger: Ledger, run_id: str) -> int:
    return ledger.tally(run_id).attempts


def verdicts(ledger: Ledger, run_id: str) -> int:
    tally = ledger.tally(run_id)
    return sum(tally.letters.values())


BOUNDARIES: dict[str, Callable[[Ledger, str], bool]] = {
    "extracted": lambda ledger, run_id: True,
    "planned": lambda ledger, run_id: ledger.tally(run_id).promised > 0,
    "first attempts made": lambda ledger, run_id: attempts(ledger, run_id) > 0,
    "first grades given": lambda ledger, run_id: verdicts(ledger, run_id) > 0,
    "every attempt made": lambda ledger, run_id: attempts(ledger, run_id) >= ledger.tally(run_id).promised,
    "every shot decided": lambda ledger, run_id: ledger.tally(run_id).pending == 0,
    "first renditions written": lambda ledger, run_id: len(ledger.run_renditions(run_id)) > 0,
    "released": lambda ledger, run_id: len(ledger.releases("618")) > 0,
}


@pytest.mark.slow
def test_a_run_killed_at_every_stage_boundary_ends_with_the_files_of_a_calm_run(
    new_workshop: Callable[[str], Workshop],
):
    calm, killed = new_workshop("calm"), new_workshop("killed")
    calm.run(*ORDER)
    for name, reached in BOUNDARIES.items():
        process = killed.start(*ORDER)
        deadline = time.monotonic() + PATIENCE_S
        while not seen(killed, reached):
            assert process.poll() is None or seen(killed, reached), (killed.folder / "started.log").read_text()
            assert time.monotonic() < deadline, f"never reached: {name}"
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    killed.run(*ORDER)

    assert killed.files() == calm.files()
    asked = Counter(line.split()[0] for line in killed.calls())
    assert set(asked) == {line.split()[0] for line in calm.calls()}
    in_flight = len(BOUNDARIES) * int(killed.environment["ZIMAGE_BATCH_SIZE"])
    assert asked.total() <= len(asked) + in_flight


@pytest.mark.slow
def test_running_again_when_all_is_done_asks_the_engine_for_nothing_and_changes_no_byte(
    new_workshop: Callable[[str], Workshop],
):
    shop = new_workshop("again")
    shop.run(*ORDER)
    files, calls = shop.files(), shop.calls()
    shop.run(*ORDER)
    assert shop.calls() == calls
    assert shop.files() == files
