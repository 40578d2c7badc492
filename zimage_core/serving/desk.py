"""The desk: who waits for which picture, what is drawn next, and who is told when it is done.

The event loop files work and awaits futures; `drawers` take batches and settle them. One lock guards what waits and
what is being drawn; nothing slow happens under it. The same picture is never drawn twice at the same time: who asks
for one that is under way joins it, and what has left `_active` as a picture is in `results`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from zimage_core import clock
from zimage_core.domain import EngineInfo
from zimage_core.engines.base import EngineFailure
from zimage_core.engines.exchange import failure_form, to_text
from zimage_core.errors import StorageError
from zimage_core.serving.meters import Meters
from zimage_core.serving.pace import Pace
from zimage_core.serving.results import Results
from zimage_core.serving.taskbook import TaskBook
from zimage_core.serving.waiting import WaitingRoom, rank_of
from zimage_core.serving.work import Draining, Outcome, Picture, Priority, QueueFull, Ticket, Work

log = logging.getLogger("zimage_core.serving")


@dataclass(frozen=True, slots=True)
class DeskRules:
    """How much may wait, how batches are made, and how fast waiting makes urgent."""

    queue_limit: int = 256
    queue_bytes: int = 2**31
    batch_limit: int = 8
    batch_window_s: float = 0.005
    aging_s: float = 30.0


class Desk:
    """Everybody who waits for one resident engine, and what they wait for."""

    def __init__(self, info: EngineInfo, *, rules: DeskRules, results: Results, book: TaskBook, meters: Meters) -> None:
        self.info, self.results, self.book, self.meters = info, results, book, meters
        self._rules = rules
        self.batch_limit = max(1, min(rules.batch_limit, info.batch_limit))
        self.pace = Pace(info.seconds_per_image, info.concurrent_calls)
        self._changed = threading.Condition()
        self._waiting = WaitingRoom()
        self._active: dict[str, Ticket] = {}
        self._by_task: dict[str, Ticket] = {}
        self._calls: dict[int, float] = {}
        self._draining = False

    # ------------------------------------------------------------ what callers use

    def file(
        self, work: Work, priority: Priority, *, task_id: str | None = None, bounded: bool = True
    ) -> Ticket | None:
        """Let work wait, or join it to the same work under way; None = its picture is in `results` already.

        With `task_id` the ticket keeps that promise, else it counts one more waiter. Raises Draining, and QueueFull
        unless `bounded` is False (for what was promised before a restart).
        """
        with self._changed:
            ticket = self._active.get(work.content_key)
            if ticket is None:
                if self.results.has(work.content_key):
                    self.meters.cache.labels("hit").inc()
                    return None
                ticket = self._admit(work, priority, bounded=bounded)
                self.meters.cache.labels("miss").inc()
            else:
                self._refuse_while_draining()
                self._waiting.hasten(ticket, rank_of(clock.elapsed_s(), priority, self._rules.aging_s), priority)
                self.meters.cache.labels("joined").inc()
            if task_id is None:
                ticket.waiters += 1
            else:
                ticket.tasks.add(task_id)
                self._by_task[task_id] = ticket
            return ticket

    def leave(self, ticket: Ticket) -> None:
        """One who waited is gone; what nobody waits for any more and is not begun, is not drawn."""
        with self._changed:
            ticket.waiters -= 1
            self._drop_if_unwanted(ticket)

    def withdraw(self, task_id: str) -> bool:
        """Give up a promise; False when drawing has begun or there is no such promise any more."""
        with self._changed:
            ticket = self._by_task.get(task_id)
            if ticket is None or ticket.started_s is not None:
                return False
            ticket.tasks.discard(task_id)
            del self._by_task[task_id]
            self._drop_if_unwanted(ticket)
            return True

    def ticket_of(self, task_id: str) -> Ticket | None:
        """Return the ticket that keeps a promise, None when it is kept, given up or not ours."""
        with self._changed:
            return self._by_task.get(task_id)

    def ahead_of(self, ticket: Ticket) -> int | None:
        """Return how many wait before this ticket, None when it is being drawn or done."""
        with self._changed:
            return self._waiting.ahead_of(ticket)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def is_draining(self) -> bool:
        """Whether the server is being stopped."""
        return self._draining

    def come_back_after_s(self) -> int:
        """Return when to ask again, in whole seconds: when half of what waits should be drawn."""
        return self.pace.come_back_after_s(max(1, (len(self._waiting) + 1) // 2))

    def longest_call_s(self) -> float:
        """Return for how long the longest engine call under way has been running, 0.0 when there is none."""
        with self._changed:
            return max((clock.elapsed_s() - started_s for started_s in self._calls.values()), default=0.0)

    def drain(self) -> None:
        """Take no more work and begin none; who holds the line for what waits is told to come back."""
        with self._changed:
            if self._draining:
                return
            self._draining = True
            left = self._waiting.everyone()
            for ticket in left:
                self._waiting.remove(ticket)
                self._active.pop(ticket.work.content_key, None)
            self._changed.notify_all()
        stopping = self._stopping()
        for ticket in left:
            self._tell(ticket, EngineFailure(ticket.work.request.attempt_id, stopping, 0.0))

    def let_go(self) -> None:
        """Tell everybody who still waits to come back: what is being drawn takes longer than a stop may take."""
        with self._changed:
            left = list(self._active.values())
        stopping = self._stopping()
        for ticket in left:
            self._tell(ticket, EngineFailure(ticket.work.request.attempt_id, stopping, 0.0))

    def wait_until_drained(self, timeout_s: float) -> bool:
        """Wait until nothing is being drawn, encoded or stored; False when that took longer than `timeout_s`."""
        deadline_s = clock.elapsed_s() + timeout_s
        with self._changed:
            while self._active or self._by_task_running():
                left_s = deadline_s - clock.elapsed_s()
                if left_s <= 0:
                    return False
                self._changed.wait(left_s)
        return True

    # ------------------------------------------------------------ what drawers use

    def next_batch(self) -> list[Ticket] | None:
        """Wait for work; return the most urgent with what shares its shape, or None when the server is being stopped.

        An incomplete batch waits until its most urgent request is `batch_window_s` old. The calling thread is taken to
        draw until it calls `drawn`.
        """
        with self._changed:
            while not self._draining:
                head = self._waiting.head()
                if head is None:
                    self._changed.wait()
                    continue
                now_s = clock.elapsed_s()
                left_s = head.arrived_s + self._rules.batch_window_s - now_s
                if left_s > 0 and self._waiting.count(head.work.shape) < self.batch_limit:
                    self._changed.wait(left_s)
                    continue
                batch = self._waiting.take(head.work.shape, self.batch_limit)
                for ticket in batch:
                    ticket.started_s = now_s
                    self.meters.wait_seconds.labels(ticket.priority).observe(now_s - ticket.arrived_s)
                self._calls[threading.get_ident()] = now_s
                self.meters.waiting.set(len(self._waiting))
                self.meters.drawing.inc(len(batch))
                return batch
        return None

    def tasks_of(self, batch: Sequence[Ticket]) -> list[str]:
        """Return the ids of the promises that a batch keeps."""
        with self._changed:
            return sorted(task_id for ticket in batch for task_id in ticket.tasks)

    def drawn(self, batch: Sequence[Ticket]) -> None:
        """The calling thread's engine call is over, whatever came of it."""
        with self._changed:
            started_s = self._calls.pop(threading.get_ident())
        seconds = clock.elapsed_s() - started_s
        self.pace.note(len(batch), seconds)
        self.meters.drawing.dec(len(batch))
        self.meters.batch_size.observe(len(batch))
        self.meters.call_seconds.observe(seconds)

    def settle(self, ticket: Ticket, outcome: Outcome) -> None:
        """Write down how the promises ended, then tell everybody who waits. A picture must be in `results` before."""
        with self._changed:
            self._active.pop(ticket.work.content_key, None)
            task_ids = sorted(ticket.tasks)
        try:
            if task_ids:
                self._write_end(task_ids, outcome)
        except StorageError:
            log.exception("The end of the tasks %s cannot be written down yet", ", ".join(task_ids))
        finally:
            with self._changed:
                for task_id in task_ids:
                    self._by_task.pop(task_id, None)
                self._changed.notify_all()
            self.meters.answers.labels("drawn" if isinstance(outcome, Picture) else outcome.error.code).inc()
            self._tell(ticket, outcome)

    def _write_end(self, task_ids: Sequence[str], outcome: Outcome) -> None:
        if isinstance(outcome, Picture):
            self.book.finished(task_ids, "done")
        else:
            self.book.finished(task_ids, "failed", failure=to_text(failure_form(outcome)))

    def _tell(self, ticket: Ticket, outcome: Outcome) -> None:
        """Tell who waits, unless they were told to come back before."""
        with self._changed:
            if not ticket.future.done():
                ticket.future.set_result(outcome)

    # ------------------------------------------------------------ under the lock

    def _admit(self, work: Work, priority: Priority, *, bounded: bool) -> Ticket:
        self._refuse_while_draining()
        held = self._waiting.held_bytes + work.held_bytes
        if bounded and (len(self._waiting) >= self._rules.queue_limit or held > self._rules.queue_bytes):
            self.meters.rejected.labels("queue_full").inc()
            raise QueueFull(
                f"{len(self._waiting)} requests wait already, as many as this server lets wait; come back later.",
                engine=self.info.name,
                retry_after_s=self.come_back_after_s(),
            )
        now_s = clock.elapsed_s()
        ticket = Ticket(work, priority, now_s, rank_of(now_s, priority, self._rules.aging_s))
        self._active[work.content_key] = ticket
        self._waiting.add(ticket)
        self.meters.waiting.set(len(self._waiting))
        self._changed.notify_all()
        return ticket

    def _refuse_while_draining(self) -> None:
        if self._draining:
            self.meters.rejected.labels("draining").inc()
            raise self._stopping()

    def _stopping(self) -> Draining:
        return Draining(
            "This server is being stopped and takes no more work; another one, or this one once it is back, will.",
            engine=self.info.name,
            retry_after_s=self.come_back_after_s(),
        )

    def _drop_if_unwanted(self, ticket: Ticket) -> None:
        if ticket.waiters <= 0 and not ticket.tasks and self._waiting.remove(ticket):
            ticket.withdrawn = True
            self._active.pop(ticket.work.content_key, None)
            self.meters.waiting.set(len(self._waiting))
            self.meters.answers.labels("withdrawn").inc()

    def _by_task_running(self) -> bool:
        return any(ticket.started_s is not None for ticket in self._by_task.values())
