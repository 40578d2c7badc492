"""What has been begun, and perhaps paid for, for requests that have no picture yet."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from zimage_core.engines.dashscope.protocol import PictureLink, seed_for
from zimage_core.engines.drawing import Drawing

REMEMBERED: Final = 10_000
"""Requests whose begun work is remembered; of more than that the oldest would be paid for again."""


@dataclass(slots=True)
class Opening:
    """A request on its way: its task (async), where its picture waits, what was paid and what may have been (`unsure`);
    `told` are those of the paid that stand in an answer.

    One thread at a time works on a request, so nothing here needs a lock.
    """

    task_id: str | None = None
    link: PictureLink | None = None
    failed_fetches: int = 0
    paid: int = 0
    unsure: int = 0
    told: int = 0

    def newly_paid(self) -> int:
        """Return how many pictures were paid for since this was last asked: each is told of once."""
        since, self.told = self.paid - self.told, self.paid
        return since

    def made(self, link: PictureLink) -> PictureLink:
        """Note that the picture is there to be fetched."""
        self.link, self.task_id, self.failed_fetches = link, None, 0
        return link

    def notes(self, drawing: Drawing, times: int, said: str) -> tuple[str, ...]:
        """Return what whoever reads the attempt should know of how it was made."""
        notes = [said]
        if drawing.negative:
            notes.append("DashScope takes no negative prompt: it was not sent.")
        if times > 1:
            notes.append(f"Drawn {times} times as large, the least that DashScope draws, and averaged down.")
        if (seed := seed_for(drawing.seed)) != drawing.seed:
            notes.append(f"DashScope's seeds have 31 bits: {seed} was sent.")
        if self.paid > 1:
            notes.append(f"{self.paid} pictures were paid for: the earlier ones could not be fetched.")
        if self.unsure:
            notes.append(f"Calls that broke off or got lost and may have been billed without a picture: {self.unsure}.")
        return tuple(notes)


class Openings:
    """The openings of an engine by attempt, kept between calls of `render`: a retry continues what was begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_attempt: OrderedDict[str, Opening] = OrderedDict()

    def of(self, attempt_id: str) -> Opening:
        """Return the opening of an attempt, a new one where nothing was begun."""
        with self._lock:
            opening = self._by_attempt.setdefault(attempt_id, Opening())
            self._by_attempt.move_to_end(attempt_id)
            while len(self._by_attempt) > REMEMBERED:
                self._by_attempt.popitem(last=False)
            return opening

    def forget(self, attempt_id: str) -> None:
        """Let go of an attempt that has its picture."""
        with self._lock:
            self._by_attempt.pop(attempt_id, None)

    def __len__(self) -> int:
        return len(self._by_attempt)
