"""Which server next: circuits, pauses, concurrency that adapts, and the slow one that holds nobody up.

The clock is handed in; the last tests are about threads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from zimage_core.engines.wire.client import EngineLocked
from zimage_core.engines.wire.endpoints import Endpoints, Pace
from zimage_core.errors import (
    BadImage,
    EngineBusy,
    EngineError,
    EngineOutOfMemory,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
)

A, B, C = "http://a", "http://b", "http://c"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def __call__(self) -> float:
        return self.now_s


def endpoints(clock: Clock, *urls: str, **pace: float) -> Endpoints:
    chosen = Pace(**pace)  # type: ignore[arg-type]
    return Endpoints(urls or (A,), engine="e", pace=chosen, elapsed_s=clock, sleep=clock.sleep)


def call(
    some: Endpoints, clock: Clock, seconds: float = 1.0, error: EngineError | None = None, **choice: object
) -> str:
    url = some.pick(**choice)  # type: ignore[arg-type]
    begun_s = clock()
    clock.now_s += seconds
    some.report(url, begun_s, error)
    return url


def together(some: Endpoints, clock: Clock, count: int, seconds: float, error: EngineError | None = None) -> None:
    """So many calls at a time, as a full round of threads makes them."""
    begun_s, urls = clock(), [some.pick() for _ in range(count)]
    clock.now_s += seconds
    for url in urls:
        some.report(url, begun_s, error)


def limit(some: Endpoints, url: str = A) -> int:
    return next(one.limit for one in some.standings() if one.url == url)


def is_open(some: Endpoints, url: str = A) -> bool:
    return next(one.is_open for one in some.standings() if one.url == url)


# ---------------------------------------------------------------- which one


def test_calls_are_spread_over_equal_endpoints() -> None:
    clock = Clock()
    some = endpoints(clock, A, B, C)
    assert Counter(some.pick() for _ in range(12)) == {A: 4, B: 4, C: 4}


def test_the_quick_one_is_called_and_the_slow_one_only_when_the_queue_is_long() -> None:
    clock = Clock()
    some = endpoints(clock, A, B, start=4, limit=4)
    while {one.typical_s for one in some.standings()} != {1.0, 50.0}:
        url = some.pick()
        begun_s = clock()
        clock.now_s += 1.0 if url == A else 50.0
        some.report(url, begun_s, None)
    assert [some.pick() for _ in range(4)] == [A] * 4
    with ThreadPoolExecutor(1) as pool:
        fifth = pool.submit(some.pick)
        while not some._waiting:
            time.sleep(0.001)
        assert not fifth.done()
        some.report(A, clock(), None)
        assert fifth.result(20) == A


def test_a_slow_endpoint_is_tried_again_after_a_while() -> None:
    clock = Clock()
    some = endpoints(clock, A, B)
    for url, seconds in ((A, 1.0), (B, 50.0)):
        call(some, clock, seconds, prefer=url)
    assert call(some, clock) == A
    clock.now_s += 3600.0
    call(some, clock, prefer=A)
    assert call(some, clock, 1.0) == B


def test_the_one_that_failed_is_avoided_and_the_one_that_may_know_is_preferred() -> None:
    clock = Clock()
    some = endpoints(clock, A, B)
    assert {call(some, clock, avoid={A}) for _ in range(5)} == {B}
    assert {call(some, clock, prefer=A) for _ in range(5)} == {A}
    assert call(some, clock, avoid={A, B}) in (A, B)


# ---------------------------------------------------------------- circuits


def test_failures_in_a_row_open_a_circuit_and_a_good_answer_to_the_probe_closes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    some = endpoints(clock, A, B, failures=3, cool_down_s=10.0)
    for _ in range(3):
        call(some, clock, error=EngineUnavailable("Down."), prefer=A)
    assert not is_open(some)
    assert {call(some, clock, 0.1) for _ in range(20)} == {B}
    clock.now_s += 10.0
    probe = some.pick(prefer=A)
    assert probe == A
    assert some.pick() == B, "one probe at a time"
    some.report(probe, clock(), None)
    assert is_open(some)
    assert "lets http://a rest: Down." in caplog.text
    assert "uses http://a again" in caplog.text


def test_each_failed_probe_doubles_the_rest_up_to_a_limit() -> None:
    clock = Clock()
    some = endpoints(clock, A, failures=1, cool_down_s=10.0, longest_cool_down_s=35.0, patience_s=0.0)
    call(some, clock, 0.0, EngineUnavailable("Down."))
    for rest_s in (10.0, 20.0, 35.0, 35.0):
        clock.now_s += rest_s - 0.5
        with pytest.raises(EngineUnavailable, match=r"Down\.") as caught:
            some.pick()
        assert caught.value.retry_after_s == pytest.approx(0.5)
        clock.now_s += 0.5
        call(some, clock, 0.0, EngineUnavailable("Down."))
    clock.now_s += 35.0
    call(some, clock)
    assert is_open(some)


@pytest.mark.parametrize("error", [EngineUnavailable("x"), EngineTimeout("x"), BadImage("x"), EngineOutOfMemory("x")])
def test_what_counts_as_a_failure(error: EngineError) -> None:
    clock = Clock()
    some = endpoints(clock, failures=2)
    call(some, clock, error=error)
    call(some, clock, error=error)
    assert not is_open(some)


@pytest.mark.parametrize("error", [EngineRefused("x"), EngineBusy("x")])
def test_an_endpoint_that_says_no_is_alive(error: EngineError) -> None:
    clock = Clock()
    some = endpoints(clock, failures=2)
    for _ in range(20):
        call(some, clock, error=error)
    assert is_open(some)


def test_failures_that_are_not_in_a_row_do_not_count() -> None:
    clock = Clock()
    some = endpoints(clock, failures=2)
    for _ in range(10):
        call(some, clock, error=EngineUnavailable("x"))
        call(some, clock)
    assert is_open(some)


def test_an_endpoint_that_waits_for_a_person_is_left_at_once_and_nobody_waits_for_it() -> None:
    clock = Clock()
    some = endpoints(clock, A, B, patience_s=500.0)
    call(some, clock, error=EngineLocked("A wants another key."), prefer=A)
    assert {call(some, clock, prefer=A) for _ in range(5)} == {B}
    call(some, clock, error=EngineLocked("B wants another key."), prefer=B)
    before_s = clock()
    with pytest.raises(EngineLocked, match=r"A wants another key.*B wants another key"):
        some.pick()
    assert clock() == before_s


def test_when_all_are_down_a_call_waits_as_long_as_it_is_patient_then_says_which_and_why() -> None:
    clock = Clock()
    some = endpoints(clock, A, B, failures=1, cool_down_s=10.0, patience_s=30.0)
    for url in (A, B):
        call(some, clock, 0.0, EngineUnavailable(f"{url} is down."), prefer=url)
    begun_s = clock()
    assert some.pick() in (A, B)
    assert clock() - begun_s == pytest.approx(10.0)
    impatient = endpoints(clock, A, failures=1, cool_down_s=10.0, patience_s=5.0)
    call(impatient, clock, 0.0, EngineUnavailable("It is down."))
    with pytest.raises(EngineUnavailable, match=r"no endpoint to call for 10 s \(http://a: It is down\.\)"):
        impatient.pick()


def test_a_block_that_ends_with_another_exception_gives_its_place_back_and_blames_nobody() -> None:
    clock = Clock()
    some = endpoints(clock, A, failures=1, start=1, limit=1)
    for _ in range(3):
        with pytest.raises(KeyError), some.visit():
            raise KeyError("bug")
    assert is_open(some)
    with pytest.raises(EngineUnavailable), some.visit():
        raise EngineUnavailable("x")
    assert not is_open(some)
    assert some.standings()[0].in_flight == 0


# ---------------------------------------------------------------- pauses


def test_retry_after_is_kept_and_others_are_used_meanwhile() -> None:
    clock = Clock()
    some = endpoints(clock, A, B)
    call(some, clock, 0.0, EngineBusy("Full.", retry_after_s=7.0), prefer=A)
    assert {call(some, clock, 0.1) for _ in range(10)} == {B}
    begun_s = clock()
    assert some.pick(prefer=A) == A, "the one that may have the picture already is waited for"
    assert clock() - begun_s == pytest.approx(6.0)


def test_when_all_ask_for_a_pause_calls_wait_for_it_without_being_made() -> None:
    clock = Clock()
    some = endpoints(clock, A, patience_s=30.0)
    call(some, clock, 0.0, EngineBusy("Full.", retry_after_s=7.0))
    begun_s = clock()
    some.pick()
    assert clock() - begun_s == pytest.approx(7.0)
    hour = endpoints(clock, A, patience_s=30.0)
    call(hour, clock, 0.0, EngineBusy("Full.", retry_after_s=3600.0))
    with pytest.raises(EngineBusy, match=r"Full\.") as caught:
        hour.pick()
    assert caught.value.retry_after_s == pytest.approx(120.0), "a pause is capped: the server may be asked again then"


# ---------------------------------------------------------------- concurrency


def test_concurrency_doubles_while_answers_come_in_time_and_stops_at_the_limit() -> None:
    clock = Clock()
    some = endpoints(clock, start=1, limit=12)
    seen = []
    for _ in range(6):
        seen.append(limit(some))
        together(some, clock, limit(some), 1.0)
    assert seen == [1, 2, 4, 8, 12, 12]


def test_it_does_not_grow_where_it_is_not_used() -> None:
    clock = Clock()
    some = endpoints(clock, start=4, limit=16)
    for _ in range(20):
        call(some, clock)
    assert limit(some) == 4


@pytest.mark.parametrize("error", [EngineBusy("429"), EngineTimeout("t"), EngineOutOfMemory("m")])
def test_one_jam_halves_it_once_however_many_calls_are_in_it(error: EngineError) -> None:
    clock = Clock()
    some = endpoints(clock, start=16, limit=16, failures=1000)
    together(some, clock, 16, 1.0, error)
    assert limit(some) == 8
    together(some, clock, 8, 1.0, error)
    assert limit(some) == 4
    for _ in range(20):
        together(some, clock, 1, 1.0, error)
    assert limit(some) == 1


def test_after_a_jam_it_grows_by_one_per_round() -> None:
    clock = Clock()
    some = endpoints(clock, start=8, limit=16)
    together(some, clock, 8, 1.0, EngineBusy("429"))
    seen = []
    for _ in range(5):
        seen.append(limit(some))
        together(some, clock, limit(some), 1.0)
    assert seen == [4, 4, 5, 6, 7]  # 4 + 1/4 + ... falls just short of 5 in the first round


def test_answers_that_take_several_times_the_best_let_fewer_in_but_never_fewer_than_a_batch() -> None:
    clock = Clock()
    some = endpoints(clock, start=16, limit=16, least=6, slow_ratio=4.0)
    together(some, clock, 1, 1.0)
    for _ in range(30):
        together(some, clock, limit(some), 5.0)
    assert limit(some) == 6


def test_pictures_that_take_longer_than_the_ones_before_are_not_taken_for_a_jam_for_long() -> None:
    clock = Clock()
    some = endpoints(clock, start=8, limit=8)
    for _ in range(5):
        together(some, clock, limit(some), 1.0)
    limits = []
    for _ in range(120):
        limits.append(limit(some))
        together(some, clock, limit(some), 9.0)
    assert min(limits) == 1
    assert limits[-1] == 8


def served_at(capacity: int, rounds: int) -> list[int]:
    """A server that draws `capacity` at a time, one second each, and queues the rest: the limits it is worked at."""
    clock = Clock()
    some = endpoints(clock, start=1, limit=64)
    limits = []
    for _ in range(rounds):
        now = limit(some)
        together(some, clock, now, max(1.0, now / capacity))
        limits.append(now)
    return limits[20:]


def test_it_finds_what_an_endpoint_sustains_and_stays_there() -> None:
    for capacity in (1, 4, 8):
        limits = served_at(capacity, rounds=200)
        assert min(limits) >= 2 * capacity, "always enough to do"
        assert max(limits) <= 4 * capacity + 1, "never a queue of more than the ratio allows"


# ---------------------------------------------------------------- threads


def test_closing_wakes_whoever_waits() -> None:
    some = Endpoints((A,), engine="e", pace=Pace(limit=1, start=1))
    some.pick()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(some.pick)
        while not some._waiting:
            time.sleep(0.001)
        some.close()
        with pytest.raises(EngineUnavailable, match="closed"):
            waiting.result(20)


def test_no_more_calls_than_the_limit_are_ever_under_way() -> None:
    some = Endpoints((A, B), engine="e", pace=Pace(limit=3, start=3))
    now: Counter[str] = Counter()
    over, lock = [], threading.Lock()

    def work(_: int) -> None:
        with some.visit() as url:
            with lock:
                now[url] += 1
                over.append(now[url] > 3)
            time.sleep(0.001)
            with lock:
                now[url] -= 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(400)))
    assert not any(over)
    assert all(one.in_flight == 0 for one in some.standings())
