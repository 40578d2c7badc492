"""Holding the line: a caller waits for pictures, and when it hangs up, what it alone waited for is not drawn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from zimage_core.engines.base import EngineFailure
from zimage_core.errors import EngineTimeout
from zimage_core.serving.denials import Denied, Failed
from zimage_core.serving.services import Services
from zimage_core.serving.work import Outcome, Picture, Priority, Ticket, Work

HUNG_UP: Final = 499
"""Nobody reads this answer; it is the status the log shows (nginx's word for it)."""


async def pictures_of(services: Services, works: Sequence[Work], priority: Priority, request: Request) -> list[Picture]:
    """Return a picture per work, in order: kept ones at once, the others when they are drawn.

    Raises Failed for the first that is not drawn (also when it takes too long), Denied when the caller hangs up.
    """
    deadline_s = asyncio.get_running_loop().time() + services.request_timeout_s
    gone = asyncio.ensure_future(_hung_up(request))
    found: dict[int, Picture] = {}
    tickets: dict[int, Ticket] = {}
    try:
        for index, work in enumerate(works):
            place = await _place(services, work, priority)
            if isinstance(place, Picture):
                found[index] = place
            else:
                tickets[index] = place
        for index, ticket in tickets.items():
            found[index] = _picture(await _outcome(ticket, gone, deadline_s))
    finally:
        gone.cancel()
        for ticket in tickets.values():
            services.desk.leave(ticket)
    return [found[index] for index in range(len(works))]


async def _place(services: Services, work: Work, priority: Priority) -> Picture | Ticket:
    """Return a ticket for work, or the picture that is kept of it."""
    while True:
        ticket = services.desk.file(work, priority)
        if ticket is not None:
            return ticket
        kept = await run_in_threadpool(services.results.get, work.content_key)
        if kept is not None:
            return kept
        # it was dropped between the two questions, or its file was damaged; the next answer is a ticket


async def _outcome(ticket: Ticket, gone: asyncio.Future[None], deadline_s: float) -> Outcome:
    drawn = asyncio.wrap_future(ticket.future)
    left_s = max(0.0, deadline_s - asyncio.get_running_loop().time())
    either: set[asyncio.Future[Any]] = {drawn, gone}
    await asyncio.wait(either, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
    if drawn.done():
        return drawn.result()
    if gone.done():
        raise Denied(HUNG_UP, "The caller hung up.")
    late = EngineTimeout("The picture was not done in time; it is drawn on if it was begun, so ask again later.")
    return EngineFailure(ticket.work.request.attempt_id, late, 0.0)


def _picture(outcome: Outcome) -> Picture:
    if isinstance(outcome, EngineFailure):
        raise Failed(outcome)
    return outcome


async def _hung_up(request: Request) -> None:
    """Return when the connection is closed. The body was read before, so this is all that can still come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
