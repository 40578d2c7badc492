"""Connections that keep a deadline: whatever a server does, the call ends when its time is over.

httpx limits the wait for each single read. A server that sends one byte every few seconds is never late by that rule,
so here every connect, read and write also gets no more than what is left of the whole call.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

KEEP_ALIVE_S: Final = 15.0
"""Idle connections are closed after this; uvicorn closes them after 5 s, nginx after 75 s."""


class _NoHeaders(logging.Filter):
    """httpcore writes every header it receives at level DEBUG, and a server may repeat a key in one (a redirect)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "headers" not in record.getMessage()


logging.getLogger("httpcore.http11").addFilter(_NoHeaders())


class Deadline(threading.local):
    """When the call of this thread must be over, on the clock `elapsed_s`; a call runs in one thread."""

    def __init__(self, elapsed_s: Callable[[], float]) -> None:
        self._elapsed_s = elapsed_s
        self._ends_s: float | None = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let the calls of this block take `seconds` together."""
        self._ends_s = self._elapsed_s() + seconds
        try:
            yield
        finally:
            self._ends_s = None

    def left_s(self) -> float:
        """Return the seconds left, 0.0 or less when the time is over; infinite outside a call."""
        return float("inf") if self._ends_s is None else self._ends_s - self._elapsed_s()


class _Open:
    """The streams that are open, so that another thread can end the calls that wait on them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: weakref.WeakSet[_Stream] = weakref.WeakSet()
        self._over = False

    def add(self, stream: _Stream) -> None:
        """Keep a stream; one that opens after `hang_up` ends at once."""
        with self._lock:
            self._streams.add(stream)
            over = self._over
        if over:
            stream.hang_up()

    def hang_up(self) -> None:
        """End every read and write that waits, and those to come."""
        with self._lock:
            self._over = True
            streams = list(self._streams)
        for stream in streams:
            stream.hang_up()


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline, opened: _Open) -> None:
        self._inner = inner
        self._deadline = deadline
        self._opened = opened
        opened.add(self)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # one piece at a time: a reader that takes a byte now and then would otherwise never let go of a large body
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._inner.write(buffer[start : start + _PIECE_BYTES], self._cut(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        cut = self._cut(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, cut), self._deadline, self._opened)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def hang_up(self) -> None:
        """Wake whoever waits here: closing alone would leave a thread in its read until its time is over."""
        connection = self._inner.get_extra_info("socket")
        with contextlib.suppress(OSError):
            # of the plain socket: a TLS one would forget its state while another thread reads from it
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _cut(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
        return cut_to(self._deadline, timeout, late)


_PIECE_BYTES: Final = 256 * 1024


def cut_to(deadline: Deadline, timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
    """Return the timeout of one step, no longer than what is left; raises `late` when nothing is."""
    left_s = deadline.left_s()
    if left_s <= 0:
        raise late("the time of the whole call is over")
    if left_s == float("inf"):
        return timeout
    return left_s if timeout is None else min(timeout, left_s)


AddressesOf = Callable[[str], Sequence[str]]
"""The addresses to connect to for a host, in the order to try them; raises where the host may not be called."""


class _Network(httpcore.NetworkBackend):
    def __init__(self, deadline: Deadline, opened: _Open, addresses_of: AddressesOf | None) -> None:
        self._inner = httpcore.SyncBackend()
        self._deadline = deadline
        self._opened = opened
        self._addresses_of = addresses_of

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        *first, last = [host] if self._addresses_of is None else self._addresses_of(host)
        for address in first:
            with contextlib.suppress(httpcore.ConnectError):
                return self._connected(address, port, timeout, local_address, socket_options)
        return self._connected(last, port, timeout, local_address, socket_options)

    def _connected(
        self,
        address: str,
        port: int,
        timeout: float | None,
        local_address: str | None,
        socket_options: Iterable[Any] | None,
    ) -> httpcore.NetworkStream:
        cut = cut_to(self._deadline, timeout, httpcore.ConnectTimeout)
        stream = self._inner.connect_tcp(address, port, cut, local_address, socket_options)
        return _Stream(stream, self._deadline, self._opened)


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()


class DeadlineTransport(httpx.BaseTransport):
    """A pool of connections to any number of servers, each call of which ends by its thread's deadline.

    It raises httpcore's exceptions, and what `addresses_of` raises, whose addresses are the very ones connected to. The
    environment's proxies and credentials are not looked at.
    """

    def __init__(
        self,
        deadline: Deadline,
        *,
        connections: int,
        ssl_context: ssl.SSLContext,
        addresses_of: AddressesOf | None = None,
    ) -> None:
        self._opened = _Open()
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=_Network(deadline, self._opened, addresses_of),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response, its body not yet read."""
        assert isinstance(request.stream, httpx.SyncByteStream), "bodies are sent by threads"
        response = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        assert isinstance(response.stream, Iterable), "bodies are read by threads"
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response.stream),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close every connection; the calls that other threads have under way end."""
        self._opened.hang_up()
        self._pool.close()


def unpacked(pieces: Iterable[bytes], encoding: str, most_bytes: int) -> Iterator[bytes]:
    """Yield a body as it was before its content coding, no more than one byte beyond `most_bytes` in all.

    A few kilobytes can unpack to gigabytes, so it is never unpacked further than it will be read. Raises httpcore's
    RemoteProtocolError: a coding other than gzip and deflate (none was asked for), a damaged body, one cut short.
    """
    if encoding in ("", "identity"):
        yield from pieces
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise httpcore.RemoteProtocolError(f"the body is coded as '{encoding}', which nobody asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its first bytes
    left = most_bytes + 1
    try:
        for packed in pieces:
            while packed and left > 0:
                piece = unpacker.decompress(packed, left)
                left -= len(piece)
                packed = unpacker.unconsumed_tail
                yield piece
    except zlib.error as error:
        raise httpcore.RemoteProtocolError(f"the compressed body is damaged ({error})") from None
    if left > 0 and not unpacker.eof:
        raise httpcore.RemoteProtocolError("the compressed body is cut short")
