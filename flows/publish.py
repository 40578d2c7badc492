"""Publish what the ledger accepted: renditions for every channel, then one pointer."""

from __future__ import annotations

from prefect import flow

from tasks.moderate import moderate, to_be_moderated
from tasks.notify import notify
from tasks.order import ProductionOrder
from tasks.prices import check_prices
from tasks.publish import accepted_shots, make_renditions, release
from tasks.releases import refuse_after_the_end
from tasks.runtime import WORKERS, rooms, shares_of
from zimage_core.domain import Release
from zimage_core.publishing.history import Held


@flow(name="publish", flow_run_name="publish {run_id}", task_runner=WORKERS)
def publish(order: ProductionOrder, run_id: str, although_over: bool = False) -> Release | Held | None:
    """Make the renditions that are missing, then switch the promotion's pointer. None when nothing is accepted yet.

    Prices are those of the catalogue as it is now: where one changed, the overlay is drawn again over the kept picture.
    Where a moderation service is configured it is asked first about every picture it has not answered for yet; what it
    does not allow waits for a person or is given up, and the others go on. Raises PublishError when a file cannot be
    made or stored, or when the promotion is over and was taken down, unless `although_over`; the release before it
    still stands.
    """
    refuse_after_the_end(rooms(order), order.promotion, although_over=although_over)
    check_prices(order, run_id)
    moderating = [
        moderate.submit(order, run_id, batch, f"{run_id} {number}")
        for number, batch in enumerate(shares_of(order, to_be_moderated(order, run_id)), 1)
    ]
    for asked in moderating:
        asked.result()
    making = [
        make_renditions.submit(order, run_id, batch, f"{run_id} {number}")
        for number, batch in enumerate(shares_of(order, accepted_shots(order, run_id)), 1)
    ]
    for future in making:
        future.result()
    released = release(order, run_id)
    if isinstance(released, Release):
        notify(order)
    return released
