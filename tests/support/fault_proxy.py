"""A reverse proxy on 127.0.0.1 that stands before a real server and spoils a share of the calls on their way.

What a call is spoilt by is drawn from a seed, in the order of arrival. Before the server has seen it: `drop_before`,
`busy` (429 with Retry-After), `broken` (503). After the server did its work: `drop_after`, `html` (a gateway's page
with status 200), `cut_short`, `drip` (the body arrives over `drip_s` seconds). Websockets are let through as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import socket
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Final, Self
from urllib.parse import urlsplit

import numpy as np
from small_servers import HTML, Answer, Seen, SmallServer, json_answer

BEFORE_THE_WORK: Final = ("drop_before", "busy", "broken")
AFTER_THE_WORK: Final = ("drop_after", "html", "cut_short", "drip")
FAULTS: Final = (*BEFORE_THE_WORK, *AFTER_THE_WORK)
_WEIGHED: Final = (*FAULTS, *(fault for fault in FAULTS if fault != "drip"))
"""A drip is drawn half as often as the others: it is the one that takes time."""
RETRY_AFTER_S: Final = 2
UPSTREAM_S: Final = 120.0
_DRIPS: Final = 20
_HOP_BY_HOP: Final = frozenset(("connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"))


@dataclasses.dataclass
class Passage:
    """One call on its way: what spoilt it, '' for nothing, and whether the caller was there to take the answer."""

    method: str
    path: str
    fault: str
    was_taken: bool

    @property
    def is_lost(self) -> bool:
        """Tell whether the server may have done work whose answer did not arrive whole."""
        return self.fault in AFTER_THE_WORK or not self.was_taken


class FaultProxy(SmallServer):
    """Stands before `target`; `passages` holds what became of every call.

    `spoils` says which calls may be spoilt. Where the server names its own address in JSON, the proxy's is put there.
    """

    def __init__(
        self,
        target: str,
        *,
        share: float,
        seed: int,
        spoils: Callable[[Seen], bool] = lambda seen: True,
        drip_s: float = 1.0,
    ) -> None:
        super().__init__(self._through)
        self.target, self.share, self.spoils, self.drip_s = target, share, spoils, drip_s
        self.passages: list[Passage] = []
        self._rng = np.random.default_rng(seed)
        self._drawing = threading.Lock()
        self._this = threading.local()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def done(self) -> Counter[str]:
        """How often each fault struck."""
        return Counter(passage.fault for passage in list(self.passages) if passage.fault)

    def lost(self, method: str = "", path: str = "") -> int:
        """How many calls (of this method, to paths that begin so) the server may have worked on for nobody."""
        return sum(
            passage.is_lost and passage.method.startswith(method) and passage.path.startswith(path)
            for passage in list(self.passages)
        )

    # ------------------------------------------------------------ one call

    def _through(self, seen: Seen) -> Answer:
        fault = self._this.fault = self._drawn(seen)
        if fault == "drop_before":
            return Answer(drop=True)
        if fault == "busy":
            return json_answer({"detail": "too many"}, 429, Retry_After=str(RETRY_AFTER_S))
        if fault == "broken":
            return Answer(503, b"upstream connect error", {"Content-Type": "text/plain"})
        answer = self._forwarded(seen)
        if fault == "drop_after":
            return Answer(drop=True)
        if fault == "html":
            return Answer(200, HTML, {"Content-Type": "text/html"})
        if fault == "cut_short":
            return dataclasses.replace(answer, cut_bytes=len(answer.body) // 2)
        if fault == "drip":
            return dataclasses.replace(answer, drip_s=self.drip_s / _DRIPS)
        return answer

    def _drawn(self, seen: Seen) -> str:
        with self._drawing:
            if not self.spoils(seen) or self._rng.random() >= self.share:
                return ""
            return _WEIGHED[int(self._rng.integers(len(_WEIGHED)))]

    def _forwarded(self, seen: Seen) -> Answer:
        where = urlsplit(self.target)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=UPSTREAM_S)
        try:
            headers = {name: value for name, value in seen.headers.items() if name not in _HOP_BY_HOP}
            connection.request(seen.method, seen.path, seen.body or None, headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
        if seen.method == "HEAD":  # its length is that of a body which does not come
            kept["Content-Length"] = response.headers.get("content-length", "0")
        if "json" in response.headers.get("content-type", ""):
            body = body.replace(self.target.encode(), self.url.encode())
        return Answer(response.status, body, kept)

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        passage = Passage(handler.command, handler.path, self._this.fault, not _has_gone(handler.connection))
        self.passages.append(passage)
        try:
            if passage.was_taken:
                super()._send(handler, answer)
        except OSError:
            passage.was_taken = False
            raise

    def _write(self, handler: BaseHTTPRequestHandler, data: bytes, pause_s: float) -> None:
        """Send in so many pieces where it is to drip: a byte at a time would say nothing of how long it takes."""
        step = max(1, -(-len(data) // _DRIPS)) if pause_s else max(1, len(data))
        for start in range(0, len(data), step):
            if self.stopping.wait(pause_s):
                return
            handler.wfile.write(data[start : start + step])

    # ------------------------------------------------------------ websockets

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("upgrade", "").lower() == "websocket":
            self._tunnel(handler)
        else:
            super()._handle(handler)

    def _tunnel(self, handler: BaseHTTPRequestHandler) -> None:
        """Hand the connection on, byte for byte, until either side closes it."""
        handler.close_connection = True
        where = urlsplit(self.target)
        head = [f"{handler.command} {handler.path} HTTP/1.1", *(f"{k}: {v}" for k, v in handler.headers.items())]
        with socket.create_connection((where.hostname, where.port), timeout=UPSTREAM_S) as upstream:
            upstream.settimeout(None)
            upstream.sendall(("\r\n".join(head) + "\r\n\r\n").encode())
            back = threading.Thread(target=_pump, args=(upstream, handler.connection), name="tunnel")
            back.start()
            _pump(handler.connection, upstream)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
    except OSError:
        pass  # one side has gone; the other is told
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _has_gone(connection: socket.socket) -> bool:
    """Tell whether whoever called has closed the connection meanwhile: nobody would take the answer."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
