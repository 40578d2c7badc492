"""The same call again: only where the error allows it, after waits with full jitter, within a budget."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from zimage_core.engines.wire.client import EngineLocked
from zimage_core.engines.wire.retries import RetryBudget, backoff_s, with_retries
from zimage_core.errors import BadImage, EngineBusy, EngineError, EngineRefused, EngineTimeout, EngineUnavailable


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.waits_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits_s.append(seconds)
        self.now_s += seconds

    def __call__(self) -> float:
        return self.now_s


def failing(*errors: Exception) -> Callable[[], str]:
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "picture"

    return call


def tried(
    call: Callable[[], str],
    clock: Clock,
    *,
    attempts: int = 4,
    budget: RetryBudget | None = None,
    give_up_after_s: float = 900.0,
) -> str:
    return with_retries(
        call,
        budget=budget or RetryBudget(),
        attempts=attempts,
        sleep=clock.sleep,
        rng=np.random.default_rng(1),
        give_up_after_s=give_up_after_s,
        elapsed_s=clock,
    )


def test_what_may_be_repeated_is_repeated_until_it_works() -> None:
    clock = Clock()
    assert tried(failing(EngineBusy("b"), EngineTimeout("t"), BadImage("i")), clock) == "picture"
    assert len(clock.waits_s) == 3


@pytest.mark.parametrize("error", [EngineRefused("no"), EngineLocked("locked"), ValueError("bug")])
def test_what_may_not_be_repeated_is_not(error: Exception) -> None:
    clock = Clock()
    with pytest.raises(type(error)) as caught:
        tried(failing(error), clock)
    assert clock.waits_s == []
    assert str(caught.value) == str(error)


def test_the_last_error_says_how_often_was_tried_and_keeps_what_it_carried() -> None:
    clock = Clock()
    errors = [EngineBusy(f"Full {n}.", sku="S", retry_after_s=1.5, engine="e") for n in range(3)]
    with pytest.raises(EngineBusy) as caught:
        tried(failing(*errors), clock, attempts=3)
    assert caught.value.sentence == "Full 2. Tried 3 times."
    assert (caught.value.sku, caught.value.retry_after_s, caught.value.engine) == ("S", 1.5, "e")


def test_waits_grow_and_are_spread_over_their_whole_range() -> None:
    rng = np.random.default_rng(7)
    for tries, most_s in ((1, 0.5), (2, 1.0), (3, 2.0), (5, 8.0), (20, 30.0)):
        waits = [backoff_s(tries, rng) for _ in range(2000)]
        assert 0.0 <= min(waits) < 0.01 * most_s
        assert 0.99 * most_s < max(waits) <= most_s
        assert abs(np.mean(waits) - most_s / 2) < 0.03 * most_s  # uniform: mean at half, 2,000 draws


def test_what_the_server_asked_for_is_the_least_up_to_a_cap() -> None:
    rng = np.random.default_rng(7)
    waits = [backoff_s(1, rng, retry_after_s=7.0) for _ in range(200)]
    assert 7.0 <= min(waits) < max(waits) <= 7.5
    assert backoff_s(1, rng, retry_after_s=86_400.0) <= 120.5


def test_a_wait_that_would_end_too_late_is_not_begun() -> None:
    clock = Clock()
    with pytest.raises(EngineBusy, match=r"Tried 1 time, and waiting 60 s more is too long\."):
        tried(failing(EngineBusy("Full.", retry_after_s=60.0)), clock, give_up_after_s=30.0)
    assert clock.waits_s == []


def test_a_broken_server_is_asked_at_most_a_fifth_and_ten_more_often_than_a_healthy_one() -> None:
    clock, budget, calls = Clock(), RetryBudget(), 0

    def down() -> str:
        nonlocal calls
        calls += 1
        raise EngineUnavailable("Down.")

    sentences = []
    for _ in range(200):
        with pytest.raises(EngineError) as caught:
            tried(down, clock, budget=budget)
        sentences.append(caught.value.sentence)
    assert budget.spent == (200, calls - 200)
    assert 45 <= calls - 200 <= 51
    assert any("used up its retries" in sentence for sentence in sentences)


def test_without_failures_nothing_is_spent() -> None:
    clock, budget = Clock(), RetryBudget()
    for _ in range(50):
        tried(failing(), clock, budget=budget)
    assert budget.spent == (50, 0)
