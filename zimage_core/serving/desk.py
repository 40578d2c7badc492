"""The desk: work comes in, waits, is drawn in batches on threads of its own, and goes out to everybody who waits for it.

The event loop only files work and awaits futures; the engine is called from as many threads as it takes calls at a
time, and pictures are encoded and stored by others, so that the engine goes on at once. One lock guards what waits and
what is being drawn; nothing slow happens under it. The same picture is never drawn twice at the same time: who asks
for one that is under way joins it, and what has left `_active` is in `results`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from zimage_core import clock
from zimage_core.engines.base import Engine, EngineFailure, Rendered, render_checked
from zimage_core.engines.exchange import RenderedForm, failure_form, to_text
from zimage_core.errors import EngineError, EngineUnavailable, ZImageError
from zimage_core.imaging.pixels import encode_png
from zimage_core.serving.meters import Meters
from zimage_core.serving.pace import Pace
from zimage_core.serving.results import Results
from zimage_core.serving.taskbook import TaskBook
from zimage_core.serving.waiting import WaitingRoom, rank_of
from zimage_core.serving.work import Draining, Outcome, Picture, Priority, QueueFull, Ticket, Work

log = logging.getLogger("zimage_core.serving")

FINISHERS: Final = 2
UNFINISHED_PER_CALL: Final = 2
"""Batches that may wait to be encoded, per call the engine takes: beyond that the engine waits, not the memory."""


@dataclass(frozen=True, slots=True)
class DeskRules:
    """How much may wait, how batches are made, and how fast waiting makes urgent."""

    queue_limit: int = 256
    queue_bytes: int = 2**31
    batch_limit: int = 8
    batch_window_s: float = 0.005
    aging_s: float = 30.0


class Desk:
    """One resident engine and everybody who waits for it. `start` it, hand it work, `drain` it, `close` it."""

    def __init__(self, engine: Engine, *, rules: DeskRules, results: Results, book: TaskBook, meters: Meters) -> None:
        self.engine, self.info = engine, engine.info
        self.results, self.book, self.meters = results, book, meters
        self._rules = rules
        self._batch_limit = max(1, min(rules.batch_limit, engine.info.batch_limit))
        self.pace = Pace(engine.info.seconds_per_image, engine.info.concurrent_calls)
        self._changed = threading.Condition()
        self._waiting = WaitingRoom()
        self._active: dict[str, Ticket] = {}
        self._by_task: dict[str, Ticket] = {}
        self._calls: dict[int, float] = {}
        self._draining = False
        self._threads: list[threading.Thread] = []
        unfinished = self._batch_limit * UNFINISHED_PER_CALL * engine.info.concurrent_calls
        self._unfinished = threading.BoundedSemaphore(unfinished)
        self._finishers = ThreadPoolExecutor(FINISHERS, thread_name_prefix="finish")

    # ------------------------------------------------------------ what callers use

    def start(self) -> None:
        """Begin to draw, on as many threads as the engine takes calls at a time."""
        for number in range(self.info.concurrent_calls):
            thread = threading.Thread(target=self._draw_on, name=f"draw-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

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
            ticket.future.set_result(EngineFailure(ticket.work.request.attempt_id, stopping, 0.0))

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

    def close(self) -> None:
        """Let go of threads and engine. What is still being drawn is left to itself: its tasks wait for a restart."""
        self.drain()
        self._finishers.shutdown(wait=not self._active, cancel_futures=True)
        if not self._calls:
            self.engine.close()

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
        self._changed.notify()
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

    # ------------------------------------------------------------ on the engine's threads

    def _draw_on(self) -> None:
        while (batch := self._next_batch()) is not None:
            try:
                self._draw(batch)
            except Exception as error:
                log.exception("A batch of %d could not be drawn", len(batch))
                failed = EngineUnavailable(f"The server could not draw this: {error}.", engine=self.info.name)
                for ticket in batch:
                    if not ticket.future.done():
                        self._settle(ticket, EngineFailure(ticket.work.request.attempt_id, failed, 0.0))

    def _next_batch(self) -> list[Ticket] | None:
        """Wait for work; return the most urgent with what shares its shape, or None when the server is being stopped.

        An incomplete batch waits until its most urgent request is `batch_window_s` old.
        """
        with self._changed:
            while not self._draining:
                head = self._waiting.head()
                if head is None:
                    self._changed.wait()
                    continue
                now_s = clock.elapsed_s()
                left_s = head.arrived_s + self._rules.batch_window_s - now_s
                if left_s > 0 and self._waiting.count(head.work.shape) < self._batch_limit:
                    self._changed.wait(left_s)
                    continue
                batch = self._waiting.take(head.work.shape, self._batch_limit)
                for ticket in batch:
                    ticket.started_s = now_s
                    self.meters.wait_seconds.labels(ticket.priority).observe(now_s - ticket.arrived_s)
                self._calls[threading.get_ident()] = now_s
                self.meters.waiting.set(len(self._waiting))
                self.meters.drawing.inc(len(batch))
                return batch
        return None

    def _draw(self, batch: Sequence[Ticket]) -> None:
        started_s = clock.elapsed_s()
        try:
            self._note_begun(batch)
            answers = render_checked(self.engine, [ticket.work.request for ticket in batch])
        finally:
            seconds = clock.elapsed_s() - started_s
            with self._changed:
                self._calls.pop(threading.get_ident(), None)
                self.meters.drawing.dec(len(batch))
        self.pace.note(len(batch), seconds)
        self.meters.batch_size.observe(len(batch))
        self.meters.call_seconds.observe(seconds)
        for ticket, answer in zip(batch, answers, strict=True):
            self._unfinished.acquire()
            self._finishers.submit(self._finish, ticket, answer)

    def _note_begun(self, batch: Sequence[Ticket]) -> None:
        with self._changed:
            task_ids = sorted(task_id for ticket in batch for task_id in ticket.tasks)
        if task_ids:
            self.book.begun(task_ids)

    # ------------------------------------------------------------ on the finishers' threads

    def _finish(self, ticket: Ticket, answer: Rendered | EngineFailure) -> None:
        try:
            self._settle(ticket, self._stored(ticket.work, answer))
        finally:
            self._unfinished.release()

    def _stored(self, work: Work, answer: Rendered | EngineFailure) -> Outcome:
        """Return the picture, encoded and on disk, or why there is none."""
        if isinstance(answer, EngineFailure):
            return answer
        try:
            about = RenderedForm(
                attempt_id=answer.attempt_id,
                placement=answer.placement,
                seconds=answer.seconds,
                cost_usd=answer.cost_usd,
                notes=answer.notes,
                fingerprint=self.info.fingerprint,
            )
            picture = Picture(encode_png(answer.rgb), about)
            self.results.put(work.content_key, picture)
        except (ZImageError, ValueError, OSError) as error:
            log.exception("The picture of %s was drawn but cannot be kept", answer.attempt_id)
            kept = EngineUnavailable(f"The picture was drawn but cannot be kept: {error}", engine=self.info.name)
            return EngineFailure(answer.attempt_id, kept, answer.seconds)
        self.meters.kept_bytes.set(self.results.size_bytes)
        return picture

    def _settle(self, ticket: Ticket, outcome: Outcome) -> None:
        """Write down how the promises ended, then tell everybody who waits."""
        with self._changed:
            self._active.pop(ticket.work.content_key, None)
            task_ids = sorted(ticket.tasks)
        try:
            if task_ids:
                self._write_end(task_ids, outcome)
        except ZImageError:
            log.exception("The end of the tasks %s cannot be written down", ", ".join(task_ids))
        finally:
            with self._changed:
                for task_id in task_ids:
                    self._by_task.pop(task_id, None)
                self._changed.notify_all()
            self.meters.answers.labels("drawn" if isinstance(outcome, Picture) else outcome.error.code).inc()
            ticket.future.set_result(outcome)

    def _write_end(self, task_ids: Sequence[str], outcome: Outcome) -> None:
        if isinstance(outcome, Picture):
            self.book.finished(task_ids, "done")
        else:
            self.book.finished(task_ids, "failed", failure=to_text(failure_form(outcome)))


def failure_of(work: Work, error: EngineError) -> EngineFailure:
    """Return the failure of a request that was never drawn."""
    return EngineFailure(work.request.attempt_id, error, 0.0)
