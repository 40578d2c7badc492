"""Which of several servers gets the next call: the one likely to answer first, unless it is down, or has enough to do.

Circuit breaker (Nygard, "Release It!", 2007): so many failures in a row open an endpoint's circuit, nobody calls it
for a while, then one call is let through; its answer closes the circuit, its failure doubles the pause.

Concurrency is found out, not configured (additive increase, multiplicative decrease; Chiu and Jain, 1989): each answer
in good time lets one more call in per round, an answer that took several times the endpoint's best, a 429 or a timeout
lets fewer in, once per round.

The choice is the shortest expected delay: typical seconds times how full the endpoint is. A call rather waits for a
quick endpoint than goes to one that takes fifty times as long, and goes there as soon as the queue is that long.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from zimage_core import clock
from zimage_core.engines.wire.replies import EngineLocked
from zimage_core.engines.wire.retries import RETRY_AFTER_CAP_S
from zimage_core.errors import (
    BadImage,
    EngineBusy,
    EngineError,
    EngineOutOfMemory,
    EngineTimeout,
    EngineUnavailable,
)

log = logging.getLogger("zimage_core.engines")

_NEW_SHARE: Final = 0.3
"""Weight of the newest answer in the typical time: the last three answers make two thirds of it."""
_FORGET_S: Final = 30.0
"""An endpoint that is not used counts as twice as quick after this time, so that a slow one is tried again."""
_FAILING: Final = (EngineUnavailable, EngineTimeout, EngineOutOfMemory, BadImage)
_OVERLOADED: Final = (EngineBusy, EngineTimeout, EngineOutOfMemory)


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard one endpoint is worked: calls at a time (`start`, never fewer than `least`, never more than `limit`).

    An answer in more than `slow_ratio` times the endpoint's best time, or than `target_s`, is a queue that grows.
    `failures` in a row open the circuit for `cool_down_s`, twice as long each time, up to `longest_cool_down_s`.
    A call waits up to `patience_s` for an endpoint when every one is paused (Retry-After) or its circuit open.
    """

    limit: int = 16
    start: int = 4
    least: int = 1
    slow_ratio: float = 4.0
    target_s: float | None = None
    failures: int = 5
    cool_down_s: float = 10.0
    longest_cool_down_s: float = 120.0
    patience_s: float = 30.0


class _Endpoint:
    """What is known of one server; the lock of `Endpoints` is held by whoever looks at it."""

    def __init__(self, url: str, pace: Pace) -> None:
        self.url = url
        self.pace = pace
        self.limit = float(min(pace.start, pace.limit))
        self.in_flight = 0
        self.growing = True
        self.best_s: float | None = None
        self.typical_s: float | None = None
        self.answered_at_s = 0.0
        self.lowered_at_s = float("-inf")
        self.shared_at_s = float("-inf")
        self.full_at_s = float("-inf")
        self.failures = 0
        self.shut_until_s: float | None = None
        self.cool_down_s = pace.cool_down_s
        self.paused_until_s = float("-inf")
        self.error: EngineError | None = None

    def free_at_s(self, now_s: float) -> float:
        """When it may be called, as far as circuit and pauses go; infinite while its one probe is out."""
        if self.shut_until_s is not None:
            if self.in_flight and now_s >= self.shut_until_s:
                return float("inf")
            return max(self.shut_until_s, self.paused_until_s)
        return self.paused_until_s

    @property
    def room(self) -> int:
        return 1 if self.shut_until_s is not None else max(1, int(self.limit))

    def expected_s(self, now_s: float, rounds: float) -> float:
        """How long a call given to it now would take, so many rounds of calls being before it where it is full."""
        full = self.in_flight >= self.room
        if self.typical_s is None:
            return float("inf") if full else 0.0
        forgotten = math.exp2(-max(0.0, now_s - self.answered_at_s) / _FORGET_S)
        return self.typical_s * forgotten * (1.0 + self.in_flight / self.room + (rounds if full else 0.0))

    def entered(self, now_s: float) -> None:
        self.in_flight += 1
        if self.in_flight > 1:
            self.shared_at_s = now_s
        if self.in_flight >= self.room:
            self.full_at_s = now_s

    def succeeded(self, seconds: float, begun_s: float, now_s: float) -> None:
        self.failures = 0
        self.shut_until_s, self.cool_down_s, self.error = None, self.pace.cool_down_s, None
        self.answered_at_s = now_s
        if self.best_s is None or seconds < self.best_s:
            self.best_s = seconds
        elif self.shared_at_s < begun_s:  # nobody else was there: this is what a picture takes now, larger ones perhaps
            self.best_s = (self.best_s + seconds) / 2
        self.typical_s = seconds if self.typical_s is None else (1 - _NEW_SHARE) * self.typical_s + _NEW_SHARE * seconds
        target_s = self.pace.slow_ratio * self.best_s if self.pace.target_s is None else self.pace.target_s
        if seconds > target_s:
            self.lower(0.9, max(self.pace.least, 1), begun_s, now_s)
        elif self.full_at_s >= begun_s:  # only a limit that was reached has proved too small
            self.limit = min(float(self.pace.limit), self.limit + (1.0 if self.growing else 1.0 / self.limit))

    def failed(self, error: EngineError, begun_s: float, now_s: float) -> None:
        self.error = error
        if isinstance(error, _OVERLOADED):
            self.lower(0.5, 1, begun_s, now_s)
        if isinstance(error, EngineTimeout):
            spent_s = now_s - begun_s
            self.typical_s = spent_s if self.typical_s is None else max(self.typical_s, spent_s)
            self.answered_at_s = now_s
        if error.retry_after_s is not None and isinstance(error, EngineBusy | EngineUnavailable):
            self.paused_until_s = max(self.paused_until_s, now_s + min(error.retry_after_s, RETRY_AFTER_CAP_S))
        if isinstance(error, EngineLocked):
            self.shut_until_s = now_s + self.pace.longest_cool_down_s
        elif isinstance(error, _FAILING):
            self.failures += 1
            if self.shut_until_s is not None and now_s >= self.shut_until_s:
                self.cool_down_s = min(2 * self.cool_down_s, self.pace.longest_cool_down_s)
                self.shut_until_s = now_s + self.cool_down_s
            elif self.shut_until_s is None and self.failures >= self.pace.failures:
                self.shut_until_s = now_s + self.cool_down_s
        else:
            self.failures = 0

    def lower(self, factor: float, least: int, begun_s: float, now_s: float) -> None:
        """Let fewer calls in, unless the call began before the last time this was done: it belongs to the same jam."""
        if begun_s >= self.lowered_at_s:
            self.growing = False
            self.limit = max(float(least), self.limit * factor)
            self.lowered_at_s = now_s


@dataclass(frozen=True, slots=True)
class Standing:
    """How an endpoint stands now, for logs and pages."""

    url: str
    is_open: bool
    in_flight: int
    limit: int
    typical_s: float | None
    error: str | None


class Endpoints:
    """The servers of one engine, shared by its threads. `urls` must not repeat; `pace` holds for each of them."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        engine: str,
        pace: Pace | None = None,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._engine = engine
        self._elapsed_s = elapsed_s
        self._sleep = sleep
        self._patience_s = (pace or Pace()).patience_s
        self._all = [_Endpoint(url, pace or Pace()) for url in urls]
        self._freed = threading.Condition()
        self._waiting = 0
        self._turn = 0
        self._closed = False

    @contextmanager
    def visit(self, *, avoid: Collection[str] = (), prefer: str | None = None) -> Iterator[str]:
        """Hold a place at the endpoint `pick` chooses; how the block ends is what the endpoint is judged by.

        An EngineError counts against it as its class says, any other exception and the time it took do not.
        """
        url = self.pick(avoid=avoid, prefer=prefer)
        begun_s = self._elapsed_s()
        try:
            yield url
        except EngineError as error:
            self.report(url, begun_s, error)
            raise
        except BaseException:
            self._release(url)
            raise
        self.report(url, begun_s, None)

    def pick(self, *, avoid: Collection[str] = (), prefer: str | None = None) -> str:
        """Return the address of the endpoint to call now and hold a place there, waiting for one where all are full.

        `avoid` are endpoints that are taken only where there is no other, such as the one that has just failed;
        `prefer` is waited for as long as the call is patient: it may already have what is asked for.
        Every pick must be followed by one `report`. Raises, when no endpoint may be called within `patience_s`:
        EngineBusy (they asked for a pause), EngineLocked (they wait for a person), EngineUnavailable (they are down).
        """
        patient_until_s = self._elapsed_s() + self._patience_s
        while True:
            with self._freed:
                if self._closed:
                    raise EngineUnavailable(f"Engine '{self._engine}' was closed.", engine=self._engine)
                now_s = self._elapsed_s()
                choice = self._choice(prefer, now_s, patient_until_s)
                free_at_s = min(one.free_at_s(now_s) for one in choice)
                if free_at_s <= now_s or free_at_s == float("inf"):
                    free = [one for one in choice if one.free_at_s(now_s) <= now_s]
                    best = self._best([one for one in free if one.url not in avoid] or free, now_s)
                    if best is not None and best.in_flight < best.room:
                        best.entered(now_s)
                        return best.url
                    self._wait(now_s)
                    continue
                if free_at_s > patient_until_s or all(isinstance(one.error, EngineLocked) for one in self._all):
                    raise self._none_left(now_s)
            self._sleep(min(free_at_s - now_s, 1.0))

    def report(self, url: str, begun_s: float, error: EngineError | None) -> None:
        """Say how a call that began at `begun_s` ended (None = well) and give its place back."""
        with self._freed:
            endpoint, now_s = self._endpoint(url), self._elapsed_s()
            was_open = endpoint.shut_until_s is None
            endpoint.in_flight -= 1
            if error is None:
                endpoint.succeeded(now_s - begun_s, begun_s, now_s)
            else:
                endpoint.failed(error, begun_s, now_s)
            is_open = endpoint.shut_until_s is None
            self._freed.notify_all()
        if was_open and not is_open:
            log.warning("Engine '%s' lets %s rest: %s", self._engine, url, error)
        elif is_open and not was_open:
            log.info("Engine '%s' uses %s again.", self._engine, url)

    def standings(self) -> list[Standing]:
        """Return how each endpoint stands, in the order they were given."""
        with self._freed:
            return [
                Standing(
                    url=one.url,
                    is_open=one.shut_until_s is None,
                    in_flight=one.in_flight,
                    limit=one.room,
                    typical_s=one.typical_s,
                    error=None if one.error is None else one.error.sentence,
                )
                for one in self._all
            ]

    def close(self) -> None:
        """Let nobody in any more; whoever waits for a place gets EngineUnavailable."""
        with self._freed:
            self._closed = True
            self._freed.notify_all()

    # ------------------------------------------------------------ the lock is held

    def _choice(self, prefer: str | None, now_s: float, patient_until_s: float) -> list[_Endpoint]:
        """Return the preferred endpoint where it may be called soon or its probe is out, else all of them."""
        for one in self._all:
            free_at_s = one.free_at_s(now_s)
            soon = free_at_s <= patient_until_s or free_at_s == float("inf")
            if one.url == prefer and soon and not isinstance(one.error, EngineLocked):
                return [one]
        return self._all

    def _best(self, free: Sequence[_Endpoint], now_s: float) -> _Endpoint | None:
        """Return the one that would answer first; of equals each in turn."""
        if not free:
            return None
        self._turn += 1
        rounds = self._waiting / sum(one.room for one in free)
        start = self._turn % len(free)
        turned = [*free[start:], *free[:start]]
        return min(turned, key=lambda one: (one.expected_s(now_s, rounds), one.in_flight / one.room))

    def _wait(self, now_s: float) -> None:
        """Wait until a place is given back or a pause is over."""
        soon = [at_s - now_s for one in self._all if now_s < (at_s := one.free_at_s(now_s)) < float("inf")]
        self._waiting += 1
        try:
            self._freed.wait(min(soon, default=None))
        finally:
            self._waiting -= 1

    def _endpoint(self, url: str) -> _Endpoint:
        return next(one for one in self._all if one.url == url)

    def _release(self, url: str) -> None:
        with self._freed:
            self._endpoint(url).in_flight -= 1
            self._freed.notify_all()

    def _none_left(self, now_s: float) -> EngineError:
        """Return why no endpoint may be called: each with its reason, and when the first may be again."""
        wait_s = max(0.0, min(one.free_at_s(now_s) for one in self._all) - now_s)
        reasons = "; ".join(f"{one.url}: {one.error.sentence if one.error else 'no reason kept'}" for one in self._all)
        known = [one.error for one in self._all]
        kind: type[EngineError] = EngineUnavailable
        if all(isinstance(error, EngineLocked) for error in known):
            kind = EngineLocked
        elif any(one.shut_until_s is None for one in self._all):
            kind = EngineBusy
        if len(self._all) == 1 and kind is EngineLocked and known[0] is not None:
            return kind(known[0].sentence, engine=self._engine)
        return kind(
            f"Engine '{self._engine}' has no endpoint to call for {wait_s:.0f} s ({reasons})",
            engine=self._engine,
            retry_after_s=None if kind is EngineLocked else wait_s,
        )
