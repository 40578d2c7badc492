"""What the server works on: a piece of work, the ticket it waits under, and the picture it becomes."""

from __future__ import annotations

import base64
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from zimage_core.domain import Mode
from zimage_core.engines.base import EngineFailure, RenderRequest
from zimage_core.engines.exchange import GenerateAnswer, RenderedForm
from zimage_core.errors import EngineBusy, EngineUnavailable

Priority = Literal["high", "normal", "low"]
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
TaskState = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
Shape = tuple[Mode, int, int]


class QueueFull(EngineBusy):
    """As much waits as may wait; `retry_after_s` says when there should be room."""


class Draining(EngineUnavailable):
    """The server is being stopped and takes no more work."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture as it leaves the server: PNG bytes, and what is known of it."""

    png: bytes
    about: RenderedForm

    def base64(self) -> str:
        """Return the PNG as base64 text."""
        return base64.b64encode(self.png).decode("ascii")

    def answer(self) -> GenerateAnswer:
        """Return the answer of POST /v1/generate that carries it."""
        return GenerateAnswer(image=self.base64(), zimage=self.about)


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One picture to make. `content_key` names all that decides it, the engine's fingerprint included."""

    content_key: str
    request: RenderRequest

    @property
    def shape(self) -> Shape:
        """What requests must share to be drawn in one call."""
        return self.request.mode, self.request.width_px, self.request.height_px

    @property
    def held_bytes(self) -> int:
        """Bytes of decoded pixels that wait with it."""
        return 0 if self.request.reference is None else int(self.request.reference.rgba.nbytes)


Outcome = Picture | EngineFailure


@dataclass(slots=True, eq=False)
class Ticket:
    """Work that waits or is being drawn, and everybody who waits for it. Changed under the desk's lock only.

    `rank_s` is when it came in, later by one step of aging per step of lower priority: the smallest is drawn first.
    `waiters` counts callers who hold the line, `tasks` are kept promises; with neither, what is queued is dropped.
    """

    work: Work
    priority: Priority
    arrived_s: float
    rank_s: float
    future: Future[Outcome] = field(default_factory=Future)
    waiters: int = 0
    tasks: set[str] = field(default_factory=set)
    started_s: float | None = None
    withdrawn: bool = False

    def __post_init__(self) -> None:
        # several callers wait on one future: none of them may cancel it for the others
        self.future.set_running_or_notify_cancel()
