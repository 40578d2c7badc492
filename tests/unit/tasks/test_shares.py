"""What a task run takes: whole batches, large shares first, nothing twice and nothing left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.order import ProductionOrder
from tasks.runtime import BATCHES_PER_SHARE, SMALL_SHARE, shares_of

ORDER = ProductionOrder(catalogue="catalogue.csv")


@pytest.mark.parametrize(
    ("shots", "shares"),
    [(0, []), (1, [1]), (24, [24]), (33, [24, 9]), (200, [120, 48, 24, 8]), (400, [128, 128, 88, 40, 16])],
)
def test_shares_are_large_and_become_smaller_towards_the_end(
    shots: int, shares: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("ZIMAGE_BATCH_SIZE", raising=False)
    assert [len(share) for share in shares_of(ORDER, range(shots))] == shares


@given(st.integers(0, 3000))
def test_every_shot_is_in_one_share(shots: int):
    size = ORDER.settings().batch_size
    shares = list(shares_of(ORDER, range(shots)))
    assert [shot for share in shares for shot in share] == list(range(shots))
    assert all(len(share) % size == 0 for share in shares[:-1])
    assert all(0 < len(share) <= size * BATCHES_PER_SHARE for share in shares)
    assert not shares or len(shares[-1]) <= size * SMALL_SHARE
