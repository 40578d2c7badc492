"""What a log line is about, as Prefect knows it: the run, shard and batch of the flow or task run it is written in."""

from __future__ import annotations

from collections.abc import Mapping

from prefect.context import FlowRunContext, TaskRunContext

from tasks.order import ProductionOrder
from zimage_core.logs import ask_context


def run_context() -> Mapping[str, object]:
    """Return what the parameters of the innermost flow and task run say; nothing outside of any."""
    known: dict[str, object] = {}
    flow, task = FlowRunContext.get(), TaskRunContext.get()
    if flow is not None:
        known |= _said_by(flow.parameters or {})
        if flow.flow_run is not None:
            known["flow_run"] = flow.flow_run.name
    if task is not None:
        known |= _said_by(task.parameters)
        known["task_run"] = task.task_run.name
    return known


def _said_by(parameters: Mapping[str, object]) -> dict[str, object]:
    extracted = parameters.get("extracted")  # the first tasks of a run are handed its id with its products
    said = {
        "run": parameters.get("run_id") or getattr(extracted, "run_id", None),
        "shard": parameters.get("shard_id"),
    }
    if isinstance(order := parameters.get("order"), ProductionOrder):
        said["promotion"] = order.promotion
    shots = parameters.get("shot_ids")
    if isinstance(shots, list | tuple) and len(shots) == 1:
        said["shot"] = shots[0]
    return {name: value for name, value in said.items() if isinstance(value, str)}


ask_context(run_context)
