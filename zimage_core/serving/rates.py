"""How often a caller may ask: a token bucket each (RFC 2697's single-rate idea, in requests)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from zimage_core import clock


class Rates:
    """Buckets by caller: `burst` requests at once, `per_s` of them come back every second. None = no limit."""

    def __init__(self, per_s: float | None, burst: int, *, elapsed_s: Callable[[], float] = clock.elapsed_s) -> None:
        self._per_s, self._burst = per_s, float(burst)
        self._elapsed_s = elapsed_s
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_s(self, caller: str) -> float:
        """Take one request from a caller's bucket and return 0.0, or return after how many seconds there is one.

        Callers are those of configured keys, so there are no more buckets than keys.
        """
        if self._per_s is None:
            return 0.0
        with self._lock:
            now_s = self._elapsed_s()
            left, seen_s = self._buckets.get(caller, (self._burst, now_s))
            left = min(self._burst, left + (now_s - seen_s) * self._per_s)
            if left < 1.0:
                self._buckets[caller] = (left, now_s)
                return (1.0 - left) / self._per_s
            self._buckets[caller] = (left - 1.0, now_s)
            return 0.0
