"""What a former process promised: each task is queued again, found done, or reported lost with the reason."""

from __future__ import annotations

import logging
from typing import Final

from pydantic import ValidationError

from zimage_core.engines.exchange import RequestForm
from zimage_core.serving.denials import Denied, Failed
from zimage_core.serving.services import Services
from zimage_core.serving.taskbook import TaskRow

log = logging.getLogger("zimage_core.serving")

MAX_STARTS: Final = 3
"""A task during which the process died so often is taken to be the cause."""


def recover(services: Services, *, redraw: bool) -> dict[str, int]:
    """Take up every unfinished task of the book; return how many were queued, found done, and lost.

    What was being drawn is drawn again, because the content names the picture; unless `redraw` is False (an engine that
    bills by the call), or the process died on it `MAX_STARTS` times.
    """
    counts = {"queued": 0, "done": 0, "lost": 0}
    for row in services.book.unfinished():
        if services.results.get(row.content_key) is not None:  # read whole: a damaged one is drawn again
            services.book.finished([row.task_id], "done")
            counts["done"] += 1
            continue
        why_lost = _why_lost(services, row, redraw=redraw) or _queue(services, row)
        if why_lost:
            services.book.finished([row.task_id], "lost", reason=why_lost)
            log.error("Task %s is lost: %s", row.task_id, why_lost)
        counts["lost" if why_lost else "queued"] += 1
    if any(counts.values()):
        log.info("Of the tasks of a former process %(queued)d wait again, %(done)d are done, %(lost)d are lost", counts)
    return counts


def _why_lost(services: Services, row: TaskRow, *, redraw: bool) -> str:
    fingerprint = services.desk.info.fingerprint
    if row.fingerprint != fingerprint:
        return (
            f"It was to be drawn by engine {row.fingerprint}, and the server was started again with {fingerprint}; "
            "take it again."
        )
    if row.state == "running" and not redraw:
        return "The server was killed while it was being drawn, and is set not to draw such tasks again."
    if row.starts >= MAX_STARTS:
        return f"The server was killed {row.starts} times while it was being drawn; it may be the cause."
    return ""


def _queue(services: Services, row: TaskRow) -> str:
    """Let a task wait again; return why that cannot be, '' when it waits."""
    try:
        order = services.intake.of_form(RequestForm.model_validate_json(row.request))
    except ValidationError:
        return "Its request was written by another release of the server and cannot be read by this one."
    except (Denied, Failed) as error:
        return f"It cannot be drawn any more: {error}"
    services.book.queued_again([row.task_id])
    services.desk.file(order.work, row.priority, task_id=row.task_id, bounded=False)
    return ""
