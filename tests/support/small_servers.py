"""Real HTTP servers on 127.0.0.1 that answer as they are told, and that can be told to fail in every way we know of.

`SmallServer` answers by a function. `DrawingServer` draws pictures for one of three protocols and counts what it drew
for whom; `Mischief` spoils a share of its answers, the same ones every time for one thread of calls.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self

import numpy as np

from zimage_core.domain import EngineInfo
from zimage_core.engines.base import Engine, EngineFailure, Rendered, RenderRequest
from zimage_core.engines.exchange import (
    ENGINE_PATH,
    FailureAnswer,
    GenerateBody,
    engine_form,
    failure_form,
    generate_answer,
    request_from,
    status_of,
    to_text,
)
from zimage_core.errors import EngineError
from zimage_core.imaging.pixels import Rgb, encode_png

Fault = Literal[
    "drop_before", "drop_after", "busy", "broken", "html", "truncated", "wrong_size", "not_json", "no_field"
]
BEFORE_DRAWING: Sequence[Fault] = ("drop_before", "busy", "broken")
"""Faults that strike before anything is drawn."""
AFTER_DRAWING: Sequence[Fault] = ("drop_after", "html", "truncated", "wrong_size", "not_json", "no_field")
"""Faults that lose a picture which was drawn."""
HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"


@dataclasses.dataclass(frozen=True)
class Seen:
    """A request as it came; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclasses.dataclass(frozen=True)
class Answer:
    """What to answer. `drop`: reset the connection instead. `cut_bytes`: stop after so many bytes of the body.

    `drip_s`: the pause before each byte of the body; `header_drip_s`: before each byte of status line and headers.
    `endless`: the body again and again. `stall`: say nothing until the server stops.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    drop: bool = False
    cut_bytes: int | None = None
    drip_s: float = 0.0
    header_drip_s: float = 0.0
    endless: bool = False
    stall: bool = False


def json_answer(content: object, status: int = 200, **headers: str) -> Answer:
    """Return an answer of JSON; underscores in header names become dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json", **named})


class SmallServer:
    """A threaded HTTP/1.1 server on a free port; `seen` holds what it was asked, in order of arrival."""

    def __init__(self, answer: Callable[[Seen], Answer], tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self._scheme = "http" if tls is None else "https"
        self.seen: list[Seen] = []
        self.most_at_a_time = 0
        self.stopping = threading.Event()
        self._now = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one(self) -> None:
                outer._handle(self)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_one  # noqa: N815 - the names http.server looks for

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:
                """A client that goes away is what half of these tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and let go of whoever waits."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        body = handler.rfile.read(length)
        seen = Seen(handler.command, handler.path, {k.lower(): v for k, v in handler.headers.items()}, body)
        with self._lock:
            self.seen.append(seen)
            self._now += 1
            self.most_at_a_time = max(self.most_at_a_time, self._now)
        try:
            self._send(handler, self.answer(seen))
        except OSError:  # the client has gone
            handler.close_connection = True
        finally:
            with self._lock:
                self._now -= 1

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        if answer.stall:
            self.stopping.wait(60)
        if answer.drop or answer.stall:
            reset(handler)
            return
        length = len(answer.body) if not answer.endless else 1 << 40
        lines = [f"HTTP/1.1 {answer.status} -"]
        headers = {"Content-Length": str(length)} | answer.headers
        lines += [f"{name}: {value}" for name, value in headers.items() if value]
        self._write(handler, ("\r\n".join(lines) + "\r\n\r\n").encode(), answer.header_drip_s)
        while answer.endless and not self.stopping.is_set():
            handler.wfile.write(answer.body)
        self._write(handler, answer.body[: answer.cut_bytes], answer.drip_s)
        if answer.cut_bytes is not None:
            handler.close_connection = True

    def _write(self, handler: BaseHTTPRequestHandler, data: bytes, pause_s: float) -> None:
        if not pause_s:
            handler.wfile.write(data)
            return
        for byte in data:
            if self.stopping.wait(pause_s):
                return
            handler.wfile.write(bytes((byte,)))


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection with a reset, as a process that dies does."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


@contextmanager
def serving(answer: Callable[[Seen], Answer], tls: ssl.SSLContext | None = None) -> Iterator[SmallServer]:
    """A server that answers by this function, started and stopped."""
    server = SmallServer(answer, tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def in_turn(*answers: Answer) -> Callable[[Seen], Answer]:
    """Give these answers in order; the last one again and again."""
    left, lock = list(answers), threading.Lock()

    def answer(_: Seen) -> Answer:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return answer


# ---------------------------------------------------------------- servers that draw


class Mischief:
    """Which calls are spoilt, and how: a share of them, drawn from a seed, or the listed faults in turn."""

    def __init__(self, share: float = 0.0, faults: Sequence[Fault] = (), *, seed: int = 0) -> None:
        self.done: Counter[Fault] = Counter()
        self._share, self._faults = share, tuple(faults)
        self._rng = np.random.default_rng(seed)
        self._lock = threading.Lock()

    def next(self) -> Fault | None:
        with self._lock:
            if not self._faults or self._rng.random() >= self._share:
                return None
            fault = self._faults[int(self._rng.integers(len(self._faults)))]
            self.done[fault] += 1
            return fault


def drawn_picture(prompt: str, seed: int, width_px: int, height_px: int) -> Rgb:
    """A picture that only this prompt, seed and size give: soft blobs of colour."""
    rng = np.random.default_rng([seed, *prompt.encode()[:32]])
    coarse = rng.integers(20, 236, (max(2, height_px // 16), max(2, width_px // 16), 3), dtype=np.uint8)
    rows = np.arange(height_px) * coarse.shape[0] // height_px
    columns = np.arange(width_px) * coarse.shape[1] // width_px
    return np.ascontiguousarray(coarse[rows][:, columns])


class DrawingServer:
    """The protocol is `plain` (POST /v1/generate), `ours` (the same with the whole request, and keys that are known
    again), or `images` (POST /v1/images/generations). `drawn` counts pictures by Idempotency-Key, or by seed without.
    `checks`: whether it looks at which engine a request is meant for.
    """

    def __init__(
        self,
        protocol: Literal["plain", "ours", "images"],
        *,
        mischief: Mischief | None = None,
        engine: Engine | None = None,
        info: EngineInfo | None = None,
        think_s: float = 0.0,
        key: str | None = None,
    ) -> None:
        self.protocol = protocol
        self.mischief = mischief or Mischief()
        self.engine = engine
        self.info = info or (engine.info if engine is not None else OUR_INFO)
        self.drawn: Counter[str] = Counter()
        self.checks = True
        self._think_s = think_s
        self._key = key
        self._kept: dict[str, Rendered] = {}
        self._lock = threading.Lock()
        self.server = SmallServer(self.answer)

    @property
    def url(self) -> str:
        return self.server.url

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def answer(self, seen: Seen) -> Answer:
        if self._key is not None and seen.headers.get("authorization") != f"Bearer {self._key}":
            return json_answer({"detail": f"Wrong key: {seen.headers.get('authorization')}"}, 401)
        if seen.method == "GET" and seen.path == ENGINE_PATH and self.protocol == "ours":
            return Answer(200, to_text(engine_form(self.info)).encode())
        wanted = "/v1/images/generations" if self.protocol == "images" else "/v1/generate"
        if (seen.method, seen.path) != ("POST", wanted):
            return json_answer({"detail": "Not Found"}, 404)
        fault = self.mischief.next()
        if fault == "drop_before":
            return Answer(drop=True)
        if fault == "busy":
            return json_answer({"detail": "too many"}, 429, Retry_After="0.2")
        if fault == "broken":
            return Answer(500, b"Internal Server Error")
        self.server.stopping.wait(self._think_s)
        return self._spoilt(fault, self._drawn(seen, fault))

    def _drawn(self, seen: Seen, fault: Fault | None) -> tuple[dict[str, object], str]:
        """Return the answer and the name of the field with the picture."""
        asked = json.loads(seen.body)
        if self.protocol == "ours":
            form = GenerateBody.model_validate(asked).zimage
            try:
                request = request_from(form, self.info if self.checks else None)
            except EngineError as error:
                return _failure(EngineFailure(form.attempt_id, error, 0.0)), "image"
            return self._from_request(request), "image"
        if self.protocol == "images":
            width, height = (int(side) for side in asked["size"].split("x"))
        else:
            width, height = asked["width"], asked["height"]
        with self._lock:
            self.drawn[seen.headers.get("idempotency-key") or str(asked["seed"])] += 1
        if fault == "wrong_size":
            width += 8
        picture = drawn_picture(asked["prompt"], asked["seed"], width, height)
        text = base64.b64encode(encode_png(picture)).decode()
        if self.protocol == "images":
            return {"created": 1, "data": [{"b64_json": text, "url": None, "revised_prompt": None}]}, "b64_json"
        return {"image": text}, "image"

    def _from_request(self, request: RenderRequest) -> dict[str, object]:
        with self._lock:  # one at a time, as one device draws; a key that is known is answered from what was kept
            kept = self._kept.get(request.attempt_id)
            if kept is None:
                self.drawn[request.attempt_id] += 1
                kept = self._kept[request.attempt_id] = self._rendered(request)
        if not isinstance(kept, Rendered):
            return _failure(kept)
        return generate_answer(kept, fingerprint=self.info.fingerprint).model_dump()

    def _rendered(self, request: RenderRequest) -> Rendered:
        if self.engine is not None:
            return self.engine.render([request])[0]  # type: ignore[return-value]
        rgb = drawn_picture(request.prompt.text, request.seed, request.width_px, request.height_px)
        return Rendered(request.attempt_id, rgb, None, 0.01, 0.002, ("drawn by a small server",))

    def _spoilt(self, fault: Fault | None, drawn: tuple[dict[str, object], str]) -> Answer:
        answer, name = drawn
        if fault == "drop_after":
            return Answer(drop=True)
        if fault == "html":
            return Answer(200, HTML, {"Content-Type": "text/html"})
        if fault == "not_json":
            return Answer(200, b'{"image": "iVBORw0KGgo', {"Content-Type": "application/json"})
        if "status" in answer:
            return json_answer({"detail": answer["detail"]}, int(str(answer["status"])))
        holder = answer["data"][0] if "data" in answer else answer  # type: ignore[index]
        if fault == "no_field":
            del holder[name]
        elif fault == "truncated":
            png = base64.b64decode(holder[name])
            holder[name] = base64.b64encode(png[: len(png) // 2]).decode()
        elif fault == "wrong_size" and self.protocol == "ours":
            holder[name] = base64.b64encode(encode_png(drawn_picture("", 1, 72, 72))).decode()
        return json_answer(answer)


def _failure(failure: EngineFailure) -> dict[str, object]:
    return {"status": status_of(failure.error), **FailureAnswer(detail=failure_form(failure)).model_dump()}


OUR_INFO = EngineInfo(
    name="small",
    fingerprint="small-0001",
    modes=("stage", "text"),
    needs_reference=False,
    size_multiple_px=8,
    max_side_px=2048,
    batch_limit=4,
    seconds_per_image=0.01,
    cost_usd_per_image=0.002,
)


class QuickClock:
    """A clock on which sleeping takes no time and is remembered: real seconds, plus every wait that was asked for."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.waits_s.append(seconds)

    def elapsed_s(self) -> float:
        from zimage_core import clock

        with self._lock:
            return clock.elapsed_s() + sum(self.waits_s)
