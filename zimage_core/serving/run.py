"""The process: bind, load, serve, and stop in order.

The first SIGTERM (or Ctrl-C) drains: no more work is taken (503 with Retry-After), what is being drawn is finished and
answered, tasks that wait stay on disk for the next start, and the process ends with 0. A second one ends it at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final, TextIO

import uvicorn
from starlette.types import ASGIApp

from zimage_core.engines.base import Engine
from zimage_core.errors import ConfigurationError, EngineError, StorageError
from zimage_core.prompting import Blocklist
from zimage_core.serving.app import build_app, build_services
from zimage_core.serving.callers import Keys, ensure_guarded
from zimage_core.serving.intake import Sampling
from zimage_core.serving.recovery import recover
from zimage_core.serving.services import Services
from zimage_core.settings import ServeSettings

log = logging.getLogger("zimage_core.serving")

UPKEEP_EVERY_S: Final = 60.0
BACKLOG: Final = 512
KEEP_ALIVE_S: Final = 75
"""Longer than clients (httpx: 5 s) and load balancers (60 s) keep a connection: the one who asks should hang up, or a
request meets a connection that is just being closed."""
LAST_ANSWERS_S: Final = 10
"""How long answers that are ready may take to reach their callers once everything is drawn."""
STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


class EngineServer:
    """One engine behind one socket: `open` it, `serve` until it is stopped. Made for one use."""

    def __init__(
        self,
        engine: Engine,
        settings: ServeSettings,
        folder: Path,
        *,
        sampling: Sampling,
        blocklist: Blocklist | None,
        host: str,
        port: int,
    ) -> None:
        """Bind the socket and take the folder.

        Raises ConfigurationError: no keys but an address others can reach, an address in use, or a folder that another
        server uses. Raises StorageError when the folder cannot be read or written.
        """
        ensure_guarded(host, Keys(settings.api_keys))
        self._settings, self._engine = settings, engine
        with contextlib.ExitStack() as opened:
            opened.enter_context(_held(folder))
            self._socket = opened.enter_context(_bound(host, port))
            self.services: Services = build_services(engine, settings, folder, sampling=sampling, blocklist=blocklist)
            opened.callback(self.services.book.close)
            opened.callback(self.services.gpus.close)
            self._uvicorn = _Uvicorn(build_app(self.services, settings), self.stop)
            self._opened = opened.pop_all()
        self._ended = threading.Event()
        self._why_failed: EngineError | None = None
        self._stopping = threading.Lock()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._socket.getsockname()[1])

    def serve(self) -> None:
        """Serve until stopped. Raises the engine's error when its first picture could not be drawn."""
        try:
            recover(self.services, redraw=self._settings.redraw)
            self.services.drawers.start(warm_up=self._settings.warm_up, on_failed=self._give_up)
            threading.Thread(target=self._upkeep, name="upkeep", daemon=True).start()
            self._uvicorn.run(sockets=[self._socket])
        finally:
            self._close()
        if self._why_failed is not None:
            raise self._why_failed

    def stop(self) -> None:
        """Drain, then end `serve`. Returns at once; more calls change nothing."""
        if self._stopping.acquire(blocking=False):
            threading.Thread(target=self._drain, name="drain", daemon=True).start()

    # ------------------------------------------------------------ inside

    def _drain(self) -> None:
        desk = self.services.desk
        log.info("Stopping: %d requests wait, what is being drawn is finished first", desk.waiting)
        desk.drain()
        if not desk.wait_until_drained(self._settings.drain_timeout_s):
            log.warning("What is being drawn took longer than %g s; it is left", self._settings.drain_timeout_s)
            desk.let_go()
        self._uvicorn.should_exit = True

    def _give_up(self, error: EngineError) -> None:
        self._why_failed = error
        self.stop()

    def keep_up(self) -> None:
        """Remove what is too old, write down what the disk refused before, find out whether it still refuses."""
        settings, services = self._settings, self.services
        services.results.prune()
        services.results.probe()
        if services.results.trouble:
            log.error("%s Until that is mended /ready answers 503.", services.results.trouble)
        try:
            services.book.catch_up()
            services.book.prune(task_ttl_s=settings.task_ttl_s, key_ttl_s=settings.result_ttl_s)
        except StorageError:
            log.exception("The book of tasks could not be brought up to date; it is tried again")

    def _upkeep(self) -> None:
        while not self._ended.wait(UPKEEP_EVERY_S):
            try:
                self.keep_up()
            except Exception:
                log.exception("Upkeep failed; it is tried again")

    def _close(self) -> None:
        self._ended.set()
        desk = self.services.desk
        desk.drain()
        drained = desk.wait_until_drained(0.0) and self.services.drawers.state != "loading"
        self.services.drawers.close(drained=drained)
        try:
            self.services.book.catch_up()
        except StorageError:
            log.exception("How some tasks ended could not be written down; the next start finds out, or draws them")
        self._opened.close()


class _Uvicorn(uvicorn.Server):
    """uvicorn, with a SIGTERM that drains first and does not end the process by the signal afterwards."""

    def __init__(self, app: ASGIApp, on_stop: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=LAST_ANSWERS_S,
            ws="none",
            lifespan="off",
        )
        super().__init__(config)
        self._on_stop = on_stop
        self._stop_asked = self._stop_told = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Listen to signals while serving, where this is the main thread; put back what was there before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end at the second."""
        if self._stop_asked:
            os._exit(128 + sig)
        self._stop_asked = True

    async def on_tick(self, counter: int) -> bool:
        """Pass the signal on, ten times a second: a handler itself may not start threads or take locks."""
        if self._stop_asked and not self._stop_told:
            self._stop_told = True
            self._on_stop()
        return await super().on_tick(counter)


def _bound(host: str, port: int) -> socket.socket:
    with contextlib.ExitStack() as opened:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            # the protocol is said: asyncio turns Nagle's delay off only where it sees TCP, and 40 ms an answer is what
            # that delay costs when head and body are sent one after the other
            listening = opened.enter_context(socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host.strip("[]"), port))
            listening.listen(BACKLOG)  # who comes before the loop turns waits a moment instead of being refused
        except (OSError, OverflowError) as error:
            raise ConfigurationError(f"The server cannot listen on {host} port {port}: {error}.") from error
        opened.pop_all()
    return listening


def _held(folder: Path) -> TextIO:
    """Take a folder for this process alone, for as long as what is returned stays open."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / "server.lock").open("w")
    except OSError as error:
        raise ConfigurationError(f"The folder {folder} for tasks and pictures cannot be used: {error}.") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise ConfigurationError(
            f"Another server uses the folder {folder}; give each its own with ZIMAGE_SERVE_DIR, or stop the other one."
        ) from None
    return held
