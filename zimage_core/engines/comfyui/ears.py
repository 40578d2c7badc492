"""What a server says of its own accord: one websocket per server, which only wakes those who wait.

Nothing is decided by what is heard: a socket breaks, is replaced by another one of the same client id, or says nothing
for hours. Every answer is read from the history; what is heard says when to look, and that work goes on.
"""

from __future__ import annotations

import json
import logging
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import SecretStr
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from zimage_core import clock

log = logging.getLogger("zimage_core.engines")

OPEN_S: Final = 10.0
LISTEN_S: Final = 1.0
"""How long one read waits before it looks whether to stop."""
AGAIN_S: Final = (0.2, 30.0)
"""Before a socket is opened anew: the first wait, doubled up to the second."""
MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Previews come over the socket too; they are a few hundred kB."""
_SOCKET_LOG: Final = logging.getLogger("zimage_core.engines.comfyui.socket")
_SOCKET_LOG.setLevel(logging.INFO)  # at DEBUG the library writes every header, and the key is in one
_ENDED: Final = ("execution_success", "execution_error", "execution_interrupted")


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard of one prompt: how many signs of life, the last at `at_s`; its step; whether it has ended.

    `stored`: the server said so after it wrote the history (`executing` without a node); `ended` may be said before.
    """

    signs: int = 0
    at_s: float = 0.0
    step: int = 0
    steps: int = 0
    ended: bool = False
    stored: bool = False


class Ears:
    """Listens to one server on a thread of its own, from the first prompt that is followed until `close`."""

    def __init__(
        self,
        url: str,
        client_id: str,
        headers: Mapping[str, SecretStr | str],
        *,
        enabled: bool = True,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._address = f"ws{url.removeprefix('http')}/ws?{urllib.parse.urlencode({'clientId': client_id})}"
        self._url = url
        self._ssl_context = ssl_context if url.startswith("https") else None
        self._headers = headers
        self._elapsed_s = elapsed_s
        self._changed = threading.Condition()
        self._heard: dict[str, Heard] = {}
        self._running: str | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._socket: Connection | None = None
        self._enabled = enabled

    @property
    def listening(self) -> bool:
        """Tell whether the socket is open just now."""
        return self._socket is not None

    def follow(self, prompt_id: str) -> None:
        """Begin to keep what is heard of this prompt; the first call opens the socket, without waiting for it."""
        with self._changed:
            self._heard.setdefault(prompt_id, Heard())
            if self._enabled and self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._listen, name="comfyui-ears", daemon=True)
                self._thread.start()

    def forget(self, prompt_id: str) -> None:
        """Stop keeping what is heard of this prompt."""
        with self._changed:
            self._heard.pop(prompt_id, None)

    def wait(self, prompt_id: str, seconds: float, since: Heard) -> Heard:
        """Return what is known of a prompt as soon as it differs from `since`, or after so many seconds."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing.is_set() or self._heard.get(prompt_id, since) != since, timeout=seconds
            )
            return self._heard.get(prompt_id, since)

    def wait_open(self, seconds: float) -> bool:
        """Wait until the socket is open, at most so long, and tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._socket is not None or self._closing.is_set(), timeout=seconds)

    def close(self) -> None:
        """Close the socket, wake everybody who waits and end the thread; may be called twice.

        A thread that is just opening a socket to a server that does not answer ends by itself a little later.
        """
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
            thread, self._thread = self._thread, None
            socket = self._socket
        if socket is not None:
            socket.close()
        if thread is not None:
            thread.join(2 * LISTEN_S)

    # ------------------------------------------------------------ on the thread

    def _listen(self) -> None:
        wait_s = AGAIN_S[0]
        while not self._closing.is_set():
            try:
                headers = {
                    name: value.get_secret_value() if isinstance(value, SecretStr) else value
                    for name, value in self._headers.items()
                }
                with connect(
                    self._address,
                    ssl=self._ssl_context,
                    additional_headers=headers,
                    logger=_SOCKET_LOG,
                    open_timeout=OPEN_S,
                    close_timeout=LISTEN_S,
                    max_size=MAX_MESSAGE_BYTES,
                    proxy=None,
                ) as socket:
                    wait_s = AGAIN_S[0]
                    self._set_open(socket)
                    self._read(socket)
            except (WebSocketException, OSError, TimeoutError, EOFError) as error:
                # the address only: an exception may repeat our headers
                log.info(
                    "No news from ComfyUI at %s for now (%s); it is asked instead.", self._url, type(error).__name__
                )
            finally:
                self._set_open(None)
            self._closing.wait(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S[1])

    def _read(self, socket: Connection) -> None:
        while not self._closing.is_set():
            try:
                message = socket.recv(timeout=LISTEN_S)
            except TimeoutError:
                continue
            if isinstance(message, str):
                self._understand(message)
            else:
                self._sign(self._running)  # a preview: whatever runs for us is alive

    def _set_open(self, socket: Connection | None) -> None:
        with self._changed:
            self._socket = socket
            self._changed.notify_all()

    def _understand(self, message: str) -> None:
        try:
            said = json.loads(message)
        except ValueError:
            return
        data = said.get("data") if isinstance(said, dict) else None
        if not isinstance(data, dict):
            return
        prompt_id, kind = data.get("prompt_id"), said.get("type")
        if not isinstance(prompt_id, str):
            return  # of the whole server, or (after a reconnection) of a node without saying whose
        if kind == "execution_start":
            self._running = prompt_id
        if kind in _ENDED:
            self._sign(prompt_id, ended=True)
        elif kind == "executing" and data.get("node") is None:
            self._sign(prompt_id, ended=True, stored=True)
        elif kind == "progress" and isinstance(data.get("value"), int) and isinstance(data.get("max"), int):
            log.debug("ComfyUI at %s: prompt %s, step %s of %s", self._url, prompt_id, data["value"], data["max"])
            self._sign(prompt_id, step=data["value"], steps=data["max"])
        else:
            self._sign(prompt_id)

    def _sign(self, prompt_id: str | None, **changes: Any) -> None:
        with self._changed:
            before = self._heard.get(prompt_id) if prompt_id is not None else None
            if before is None or prompt_id is None:
                return
            self._heard[prompt_id] = replace(before, signs=before.signs + 1, at_s=self._elapsed_s(), **changes)
            self._changed.notify_all()
