"""What a server answered, and which error its status means; never with a secret in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from zimage_core import clock
from zimage_core.errors import BadImage, EngineBusy, EngineError, EngineRefused, EngineUnavailable

MAX_MESSAGE_CHARS: Final = 300
_BUSY: Final = (408, 409, 425, 429)
"""Too slow, the same call is still under way, too early, too many: what the DashScope and OpenAI clients repeat too."""
_LOCKED: Final = (401, 402, 403, 407)
_TAGS: Final = re.compile(rb"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class EngineLocked(EngineUnavailable):
    """The engine works for nobody until a person acts: key, account, certificate, address.

    Its shots wait (that is why it counts as retryable), but the call is not repeated by itself: see `with_retries`.
    """


class EngineUnreachable(EngineUnavailable):
    """No connection came about: the engine has not seen the request, and any other may be asked."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came. `endpoint` is scheme, host and path, without what could be secret; `seconds` the call."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    seconds: float
    endpoint: str = ""
    mask: Callable[[str], str] = field(repr=False, default=str)

    @property
    def is_ok(self) -> bool:
        """Tell whether the status is 2xx."""
        return 200 <= self.status < 300

    def json_object(self, engine: str, what: str) -> dict[str, Any]:
        """Return the body as a JSON object. Raises BadImage saying what came instead of `what`."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise BadImage(
                f"Engine '{engine}' answered with {self.sniffed()} where {what} was due ({self.endpoint}, status "
                f"{self.status}).",
                engine=engine,
            )
        return found

    def sniffed(self) -> str:
        """Return what the body seems to be, for a sentence: a picture's format, HTML, JSON, nothing ..."""
        return kind_of(self.body)

    def message(self) -> str:
        """Return the server's own words, masked, on one line of at most 300 characters; '' where it says nothing."""
        return one_line(self.mask(_said(self.body)))

    def retry_after_s(self) -> float | None:
        """Return how long the server asks us to wait (Retry-After in seconds or as a date), None if it does not."""
        milliseconds = _number(self.headers.get("retry-after-ms"))
        if milliseconds is not None:
            return milliseconds / 1000.0
        asked = self.headers.get("retry-after")
        seconds = _number(asked)
        if seconds is not None or asked is None:
            return seconds
        return _until(asked, self.headers.get("date"))


def error_for_status(reply: Reply, engine: str, *, what: str) -> EngineError:
    """Return the error that this answer to `what` (such as "the picture of MUG-1") means.

    408, 409, 425, 429 -> EngineBusy with what Retry-After asks for; 401, 402, 403, 407 -> EngineLocked; 5xx and
    redirects -> EngineUnavailable; any other -> EngineRefused. The sentence holds the status and the server's words.
    """
    said = reply.message()
    sentence = (
        f"Engine '{engine}' answered {reply.status} at {reply.endpoint} to {what}{': ' if said else '.'}{said}".rstrip()
    )
    if sentence[-1] not in ".!?…。":
        sentence += "."
    if reply.status in _BUSY:
        return EngineBusy(sentence, engine=engine, retry_after_s=reply.retry_after_s())
    if reply.status in _LOCKED:
        cure = "Check ZIMAGE_ENGINE_API_KEY and the account behind it."
        return EngineLocked(f"{sentence} {cure}", engine=engine)
    if reply.status >= 500 or reply.status < 400:
        return EngineUnavailable(sentence, engine=engine, retry_after_s=reply.retry_after_s())
    return EngineRefused(sentence, engine=engine)


def one_line(words: str) -> str:
    """Return somebody else's words as they may stand in a sentence or a log: one line of at most 300 characters."""
    words = re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", words).strip()
    return words if len(words) <= MAX_MESSAGE_CHARS else words[: MAX_MESSAGE_CHARS - 1] + "…"


def kind_of(body: bytes) -> str:
    """Return what these bytes seem to be, for a sentence."""
    start = body[:512].lstrip().lower()
    if not body:
        return "an empty body"
    for magic, name in ((b"\x89png", "a PNG"), (b"\xff\xd8\xff", "a JPEG"), (b"gif8", "a GIF"), (b"bm", "a BMP")):
        if start.startswith(magic):
            return name
    if start.startswith(b"riff") and start[8:12] == b"webp":
        return "a WebP"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if start.startswith(b"<"):
        return "XML"
    if start.startswith((b"{", b"[")):
        return "JSON"
    if all(byte >= 32 or byte in b"\r\n\t" for byte in start):
        return "text"
    return f"{len(body)} bytes that are no picture (they begin {body[:4].hex(' ')})"


def _said(body: bytes) -> str:
    """Return the message inside an error body: FastAPI's detail, OpenAI's error.message, a message, or plain text."""
    try:
        found = json.loads(body[:65_536])
    except (ValueError, RecursionError):
        return _TAGS.sub(b" ", body[:16_384]).decode("utf-8", "replace")
    return _words_of(found)


def _words_of(found: Any, depth: int = 0) -> str:
    if isinstance(found, str) or depth > 4:
        return str(found)
    if isinstance(found, list):
        return "; ".join(_words_of(one, depth + 1) for one in found[:3])
    if isinstance(found, dict):
        for name in ("detail", "error", "sentence", "message", "msg", "code"):
            if found.get(name):
                words = _words_of(found[name], depth + 1)
                where = found.get("loc")
                return f"{'.'.join(str(part) for part in where)}: {words}" if isinstance(where, list) else words
    return json.dumps(found, ensure_ascii=False)


def _number(text: str | None) -> float | None:
    """Return a count of seconds from a header, None where it is none or absurd."""
    try:
        value = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return value if 0.0 <= value < 1e9 else None


def _until(date: str, sent: str | None) -> float | None:
    """Return the seconds until an HTTP date, by the server's own clock where it told us its time."""
    try:
        then = parsedate_to_datetime(date)
        now: datetime = parsedate_to_datetime(sent) if sent else clock.now()
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
