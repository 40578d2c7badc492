"""Experience: what policy may know of earlier runs, fixed when a run begins so that a resumed run decides alike."""

from __future__ import annotations

from functools import lru_cache

from tasks.order import ProductionOrder
from tasks.runtime import rooms
from zimage_core import clock
from zimage_core.ledger import Ledger
from zimage_core.quality.experience import Experience, experience_of, read_experience

KIND = "experience"


def fix_experience(order: ProductionOrder, run_id: str) -> Experience:
    """Write down what the ledger knows now as the run's experience, unless the run has one; return the run's own.

    Of two processes that begin the same run at once the first to write decides for both.
    """
    ledger = rooms(order).ledger
    if not any(event.kind == KIND for event in ledger.events(run_id)):
        ledger.record_event(run_id, KIND, experience_of(ledger.regenerations(clock.now())).to_text())
    return experience_of_run(order, run_id)


def experience_of_run(order: ProductionOrder, run_id: str) -> Experience:
    """Return the run's experience; none for a run that began before there was any to fix."""
    return _kept(rooms(order).ledger, run_id)


@lru_cache(maxsize=4)
def _kept(ledger: Ledger, run_id: str) -> Experience:
    text = next((event.detail for event in ledger.events(run_id) if event.kind == KIND), None)
    return Experience() if text is None else read_experience(text)
