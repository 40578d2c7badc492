"""What every task needs from the process it runs in: opened rooms, the resident engine, retry rules, names, artifacts.

Task arguments are small records (an order, ids); live things (ledger, stores, engine) are opened once per process here
and found again by the order's settings, so that a task may run in any thread or in another process alike.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.tasks import exponential_backoff

from tasks.devices import engine_of
from tasks.order import ProductionOrder
from zimage_core.domain import Channel, Promise
from zimage_core.engines.base import Engine
from zimage_core.errors import ZImageError
from zimage_core.ledger import Ledger
from zimage_core.prompting import PromptLibrary
from zimage_core.publishing.channels import known_channels
from zimage_core.publishing.credentials import CredentialSigner, open_signer
from zimage_core.publishing.moderation import ModerationClient, moderation_client
from zimage_core.quality.rubric import Rubric, load_rubric
from zimage_core.settings import PublishSettings, Settings, load_publish_settings, set_environment_defaults
from zimage_core.storage import BucketStore, LocalStore, Store, open_store

Item = TypeVar("Item")

log = logging.getLogger("zimage_core.tasks")

WORKERS = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=2))
"""Two task runs at a time beside the flow's own thread; OpenCV and onnxruntime work without Python's lock."""


@dataclass(frozen=True, eq=False)
class Rooms:
    """The rooms of the core as this process has opened them for one set of settings."""

    settings: Settings
    ledger: Ledger
    work: Store
    cdn: Store
    library: PromptLibrary
    channels: Mapping[str, Channel]
    rubric: Rubric
    publishing: PublishSettings
    moderation: ModerationClient | None = None
    signer: CredentialSigner | None = None


@dataclass(frozen=True, eq=False)
class ResidentEngine:
    """An engine that stays loaded between batches, and the slots that let as many batches in as it takes at a time."""

    engine: Engine
    slots: threading.BoundedSemaphore


BATCHES_PER_SHARE, SMALL_SHARE, SHARE_OF_THE_REST = 16, 3, 0.6
"""A task run takes so much of what is left, never more than so many batches, and all of it from the start where that
is a small share: 200 shots in batches of 8 are shares of 15, 6, 3 and 1 batches, 40 task runs for 1,000 pictures drawn
and graded."""

_opening = threading.Lock()
_rooms: dict[str, Rooms] = {}
_engines: dict[str, ResidentEngine] = {}


def rooms(order: ProductionOrder) -> Rooms:
    """Return the opened rooms for this order's settings; the first call in a process opens them."""
    # tesseract's threads spin against each other: one is four to ten times faster as soon as anything else runs
    set_environment_defaults(OMP_THREAD_LIMIT="1")
    settings, publishing = order.settings(), load_publish_settings()
    key = repr((settings.model_dump(exclude={"ledger_url"}), settings.resolved_ledger_url(), publishing.model_dump()))
    with _opening:
        if key not in _rooms:
            settings.work_dir.mkdir(parents=True, exist_ok=True)
            settings.out_dir.mkdir(parents=True, exist_ok=True)
            work, cdn = LocalStore(settings.work_dir / "store"), open_store(publishing, settings.out_dir)
            if left := work.sweep() + (cdn.sweep() if isinstance(cdn, LocalStore) else 0):
                log.warning("Removed %d unfinished files of processes that were killed.", left)
            _rooms[key] = Rooms(
                settings=settings,
                ledger=Ledger.open(settings.resolved_ledger_url()),
                work=work,
                cdn=cdn,
                library=PromptLibrary.load(settings.prompts_dir),
                channels=known_channels(settings.channels),
                rubric=load_rubric(settings.rubric),
                publishing=publishing,
                moderation=moderation_client(settings),
                signer=open_signer(publishing),
            )
        return _rooms[key]


def resident_engine(order: ProductionOrder) -> ResidentEngine:
    """Return the order's engine, loaded once per process. Raises ConfigurationError for a name nobody knows."""
    key = _engine_key(order)
    with _opening:
        if key not in _engines:
            engine = engine_of(order)
            _engines[key] = ResidentEngine(engine, threading.BoundedSemaphore(engine.info.concurrent_calls))
        return _engines[key]


def let_engine_go(order: ProductionOrder) -> None:
    """Close the order's engine in this process, before others load it; asking for it again loads it again."""
    with _opening:
        resident = _engines.pop(_engine_key(order), None)
    if resident is not None:
        resident.engine.close()


def _engine_key(order: ProductionOrder) -> str:
    settings = order.settings()
    return repr((settings.engine, sorted(settings.engine_options.items()), settings.engine_devices))


@contextmanager
def opened_rooms() -> Iterator[None]:
    """Close every ledger and engine that was opened meanwhile, however the body ends: for commands and tests."""
    try:
        yield
    finally:
        with _opening:
            for resident in _engines.values():
                resident.engine.close()
            for room in _rooms.values():
                room.ledger.close()
                if isinstance(room.cdn, BucketStore):
                    room.cdn.close()
                if room.moderation is not None:
                    room.moderation.close()
            _engines.clear()
            _rooms.clear()
        _kept_promises.cache_clear()


def shard_promises(order: ProductionOrder, run_id: str, shard_id: str) -> Mapping[str, Promise]:
    """Return the promises of a shard by shot_id; insert-only rows, so a process may keep them."""
    return _kept_promises(rooms(order).ledger, run_id, shard_id)


@lru_cache(maxsize=4)
def _kept_promises(ledger: Ledger, run_id: str, shard_id: str) -> Mapping[str, Promise]:
    return {promise.shot.shot_id: promise for promise in ledger.promises(run_id, shard_id)}


# ---------------------------------------------------------------- retries


def is_retryable(task: Task[..., object], task_run: TaskRun, state: State[object]) -> bool:
    """Prefect's question after a failed try; the error's class answers it. An error that is not ours is not retried."""
    error = state.result(raise_on_failure=False)
    retryable = isinstance(error, ZImageError) and error.retryable
    if retryable:
        log.warning("%s will be tried again: %s", task.name, error)
    return retryable


RETRYING: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(backoff_factor=1),  # 1, 2, 4 s
    "retry_jitter_factor": 0.5,  # so that no two batches knock at once
    "retry_condition_fn": is_retryable,
}
"""How a stage is tried again: what the error's class allows, three times."""


def sentence_of(state: State[Any]) -> str:
    """Return why a run failed as a sentence for the person on call, without the orchestrator's words around it."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, ZImageError):
        return str(error)
    return f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(state.message)


# ---------------------------------------------------------------- batches, names and artifacts


def photo_root(order: ProductionOrder) -> Path:
    """Return the folder that image paths of the catalogue are relative to: a file's own, else the working folder."""
    return Path() if "://" in order.catalogue else Path(order.catalogue).parent


def batches_of(order: ProductionOrder, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield these items in runs of the configured batch size: what an engine is handed in one call."""
    size = order.settings().batch_size
    for start in range(0, len(items), size):
        yield items[start : start + size]


def shares_of(order: ProductionOrder, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield these items in runs of whole batches: what one task run takes.

    A task run costs the server about as much as a cheap picture costs to grade, so shares are large; towards the end
    they become smaller, so that little is left for the next stage when this one is done.
    """
    size = order.settings().batch_size
    start = 0
    while start < len(items):
        batches = math.ceil((len(items) - start) / size)
        small = start == 0 and batches <= SMALL_SHARE
        share = size * (batches if small else min(BATCHES_PER_SHARE, math.ceil(SHARE_OF_THE_REST * batches)))
        yield items[start : start + share]
        start += share


def promised_shots(order: ProductionOrder, run_id: str) -> list[str]:
    """Return every shot of a run in the order of its promises."""
    return [promise.shot.shot_id for promise in rooms(order).ledger.iter_promises(run_id)]


def unfinished_shots(order: ProductionOrder, run_id: str, shard_id: str) -> tuple[list[str], int]:
    """Return the shots of a shard that still need something made or graded, and how many it promised."""
    found = list(rooms(order).ledger.standings(run_id, shard_id))
    return [promise.shot.shot_id for promise, standing in found if standing.needs != "nothing"], len(found)


def end_shard(order: ProductionOrder, run_id: str, shard_id: str) -> None:
    """Write down that every shot of a shard has come to its end, as things stand."""
    rooms(order).ledger.end_shard(run_id, shard_id)


def unfinished_shards(order: ProductionOrder, run_id: str) -> list[str]:
    """Return the shards of a run in which something still has to be made, graded or compared, in order."""
    return rooms(order).ledger.open_shards(run_id)


def shard_labels(order: ProductionOrder, run_id: str) -> list[tuple[str, str]]:
    """Return each shard of a run with the name its flow run gets: promotion and SKU range."""
    ledger = rooms(order).ledger
    return [
        (shard_id, f"{order.promotion} · {sku_range(ledger.promises(run_id, shard_id))}")
        for shard_id in ledger.promised_shards(run_id)
    ]


def batch_label(order: ProductionOrder, run_id: str, shard_id: str, shot_ids: Sequence[str]) -> str:
    """Return the name of a batch's task runs: its SKU range."""
    promises = shard_promises(order, run_id, shard_id)
    return sku_range([promises[shot_id] for shot_id in shot_ids])


def sku_range(promises: Sequence[Promise]) -> str:
    """Return the first and last SKU of these promises, as people read a range; '' for none."""
    if not promises:
        return ""
    first, last = promises[0].product.sku, promises[-1].product.sku
    return first if first == last else f"{first} … {last}"


def artifact_key(*parts: str) -> str:
    """Return an artifact key out of these parts: Prefect takes lower-case letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
