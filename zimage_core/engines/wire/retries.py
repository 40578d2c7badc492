"""The same call again, when its error allows it: after a random wait, a few times, never more than a run can bear.

Waits are exponential with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: of the
ways to add chance it needs the fewest calls). The budget keeps a broken server from being asked several times as often
as a healthy one (Beyer et al., "Site Reliability Engineering", 2016, chapter 21: retries at most 10 % of calls; ours is
20 % and ten, because a run of a few shots must bear one bad minute).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np

from zimage_core import clock
from zimage_core.engines.wire.replies import EngineLocked
from zimage_core.errors import EngineError

log = logging.getLogger("zimage_core.engines")

BASE_S: Final = 0.5
CAP_S: Final = 30.0
"""The longest wait drawn by ourselves."""
RETRY_AFTER_CAP_S: Final = 120.0
"""A longer pause than this is had by putting the shot off, not by a thread that waits."""

ResultT = TypeVar("ResultT")


class RetryBudget:
    """How many calls may be repeated: `floor` and a `share` of all first calls; one per engine, for all its threads."""

    def __init__(self, *, share: float = 0.2, floor: int = 10) -> None:
        self._share = share
        self._floor = floor
        self._lock = threading.Lock()
        self._calls = 0
        self._retries = 0

    def first_call(self) -> None:
        """Count a call that is made for the first time."""
        with self._lock:
            self._calls += 1

    def take(self) -> bool:
        """Tell whether one more call may be repeated, and count it."""
        with self._lock:
            if self._retries >= self._floor + self._share * self._calls:
                return False
            self._retries += 1
            return True

    @property
    def spent(self) -> tuple[int, int]:
        """How many calls were made for the first time, and how many again."""
        with self._lock:
            return self._calls, self._retries


def backoff_s(
    tries: int,
    rng: np.random.Generator,
    *,
    retry_after_s: float | None = None,
    base_s: float = BASE_S,
    cap_s: float = CAP_S,
) -> float:
    """Return how long to wait after so many tries (1, 2, ...): a random share of base * 2^(tries - 1), at most the cap.

    Where the server said how long (Retry-After), that is the least, at most two minutes of it, and the random wait
    comes on top, so that not all callers return in the same moment.
    """
    drawn_s = float(rng.uniform(0.0, min(cap_s, base_s * 2.0 ** (tries - 1))))
    return drawn_s if retry_after_s is None else min(retry_after_s, RETRY_AFTER_CAP_S) + drawn_s


def with_retries(
    call: Callable[[], ResultT],
    *,
    budget: RetryBudget,
    attempts: int,
    sleep: Callable[[float], object],
    rng: np.random.Generator,
    give_up_after_s: float,
    elapsed_s: Callable[[], float] = clock.elapsed_s,
) -> ResultT:
    """Return what `call` returns, calling it up to `attempts` times while its error allows that.

    Not repeated: what is not retryable, what waits for a person (EngineLocked), what the budget has no room for, and a
    wait that would end after `give_up_after_s` seconds from the first call. The last error is raised then, its sentence
    saying how often was tried.
    """
    budget.first_call()
    started_s = elapsed_s()
    for tries in range(1, attempts + 1):
        try:
            return call()
        except EngineError as error:
            if not error.retryable or isinstance(error, EngineLocked) or tries == attempts:
                raise _after(error, tries) from error
            wait_s = backoff_s(tries, rng, retry_after_s=error.retry_after_s)
            if elapsed_s() - started_s + wait_s > give_up_after_s:
                raise _after(error, tries, f", and waiting {wait_s:.0f} s more is too long") from error
            if not budget.take():
                raise _after(error, tries, ", and this run has used up its retries") from error
            log.info("Try %d of %d failed, the next one in %.1f s: %s", tries, attempts, wait_s, error)
        sleep(wait_s)
    raise AssertionError("attempts is at least 1")


def _after(error: EngineError, tries: int, why: str = "") -> EngineError:
    """Return the error, saying how often was tried where that is more than once."""
    if tries == 1 and not why:
        return error
    said = f"{error.sentence} Tried {tries} time{'s' if tries > 1 else ''}{why}."
    again = type(error)(
        said,
        sku=error.sku,
        shot_id=error.shot_id,
        attempt=error.attempt,
        engine=error.engine,
        retry_after_s=error.retry_after_s,
    )
    again.__cause__ = error.__cause__
    return again
