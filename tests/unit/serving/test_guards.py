"""Keys, signatures, rates, pace: what decides at the door, on clocks that stand still."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import SecretStr
from standing_clock import StandingClock

from zimage_core.engines.wire.signing import signed_headers
from zimage_core.errors import ConfigurationError
from zimage_core.serving.callers import Keys, ensure_guarded, host_name, is_loopback
from zimage_core.serving.pace import Pace
from zimage_core.serving.rates import Rates
from zimage_core.serving.signatures import Signatures

KEY, SECRET, NEW_SECRET = "k" * 20, "s" * 20, "n" * 20
ASK = {"caller": "shop", "method": "POST", "target": "/v1/generate", "body": b"{}"}


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class Stopwatch:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_key_is_known_by_its_hash_and_named_by_the_start_of_it() -> None:
    keys = Keys([SecretStr(KEY), SecretStr("other" * 5)])
    name = keys.caller({"authorization": f"Bearer {KEY}"})
    assert name is not None
    assert len(name) == 8
    assert name not in KEY
    assert keys.caller({"x-api-key": KEY}) == name != keys.caller({"x-api-key": "other" * 5})
    for headers in ({}, {"authorization": KEY}, {"x-api-key": "K" * 20}, {"x-api-key": "ü" * 20}):
        assert keys.caller(headers) is None
    assert KEY not in repr(vars(keys))
    assert Keys([]).caller({}) == "anonymous"


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("127.0.0.1.example.com", False), ("localhost.example.com", False), ("", False)],
)  # fmt: skip
def test_only_loopback_is_open_without_keys(host: str, is_ours: bool) -> None:
    assert is_loopback(host) == is_ours
    ensure_guarded(host, Keys([SecretStr(KEY)]))
    if not is_ours:
        with pytest.raises(ConfigurationError):
            ensure_guarded(host, Keys([]))


def test_a_host_header_is_read_without_its_port() -> None:
    assert [host_name(header) for header in ("a:80", "a", "[::1]:80", "[::1]", "")] == ["a", "a", "::1", "::1", ""]


def test_while_a_secret_is_replaced_both_count() -> None:
    clock = StandingClock()
    guard = Signatures([SecretStr(SECRET), SecretStr(NEW_SECRET)], window_s=60, now=clock)
    signing = {"method": "POST", "target": "/v1/generate", "body": b"{}", "at": clock.now}
    for number, secret in enumerate((SECRET, NEW_SECRET)):
        headers = lower(signed_headers(secret, nonce=f"{number:016d}", **signing))
        assert guard.what_is_wrong(headers, **ASK) is None
    assert guard.what_is_wrong(lower(signed_headers("x" * 20, nonce="9" * 16, **signing)), **ASK)


def test_a_nonce_is_remembered_for_as_long_as_its_request_could_be_sent_again() -> None:
    clock = StandingClock()
    guard = Signatures([SecretStr(SECRET)], window_s=60, now=clock, elapsed_s=lambda: clock.now.timestamp())
    clock.pass_s(1000)
    ahead = StandingClock()
    ahead.pass_s(1059)  # a client whose clock is ahead: its request is good for two windows from now
    signing = {"method": "POST", "target": "/v1/generate", "body": b"{}", "nonce": "1" * 16}
    headers = lower(signed_headers(SECRET, at=ahead.now, **signing))
    assert guard.what_is_wrong(headers, **ASK) is None
    for _ in range(12):
        assert "sent before" in str(guard.what_is_wrong(headers, **ASK))
        clock.pass_s(10)
    assert "too long ago" in str(guard.what_is_wrong(headers, **ASK))
    for number in range(50):
        clock.pass_s(10)
        fresh = lower(signed_headers(SECRET, at=clock.now, **signing | {"nonce": f"{number:016d}"}))
        assert guard.what_is_wrong(fresh, **ASK) is None
    assert len(guard._seen) <= 13, "what cannot be sent again is forgotten"


def test_a_clock_that_is_set_back_shuts_nobody_out_and_lets_nothing_in_twice() -> None:
    clock, watch = StandingClock(), Stopwatch()
    guard = Signatures([SecretStr(SECRET)], window_s=60, now=clock, elapsed_s=watch)

    def seconds_pass(seconds: float) -> None:
        clock.pass_s(seconds)
        watch.now_s += seconds

    def signed() -> dict[str, str]:
        return lower(
            signed_headers(SECRET, method="POST", target="/v1/generate", body=b"{}", at=clock.now, nonce=nonce())
        )

    numbers = iter(range(100))

    def nonce() -> str:
        return f"{next(numbers):016d}"

    seconds_pass(100)
    clock.pass_s(-3600)  # it was an hour fast when the server started, and was corrected
    first = signed()
    assert guard.what_is_wrong(first, **ASK) is None, "signed now, whatever the clock said at the start"
    seconds_pass(5)
    clock.pass_s(7200)
    assert guard.what_is_wrong(signed(), **ASK) is None
    clock.pass_s(-7200)
    assert "sent before" in str(guard.what_is_wrong(first, **ASK)), "its nonce was forgotten while the clock was fast"
    before_the_start = clock.now - timedelta(seconds=106 + 1)
    window = Signatures([SecretStr(SECRET)], window_s=3600, now=clock, elapsed_s=watch)
    seconds_pass(106)
    old = lower(
        signed_headers(SECRET, method="POST", target="/v1/generate", body=b"{}", at=before_the_start, nonce=nonce())
    )
    assert "before this server started" in str(window.what_is_wrong(old, **ASK))
    assert window.what_is_wrong(signed(), **ASK) is None


def test_callers_of_two_keys_may_use_the_same_nonce() -> None:
    clock = StandingClock()
    guard = Signatures([SecretStr(SECRET)], window_s=60, now=clock)
    headers = lower(
        signed_headers(SECRET, method="POST", target="/v1/generate", body=b"{}", at=clock.now, nonce="1" * 16)
    )
    assert guard.what_is_wrong(headers, **ASK) is None
    assert guard.what_is_wrong(headers, **ASK | {"caller": "another"}) is None


def test_a_bucket_empties_and_fills() -> None:
    watch = Stopwatch()
    rates = Rates(2.0, 3, elapsed_s=watch)
    assert [rates.wait_s("a") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert rates.wait_s("a") == pytest.approx(0.5)
    assert rates.wait_s("b") == 0.0
    watch.now_s += 0.25
    assert rates.wait_s("a") == pytest.approx(0.25)
    watch.now_s += 0.25
    assert rates.wait_s("a") == 0.0
    watch.now_s += 1000
    assert [rates.wait_s("a") > 0 for _ in range(4)] == [False, False, False, True], "no more is saved up than allowed"
    assert all(Rates(None, 1, elapsed_s=watch).wait_s("a") == 0.0 for _ in range(10))


def test_pace_is_what_was_measured_and_says_when_to_come_back() -> None:
    pace = Pace(2.0, 1)
    assert pace.come_back_after_s(10) == 20
    for _ in range(60):
        pace.note(8, 4.0)
    assert pace.pictures_per_s == pytest.approx(2.0, rel=1e-4)
    assert pace.come_back_after_s(10) == 6
    assert pace.come_back_after_s(0) == 1
    assert pace.come_back_after_s(10**9) == 600
    assert Pace(2.0, 2).pictures_per_s == pytest.approx(1.0)
