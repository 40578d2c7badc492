"""The outermost layer: every request gets an id, every answer the headers that keep it harmless, every one a log line.

A log line holds method, path (never the query), status, milliseconds, the caller's name and the request id; no header
and no body ever gets into a log. What nobody expected is logged with its stack and answered 500 without one.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zimage_core import clock
from zimage_core.serving.denials import Denied
from zimage_core.serving.meters import Meters

log = logging.getLogger("zimage_core.serving.requests")

REQUEST_ID: Final = "X-Request-ID"
_FIT_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PLAIN_PATHS: Final = ("/health", "/ready", "/metrics")
"""Asked every few seconds by machines: logged on level debug."""


class Front:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _FIT_ID.fullmatch(given) else clock.fresh_id()
        scope.setdefault("state", {})["request_id"] = request_id
        started_s = clock.elapsed_s()
        status = 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception:
            log.exception("%s %s failed, request %s", scope["method"], _safe(scope["path"]), request_id)
            if not status:
                await fault_of(request_id).response()(scope, receive, sent)
        finally:
            self._note(scope, status, clock.elapsed_s() - started_s, request_id)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "none")
        self._meters.http.labels(route, str(status)).inc()
        log.log(
            logging.DEBUG if scope["path"] in _PLAIN_PATHS else logging.INFO,
            "%s %s %d in %.0f ms, caller %s, request %s",
            scope["method"],
            _safe(scope["path"]),
            status,
            1000 * seconds,
            scope.get("state", {}).get("caller", "unknown"),
            request_id,
        )


def fault_of(request_id: str) -> Denied:
    """Return what is answered when the server made a mistake: where to look, nothing of what happened."""
    return Denied(500, f"The server made a mistake; its log has more under request {request_id}.")


def _safe(path: str) -> str:
    """Return a path fit for one line of a log: no control characters, not endless."""
    return "".join(sign if sign.isprintable() else "?" for sign in path[:200])
