"""Hand over: a run that a deployment started asks for a review of what waits for a person, once a picture."""

from __future__ import annotations

import logging

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.runtime import deployment
from prefect.states import Scheduled

from tasks.order import ProductionOrder
from tasks.review_rounds import doubtful, pictures
from tasks.runtime import rooms
from zimage_core.domain import content_id

REVIEW = "review/review"

log = logging.getLogger("zimage_core.tasks")


def ask_for_review(order: ProductionOrder, run_id: str) -> None:
    """Start the deployment review for the doubtful pictures of a run; where there is none, somebody has to start it.

    A run at a terminal says on the terminal what waits. The same pictures, unchanged, are asked about once.
    """
    if deployment.id is None:
        return
    waiting = doubtful(rooms(order).ledger, run_id)
    if not waiting:
        return
    asked_about = content_id("review", run_id, sorted((shot_id, now.seen) for shot_id, now in waiting.items()))
    folders = {"work_dir": order.work_dir, "out_dir": order.out_dir}
    with get_client(sync_client=True) as client:
        try:
            review = client.read_deployment_by_name(REVIEW)
        except ObjectNotFound:
            log.warning("No deployment %s is there to ask a person about %s.", REVIEW, pictures(len(waiting)))
            return
        client.create_flow_run_from_deployment(
            review.id,
            parameters={"run_id": run_id, "publish": order.publish}
            | {name: str(folder) for name, folder in folders.items() if folder is not None},
            state=Scheduled(),
            name=f"review {run_id}",
            idempotency_key=asked_about,
        )
