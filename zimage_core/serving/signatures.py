"""Signed requests, as `engines.wire.signing` writes them: good for a short time and for one use.

A nonce is remembered for as long as its timestamp is good. What was remembered is lost when the server stops, so one
that has just started takes no timestamp from before its start: nothing can be replayed across a restart. Both hold when
the system's clock is set while the server runs: its start is known by a clock that is never set, and no timestamp is
taken that is as old as one whose nonce was forgotten.
"""

from __future__ import annotations

import heapq
import hmac
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final

from pydantic import SecretStr

from zimage_core import clock
from zimage_core.engines.wire.signing import signature

MAX_NONCES: Final = 1_000_000
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")


class Signatures:
    """Checks signatures against one or more secrets (two while one is replaced by another)."""

    def __init__(
        self,
        secrets: Iterable[SecretStr],
        *,
        window_s: float,
        now: Callable[[], datetime] = clock.now,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        self._secrets = tuple(secrets)
        self._window_s = window_s
        self._now, self._elapsed_s = now, elapsed_s
        self._started_s = elapsed_s()
        self._lock = threading.Lock()
        self._seen: set[tuple[str, str]] = set()
        self._by_timestamp: list[tuple[int, tuple[str, str]]] = []
        self._forgotten_s = -1

    @property
    def needed(self) -> bool:
        """Whether requests must be signed."""
        return bool(self._secrets)

    def what_is_wrong(
        self, headers: Mapping[str, str], *, caller: str, method: str, target: str, body: bytes
    ) -> str | None:
        """Return why a request is not taken, as a sentence, or None: then its nonce is used up."""
        timestamp, nonce = headers.get("x-timestamp", ""), headers.get("x-nonce", "")
        given = headers.get("x-signature", "")
        if not _TIMESTAMP.fullmatch(timestamp) or not _NONCE.fullmatch(nonce) or not given:
            return (
                "This server takes signed requests only: X-Timestamp, X-Nonce and X-Signature are needed; a run signs "
                "with ZIMAGE_ENGINE_SIGNING_SECRET."
            )
        signed_s, now_s = int(timestamp), self._now().timestamp()
        running_s = self._elapsed_s() - self._started_s
        # a timestamp is a whole second: it may have been signed up to a second later than it says
        if abs(now_s - signed_s) > self._window_s or now_s - (signed_s + 1) >= running_s:
            return "The request was signed too long ago, before this server started, or by a clock that is wrong."
        fits = [
            hmac.compare_digest(
                signature(
                    secret.get_secret_value(),
                    method=method,
                    target=target,
                    timestamp=timestamp,
                    nonce=nonce,
                    body=body,
                ).encode(),
                given.encode("utf-8", "surrogateescape"),
            )
            for secret in self._secrets
        ]
        if not any(fits):
            return "The signature does not fit the request; a run signs with ZIMAGE_ENGINE_SIGNING_SECRET."
        return self._use_up((caller, nonce), signed_s, now_s)

    def _use_up(self, nonce: tuple[str, str], signed_s: int, now_s: float) -> str | None:
        with self._lock:
            while self._by_timestamp and self._by_timestamp[0][0] + self._window_s < now_s:
                self._forgotten_s, forgotten = heapq.heappop(self._by_timestamp)
                self._seen.discard(forgotten)
            # below the newest that is forgotten only a clock that was set back can bring us
            if nonce in self._seen or signed_s <= self._forgotten_s:
                return "This request has been sent before: its nonce is used up."
            if len(self._seen) >= MAX_NONCES:
                return "Too many signed requests came in a short time; sign it again later."
            self._seen.add(nonce)
            heapq.heappush(self._by_timestamp, (signed_s, nonce))
            return None
