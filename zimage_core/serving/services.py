"""What the routes stand on, put together once per process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from zimage_core.serving.desk import Desk
from zimage_core.serving.drawers import Drawers
from zimage_core.serving.gpus import Gpus
from zimage_core.serving.intake import Intake
from zimage_core.serving.meters import Meters
from zimage_core.serving.results import Results
from zimage_core.serving.taskbook import TaskBook


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the door of one server."""

    desk: Desk
    drawers: Drawers
    results: Results
    book: TaskBook
    intake: Intake
    meters: Meters
    gpus: Gpus
    request_timeout_s: float
    stall_s: float
    taking: threading.Lock = field(default_factory=threading.Lock)
    """Held from a task's promise to its place in the queue: nobody hears of a promise that is struck out again."""

    def why_not_ready(self) -> str:
        """Return why no work should be sent here, '' when it should."""
        if self.desk.is_draining:
            return "The server is being stopped."
        if self.drawers.state == "loading":
            return "The engine is being loaded."
        if self.drawers.why_failed is not None:
            return f"The engine cannot be loaded: {self.drawers.why_failed.sentence}"
        if self.results.trouble:
            return "Pictures cannot be kept: the disk refuses; the server's log says why."
        busy_s = self.desk.longest_call_s()
        if busy_s > self.stall_s:
            return f"The engine has been drawing one batch for {busy_s:.0f} s; it may hang."
        return ""


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _caller(request: Request) -> str:
    caller: str = request.state.caller
    return caller


# both are coroutines: FastAPI runs plain functions on a thread, and asks for these with every request
Here = Annotated[Services, Depends(_services)]
Caller = Annotated[str, Depends(_caller)]
