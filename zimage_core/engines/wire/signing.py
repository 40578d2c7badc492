"""Signing requests to our own engine server: HMAC-SHA256 over everything that matters. Both sides stand on this.

X-Timestamp: 1790000000                       seconds since 1970
X-Nonce: 5f0c7a...                            16 to 64 characters, never used twice
X-Signature: v1=<hex of HMAC-SHA256(secret, text)>

text = "v1\\n" METHOD "\\n" path?query "\\n" timestamp "\\n" nonce "\\n" hex of sha256(body)
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Final

from pydantic import SecretStr

from zimage_core import clock

VERSION: Final = "v1"

Signer = Callable[[str, str, bytes], dict[str, str]]
"""From method, target (path with query, as it is sent) and body to the headers that sign them."""


def signature(secret: str, *, method: str, target: str, timestamp: str, nonce: str, body: bytes) -> str:
    """Return the value of X-Signature for a request; `target` is the path with its query, as it is sent."""
    text = "\n".join((VERSION, method.upper(), target, timestamp, nonce, hashlib.sha256(body).hexdigest()))
    return f"{VERSION}={hmac.new(secret.encode(), text.encode('utf-8', 'surrogateescape'), hashlib.sha256).hexdigest()}"


def signed_headers(secret: str, *, method: str, target: str, body: bytes, at: datetime, nonce: str) -> dict[str, str]:
    """Return the three headers with which a client signs a request."""
    timestamp = str(int(at.timestamp()))
    signed = signature(secret, method=method, target=target, timestamp=timestamp, nonce=nonce, body=body)
    return {"X-Timestamp": timestamp, "X-Nonce": nonce, "X-Signature": signed}


def signer(
    secret: SecretStr, *, now: Callable[[], datetime] = clock.now, fresh_id: Callable[[], str] = clock.fresh_id
) -> Signer:
    """Return what signs every request with this secret, each with the time of its sending and a nonce of its own."""

    def sign(method: str, target: str, body: bytes) -> dict[str, str]:
        return signed_headers(
            secret.get_secret_value(), method=method, target=target, body=body, at=now(), nonce=fresh_id()
        )

    return sign
