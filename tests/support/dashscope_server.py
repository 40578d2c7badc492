"""DashScope's protocol on a real socket, as far as z-image-turbo uses it, with switches for what goes wrong there.

It draws a deterministic picture from (prompt, seed, size), so that a test can tell whose picture an answer is, and
counts every picture that the real service would bill, by prompt and seed.
"""

from __future__ import annotations

import itertools
import json
import threading
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

KEY = "sk-0123456789abcdef-secret"
SYNC = "/api/v1/services/aigc/multimodal-generation/generation"
ASYNC = "/api/v1/services/aigc/image-generation/generation"

REFUSALS: dict[str, tuple[int, str, str]] = {
    "throttled": (429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
    "throttled_retry_after": (429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
    "allocation": (429, "Throttling.AllocationQuota", "Allocated quota exceeded, please increase your quota limit."),
    "burst": (429, "Throttling", "Request rate increased too quickly. Please adjust your client logic."),
    "arrearage": (400, "Arrearage", "Access denied, please make sure your account is in good standing."),
    "invalid_key": (401, "InvalidApiKey", f"Invalid API-key provided: {KEY}."),
    "denied": (403, "AccessDenied", "Access denied."),
    "unpurchased": (403, "AccessDenied.Unpurchased", "Access to model denied."),
    "no_model": (404, "Model.NotExist", "Model not exist."),
    "inspection": (400, "DataInspectionFailed", "Input data may contain inappropriate content."),
    "parameter": (400, "InvalidParameter", "size is not valid"),
    "internal": (500, "InternalError", "An internal error has occured, please try again later."),
    "unavailable": (503, "ServiceUnavailable", "The service is temporarily unavailable."),
    "gateway": (504, "GatewayTimeout", "The gateway timed out."),
}
"""name of a fault → status, code, message, as the service words them."""

PASSING = ("throttled", "throttled_retry_after", "burst", "internal", "unavailable", "gateway", "html", "drop_before")
"""Faults of a submission after which the same call may go well, and nothing was billed."""
BILLED = ("drop_after", "no_image")
"""Faults of a submission whose picture was made, and is billed, without an answer that leads to it."""
IMAGE_FAULTS = ("image_500", "image_html", "image_truncated", "image_cut_off", "image_drop")
"""Faults of a download; the same URL may go well again."""


@dataclass
class Seen:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Faults:
    """Which fault the next exchange has: first what is queued for its stage, then by chance, from a seed."""

    share: float = 0.0
    kinds: Mapping[str, Sequence[str]] = field(default_factory=dict)
    seed: int = 0
    queued: dict[str, deque[str | None]] = field(default_factory=dict)
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._lock = threading.Lock()

    def queue(self, stage: str, *kinds: str | None) -> None:
        """Let the next exchanges of a stage (submit, poll, image) go wrong in these ways; None = it goes well."""
        self.queued.setdefault(stage, deque()).extend(kinds)

    def next(self, stage: str) -> str | None:
        with self._lock:
            kind = None
            if self.queued.get(stage):
                kind = self.queued[stage].popleft()
            elif self.kinds.get(stage) and self._rng.random() < self.share:
                kind = str(self._rng.choice(list(self.kinds[stage])))
            if kind is not None:
                self.happened[kind] += 1
            return kind


@dataclass
class Task:
    task_id: str
    body: dict[str, Any]
    polls: int = 0
    ending: str = "SUCCEEDED"
    canceled: bool = False
    where: str | None = None


def drawn(prompt: str, seed: int, width_px: int, height_px: int) -> np.ndarray:
    """Return the picture this server draws: soft blotches that depend on every argument, (H, W, 3) uint8."""
    rng = np.random.default_rng([seed, zlib.crc32(prompt.encode())])
    small = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width_px, height_px), interpolation=cv2.INTER_LINEAR))


class DashScopeServer:
    """The server, its faults, what it has seen and what it has billed."""

    def __init__(self, faults: Faults | None = None, *, polls_until_done: int = 2) -> None:
        self.faults = faults or Faults()
        self.polls_until_done = polls_until_done
        self.seen: list[Seen] = []
        self.billed: Counter[tuple[str, int]] = Counter()
        self.tasks: dict[str, Task] = {}
        self.images: dict[str, dict[str, Any]] = {}
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.released = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def submissions(self) -> list[Seen]:
        return [one for one in self.seen if one.method == "POST" and one.path in (SYNC, ASYNC)]

    def paths(self, prefix: str) -> list[str]:
        return [one.path for one in self.seen if one.path.startswith(prefix)]

    @contextmanager
    def running(self) -> Iterator[DashScopeServer]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._http.shutdown()
            self._http.server_close()
            thread.join()

    # ------------------------------------------------------------ what it keeps

    def bill(self, body: dict[str, Any]) -> str:
        """Make the picture of a request, write it on the bill, and return the path it can be fetched from."""
        prompt, seed = prompt_of(body), body["parameters"]["seed"]
        with self.lock:
            self.billed[prompt, seed] += 1
            name = f"{len(self.images):06d}"
            self.images[name] = body
        return f"/results/{name}.png?Expires=1790000000&Signature=abc%2Bdef"


def prompt_of(body: dict[str, Any]) -> str:
    return str(body["input"]["messages"][0]["content"][0]["text"])


def png_of(body: dict[str, Any], *, times: int = 1) -> bytes:
    width, height = (int(side) for side in body["parameters"]["size"].split("*"))
    rgb = drawn(prompt_of(body), body["parameters"]["seed"], width * times, height)
    done, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return data.tobytes()


def _handler_of(server: DashScopeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        ours = server

    return Handler


class _Handler(BaseHTTPRequestHandler):
    ours: DashScopeServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing is logged: tests read `seen`."""

    # ------------------------------------------------------------ the routes

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        self._note(json.loads(body) if body else None)
        if path.endswith("/cancel"):
            return self._cancel(path.split("/")[-2])
        fault = self.ours.faults.next("submit")
        if fault == "drop_before":
            return self._drop()
        if fault in REFUSALS:
            return self._refuse(fault)
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._refuse("invalid_key")
        asynchronous = self.headers.get("X-DashScope-Async") == "enable"
        if path != (ASYNC if asynchronous else SYNC):
            return self._json(404, {"code": "InvalidURL", "message": "Invalid URL.", "request_id": "r"})
        if fault == "html":
            return self._send(200, b"<html><body>Sign in to this hotel's network</body></html>", "text/html")
        given = json.loads(body)
        return self._submit(given, fault) if asynchronous else self._generate(given, fault)

    def do_GET(self) -> None:
        self._note(None)
        path = urlsplit(self.path).path
        if path.startswith("/results/"):
            return self._image(path.removeprefix("/results/").removesuffix(".png"))
        if path.startswith("/api/v1/tasks/"):
            return self._poll(path.removeprefix("/api/v1/tasks/"))
        return self._json(404, {"code": "InvalidURL", "message": "Invalid URL."})

    def _generate(self, body: dict[str, Any], fault: str | None) -> None:
        where = self.ours.bill(body)
        if fault == "drop_after":
            return self._drop()
        parts = [{"text": prompt_of(body)}]
        if fault != "no_image":
            parts.insert(0, {"image": self.ours.url + where})
        return self._json(200, {"output": {"choices": [_choice(parts)]}, "usage": _usage(body), "request_id": "req-1"})

    def _submit(self, body: dict[str, Any], fault: str | None) -> None:
        with self.ours.lock:
            task = Task(f"task-{next(self.ours.numbers):05d}", body)
            self.ours.tasks[task.task_id] = task
        if fault in BILLED:
            task.where = self.ours.bill(body)
        if fault == "drop_after":
            return self._drop()
        output = {"task_id": task.task_id, "task_status": "PENDING"}
        return self._json(200, {"output": {} if fault == "no_image" else output, "request_id": "req-2"})

    def _poll(self, task_id: str) -> None:
        fault = self.ours.faults.next("poll")
        task = self.ours.tasks.get(task_id)
        if fault in REFUSALS:
            return self._refuse(fault)
        if fault == "poll_drop":
            return self._drop()
        if fault == "unknown":
            self.ours.tasks.pop(task_id, None)
            task = None
        if task is None:
            return self._task({"task_id": task_id, "task_status": "UNKNOWN"})
        if fault in ("failed", "failed_inspection", "never", "lost_image"):
            task.ending = fault
        return self._task(self._state_of(task))

    def _state_of(self, task: Task) -> dict[str, Any]:
        said: dict[str, Any] = {"task_id": task.task_id}
        task.polls += 1
        if task.canceled:
            return said | {"task_status": "CANCELED"}
        if task.ending.startswith("failed"):
            kind = "inspection" if task.ending == "failed_inspection" else "internal"
            return said | {"task_status": "FAILED", "code": REFUSALS[kind][1], "message": REFUSALS[kind][2]}
        if task.ending == "never" or task.polls < self.ours.polls_until_done:
            return said | {"task_status": "PENDING" if task.polls == 1 else "RUNNING"}
        where = task.where = task.where or self.ours.bill(task.body)
        parts = [] if task.ending == "lost_image" else [{"image": self.ours.url + where}]
        return said | {"task_status": "SUCCEEDED", "choices": [_choice(parts)]}

    def _cancel(self, task_id: str) -> None:
        task = self.ours.tasks.get(task_id)
        if task is None or task.polls > 1:
            return self._json(400, {"code": "UnsupportedOperation", "message": "The task is not PENDING."})
        task.canceled = True
        return self._json(200, {"request_id": "req-3"})

    def _image(self, name: str) -> None:
        fault = self.ours.faults.next("image")
        data = png_of(self.ours.images[name], times=2 if fault == "image_wrong_size" else 1)
        if fault == "image_drop":
            return self._drop()
        if fault == "image_500":
            return self._send(500, b"", "text/plain")
        if fault == "image_expired":
            return self._send(403, b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "application/xml")
        if fault == "image_html":
            return self._send(200, b"<html>Sign in</html>", "image/png")
        if fault == "image_truncated":
            return self._send(200, data[: len(data) // 2], "image/png")
        if fault == "image_cut_off":
            return self._cut_off(data)
        if fault == "image_drip":
            return self._drip(data)
        if fault == "image_moved":
            return self._send(302, b"", "text/plain", {"Location": self.path})
        return self._send(200, data, "image/png")

    # ------------------------------------------------------------ how it answers

    def _note(self, body: object) -> None:
        path = urlsplit(self.path).path
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.ours.lock:
            self.ours.seen.append(Seen(self.command, path, headers, body))

    def _refuse(self, fault: str) -> None:
        status, code, message = REFUSALS[fault]
        more = {"Retry-After": "7"} if fault == "throttled_retry_after" else {}
        self._json(status, {"code": code, "message": message, "request_id": "req-0"}, more)

    def _task(self, output: dict[str, Any]) -> None:
        self._json(200, {"output": output, "request_id": "req-4", "usage": {"image_count": 1}})

    def _json(self, status: int, document: object, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(document).encode(), "application/json", headers)

    def _send(self, status: int, data: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _drop(self) -> None:
        self.close_connection = True

    def _cut_off(self, data: bytes) -> None:
        """Promise all bytes and send half of them."""
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self._drop()

    def _drip(self, data: bytes) -> None:
        """Send a byte every twentieth of a second: no read ever times out, and it would take hours."""
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        try:
            for byte in data:
                self.wfile.write(bytes((byte,)))
                self.wfile.flush()
                if self.ours.released.wait(0.05):
                    break
        except OSError:
            pass
        self._drop()


def _choice(parts: list[dict[str, str]]) -> dict[str, Any]:
    return {"finish_reason": "stop", "message": {"role": "assistant", "content": parts, "reasoning_content": ""}}


def _usage(body: dict[str, Any]) -> dict[str, int]:
    width, height = (int(side) for side in body["parameters"]["size"].split("*"))
    return {"width": width, "height": height, "image_count": 1}
