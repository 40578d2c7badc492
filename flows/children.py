"""Flow runs under the one that runs here, each under a key of its own.

Prefect matches a retried parent's subflows to the earlier ones by the order of the calls, and may hand one child's
result to another (PrefectHQ/prefect #22259). A run made here carries a fresh key, so there is nothing to match: what is
still missing is asked of the ledger and of nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from uuid import UUID

from prefect import Flow, Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.runtime import flow_run as this_flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Pending

from zimage_core import clock


def child_run(flow: Flow[Any, Any], name: str, parameters: Mapping[str, object]) -> FlowRun:
    """Create a run of `flow` under the flow run that runs here, for whoever carries it out; it waits as Pending."""
    with get_client(sync_client=True) as client:
        return client.create_flow_run(
            flow,
            name=name,
            parameters=flow.serialize_parameters(dict(parameters)),
            parent_task_run_id=_common_place(this_flow_run.get_id(), flow.name),
            state=Pending(),
        )


@contextmanager
def without_heartbeats() -> Iterator[None]:
    """Let flow runs that are carried out meanwhile, under the one that runs here, send no heartbeats of their own.

    The heartbeat of the run above them says that this process lives. Prefect waits for a heartbeat's thread when a run
    ends, and the thread sleeps a second at a time (`prefect.flow_engine._send_heartbeats`): a second a shard.
    """
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def place_below(client: SyncPrefectClient, name: str) -> UUID | None:
    """Make a task run of the flow run that runs here, as Prefect's place for a child; None outside of any."""
    parent_id = this_flow_run.get_id()
    if parent_id is None:
        return None
    place = client.create_task_run(
        Task(_place, name=name), flow_run_id=UUID(parent_id), dynamic_key=clock.fresh_id(), name=name, state=Pending()
    )
    return place.id


@lru_cache(maxsize=8)
def _common_place(parent_id: str | None, name: str) -> UUID | None:
    """Return the place of all children that one flow has under a flow run in this process, made once; None for none.

    Making one is the request that a server on SQLite refuses most often (it reads before it writes, and another writer
    may come between), and Prefect's client asks again two seconds later: too long for each of a run's shards.
    """
    if parent_id is None:
        return None
    with get_client(sync_client=True) as client:
        return place_below(client, name)


def _place() -> None:
    """Stand in the parent's graph where its children are; never called."""
