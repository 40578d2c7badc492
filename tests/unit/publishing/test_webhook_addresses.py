"""No webhook goes into a network that only we can reach, however its address is written."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time

import httpcore
import pytest

from zimage_core.publishing.addresses import AddressRefused, guarded, is_public

INSIDE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.127.255.254", "224.0.0.1", "239.255.255.250", "255.255.255.255", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "240.0.0.1", "192.0.0.1",
    "::1", "::", "fe80::1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "2002:a00:1::1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "64:ff9b:1::1", "100::1",
]  # fmt: skip
OUTSIDE = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(AddressRefused, match="ZIMAGE_PUBLISH_WEBHOOK_PRIVATE"):
        guarded(private=False, resolve=lambda _: [address])("erp.example")
    assert guarded(private=True, resolve=lambda _: [address])("erp.example") == [address]


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_passes(address: str) -> None:
    assert guarded(private=False, resolve=lambda _: [address])("erp.example") == [address]


def test_a_host_that_is_half_inside_is_refused() -> None:
    with pytest.raises(AddressRefused):
        guarded(private=False, resolve=lambda _: ["8.8.8.8", "10.0.0.1"])("erp.example")


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_this_machine_is_known_under_all_its_names(host: str) -> None:
    with pytest.raises(AddressRefused):
        guarded(private=False)(host)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".example"])
def test_a_name_that_nobody_knows_is_no_connection(host: str) -> None:
    with pytest.raises(httpcore.ConnectError):
        guarded(private=False)(host)


def test_a_name_without_addresses_is_no_connection() -> None:
    with pytest.raises(httpcore.ConnectError):
        guarded(private=False, resolve=lambda _: [])("erp.example")


def test_a_name_server_that_never_answers_ends_the_look_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answered.wait(30))
    started_s = time.monotonic()
    with pytest.raises(httpcore.ConnectError, match=r"erp\.example could not be looked up: no name server answered"):
        guarded(private=False, within_s=0.05)("erp.example")
    assert time.monotonic() - started_s < 5
    answered.set()
