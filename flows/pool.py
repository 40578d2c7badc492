"""Many machines: every shard is a run of the deployment produce-shard, carried out by workers of the gpu work pool.

The parent submits what the ledger misses, watches, and submits again what was lost with a machine. A machine that is
gone is known by its shard's lease, which ran out while Prefect still calls the run Running: the ledger is the truth.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, Crashed, Scheduled

from flows.children import place_below
from flows.shard import produce_shard
from tasks.devices import SHARD_DEPLOYMENT
from tasks.order import ProductionOrder
from tasks.runtime import rooms, unfinished_shards
from zimage_core import clock
from zimage_core.errors import ConfigurationError

LOOK_EVERY_S = 2.0
"""A shard takes minutes; one question about all of them costs the server some milliseconds."""

WAITING_S = 60.0
"""When no worker has taken any shard for so long, somebody is told, once."""

SUBMISSIONS = 3
"""So often is a shard submitted by one parent before it is left for a person to look at."""

SILENT_S, SILENT_LEASES = 5.0, 0.5
"""A run that is Running without a lease is reading its order or ending; one that stays so for half a lease, and no less
than 5 s, has lost its machine. With leases of 60 s that is found out 90 s after its last sign of life at the latest."""

PENDING_S = 600.0
"""A worker that took a run and did not start it within this time (a container image is fetched meanwhile) is gone."""

_IDS_AT_ONCE = 100
_SORT = FlowRunSort.ID_DESC
_OPEN_STATES = tuple(kind for kind in StateType if kind.value not in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"))

log = logging.getLogger("zimage_core.tasks")


def produce_on_pool(order: ProductionOrder, run_id: str, labels: Mapping[str, str], work_queue: str) -> list[str]:
    """Have a run's unfinished shards made by workers; return why those are not finished that are not.

    `labels`: each shard's name. Runs of the same shards that an earlier parent left behind are watched, not doubled.
    Raises ConfigurationError when the deployment is not there.
    """
    with get_client(sync_client=True) as client:
        return _Watch(order, run_id, labels, work_queue, client, _deployment(client)).until_ended()


def cancel_shards(flow: Flow[..., object], flow_run: FlowRun, state: State) -> None:
    """Cancel the shards of a parent that was cancelled: what `produce` does on cancellation."""
    children = {"parent_flow_run_id": {"any_": [flow_run.id]}, "state": {"type": {"any_": _OPEN_STATES}}}
    with get_client(sync_client=True) as client:
        for child in _all_runs(client, children):
            client.set_flow_run_state(child.id, _cancelled(child), force=True)


@dataclass
class _Watch:
    """The shards of one run on their way; `runs` is the flow run that answers for each now."""

    order: ProductionOrder
    run_id: str
    labels: Mapping[str, str]
    work_queue: str
    client: SyncPrefectClient
    deployment_id: UUID
    runs: dict[str, UUID] = field(default_factory=dict)
    submitted: Counter[str] = field(default_factory=Counter)
    silent_since_s: dict[UUID, float] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def until_ended(self) -> list[str]:
        """Submit, look, and submit again what was lost, until every shard has ended or was tried often enough."""
        left = unfinished_shards(self.order, self.run_id)
        earlier = _open_runs(self.client, self.run_id)
        for shard_id in left:
            if shard_id in earlier:
                self.runs[shard_id] = earlier[shard_id].id
                log.info("Shard %s is being made already: its run is watched.", self.labels[shard_id])
            else:
                self._submit(shard_id)
        waiting_since_s, told = clock.elapsed_s(), False
        while self.runs:
            time.sleep(LOOK_EVERY_S)
            found = self._look()
            if any(flow_run.state_type != StateType.SCHEDULED for flow_run in found):
                waiting_since_s, told = clock.elapsed_s(), False
            elif not told and clock.elapsed_s() - waiting_since_s >= WAITING_S:
                told = True
                log.warning("No worker has taken any of %d shards yet: is one of their pool started?", len(self.runs))
            for flow_run in found:
                self._follow(flow_run)
        return list(self.reasons.values())

    def _look(self) -> list[FlowRun]:
        """Return the runs that are watched, as the server has them now."""
        found: list[FlowRun] = []
        ids = list(self.runs.values())
        for start in range(0, len(ids), _IDS_AT_ONCE):
            chosen = FlowRunFilter.model_validate({"id": {"any_": ids[start : start + _IDS_AT_ONCE]}})
            found += self.client.read_flow_runs(flow_run_filter=chosen, sort=_SORT, limit=_IDS_AT_ONCE)
        return found

    def _follow(self, flow_run: FlowRun) -> None:
        """Let a run go that has ended well, and submit the shard again when its machine was lost."""
        shard_id = str(flow_run.parameters["shard_id"])
        state = flow_run.state
        if self.runs.get(shard_id) != flow_run.id or state is None:
            return
        if not state.is_final():
            lost = self._lost(shard_id, flow_run.id, state)
            if lost is None:
                return
            log.warning("Shard %s: %s", self.labels[shard_id], lost)
            self.client.set_flow_run_state(flow_run.id, Crashed(message=lost), force=True)
            state = Crashed(message=lost)
        del self.runs[shard_id]
        if shard_id not in unfinished_shards(self.order, self.run_id):
            return
        if (state.is_crashed() or state.is_completed()) and self.submitted[shard_id] < SUBMISSIONS:
            self._submit(shard_id)
            return
        self.reasons[shard_id] = f"Shard {self.labels[shard_id]}: {state.message or state.name}"

    def _lost(self, shard_id: str, flow_run_id: UUID, state: State) -> str | None:
        """Return why a run that Prefect takes to be alive has lost its machine; None when it may be alive."""
        if state.type == StateType.PENDING and clock.now() - state.timestamp > timedelta(seconds=PENDING_S):
            return f"No machine started it within {PENDING_S:.0f} s after a worker took it."
        if state.type != StateType.RUNNING or rooms(self.order).ledger.lease_owner(shard_id) is not None:
            self.silent_since_s.pop(flow_run_id, None)
            return None
        now_s = clock.elapsed_s()
        patience_s = max(SILENT_S, SILENT_LEASES * self.order.settings().lease_s)
        if now_s - self.silent_since_s.setdefault(flow_run_id, now_s) < patience_s:
            return None
        return "Its machine was lost: nobody renews its lease any more."

    def _submit(self, shard_id: str) -> None:
        """Create a run of the shard for the workers to take."""
        label = self.labels[shard_id]
        given = {"run_id": self.run_id, "shard_id": shard_id, "label": label, "leased": False, "order": self.order}
        self.submitted[shard_id] += 1
        self.runs[shard_id] = self.client.create_flow_run_from_deployment(
            self.deployment_id,
            parameters=produce_shard.serialize_parameters(given),
            state=Scheduled(),
            name=label,
            tags=[_tag(self.run_id)],
            idempotency_key=clock.fresh_id(),
            parent_task_run_id=place_below(self.client, label),
            work_queue_name=self.work_queue,
        ).id


def _cancelled(child: FlowRun) -> State:
    """Return the state for a run that is to end: a worker ends it where one has begun, else it never begins."""
    message = "The run it belongs to was cancelled."
    return Cancelling(message=message) if child.state_type == StateType.RUNNING else Cancelled(message=message)


def _tag(run_id: str) -> str:
    return f"zimage.run.{run_id}"


def _open_runs(client: SyncPrefectClient, run_id: str) -> dict[str, FlowRun]:
    """Return the runs of a run's shards that have not ended, by shard; of several of one shard the latest."""
    chosen = {"tags": {"all_": [_tag(run_id)]}, "state": {"type": {"any_": _OPEN_STATES}}}
    found = sorted(_all_runs(client, chosen), key=_created)
    return {str(one.parameters["shard_id"]): one for one in found}


def _all_runs(client: SyncPrefectClient, chosen: Mapping[str, object]) -> list[FlowRun]:
    """Return every flow run that the filter is true of."""
    found: list[FlowRun] = []
    while page := client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate(chosen), sort=_SORT, limit=_IDS_AT_ONCE, offset=len(found)
    ):
        found += page
    return found


def _created(flow_run: FlowRun) -> datetime:
    return flow_run.created or datetime.min.replace(tzinfo=clock.now().tzinfo)


def _deployment(client: SyncPrefectClient) -> UUID:
    try:
        return client.read_deployment_by_name(SHARD_DEPLOYMENT).id
    except ObjectNotFound:
        raise ConfigurationError(
            f"Shards are to be made by workers, and this Prefect server has no deployment {SHARD_DEPLOYMENT}; run "
            "`zimage setup` and `prefect deploy --all --no-prompt`, or choose --runner here."
        ) from None
