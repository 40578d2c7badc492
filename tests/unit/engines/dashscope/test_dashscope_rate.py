"""An account's calls are spaced out, further apart after an objection, and nearer again when it goes well."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from dashscope_asking import Ticking

from zimage_core.engines.dashscope.rate import LARGEST_DISTANCE_S, AccountRate, rate_of


def turns(rate: AccountRate, ticking: Ticking, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        rate.wait_turn(ticking.sleep)
        taken.append(round(ticking.elapsed_s(), 6))
    return taken


@pytest.mark.parametrize(("per_minute", "apart_s"), [(60, 1.0), (120, 0.5), (6, 10.0)])
def test_calls_keep_within_the_limit_per_minute_and_per_second(ticking: Ticking, per_minute: int, apart_s: float):
    rate = AccountRate(per_minute, elapsed_s=ticking.elapsed_s)
    assert turns(rate, ticking, 4) == [pytest.approx(n * apart_s) for n in range(4)]


def test_time_without_calls_is_not_saved_up_for_a_burst(ticking: Ticking):
    rate = AccountRate(60, elapsed_s=ticking.elapsed_s)
    turns(rate, ticking, 1)
    ticking.sleep(600)
    assert turns(rate, ticking, 2) == [600.0, 601.0]


def test_an_objection_holds_everybody_as_long_as_it_asks_and_slows_down_what_follows(ticking: Ticking):
    rate = AccountRate(60, elapsed_s=ticking.elapsed_s)
    turns(rate, ticking, 1)
    rate.objected(7.0)
    assert turns(rate, ticking, 3) == [7.0, 9.0, 11.0]
    for _ in range(10):
        rate.answered()
    assert rate.distance_s == 1.0


def test_an_objection_that_names_no_time_doubles_the_distance_up_to_a_minute(ticking: Ticking):
    rate = AccountRate(60, elapsed_s=ticking.elapsed_s)
    for _ in range(20):
        rate.objected(None)
    assert rate.distance_s == LARGEST_DISTANCE_S
    assert turns(rate, ticking, 1) == [LARGEST_DISTANCE_S]


def test_threads_share_the_turns(ticking: Ticking):
    rate, taken, lock = AccountRate(60, elapsed_s=ticking.elapsed_s), [], threading.Lock()

    def call(_: int) -> None:
        rate.wait_turn(ticking.sleep)
        with lock:
            taken.append(ticking.elapsed_s())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call, range(24)))
    assert ticking.elapsed_s() >= 23.0
    assert len(taken) == 24


def test_one_account_has_one_rate_in_a_process():
    assert rate_of("an account", 60) is rate_of("an account", 60)
    assert rate_of("an account", 60) is not rate_of("another", 60)
