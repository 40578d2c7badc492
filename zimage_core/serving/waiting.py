"""What waits, in order: by priority and age, grouped by shape so that a batch is found at once. Holds no lock.

A ticket's rank is the moment it came in plus `aging_s` per step below high, so the order is decided once and for all:
a low request is overtaken only by what comes in during the two agings after it, and never starves.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Final

from zimage_core.serving.work import PRIORITIES, Priority, Shape, Ticket

Entry = tuple[float, int, Ticket]


def rank_of(arrived_s: float, priority: Priority, aging_s: float) -> float:
    """Return the rank of what came in at `arrived_s`: the smaller, the sooner it is drawn."""
    return arrived_s + PRIORITIES.index(priority) * aging_s


class WaitingRoom:
    """Tickets by shape, each shape a heap by rank. Removal marks a ticket; the heap drops it when it comes up."""

    def __init__(self) -> None:
        self._by_shape: Final[dict[Shape, list[Entry]]] = {}
        self._present: Final[dict[Ticket, Entry]] = {}
        self._order = itertools.count()
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._present)

    def add(self, ticket: Ticket) -> None:
        """Let a ticket wait."""
        self._push(ticket)
        self.held_bytes += ticket.work.held_bytes

    def hasten(self, ticket: Ticket, rank_s: float, priority: Priority) -> None:
        """Move a waiting ticket forward, because somebody more urgent waits for the same picture."""
        if ticket in self._present and rank_s < ticket.rank_s:
            ticket.rank_s, ticket.priority = rank_s, priority
            self._push(ticket)  # the older entry is recognised as stale when it comes up

    def remove(self, ticket: Ticket) -> bool:
        """Take a ticket out; False when it does not wait here."""
        if self._present.pop(ticket, None) is None:
            return False
        self.held_bytes -= ticket.work.held_bytes
        self._tidy(ticket.work.shape)
        return True

    def head(self) -> Ticket | None:
        """Return the ticket that is drawn next, None when nobody waits."""
        first = min((heap[0] for heap in self._by_shape.values()), default=None)
        return None if first is None else first[2]

    def count(self, shape: Shape) -> int:
        """Return about how many of this shape wait: never too few (stale entries count until they come up)."""
        return len(self._by_shape.get(shape, ()))

    def take(self, shape: Shape, limit: int) -> list[Ticket]:
        """Take out up to `limit` tickets of a shape, the smallest ranks first."""
        taken: list[Ticket] = []
        while len(taken) < limit and shape in self._by_shape:
            ticket = self._by_shape[shape][0][2]
            self.remove(ticket)
            taken.append(ticket)
        return taken

    def ahead_of(self, ticket: Ticket) -> int | None:
        """Return how many wait before this one, None when it does not wait here."""
        mine = self._present.get(ticket)
        return None if mine is None else sum(entry < mine for entry in self._present.values())

    def everyone(self) -> list[Ticket]:
        """Return all that wait, in order."""
        return [entry[2] for entry in sorted(self._present.values())]

    def _push(self, ticket: Ticket) -> None:
        entry = (ticket.rank_s, next(self._order), ticket)
        self._present[ticket] = entry
        heapq.heappush(self._by_shape.setdefault(ticket.work.shape, []), entry)

    def _tidy(self, shape: Shape) -> None:
        """Drop stale entries off the top of a shape's heap, so that a heap's top always waits."""
        heap = self._by_shape[shape]
        while heap and self._present.get(heap[0][2]) is not heap[0]:
            heapq.heappop(heap)
        if not heap:
            del self._by_shape[shape]
