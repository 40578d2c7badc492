"""How large shards are when several devices share a run."""

from __future__ import annotations

import math

import pytest

from zimage_core.planning.sharing import SHARDS_PER_DEVICE, shard_size_for


@pytest.mark.parametrize(
    ("shots", "devices", "size"),
    [
        (160, 4, 40),  # too few for several turns: one shard each
        (3600, 8, 113),  # four turns each
        (400, 2, 50),
        (150, 1, 150),  # nobody to share with
        (450, 1, 150),  # and not 200, 200 and 50
        (3, 4, 1),
        (0, 4, 1),
    ],
)
def test_shards_are_as_many_as_give_every_device_its_share(shots: int, devices: int, size: int) -> None:
    assert shard_size_for(shots, devices, at_most=200) == size


def test_every_device_has_as_many_shards_as_the_others_where_the_setting_bounds_their_size() -> None:
    assert shard_size_for(3600, 4, at_most=200, together=3) == 180  # 20 shards, and not 19 of 198


@pytest.mark.parametrize("together", [2, 3, 5])
def test_the_shots_of_a_sku_fill_shards_without_a_rest(together: int) -> None:
    for shots in range(together * 40, 4000, together * 7):
        assert shard_size_for(shots, 4, at_most=200, together=together) % together == 0


def test_a_shard_is_never_larger_than_the_setting_allows() -> None:
    assert shard_size_for(100_000, 2, at_most=200) == 200


@pytest.mark.parametrize("devices", range(1, 17))
def test_no_device_works_much_longer_than_an_even_share(devices: int) -> None:
    for shots in range(1, 2000, 7):
        size = shard_size_for(shots, devices, at_most=10_000)
        rounds = math.ceil(math.ceil(shots / size) / devices)
        assert rounds * size <= shots / devices + SHARDS_PER_DEVICE
