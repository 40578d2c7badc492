"""An engine's servers as one thing that can be asked: client, endpoints, retries and budget, put together once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from pydantic import SecretStr

from zimage_core import clock
from zimage_core.engines.wire.client import Limits, Wire
from zimage_core.engines.wire.endpoints import Endpoints, Pace
from zimage_core.engines.wire.options import Reader, bearer, number, path, urls, whole
from zimage_core.engines.wire.replies import EngineLocked, EngineUnreachable
from zimage_core.engines.wire.retries import RetryBudget, with_retries
from zimage_core.engines.wire.signing import Signer
from zimage_core.errors import BadImage, EngineError, EngineTimeout, EngineUnavailable

ResultT = TypeVar("ResultT")
_MOST_HOLDERS: Final = 10_000
"""Lost answers that are remembered, the newest: more is a server that answers nothing."""
_CALLERS: Final = 2
"""Batches that are under way at a time: neither waits for the other's connections."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """How servers are reached. `threads`: calls at a time in all; `calls_per_endpoint`: the most at one endpoint.

    `attempts`: how often one call is made at most, within `give_up_after_s`. Time limits as in `client.Limits`.
    """

    url: tuple[str, ...]
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 180.0
    total_timeout_s: float = 300.0
    threads: int = 32
    calls_per_endpoint: int = 16
    attempts: int = 4
    give_up_after_s: float = 900.0
    ca_file: Path | None = None


READERS: Final[Mapping[str, Reader]] = {
    "url": urls,
    "connect_timeout_s": number(0.05, 120.0),
    "read_timeout_s": number(0.05, 3600.0),
    "total_timeout_s": number(0.05, 3600.0),
    "threads": whole(1, 256),
    "calls_per_endpoint": whole(1, 256),
    "attempts": whole(1, 10),
    "give_up_after_s": number(0.0, 86_400.0),
    "ca_file": path,
}


def remote_options(read: Mapping[str, Any]) -> RemoteOptions:
    """Return those of the options read that say how servers are reached; `url` must be among them."""
    return RemoteOptions(**{name: value for name, value in read.items() if name in READERS})


class Remote:
    """The servers of one engine; threads share it.

    `keeps_answers`: the servers know a request again by its key, so after a lost answer the same one is asked first, in
    this call and in later ones of the same name, and draws nothing twice.
    `sleep` and `elapsed_s` are for tests: the waits between tries, and the clock they go by.
    """

    def __init__(
        self,
        engine: str,
        options: RemoteOptions,
        key: SecretStr | None,
        *,
        urls: tuple[str, ...] | None = None,
        keeps_answers: bool = False,
        least: int = 1,
        max_bytes: int = 64 * 1024 * 1024,
        sign: Signer | None = None,
        sleep: Callable[[float], object] | None = None,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        self.engine = engine
        self.options = options
        self._keeps_answers = keeps_answers
        self._holders: dict[str, str] = {}
        self._learning = threading.Lock()
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._elapsed_s = elapsed_s
        most = options.calls_per_endpoint
        pace = Pace(limit=most, start=min(most, max(4, least)), least=min(most, least))
        limits = Limits(
            connect_s=options.connect_timeout_s,
            read_s=options.read_timeout_s,
            total_s=options.total_timeout_s,
            max_bytes=max_bytes,
        )
        self.wire = Wire(
            engine,
            limits,
            bearer(key),
            connections=_CALLERS * max(options.threads, most),
            ca_file=options.ca_file,
            sign=sign,
        )
        self.endpoints = Endpoints(
            urls or options.url, engine=engine, pace=pace, elapsed_s=elapsed_s, sleep=self._sleep
        )
        self.budget = RetryBudget()

    def ask(self, name: str, call: Callable[[str], ResultT]) -> ResultT:
        """Return what `call(url)` returns at the endpoint likely to answer first, called again where that is allowed.

        `name` tells requests apart, such as the attempt_id: the waits between tries are drawn from it. Raises the
        EngineError of the last try.
        """
        avoid: set[str] = set()

        def once() -> ResultT:
            if self._closing.is_set():
                raise EngineUnavailable(f"Engine '{self.engine}' was closed.", engine=self.engine)
            with self.endpoints.visit(avoid=avoid, prefer=self._holders.get(name)) as url:
                try:
                    result = call(url)
                except EngineError as error:
                    avoid.add(url)
                    self._learn(name, url, error)
                    raise
                with self._learning:
                    self._holders.pop(name, None)
                return result

        return with_retries(
            once,
            budget=self.budget,
            attempts=self.options.attempts,
            sleep=self._sleep,
            rng=np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")),
            give_up_after_s=self.options.give_up_after_s,
            elapsed_s=self._elapsed_s,
        )

    def close(self) -> None:
        """Wake whoever waits, let nobody in, close the connections; may be called twice."""
        self._closing.set()
        self.endpoints.close()
        self.wire.close()

    def _learn(self, name: str, url: str, error: EngineError) -> None:
        """Remember who may have the answer to a call that failed; who cannot be reached has it no more."""
        with self._learning:
            if isinstance(error, EngineUnreachable | EngineLocked):
                self._holders.pop(name, None)
            elif self._keeps_answers and isinstance(error, EngineTimeout | EngineUnavailable | BadImage):
                if len(self._holders) >= _MOST_HOLDERS:
                    self._holders.pop(next(iter(self._holders)), None)
                self._holders[name] = url
