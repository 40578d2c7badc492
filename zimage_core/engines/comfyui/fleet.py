"""The servers of one engine: which of them gets the next picture, whether they can draw it, what they already drew."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from zimage_core import clock
from zimage_core.engines.comfyui.ears import Ears
from zimage_core.engines.comfyui.failures import ENGINE
from zimage_core.engines.comfyui.preflight import lacking
from zimage_core.engines.comfyui.server import BRIEF_S, ComfyServer, Standing
from zimage_core.engines.comfyui.template import Template
from zimage_core.engines.wire.client import Wire
from zimage_core.engines.wire.endpoints import Endpoints, Pace
from zimage_core.engines.wire.replies import EngineLocked, EngineUnreachable
from zimage_core.errors import EngineError

log = logging.getLogger("zimage_core.engines")

QUEUE_FRESH_S: Final = 1.0
"""How long a queue's length is believed."""
QUEUE_SLACK: Final = 1
"""A server whose queue is longer than the shortest by more than this is avoided."""
RECHECK_S: Final = 60.0
"""A server that lacked something is asked again after so long: somebody may have put it there."""
MUTE_S: Final = 30.0
"""A server that did not answer a question is not asked that kind of question for so long."""


class _Lacks(Exception):
    """A server cannot run a template; not an error of the engine's yet, another server may."""


@dataclass
class Station:
    """One server, its ears, and what is known of it."""

    server: ComfyServer
    ears: Ears
    lock: threading.Lock = field(default_factory=threading.Lock)
    asking: threading.Lock = field(default_factory=threading.Lock)
    checked: set[str] = field(default_factory=set)
    lacks: dict[str, tuple[str, float]] = field(default_factory=dict)
    queue_length: int | None = None
    queue_asked_s: float = float("-inf")
    mute_until_s: float = float("-inf")


class Fleet:
    """Servers by address; threads share it."""

    def __init__(
        self,
        urls: Sequence[str],
        wire: Wire,
        headers: Mapping[str, SecretStr | str],
        *,
        in_flight: int,
        websocket: bool,
        sleep: Callable[[float], object],
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        self._elapsed_s = elapsed_s
        pace = Pace(limit=in_flight, start=in_flight, least=min(2, in_flight))
        self._endpoints = Endpoints(urls, engine=ENGINE, pace=pace, elapsed_s=elapsed_s, sleep=sleep)
        self._stations = {}
        for url in urls:
            client_id = clock.fresh_id()  # one for each server: a second socket of the same id would replace ours
            ears = Ears(url, client_id, headers, enabled=websocket, elapsed_s=elapsed_s, ssl_context=wire.ssl_context)
            self._stations[url] = Station(ComfyServer(url, wire, client_id, sleep), ears)

    @property
    def urls(self) -> tuple[str, ...]:
        """The servers' addresses."""
        return tuple(self._stations)

    def station(self, url: str) -> Station:
        """Return the server of that address."""
        return self._stations[url]

    @contextmanager
    def visit(self, template: Template, *, avoid: Collection[str] = (), prefer: str | None = None) -> Iterator[Station]:
        """Hold a place at the server that is likely to draw first and can draw this template.

        Raises what `Endpoints.pick` raises, and EngineLocked, saying what is missing, when every server lacks something
        for this template; other templates may be drawn meanwhile. A server that cannot even be asked what it has is
        left for another one, where there is one.
        """
        avoid = {*avoid, *self._long_queues()}
        while True:
            url, is_in = "", False
            lacking_it = self._lacking(template)
            if len(lacking_it) == len(self._stations):
                raise EngineLocked(" ".join(lacking_it.values()), engine=ENGINE)
            try:
                with self._endpoints.visit(avoid={*avoid, *lacking_it}, prefer=prefer) as url:
                    station = self._stations[url]
                    self._check(station, template)
                    is_in = True
                    yield station
                    return
            except _Lacks:
                log.warning("%s", station.lacks[template.content][0])
            except EngineUnreachable as error:
                if is_in or not url or len({*avoid, *lacking_it, url}) == len(self._stations):
                    raise
                log.info("Another ComfyUI is asked: %s", error.sentence)
                avoid.add(url)

    def any_open(self) -> bool:
        """Tell whether some server is open for calls."""
        return any(one.is_open for one in self._endpoints.standings())

    def find(self, prompt_id: str) -> tuple[Station, Standing] | None:
        """Return the server that has, or had, this prompt, and where it stands there; None where none says so.

        Servers that rest, or did not answer a moment ago, are not asked: they would keep everybody waiting.
        """
        is_open = {one.url: one.is_open for one in self._endpoints.standings()}
        for url, station in self._stations.items():
            if not is_open[url] or self._elapsed_s() < station.mute_until_s:
                continue
            try:
                standing = station.server.standing(prompt_id, BRIEF_S)
            except EngineError as error:
                self._mute(station, error)
                continue
            if standing.state != "unknown":
                return station, standing
        return None

    def close(self) -> None:
        """Let nobody in any more, and close every socket."""
        self._endpoints.close()
        for station in self._stations.values():
            station.ears.close()

    # ------------------------------------------------------------ small parts

    def _check(self, station: Station, template: Template) -> None:
        """Ask a server once whether it has what the template needs. Raises _Lacks where it has not."""
        with station.lock:
            if template.content in station.checked:
                return
            if station.server.url in self._lacking(template):  # found out by another thread just now
                raise _Lacks
            missing = lacking(template, station.server.node_class)
            if missing:
                sentence = f"ComfyUI at {station.server.url} cannot run the template {template.graph.name}:"
                station.lacks[template.content] = (f"{sentence} {' '.join(missing)}", self._elapsed_s())
                raise _Lacks
            station.checked.add(template.content)
            log.info("ComfyUI at %s has all that template %s needs.", station.server.url, template.graph.name)

    def _lacking(self, template: Template) -> dict[str, str]:
        """Return what each server was found to lack for a template not long ago, by address."""
        now_s = self._elapsed_s()
        known = ((url, station.lacks.get(template.content)) for url, station in self._stations.items())
        return {url: lack[0] for url, lack in known if lack is not None and now_s - lack[1] < RECHECK_S}

    def _long_queues(self) -> Collection[str]:
        """Return the servers whose queue is clearly longer than the shortest, other people's prompts included."""
        if len(self._stations) == 1:
            return ()
        lengths = {url: length for url in self._stations if (length := self._queue_length(url)) is not None}
        shortest = min(lengths.values(), default=0)
        return [url for url, length in lengths.items() if length > shortest + QUEUE_SLACK]

    def _queue_length(self, url: str) -> int | None:
        """Return how long a server's queue was a moment ago, None where it does not say.

        One thread asks, the others go by what was known before; only when nothing is known yet do they wait for it.
        """
        station = self._stations[url]
        if self._is_stale(station) and station.asking.acquire(blocking=station.queue_asked_s == float("-inf")):
            try:
                if self._is_stale(station):
                    station.queue_length = station.server.queue_length()
            except EngineError as error:
                station.queue_length = None
                self._mute(station, error)
            finally:
                station.queue_asked_s = self._elapsed_s()
                station.asking.release()
        return station.queue_length

    def _is_stale(self, station: Station) -> bool:
        now_s = self._elapsed_s()
        return now_s - station.queue_asked_s >= QUEUE_FRESH_S and now_s >= station.mute_until_s

    def _mute(self, station: Station, error: EngineError) -> None:
        station.mute_until_s = self._elapsed_s() + MUTE_S
        log.info("ComfyUI at %s is not asked for %g s: %s", station.server.url, MUTE_S, error.sentence)
