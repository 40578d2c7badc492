"""A work pool of a test's own with real process workers, and the deployment produce-shard on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from workshop import Workshop

from flows.shard import produce_shard

PATIENCE_S = 300


@dataclass
class GpuPool:
    """The pool `name`, whose workers carry out shards in a workshop's folder; `flow_runs` asks the server."""

    name: str
    api: str
    shop: Workshop
    limit: int | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def deploy(self, **environment: str) -> None:
        """Make the pool and let produce-shard be carried out there."""
        step = "prefect.deployments.steps.set_working_directory"
        with get_client(sync_client=True) as client:
            client.create_work_pool(WorkPoolCreate(name=self.name, type="process", concurrency_limit=self.limit))
            client.create_deployment(
                flow_id=client.create_flow(produce_shard),
                name=produce_shard.name,
                work_pool_name=self.name,
                entrypoint="flows.shard.produce_shard",
                pull_steps=[{step: {"directory": str(self.shop.folder)}}],
                job_variables={"env": environment},
                enforce_parameter_schema=False,
            )

    def start_worker(self, at_a_time: int = 1) -> subprocess.Popen[bytes]:
        """Start a worker that carries out so many shards at a time."""
        command = ("worker", "start", "--pool", self.name, "--type", "process", "--limit", str(at_a_time))
        environment = self.shop.environment | {
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_WORKER_PREFETCH_SECONDS": "1",
        }
        with (self.shop.folder / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "prefect", *command],
                cwd=self.shop.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        """End what was started here, by its process groups."""
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()

    def shard_runs(self) -> list[dict[str, Any]]:
        """Return the flow runs of produce-shard on this pool, the oldest first."""
        wanted = {"work_pools": {"name": {"any_": [self.name]}}, "sort": "EXPECTED_START_TIME_ASC"}
        answer = httpx.post(f"{self.api}/flow_runs/filter", json=wanted, timeout=30)
        answer.raise_for_status()
        return list(answer.json())

    def retry(self, flow_run_id: str) -> None:
        """Do what the button Retry of the UI does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        answer = httpx.post(
            f"{self.api}/flow_runs/{UUID(flow_run_id)}/set_state", json={"state": state, "force": True}, timeout=30
        )
        answer.raise_for_status()

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Look until something is so; show what the worker said when it never is."""
        deadline_s, log = time.monotonic() + PATIENCE_S, self.shop.folder / "worker.log"
        while not until():
            assert time.monotonic() < deadline_s, f"never: {what}\n{log.read_text() if log.exists() else ''}"
            time.sleep(0.2)
