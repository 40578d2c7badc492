"""What a Prefect server needs before flows can be deployed to it: work pools, work queues, and a limit per GPU.

Everything is looked at first and changed only where it differs, so that setting up twice changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import WorkPool, WorkQueue
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from zimage_core.errors import ConfigurationError

CPU, GPU = "cpu", "gpu"
ABOUT = {
    CPU: "Runs that lead and count: produce, publish, review, expire. Any machine that sees the ledger and the store.",
    GPU: "Shards: one at a time per GPU.",
}
QUEUES = ("urgent", "default", "low")
"""Of the gpu pool, in the order that workers take from them: Prefect gives the smallest number first."""

_PLACES = ("first", "second", "third")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the server needs: whether it was made, changed, or found as it should be."""

    outcome: Literal["made", "changed", "found"]
    sentence: str


def server_url() -> str:
    """Return the configured server's URL. Raises ConfigurationError where none is: a server of its own forgets all."""
    url = get_current_settings().api.url
    if not url:
        raise ConfigurationError(
            "No Prefect server is configured: start one with `prefect server start` and set PREFECT_API_URL to it, "
            "http://127.0.0.1:4200/api on the same machine."
        )
    return url


def set_up_server(gpus: int | None, devices: int, *, dry_run: bool) -> list[Step]:
    """Make what is missing on the configured server, change what differs, and return what was done about each.

    `gpus`: how many shards are made at a time over all machines; None keeps what is there, and where nothing is there
    takes the `devices` found here, no limit where there are none. With `dry_run` nothing is changed. Raises
    ConfigurationError: no server, one that cannot be reached or refuses us.
    """
    return asyncio.run(_set_up(gpus, devices, dry_run=dry_run))


async def _set_up(gpus: int | None, devices: int, *, dry_run: bool) -> list[Step]:
    async with _connected() as client:
        steps = [await _pool(client, CPU, None, None, dry_run=dry_run)]
        steps.append(await _pool(client, GPU, gpus, devices or None, dry_run=dry_run))
        steps += await _queues(client, dry_run=dry_run)
    return steps


@asynccontextmanager
async def _connected() -> AsyncIterator[PrefectClient]:
    """Yield a client of the configured server; what goes wrong with it is a sentence."""
    url = server_url()
    try:
        async with get_client() as client:
            yield client
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"The Prefect server at {url} cannot be reached ({type(error).__name__}: {error}); start it with "
            "`prefect server start`, or correct PREFECT_API_URL."
        ) from error
    except PrefectHTTPStatusError as error:
        raise ConfigurationError(
            f"The server at {url} refused to be set up ({error.response.status_code} {error.response.text:.200}); see "
            "that PREFECT_API_URL ends in /api, that PREFECT_API_KEY or PREFECT_API_AUTH_STRING is right, and that it "
            "has the version of this client."
        ) from error


async def _pool(client: PrefectClient, name: str, wanted: int | None, at_first: int | None, *, dry_run: bool) -> Step:
    """Make or change one work pool. `wanted` None keeps its limit; `at_first` is the limit of one that is made."""
    try:
        found: WorkPool | None = await client.read_work_pool(name)
    except ObjectNotFound:
        found = None
    if found is None:
        limit = wanted if wanted is not None else at_first
        if not dry_run:
            template = ProcessWorker.get_default_base_job_template()
            await client.create_work_pool(
                WorkPoolCreate(
                    name=name,
                    type=ProcessWorker.type,
                    description=ABOUT[name],
                    base_job_template=template,
                    concurrency_limit=limit,
                )
            )
        return Step("made", f"work pool {name} ({ProcessWorker.type}), {_limit_words(limit)}")
    if wanted is None or found.concurrency_limit == wanted:
        return Step("found", f"work pool {name} ({found.type}), {_limit_words(found.concurrency_limit)}")
    if not dry_run:
        await client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=wanted))
    return Step(
        "changed",
        f"work pool {name} ({found.type}), {_limit_words(wanted)}; it was {_limit_words(found.concurrency_limit)}",
    )


async def _queues(client: PrefectClient, *, dry_run: bool) -> list[Step]:
    """Make the gpu pool's queues and put them in order. Queues of other names are left where they are."""
    found = {name: await _queue(client, name) for name in QUEUES}
    places = [queue.priority or 0 for queue in found.values() if queue is not None]
    steps: list[Step] = []
    for priority, (name, queue) in enumerate(found.items(), 1):
        if queue is None:
            if not dry_run:
                await client.create_work_queue(name=name, work_pool_name=GPU, priority=priority)
            steps.append(Step("made", f"work queue {name} of {GPU}"))
        elif len(places) == len(QUEUES) and places == sorted(places):
            steps.append(Step("found", f"work queue {name} of {GPU}"))
        else:
            if not dry_run:
                await client.update_work_queue(queue.id, priority=priority)
            steps.append(Step("changed", f"work queue {name} of {GPU} comes {_PLACES[priority - 1]}"))
    return steps


async def _queue(client: PrefectClient, name: str) -> WorkQueue | None:
    try:
        return await client.read_work_queue_by_name(name, work_pool_name=GPU)
    except ObjectNotFound:
        return None


def _limit_words(limit: int | None) -> str:
    if limit is None:
        return "any number of runs at a time"
    return "1 run at a time" if limit == 1 else f"{limit} runs at a time"


def worker_lines(url: str, home: str, gpus: int, prefect: str) -> Iterator[tuple[str, str]]:
    """Yield (what it is for, the line that starts it) for every worker: one that leads, and one per GPU.

    `home` and `prefect` are quoted for a shell already.
    """
    shared = f"PREFECT_API_URL={url} ZIMAGE_HOME={home}"
    where = " ZIMAGE_RUNNER=pool" if gpus else ""
    yield "leads runs, publishes, expires", f"{shared}{where} {prefect} worker start --pool {CPU} --type process"
    for gpu in range(gpus):
        starts = f"{prefect} worker start --pool {GPU} --type process --name gpu-{gpu} --limit 1"
        yield f"GPU {gpu}", f"{shared} CUDA_VISIBLE_DEVICES={gpu} {starts}"
