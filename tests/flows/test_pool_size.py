"""How many shards a work pool takes at a time: what forecasts and the size of shards are reckoned with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from free_ports import free_port
from gpu_pool import GpuPool
from prefect.settings import PREFECT_API_URL, temporary_settings
from workshop import MUG, Workshop

from tasks.deadline import planned_outlook
from tasks.devices import shards_at_a_time
from tasks.extract import read_products
from tasks.order import ProductionOrder
from tasks.plan import planned_shots
from zimage_core import clock
from zimage_core.domain import Promise

ORDER = ProductionOrder(catalogue="catalogue.csv", scenes=("packshot",), channels=("shopify",))


@pytest.fixture
def on_pool(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setenv("ZIMAGE_RUNNER", "pool")
    workshop.write(*(MUG | {"sku": f"MUG-{n}"} for n in range(8)))
    return workshop


def deployed(shop: Workshop, server: str, limit: int | None) -> None:
    GpuPool(f"sized-{clock.fresh_id()}", server, shop, limit).deploy()


def shard_sizes() -> Iterator[int]:
    """Yield how many shots each shard of the order would promise."""
    promises = [shot for shot in planned_shots(ORDER, read_products(ORDER)) if isinstance(shot, Promise)]
    for shard_id in dict.fromkeys(promise.shard_id for promise in promises):
        yield sum(promise.shard_id == shard_id for promise in promises)


def test_a_pool_that_lets_four_in_is_reckoned_with_as_four_devices(on_pool: Workshop, prefect_server: str):
    deployed(on_pool, prefect_server, 4)
    assert list(shard_sizes()) == [2, 2, 2, 2]
    four = planned_outlook(ORDER, {"packshot": 8}).pace
    deployed(on_pool, prefect_server, None)
    one = planned_outlook(ORDER, {"packshot": 8}).pace
    assert (four.devices, one.devices) == (4, 1)
    assert four.images_per_s == pytest.approx(4 * one.images_per_s)


def test_a_pool_of_which_nothing_is_known_is_reckoned_with_as_one(on_pool: Workshop, prefect_server: str):
    deployed(on_pool, prefect_server, None)
    assert shards_at_a_time(ORDER) == 1
    assert list(shard_sizes()) == [8]
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        assert shards_at_a_time(ORDER) == 1
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert shards_at_a_time(ORDER) == 1


def test_a_run_that_makes_its_own_shards_asks_no_pool(workshop: Workshop, prefect_server: str):
    deployed(workshop, prefect_server, 4)
    assert shards_at_a_time(ORDER) == 1
    assert shards_at_a_time(ORDER.model_copy(update={"runner": "pool"})) == 4
