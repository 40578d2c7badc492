"""Again: an order for what was given up because of its grade asks for one more attempt of each such shot."""

from __future__ import annotations

from prefect import task
from prefect.runtime import flow_run

from tasks.order import ProductionOrder
from tasks.runtime import rooms
from zimage_core import clock
from zimage_core.domain import Decision

ASKED = "asked_again"
WHO = "an order for C"


@task(name="ask-again", task_run_name="ask again {run_id}")
def ask_again(order: ProductionOrder, run_id: str) -> int:
    """Ask for another attempt of every shot of the run that was given up with a grade C; return how many were asked.

    A flow run asks once, however often it is retried. The wishes come first, then the event that it asked: a process
    that dies between them finds nothing given up any more when it is retried, and asks for nothing twice.
    """
    ledger, asker = rooms(order).ledger, flow_run.get_id() or ""
    if any(event.kind == ASKED and event.detail == asker for event in ledger.events(run_id)):
        return 0
    given_up = [outcome for outcome in ledger.outcomes(run_id) if outcome.state == "given_up"]
    poor = [outcome for outcome in given_up if outcome.grade is not None and outcome.grade.letter == "C"]
    now = clock.now()
    asked = ledger.record_decisions(
        Decision(outcome.attempts[-1].attempt_id, "regenerate", WHO, "given up with a grade C", now) for outcome in poor
    )
    ledger.record_event(run_id, ASKED, asker)
    return asked
