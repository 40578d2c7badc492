"""The door: who may come in, how often, and with how much. Pure ASGI, so that nothing is parsed before it is allowed.

In this order: the Host a request is for, the caller's key, its rate, the size and the time of its body, its signature.
/health, /ready and what describes the endpoints need no key; /metrics needs one unless settings open it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zimage_core.serving.callers import ANONYMOUS, Keys, host_name, is_loopback
from zimage_core.serving.denials import Denied
from zimage_core.serving.meters import Meters
from zimage_core.serving.rates import Rates
from zimage_core.serving.signatures import Signatures

OPEN_PATHS: Final = ("/health", "/ready", "/openapi.json", "/docs")
METRICS_PATH: Final = "/metrics"
DRAWING_METHOD: Final = "POST"


@dataclass(frozen=True, slots=True)
class DoorRules:
    """How large a body may be, how long it may take, how much of all bodies is held at a time, what is open."""

    max_body_bytes: int
    body_timeout_s: float
    max_bodies_bytes: int
    open_paths: tuple[str, ...]


class Door:
    """ASGI middleware. What it lets in has `caller` in its scope's state, and its body whole."""

    def __init__(
        self, app: ASGIApp, *, rules: DoorRules, keys: Keys, signatures: Signatures, rates: Rates, meters: Meters
    ) -> None:
        self._app, self._rules = app, rules
        self._keys, self._signatures, self._rates, self._meters = keys, signatures, rates, meters
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held = 0
        try:
            headers = Headers(scope=scope)
            scope.setdefault("state", {})["caller"] = self._caller(scope, headers)
            body = bytearray()
            if _may_have_body(scope, headers):
                held = self._hold(headers)
                await self._read(body, receive)
            self._check_signature(scope, headers, bytes(body))
        except Denied as denied:
            self._meters.rejected.labels(_reason(denied.status)).inc()
            self._held_bytes -= held
            await denied.response()(scope, receive, send)
            return
        try:
            await self._app(scope, _replayed(bytes(body), receive), send)
        finally:
            self._held_bytes -= held

    def _caller(self, scope: Scope, headers: Headers) -> str:
        if not self._keys.needed and not is_loopback(host_name(headers.get("host", ""))):
            # without keys only this machine calls; a web page that has its own name resolve to it does not
            raise Denied(403, "Without API keys this server answers requests for localhost only.")
        if self._is_open(scope):
            return ANONYMOUS
        caller = self._keys.caller(headers)
        if caller is None:
            raise Denied(
                401, "An API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY.", WWW_Authenticate="Bearer"
            )
        wait_s = self._rates.wait_s(caller) if scope["method"] == DRAWING_METHOD else 0.0
        if wait_s > 0:
            raise Denied(429, "This key has asked too often; wait a little.", retry_after_s=wait_s)
        return caller

    def _is_open(self, scope: Scope) -> bool:
        return scope["path"] in self._rules.open_paths

    def _hold(self, headers: Headers) -> int:
        """Return how many bytes are set aside for a body: what it says of itself, or as much as it may have."""
        most = self._rules.max_body_bytes
        told = headers.get("content-length", "")
        size = int(told) if told.isascii() and told.isdigit() else most
        if size > most:
            raise self._too_large()
        if self._held_bytes + size > self._rules.max_bodies_bytes:
            raise Denied(503, "Too many large requests at a time; come back shortly.", retry_after_s=1.0)
        self._held_bytes += size
        return size

    async def _read(self, body: bytearray, receive: Receive) -> None:
        """Read a body, counting: it is refused as soon as it is too large or too slow, not when it is all here."""
        try:
            async with asyncio.timeout(self._rules.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Denied(400, "The request ended before its body was whole.")
                    body += message.get("body", b"")
                    if len(body) > self._rules.max_body_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        return
        except TimeoutError:
            raise Denied(
                408, f"The body did not arrive within {self._rules.body_timeout_s:g} s.", Connection="close"
            ) from None

    def _too_large(self) -> Denied:
        return Denied(413, f"The body may have {self._rules.max_body_bytes} bytes at most.", Connection="close")

    def _check_signature(self, scope: Scope, headers: Mapping[str, str], body: bytes) -> None:
        if not self._signatures.needed or self._is_open(scope):
            return
        query = scope.get("query_string", b"").decode("latin-1")
        target = scope.get("raw_path", b"").decode("latin-1") + (f"?{query}" if query else "")
        wrong = self._signatures.what_is_wrong(
            headers, caller=scope["state"]["caller"], method=scope["method"], target=target, body=body
        )
        if wrong:
            raise Denied(401, wrong)


def _may_have_body(scope: Scope, headers: Headers) -> bool:
    return "content-length" in headers or "transfer-encoding" in headers or scope["method"] in ("POST", "PUT", "PATCH")


def _reason(status: int) -> str:
    return {401: "key", 403: "host", 408: "slow_body", 413: "large_body", 429: "rate", 503: "bodies"}.get(
        status, "other"
    )


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body that was read, then goes on with the connection's own messages."""
    given = False

    async def again() -> Message:
        nonlocal given
        if not given:
            given = True
            message: dict[str, Any] = {"type": "http.request", "body": body, "more_body": False}
            return message
        return await receive()

    return again
