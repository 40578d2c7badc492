"""A second pair of eyes before publishing: each accepted picture is shown to a moderation service, once.

The service is any that takes a POST of JSON and answers {"verdict": "allow"|"review"|"deny", "labels": [...],
"reason": "..."}. What it says is kept in the work store under the picture's content, so that the same picture is not
shown twice, by whatever run. Whatever goes wrong (no answer in time, an error, an answer that is none) is no answer,
and no answer is never an allowance: the picture waits for a person, or for the next publish, which asks again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

from pydantic import ConfigDict, SecretStr, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from zimage_core import clock
from zimage_core.domain import content_id
from zimage_core.engines.wire.client import EngineLocked, Limits, Reply, Wire
from zimage_core.errors import ConfigurationError, EngineError
from zimage_core.publishing.moderation_answers import ModerationAnswer
from zimage_core.settings import Settings

log = logging.getLogger("zimage_core.publishing")

FORMAT: Final = "zimage-moderation/1"
FAILURES_IN_A_ROW: Final = 3
"""After so many calls without an answer the service is taken to be down, and is left alone for a while."""
COOL_DOWN_S: Final = 30.0
TRIES: Final = 2
PAUSE_S: Final = 1.0
MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_REASON_CHARACTERS: Final = 300
_NAME: Final = "moderation"
_PASSING: Final = (408, 425, 429)


@dataclass(frozen=True, slots=True, eq=False)
class ModerationCase:
    """One picture to be judged: its encoded bytes, and what a moderator may want to know of it.

    `texts` are those that we drew over it.
    """

    data: bytes
    media_type: str
    width_px: int
    height_px: int
    sku: str
    product: str
    scene: str
    mode: str
    engine: str
    promotion: str
    channels: tuple[str, ...]
    texts: tuple[str, ...]


class ModerationClient(Protocol):
    """Who is asked about pictures."""

    @property
    def service(self) -> str:
        """Names who answers; answers of one service are not taken for those of another."""
        ...

    def ask(self, case: ModerationCase) -> ModerationAnswer:
        """Return what the service says of a picture; `unanswered`, never an exception, when it says nothing."""
        ...

    def close(self) -> None:
        """Let go of connections; may be called twice."""
        ...


class HttpModeration:
    """A moderation service behind a URL. Threads may share it.

    Two tries a picture at most, for what may pass; after three pictures in a row without an answer it is not called for
    half a minute, so that a service that is down costs seconds, not a time-out for every picture.
    """

    def __init__(
        self,
        url: str,
        key: SecretStr | None,
        *,
        auth: Literal["bearer", "hmac"] = "bearer",
        timeout_s: float = 20.0,
        sleep: Callable[[float], object] | None = None,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        """Raise ConfigurationError for a URL that is neither https nor on this machine, and for hmac without a key."""
        self._url = _safe(url)
        if auth == "hmac" and key is None:
            raise ConfigurationError("ZIMAGE_MODERATION_AUTH is hmac, but ZIMAGE_MODERATION_KEY is not set.")
        self._key, self._auth = key, auth
        self._closed = threading.Event()
        self._sleep, self._elapsed_s, self._now = sleep or self._closed.wait, elapsed_s, now
        self._lock = threading.Lock()
        self._failures, self._resting_until_s = 0, 0.0
        headers = {"Authorization": SecretStr(f"Bearer {key.get_secret_value()}")} if key and auth == "bearer" else {}
        limits = Limits(
            connect_s=min(10.0, timeout_s),
            read_s=timeout_s,
            total_s=timeout_s,
            max_bytes=MAX_ANSWER_BYTES,
            max_redirects=0,
        )
        try:
            self._wire = Wire(_NAME, limits, headers)
        except ConfigurationError as error:
            raise ConfigurationError(
                "ZIMAGE_MODERATION_KEY cannot be sent: it holds a line break, a space at its ends or a character "
                "beyond ASCII."
            ) from error

    @property
    def service(self) -> str:
        """16 digits over the URL: another URL is another service, whose answers are asked for anew."""
        return content_id("moderation", self._url)

    def ask(self, case: ModerationCase) -> ModerationAnswer:
        """Return what the service says of this picture; `unanswered` with the reason when it says nothing usable."""
        with self._lock:
            resting = self._elapsed_s() < self._resting_until_s
        if resting:
            return self._unanswered(f"it was not asked: it failed {FAILURES_IN_A_ROW} times in a row.")
        answer = self._answered(case)
        if answer.verdict == "unanswered":
            log.warning("No moderation answer for %s: %s", case.sku, answer.reason)
        self._note(failed=answer.verdict == "unanswered")
        return answer

    def close(self) -> None:
        """Close the connections and wake whoever waits for a second try."""
        self._closed.set()
        self._wire.close()

    def _answered(self, case: ModerationCase) -> ModerationAnswer:
        """Return the answer of the service, after a second try where the first failed in a way that may pass."""
        body, why = body_of(case), ""
        for remaining in reversed(range(TRIES)):
            try:
                reply = self._call(body)
            except EngineError as error:  # what the wire raises speaks of an engine; here it is the service
                why = error.sentence.replace(f"Engine '{_NAME}'", "it", 1)
                passing, pause_s = not isinstance(error, EngineLocked), PAUSE_S
            else:
                if reply.status == 200:
                    return self._understood(reply.body)
                why = f"it answered {reply.status} at {reply.endpoint}: {reply.message() or reply.sniffed()}"
                passing = reply.status in _PASSING or reply.status >= 500
                pause_s = min(reply.retry_after_s() or PAUSE_S, COOL_DOWN_S)
            if not passing:
                break
            if remaining:
                self._sleep(pause_s)
        return self._unanswered(why)

    def _call(self, body: bytes) -> Reply:
        headers = {"Content-Type": "application/json", **self._signed(body)}
        return self._wire.call("POST", self._url, content=body, headers=headers, accept="application/json")

    def _signed(self, body: bytes) -> dict[str, str]:
        if self._auth != "hmac" or self._key is None:
            return {}
        stamp = str(int(self._now().timestamp()))
        return {
            "X-Zimage-Timestamp": stamp,
            "X-Zimage-Signature": signature_of(self._key.get_secret_value(), stamp, body),
        }

    def _understood(self, body: bytes) -> ModerationAnswer:
        try:
            said = _ANSWER.validate_json(body)
        except ValidationError as error:
            wrong = ", ".join(sorted({".".join(map(str, e["loc"])) or "the whole of it" for e in error.errors()}))
            return self._unanswered(f"its answer cannot be understood: {wrong}.")
        return ModerationAnswer(said.verdict, tuple(said.labels), said.reason[:MAX_REASON_CHARACTERS], self._now())

    def _unanswered(self, why: str) -> ModerationAnswer:
        return ModerationAnswer("unanswered", (), why[:MAX_REASON_CHARACTERS], self._now())

    def _note(self, *, failed: bool) -> None:
        with self._lock:
            self._failures = self._failures + 1 if failed else 0
            if self._failures >= FAILURES_IN_A_ROW:
                self._failures, self._resting_until_s = 0, self._elapsed_s() + COOL_DOWN_S


def moderation_client(settings: Settings) -> ModerationClient | None:
    """Return who is asked about pictures by these settings; None when nobody is. Nothing is called yet."""
    if settings.moderation_url is None:
        return None
    return HttpModeration(
        settings.moderation_url,
        settings.moderation_key,
        auth=settings.moderation_auth,
        timeout_s=settings.moderation_timeout_s,
    )


def body_of(case: ModerationCase) -> bytes:
    """Return the JSON that is posted for a picture: the same case is the same bytes."""
    document = {
        "format": FORMAT,
        "picture": {
            "media_type": case.media_type,
            "width_px": case.width_px,
            "height_px": case.height_px,
            "sha256": hashlib.sha256(case.data).hexdigest(),
            "base64": base64.b64encode(case.data).decode("ascii"),
        },
        "sku": case.sku,
        "product": case.product,
        "scene": case.scene,
        "mode": case.mode,
        "engine": case.engine,
        "promotion": case.promotion,
        "channels": list(case.channels),
        "texts": list(case.texts),
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def signature_of(key: str, timestamp: str, body: bytes) -> str:
    """Return `sha256=` and the HMAC-SHA256, in hex, of "{timestamp}.{body}": what the service computes to compare."""
    return "sha256=" + hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _safe(url: str) -> str:
    """Return the URL, if pictures may be sent there. Raises ConfigurationError."""
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or parts.scheme not in (("http", "https") if local else ("https",)):
        raise ConfigurationError(
            "ZIMAGE_MODERATION_URL must be an https address (http only on this machine), so that pictures and key are "
            f"not sent in the clear; it is {parts.scheme or 'no scheme'}://{parts.hostname or 'no host'}."
        )
    return url


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="ignore", strict=True))
class _Said:
    """What a service answers; anything beside these is its own business."""

    verdict: Literal["allow", "review", "deny"]
    labels: list[str]
    reason: str = ""


_ANSWER = TypeAdapter(_Said)
