"""Expire what is over: plain pictures for every live file of a promotion, then one switch."""

from __future__ import annotations

from prefect import flow

from tasks.expire import live_shots, make_plain, release_plain
from tasks.notify import notify
from tasks.order import ProductionOrder
from tasks.runtime import WORKERS, shares_of
from zimage_core.domain import Release


@flow(name="expire", flow_run_name="expire {run_id}", task_runner=WORKERS)
def expire(order: ProductionOrder, run_id: str, who: str | None = None) -> Release:
    """Take badge and price out of what a promotion shows, by releasing the plain set of the same accepted pictures.

    No engine is called. The same call again does nothing. Raises PublishError when a file of the live release has no
    plain one; what is live then stays.
    """
    making = [
        make_plain.submit(order, behind, share, f"{behind} {number}")
        for behind, shots in live_shots(order, run_id)
        for number, share in enumerate(shares_of(order, shots), 1)
    ]
    for future in making:
        future.result()
    released = release_plain(order, run_id, who)
    notify(order)
    return released
