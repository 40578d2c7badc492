"""A moderation service on a real socket: answers by SKU, fails on demand, remembers what it was shown."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ALLOW = {"verdict": "allow", "labels": []}


@dataclass
class Shown:
    """One request as it came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class ModerationServer:
    """`answers` by SKU win over `answer`; `faults` are used up first, one per request, None = no fault."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = dict(ALLOW)
        self.answers: dict[str, dict[str, Any]] = {}
        self.faults: deque[str | None] = deque()
        self.broken: str | None = None
        self.shown: list[Shown] = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/judge"

    @property
    def skus(self) -> list[str]:
        return sorted(one.document["sku"] for one in self.shown)

    @contextmanager
    def running(self) -> Iterator[ModerationServer]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def _handler_of(server: ModerationServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        ours = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    ours: ModerationServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing is logged: tests read `shown`."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.ours.lock:
            shown = Shown(headers, body)
            self.ours.shown.append(shown)
            fault = self.ours.faults.popleft() if self.ours.faults else self.ours.broken
        if fault == "drop":
            self.close_connection = True
        elif fault == "silent":
            self.ours.released.wait(30)
            self.close_connection = True
        elif fault == "html":
            self._send(200, b"<html>Welcome to this hotel's network</html>", "text/html")
        elif fault == "nonsense":
            self._send(200, b'{"verdict": "probably fine", "labels": []}', "application/json")
        elif fault == "huge":
            self._send(200, b'{"verdict": "allow", "labels": [], "x": "' + b"x" * 100_000 + b'"}', "application/json")
        elif fault is not None:
            self._send(int(fault), b'{"message": "not now"}', "application/json")
        else:
            answer = self.ours.answers.get(shown.document["sku"], self.ours.answer)
            self._send(200, json.dumps(answer).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
