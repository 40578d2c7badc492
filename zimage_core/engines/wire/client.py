"""One HTTP client for an engine: time that ends, bodies that end, redirects that stay, secrets that are not seen."""

from __future__ import annotations

import importlib.metadata
import json as jsons
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpcore
import httpx
from pydantic import SecretStr

from zimage_core import clock
from zimage_core.engines.wire.replies import EngineLocked, EngineUnreachable, Reply, error_for_status, one_line
from zimage_core.engines.wire.signing import Signer
from zimage_core.engines.wire.transport import AddressesOf, Deadline, DeadlineTransport, unpacked
from zimage_core.errors import ConfigurationError, EngineError, EngineTimeout, EngineUnavailable

__all__ = ["EngineLocked", "EngineUnreachable", "Limits", "Reply", "Wire", "error_for_status"]

MASK: Final = "***"
_SCHEMES: Final = ("bearer", "basic", "token", "apikey", "api-key")
_LATE: Final = (httpx.TimeoutException, httpcore.TimeoutException)
_BROKEN: Final = (
    httpx.RequestError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
    ssl.SSLError,
    OSError,
)
_NOT_SENT: Final = (httpx.ConnectError, httpcore.ConnectError, httpx.UnsupportedProtocol, httpcore.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take: seconds to connect, between two bytes, and in all; bytes of the answer; redirects."""

    connect_s: float = 10.0
    read_s: float = 60.0
    total_s: float = 180.0
    max_bytes: int = 64 * 1024 * 1024
    max_redirects: int = 3


class Wire:
    """A pool of connections for one engine; threads may share it.

    `headers` go with every call, except where a redirect leads to another host and where `call` is told `bare`; those
    that are SecretStr are masked wherever a server repeats them. `connections`: how many at a time. `ca_file`: more
    certificate authorities to trust, in PEM; certificates are verified always. `sign` gives each request that carries
    our headers the ones that sign it, as it is sent, after redirects too; multipart bodies are not signed.
    `addresses_of`: which addresses a host's connections go to; what it raises, `call` raises.

    Raises ConfigurationError: a header that cannot be sent, a `ca_file` that cannot be read.
    """

    def __init__(
        self,
        engine: str,
        limits: Limits | None = None,
        headers: Mapping[str, SecretStr | str] | None = None,
        transport: httpx.BaseTransport | None = None,
        *,
        connections: int = 64,
        ca_file: Path | None = None,
        sign: Signer | None = None,
        addresses_of: AddressesOf | None = None,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        self.engine = engine
        self._sign = sign
        self.limits = limits or Limits()
        self._headers = dict(headers or {})
        self._elapsed_s = elapsed_s
        self._deadline = Deadline(elapsed_s)
        self._secrets = _secrets_of(engine, self._headers)
        self.ssl_context = _trusting(engine, ca_file)
        self._closed = False
        self._transport = transport or DeadlineTransport(
            self._deadline, connections=connections, ssl_context=self.ssl_context, addresses_of=addresses_of
        )

    def __repr__(self) -> str:
        return f"Wire({self.engine!r}, {self.limits!r}, headers={sorted(self._headers)})"

    def close(self) -> None:
        """Close every connection; calls under way in other threads end, later ones are refused. May be called twice."""
        self._closed = True
        self._transport.close()

    def mask(self, text: str) -> str:
        """Return the text with every secret of this client replaced by ***."""
        for secret in self._secrets:
            text = text.replace(secret.get_secret_value(), MASK)
        return text

    def call(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        files: Any = None,
        headers: Mapping[str, str] | None = None,
        total_s: float | None = None,
        accept: str = "*/*",
        bare: bool = False,
    ) -> Reply:
        """Return what the server answered, whatever its status (see `error_for_status`).

        `json` is sent as UTF-8 JSON, `content` as it is, `files` as multipart/form-data (as httpx takes it). `bare`:
        without this client's own headers, for addresses that are not the engine's own.

        Raises EngineTimeout (connecting, one read, or the whole call took too long), EngineUnavailable (no connection,
        broken off, too large, a redirect that is not followed), EngineLocked (a certificate that is not trusted).
        """
        given = {"accept": accept, "accept-encoding": "identity"} | {k.lower(): v for k, v in (headers or {}).items()}
        if json is not None:
            content = jsons.dumps(json, ensure_ascii=True, allow_nan=False).encode()
            given.setdefault("content-type", "application/json")
        if self._closed:
            raise self._was_closed()
        started_s = self._elapsed_s()
        seconds = self.limits.total_s if total_s is None else total_s
        endpoint = _shown(url)
        try:
            with self._deadline.within(seconds):
                return self._redirected(method, url, given, content, files, bare, started_s)
        except (httpx.ConnectTimeout, httpcore.ConnectTimeout) as error:
            raise self._unavailable(
                endpoint, httpcore.ConnectError(f"no connection in time, {type(error).__name__}")
            ) from None
        except _LATE as error:
            took_s = self._elapsed_s() - started_s
            raise EngineTimeout(
                f"Engine '{self.engine}' at {endpoint} gave no whole answer within {took_s:.1f} s "
                f"({type(error).__name__}; {self.limits.connect_s:g} s to connect, {self.limits.read_s:g} s between "
                f"bytes and {seconds:g} s in all are allowed).",
                engine=self.engine,
            ) from None
        except _BROKEN as error:
            raise self._unavailable(endpoint, error) from None

    # ------------------------------------------------------------ one call

    def _redirected(
        self,
        method: str,
        url: str,
        given: Mapping[str, str],
        content: bytes | None,
        files: Any,
        bare: bool,
        started_s: float,
    ) -> Reply:
        """Return the answer at the end of the redirects."""
        address = self._address(url)
        for _ in range(self.limits.max_redirects + 1):
            signed = {} if self._sign is None or bare else self._sign(method, _target(address), content or b"")
            sent = httpx.Request(
                method,
                address,
                headers=self._all_headers(given, bare=bare) | signed,
                content=content,
                files=files,
                extensions={"timeout": self._timeouts()},
            )
            response = self._transport.handle_request(sent)
            try:
                target = response.headers.get("location") if response.status_code in (301, 302, 303, 307, 308) else None
                if target is None:
                    return self._reply(response, str(address), started_s)
            finally:
                response.close()
            elsewhere = self._followed(method, address, target, response.status_code)
            bare = bare or _origin(elsewhere) != _origin(address)
            address = elsewhere
        raise self._failed(f"redirects more than {self.limits.max_redirects} times, starting at {_shown(url)}")

    def _followed(self, method: str, address: httpx.URL, target: str, status: int) -> httpx.URL:
        """Return where a redirect leads, if it may be followed: calls that send something stay with their host."""
        try:
            elsewhere = address.join(target)
        except httpx.InvalidURL:
            raise self._failed(f"at {_shown(str(address))} redirects to an address that is none") from None
        leads = f"at {_shown(str(address))} redirects ({status}) to {_shown(str(elsewhere))}"
        if elsewhere.scheme not in ("http", "https") or (address.scheme, elsewhere.scheme) == ("https", "http"):
            raise self._failed(f"{leads}, which is not safe to follow")
        if method not in ("GET", "HEAD"):
            if _origin(elsewhere) != _origin(address):
                raise self._failed(f"{leads}: another host, to which nothing is sent; if it is right, set option url")
            if status not in (307, 308):
                raise self._failed(f"{leads}, which would drop what is sent; set option url to the address it names")
        return elsewhere

    def _reply(self, response: httpx.Response, url: str, started_s: float) -> Reply:
        """Read the body, as long as time and size allow."""
        limit = self.limits.max_bytes
        announced = response.headers.get("content-length", "")
        body = bytearray()
        if announced.isdigit() and int(announced) > limit:
            raise self._failed(f"at {_shown(url)} announced {int(announced):,} bytes; up to {limit:,} are taken")
        encoding = response.headers.get("content-encoding", "").strip().lower()
        for piece in unpacked(response.iter_raw(), encoding, limit):
            body += piece
            if len(body) > limit:
                raise self._failed(f"at {_shown(url)} sent more than the {limit:,} bytes that are taken")
            if self._deadline.left_s() <= 0:
                raise httpcore.ReadTimeout("the time of the whole call is over")
        seconds = self._elapsed_s() - started_s
        return Reply(response.status_code, response.headers, bytes(body), seconds, _shown(url), self.mask)

    # ------------------------------------------------------------ small parts

    def _address(self, url: str) -> httpx.URL:
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL:
            address = httpx.URL("")
        if address.scheme not in ("http", "https") or not address.host:
            raise self._failed(f"was to be called at '{_shown(url)}', which is no http or https address")
        return address

    def _all_headers(self, given: Mapping[str, str], *, bare: bool) -> dict[str, str]:
        ours = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self._headers.items()
        }
        return {"User-Agent": user_agent()} | ({} if bare else ours) | dict(given)

    def _timeouts(self) -> dict[str, float]:
        limits = self.limits
        return {
            "connect": limits.connect_s,
            "read": limits.read_s,
            "write": limits.read_s,
            "pool": self._deadline.left_s(),
        }

    def _was_closed(self) -> EngineUnavailable:
        return EngineUnavailable(f"Engine '{self.engine}' was closed.", engine=self.engine)

    def _failed(self, what: str) -> EngineUnavailable:
        return EngineUnavailable(self.mask(f"Engine '{self.engine}' {what}."), engine=self.engine)

    def _unavailable(self, endpoint: str, error: Exception) -> EngineError:
        if self._closed:
            return self._was_closed()
        words = one_line(self.mask(str(error))) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in words:
            return EngineLocked(
                f"Engine '{self.engine}' at {endpoint} shows a certificate that is not trusted ({words}); if it is "
                "your own, name its authority with option ca_file.",
                engine=self.engine,
            )
        if isinstance(error, _NOT_SENT):
            return EngineUnreachable(
                f"Engine '{self.engine}' at {endpoint} cannot be reached ({words}).", engine=self.engine
            )
        return EngineUnavailable(
            f"Engine '{self.engine}' at {endpoint} broke off ({type(error).__name__}: {words}).", engine=self.engine
        )


def user_agent() -> str:
    """Return how we introduce ourselves to servers."""
    try:
        return f"zimage/{importlib.metadata.version('zimage')}"
    except importlib.metadata.PackageNotFoundError:
        return "zimage"


def _target(url: httpx.URL) -> str:
    """Return path and query as they are sent."""
    return url.raw_path.decode("ascii")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _shown(url: str) -> str:
    """Return an address without user, password, query and fragment: any of them may be a secret."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return "an address that cannot be read"
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{parsed.host}{port}{parsed.path}"


def _secrets_of(engine: str, headers: Mapping[str, SecretStr | str]) -> tuple[SecretStr, ...]:
    """Return every text to mask, longest first: whole values, and the keys inside them (`Bearer KEY`)."""
    found: set[str] = set()
    for name, value in headers.items():
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not text.isascii() or not text.isprintable() or text != text.strip():
            raise ConfigurationError(
                f"Header {name} of engine '{engine}' cannot be sent: it holds a line break, a space at its ends or a "
                "character beyond ASCII. Check ZIMAGE_ENGINE_API_KEY."
            )
        if isinstance(value, SecretStr):
            found |= {part for part in (text, *text.split()) if part and part.lower() not in _SCHEMES}
    return tuple(SecretStr(text) for text in sorted(found, key=len, reverse=True))


def _trusting(engine: str, ca_file: Path | None) -> ssl.SSLContext:
    context = httpx.create_ssl_context(verify=True, trust_env=False)
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"Option ca_file of engine '{engine}' names {ca_file}, which holds no certificates in PEM: {error}."
            ) from error
    return context
