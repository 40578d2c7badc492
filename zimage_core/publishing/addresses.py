"""Which addresses a webhook may go to: none that lies inside a network which only we can reach.

Whoever may write a receiver's URL could otherwise have this machine call its own loopback services, the hosts of its
private network, or the metadata service of its cloud (169.254.169.254) (OWASP, "Server-Side Request Forgery
Prevention", 2024). A host is looked up once, every address found is judged, and the connection goes to those very
addresses: a name that answers differently the next time (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final

import httpcore

from zimage_core.errors import PublishError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LOOK_UP_S: Final = 10.0
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefused(PublishError):
    """A receiver's address is not one that may be called."""


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet, for everybody: IANA's special ranges are not.

    Refused are private, loopback, link-local, carrier-grade NAT (RFC 6598), multicast, documentation and reserved
    ranges, and the IPv6 forms (mapped, 6to4, Teredo, NAT64) of such an IPv4 address.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inside(address)
        if inner:
            return all(is_public(one) for one in inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _inside(address: ipaddress.IPv6Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address carries."""
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)]
    teredo = list(address.teredo) if address.teredo is not None else []
    return [one for one in (address.ipv4_mapped, address.sixtofour, *teredo) if one is not None]


def look_up(host: str, within_s: float = LOOK_UP_S) -> Sequence[str]:
    """Return the addresses of a host, in the order to try them. Raises OSError where there are none, or none in time.

    The system's resolver takes no timeout, so it is asked by a thread that is left behind when it is late; it ends when
    the resolver gives up.
    """
    answers: SimpleQueue[list[Any] | OSError | UnicodeError] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        found = answers.get(timeout=within_s)
    except Empty:
        raise TimeoutError(f"no name server answered within {within_s:g} s") from None
    if isinstance(found, Exception):
        raise found
    return tuple(dict.fromkeys(str(answer[4][0]) for answer in found))


def guarded(
    *, private: bool, within_s: float = LOOK_UP_S, resolve: Callable[[str], Sequence[str]] | None = None
) -> Callable[[str], Sequence[str]]:
    """Return a function that gives the addresses to connect to for a host; `private` lets all of them pass.

    It raises AddressRefused when any of them is not public (a host that is half inside is a trick or a mistake), and
    httpcore.ConnectError when the host is not known, or not found within so many seconds. `resolve` None = `look_up`.
    """
    resolve = resolve or partial(look_up, within_s=within_s)

    def addresses_of(host: str) -> Sequence[str]:
        try:
            found = resolve(host)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"the name {host} could not be looked up: {error}") from None
        if not found:
            raise httpcore.ConnectError(f"the name {host} has no address")
        inside = [text for text in found if not is_public(ipaddress.ip_address(text))]
        if inside and not private:
            raise AddressRefused(
                f"{host} is {inside[0]}, an address of a private, local or reserved network, to which nothing is sent; "
                "set ZIMAGE_PUBLISH_WEBHOOK_PRIVATE=true if that is meant."
            )
        return found

    return addresses_of
