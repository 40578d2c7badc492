"""A Ray cluster: every shard is one Ray task, placed by Ray on a GPU of its own where the cluster has any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.futures import PrefectFuture

from flows.shard import make_shard
from tasks.order import ProductionOrder
from tasks.runtime import sentence_of, unfinished_shards
from zimage_core.errors import ConfigurationError

if TYPE_CHECKING:
    from prefect_ray import RayTaskRunner


@task(name="shard-on-ray", task_run_name="{label}")
def shard_on_ray(order: ProductionOrder, run_id: str, shard_id: str, label: str) -> str | None:
    """Carry a shard out in a Ray worker; return why it is not finished, None when it is."""
    state = make_shard(order, run_id, shard_id, label)
    return None if state.is_completed() else sentence_of(state)


@flow(name="produce-on-ray", flow_run_name="ray · {run_id}")
def _on_ray(order: ProductionOrder, run_id: str, labels: Mapping[str, str]) -> list[str]:
    """Hand the unfinished shards to the cluster; return why those are not finished that are not."""
    import ray
    from prefect_ray.context import remote_options

    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    with remote_options(num_cpus=1, num_gpus=gpus, max_retries=0):
        asked: list[PrefectFuture[Any]] = [
            shard_on_ray.submit(order, run_id, shard_id, labels[shard_id])
            for shard_id in unfinished_shards(order, run_id)
        ]
    reasons: list[str] = []
    for future in asked:
        future.wait()
        reason = (
            future.state.result(raise_on_failure=False) if future.state.is_completed() else sentence_of(future.state)
        )
        if reason is not None:
            reasons.append(str(reason))
    return reasons


def produce_on_ray(order: ProductionOrder, run_id: str, labels: Mapping[str, str]) -> list[str]:
    """Have a run's unfinished shards made by the Ray cluster of RAY_ADDRESS (none = one on this machine).

    Returns why those are not finished that are not. Raises ConfigurationError where prefect-ray is not installed.
    """
    reasons: list[str] = _on_ray.with_options(task_runner=_runner())(order, run_id, dict(labels))
    return reasons


def _runner() -> RayTaskRunner:
    try:
        from prefect_ray import RayTaskRunner
    except ImportError:
        raise ConfigurationError(
            "The runner ray needs prefect-ray, which is not installed; install zimage[ray], or choose --runner here."
        ) from None
    return RayTaskRunner()
