"""How often an account may be asked: calls are spaced out evenly, and further apart after the service objected.

The service limits calls per account and model, across its keys and workspaces, per minute and also per second (a
sixtieth of it), and has a protection against bursts of its own ("Request rate increased too quickly"; Model Studio,
"Rate limits", 2026-06). A bucket that holds a single token, refilled 60 / RPM seconds after it was taken, keeps within
all three. After an objection the distance doubles; each answer brings it a tenth nearer to the configured one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from zimage_core import clock

LARGEST_DISTANCE_S: Final = 60.0
"""Limits recover within a minute, so a call a minute is the least that is still worth making."""
_NEARER: Final = 0.9


class AccountRate:
    """The turns of one account; every thread and engine of the process that uses it shares one."""

    def __init__(self, requests_per_minute: int, *, elapsed_s: Callable[[], float] = clock.elapsed_s) -> None:
        self._planned_s = 60.0 / requests_per_minute
        self._distance_s = self._planned_s
        self._elapsed_s = elapsed_s
        self._next_s = float("-inf")
        self._lock = threading.Lock()

    def wait_turn(self, sleep: Callable[[float], object]) -> None:
        """Wait until it is the caller's turn. `sleep` may raise to end the wait; no turn is taken then."""
        while True:
            with self._lock:
                now_s = self._elapsed_s()
                if now_s >= self._next_s:
                    self._next_s = now_s + self._distance_s
                    return
                wait_s = self._next_s - now_s
            sleep(wait_s)

    def answered(self) -> None:
        """Note that a call was let in."""
        with self._lock:
            self._distance_s = max(self._planned_s, self._distance_s * _NEARER)

    def objected(self, retry_after_s: float | None) -> None:
        """Note that a call was turned away for its rate: all wait as long as was asked, and then go slower."""
        with self._lock:
            self._distance_s = min(max(self._planned_s, LARGEST_DISTANCE_S), 2 * self._distance_s)
            wait_s = self._distance_s if retry_after_s is None else retry_after_s
            self._next_s = max(self._next_s, self._elapsed_s() + min(wait_s, 2 * LARGEST_DISTANCE_S))

    @property
    def distance_s(self) -> float:
        """Seconds between two calls, as things are."""
        with self._lock:
            return self._distance_s


_rates: dict[str, AccountRate] = {}
_making = threading.Lock()


def rate_of(account: str, requests_per_minute: int) -> AccountRate:
    """Return the rate that everybody in this process shares who uses this account at this limit."""
    with _making:
        return _rates.setdefault(f"{account} {requests_per_minute}", AccountRate(requests_per_minute))
