"""Check: what can be known to be wrong with an order before its catalogue is read and anything is spent."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from tasks.order import ProductionOrder
from tasks.runtime import resident_engine, rooms
from zimage_core import clock
from zimage_core.errors import CatalogueError, PlanError
from zimage_core.planning.request import check_channels


@task(name="check", task_run_name="check {order.catalogue_name}")
def check_order(order: ProductionOrder) -> None:
    """Raise an error of one sentence when the order cannot be carried out; nothing is written and nothing is spent."""
    open_rooms = rooms(order)
    promotion = open_rooms.library.promotion(order.promotion)
    check_channels(
        promotion, open_rooms.channels, open_rooms.library, scenes=order.scenes, channels_wanted=order.channels
    )
    if "://" not in order.catalogue and not Path(order.catalogue).is_file():
        raise CatalogueError(
            f"There is no catalogue file {order.catalogue!r} on this machine (looked in {Path.cwd()}); give the path "
            "that the worker sees, or a database URL."
        )
    if order.deadline is not None and order.deadline <= clock.now():
        raise PlanError(f"The deadline {order.deadline:%Y-%m-%d %H:%M %z} is over; choose a later one, or none.")
    if order.go_live_at is not None and order.deadline is not None and order.go_live_at < order.deadline:
        raise PlanError(
            f"The release is to go live at {order.go_live_at:%Y-%m-%d %H:%M %z}, before the deadline "
            f"{order.deadline:%Y-%m-%d %H:%M %z}; set the deadline earlier."
        )
    resident_engine(order)
