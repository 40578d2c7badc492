"""Devices: where an order's engine works. Several = a process each; one or none named = the process that runs the flow.

A device decides how fast pictures are made and never which: no id is made of it.
"""

from __future__ import annotations

import logging
from typing import Final

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from tasks.order import ProductionOrder
from zimage_core.engines.base import Engine
from zimage_core.engines.registry import create_engine, usable_devices
from zimage_core.errors import ZImageError
from zimage_core.settings import Settings

log = logging.getLogger("zimage_core.tasks")

DEVICE = "device"
"""The option by which an engine is told its device."""

SHARD_DEPLOYMENT: Final = "produce-shard/produce-shard"
"""The deployment of prefect.yaml whose runs the workers of the gpu pool take."""


def devices_of(order: ProductionOrder) -> tuple[str, ...]:
    """Return the devices this order's engine works on side by side; empty when there is nothing to share out.

    An option `device` other than auto is a choice already made. Raises ConfigurationError for an engine nobody knows.
    """
    named = _devices(order.settings())
    return named if len(named) > 1 else ()


def shards_at_a_time(order: ProductionOrder) -> int:
    """Return how many shards of this order are made side by side: one per device here, or as many as its pool lets in.

    Where a pool has no limit, or its server cannot be asked, one is counted: a forecast then promises too little.
    """
    if order.settings().runner != "pool":
        return len(devices_of(order)) or 1
    if PREFECT_API_URL.value() is None:
        return 1
    try:
        with get_client(sync_client=True) as client:
            pool = client.read_deployment_by_name(SHARD_DEPLOYMENT).work_pool_name
            limit = client.read_work_pool(pool).concurrency_limit if pool else None
    except (ObjectNotFound, PrefectHTTPStatusError, httpx.TransportError) as error:
        log.info("How many shards the pool takes at a time is not known: %s", error)
        return 1
    return limit or 1


def on_device(order: ProductionOrder, device: str) -> ProductionOrder:
    """Return the order as the process of this device carries it out."""
    return order.model_copy(update={"engine_options": order.engine_options | {DEVICE: device}})


def engine_of(order: ProductionOrder) -> Engine:
    """Return the order's engine, created on its device where one is named.

    Where several are, on the first one it can be created on: enough to ask what it is, before any of them works.
    Raises ConfigurationError or EngineError when it cannot be created anywhere: the first reason.
    """
    settings = order.settings()
    devices = _devices(settings)
    if len(devices) == 1 and not settings.engine_devices:
        devices = ()  # the only one it found: it finds it again by itself
    choices = [settings.engine_options | {DEVICE: device} for device in devices] or [settings.engine_options]
    reasons: list[ZImageError] = []
    for options in choices:
        try:
            return create_engine(settings.engine, options)
        except ZImageError as error:
            reasons.append(error)
    raise reasons[0]


def _devices(settings: Settings) -> tuple[str, ...]:
    if settings.engine_options.get(DEVICE, "auto") != "auto":
        return ()
    return settings.engine_devices or usable_devices(settings.engine, settings.engine_options)
