"""What happens to a run, as events that Prefect's automations act on; the ledger stays the truth.

An event is about a run (`zimage.run.<run_id>`) and related to its promotion (`zimage.promotion.<slug>`); Prefect adds
the flow run, its deployment and its work pool where the event is emitted inside one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Final

from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import Event, emit_event
from prefect.settings import get_current_settings

import tasks.log_context  # noqa: F401 - every process of a run comes by here: its log lines say what they are about
from tasks.order import ProductionOrder

log = logging.getLogger("zimage_core.tasks")

RUN_STARTED: Final = "zimage.run.started"
RUN_PLANNED: Final = "zimage.run.planned"
RUN_PROGRESS: Final = "zimage.run.progress"
RUN_FAILING: Final = "zimage.run.failing"
RUN_COMPLETED: Final = "zimage.run.completed"
RUN_INCOMPLETE: Final = "zimage.run.incomplete"
RUN_FAILED: Final = "zimage.run.failed"
QUALITY_LOW: Final = "zimage.quality.low"
DEADLINE_AT_RISK: Final = "zimage.deadline.at-risk"
ENGINE_DOWN: Final = "zimage.engine.down"
BUDGET_REACHED: Final = "zimage.budget.reached"

EVENTS: Final = (
    RUN_STARTED,
    RUN_PLANNED,
    RUN_PROGRESS,
    RUN_FAILING,
    RUN_COMPLETED,
    RUN_INCOMPLETE,
    RUN_FAILED,
    QUALITY_LOW,
    DEADLINE_AT_RISK,
    ENGINE_DOWN,
    BUDGET_REACHED,
)
"""Every name that is ever emitted; automations may rest on these and no others."""

COURSE: Final = frozenset({RUN_STARTED, RUN_PROGRESS, RUN_COMPLETED})
"""What a run's silence is measured from and ended by: each follows the one before it, as the server must take them.

Ends that call somebody follow nothing: the server holds a follower back for 15 minutes when the other never comes.
"""

_lock = threading.Lock()
_before: dict[str, Event] = {}
"""The last of COURSE that this process has sent, by run."""


def emit(name: str, order: ProductionOrder, run_id: str, **payload: object) -> bool:
    """Send an event about a run and return whether it is on its way; never raises, never waits for the server.

    `payload`: what JSON can hold; anything else is sent as its text. Outside a flow run and without a configured server
    nothing is sent, because Prefect would start a server for it.
    """
    if get_current_settings().api.url is None and FlowRunContext.get() is None and TaskRunContext.get() is None:
        log.debug("%s of run %s is not sent: no Prefect server is configured.", name, run_id)
        return False
    try:
        sent = _send(name, order, run_id, _plain({"run_id": run_id, "promotion": order.promotion} | payload))
    except Exception as error:  # noqa: BLE001 - news of a run must never end it
        log.warning("The event %s of run %s could not be sent: %s: %s", name, run_id, type(error).__name__, error)
        return False
    if sent is None:
        log.warning("The event %s of run %s could not be sent; Prefect's own log says why.", name, run_id)
    return sent is not None


def _send(name: str, order: ProductionOrder, run_id: str, payload: dict[str, object]) -> Event | None:
    """Hand an event to Prefect's worker, saying which of the run's course it follows.

    A server handles two events at a time. An end that is handled before the start, or before the last progress, a
    moment earlier would leave a silence behind that nothing ends: a false alarm about a run that is done.
    """
    with _lock:
        sent = emit_event(
            event=name,
            resource={
                "prefect.resource.id": f"zimage.run.{run_id}",
                "prefect.resource.name": f"{order.promotion} · {order.catalogue_name}",
                "zimage.promotion": order.promotion,
            },
            related=[
                {
                    "prefect.resource.id": f"zimage.promotion.{order.promotion}",
                    "prefect.resource.name": order.promotion,
                    "prefect.resource.role": "promotion",
                }
            ],
            payload=payload,
            follows=_before.get(run_id) if name in COURSE else None,
        )
        if sent is not None and name in COURSE:
            _before[run_id] = sent
    return sent


def _plain(payload: Mapping[str, object]) -> dict[str, object]:
    return {key: _plain_value(value) for key, value in payload.items()}


def _plain_value(value: object) -> object:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain_value(inner) for inner in value]
    return str(value)
