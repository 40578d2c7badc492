"""Who is calling: API keys, kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import SecretStr

from zimage_core.errors import ConfigurationError

ANONYMOUS: Final = "anonymous"
_LABEL_CHARS: Final = 8
_LOOPBACK_NAMES: Final = ("localhost",)


class Keys:
    """The keys that open the door. A caller's name is the start of the hash of its key: fit for logs, no secret."""

    def __init__(self, keys: Iterable[SecretStr]) -> None:
        self._digests = [hashlib.sha256(key.get_secret_value().encode()).digest() for key in keys]

    @property
    def needed(self) -> bool:
        """Whether any key is configured."""
        return bool(self._digests)

    def caller(self, headers: Mapping[str, str]) -> str | None:
        """Return the caller's name, None when its key is missing or wrong; without keys everybody is `anonymous`.

        The key comes as `Authorization: Bearer KEY` or `X-API-Key: KEY`. Every configured key is compared, so that
        the time taken tells nothing about which one came near.
        """
        if not self.needed:
            return ANONYMOUS
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            given = headers.get("x-api-key", "")
        digest = hashlib.sha256(given.strip().encode("utf-8", "surrogateescape")).digest()
        fits = [hmac.compare_digest(digest, known) for known in self._digests]
        return digest.hex()[:_LABEL_CHARS] if any(fits) else None


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only be reached from this machine."""
    if host.lower() in _LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def ensure_guarded(host: str, keys: Keys) -> None:
    """Raise ConfigurationError when a server without keys would be open to other machines."""
    if not keys.needed and not is_loopback(host):
        raise ConfigurationError(
            f"A server without API keys listens on this machine only, not on {host}: set ZIMAGE_SERVE_API_KEYS (one or "
            "more keys, 16 characters each or longer, separated by commas), or leave --host at 127.0.0.1."
        )


def host_name(header: str) -> str:
    """Return the host of a Host header, without its port."""
    if header.startswith("["):
        return header.partition("]")[0].lstrip("[")
    return header.partition(":")[0]
