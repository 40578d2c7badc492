"""Shards on a work pool: lost machines, failed engines, operators who retry, parents that die, zombies that wake up."""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from gpu_pool import GpuPool
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled
from sleeping_studio import CHOICE, PACKSHOTS, WORDS, Studio, new_studio
from workshop import Workshop

import flows.pool
from flows.pool import cancel_shards
from flows.produce import produce
from tasks.order import ProductionOrder
from zimage_core import clock
from zimage_core.errors import EngineError
from zimage_core.ledger import Ledger

PRODUCTS, SHARDS = 8, 2
POOL = ("--runner", "pool")
BATCH = 2


class Hall:
    """A studio whose shards are made by the workers of a pool of its own, a few seconds away from finding a loss."""

    def __init__(self, studio: Studio, pool: GpuPool) -> None:
        self.studio, self.pool = studio, pool
        self.folder = studio.shop.folder

    def order(self, *more: str, check: bool = True):
        return self.studio.run(*POOL, *more, check=check)

    def drawn(self) -> Counter[str]:
        return Counter(one.attempt_id for one in self.studio.journals.drawn())

    def states(self) -> Counter[str]:
        return Counter(run["state_type"] for run in self.pool.shard_runs())

    def accounts(self) -> tuple[int, int]:
        """Return how many shots the newest run promises, and how many of them it answers for."""
        with Ledger.open(f"sqlite:///{self.folder / 'work' / 'ledger.sqlite'}") as ledger:
            opening = ledger.last_opening()
            assert opening is not None
            tally = ledger.tally(opening.run_id)
        return tally.promised, tally.accepted + tally.doubtful + tally.given_up


@pytest.fixture
def hall(new_workshop: Callable[[str], Workshop], prefect_server: str) -> Iterator[Callable[..., Hall]]:
    halls: list[Hall] = []

    def make(name: str, workers: int = 2, retries: int = 0, **options: str) -> Hall:
        studio = new_studio(new_workshop, name, PRODUCTS, shard_size=PRODUCTS // SHARDS, **options)
        studio.shop.environment |= {"ZIMAGE_LEASE_S": "6", "ZIMAGE_BATCH_SIZE": str(BATCH)}
        with temporary_settings({PREFECT_API_URL: prefect_server}):
            pool = GpuPool(f"{name}-{clock.fresh_id()}", prefect_server, studio.shop)
            pool.deploy(PREFECT_FLOWS_DEFAULT_RETRIES=str(retries), PREFECT_FLOWS_DEFAULT_RETRY_DELAY_SECONDS="1")
        pool.start_worker(workers)
        halls.append(Hall(studio, pool))
        return halls[-1]

    yield make
    for one in halls:
        one.pool.end()


def cancel_children_of(pool: GpuPool) -> None:
    """Carry out the hook of a parent that was cancelled."""
    with temporary_settings({PREFECT_API_URL: pool.api}), get_client(sync_client=True) as client:
        shard = client.read_flow_run(UUID(pool.shard_runs()[0]["id"]))
        assert shard.parent_task_run_id is not None
        place = client.read_task_run(shard.parent_task_run_id)
        assert place.flow_run_id is not None
        cancel_shards(produce, client.read_flow_run(place.flow_run_id), Cancelled())


def flag(folder: Path, name: str) -> Path:
    path = folder / f"{name}.flag"
    path.touch()
    return path


@pytest.mark.slow
def test_workers_make_the_shards_side_by_side_and_every_shot_once(hall: Callable[..., Hall]):
    made = hall("calm", seconds="0.1")
    said = made.order()
    assert f"{PRODUCTS} accepted, 0 doubtful, 0 given up" in said.stdout
    assert set(made.drawn().values()) == {1}
    assert len(made.drawn()) == PRODUCTS
    assert len(made.studio.journals.loads()) == SHARDS  # a process each
    assert made.states() == {"COMPLETED": SHARDS}
    made.order()
    assert made.drawn().total() == PRODUCTS
    assert made.states() == {"COMPLETED": SHARDS}, "a finished shard is not submitted again"


@pytest.mark.slow
def test_a_machine_that_dies_costs_what_it_was_drawing_and_its_shard_is_made_by_another(
    hall: Callable[..., Hall], tmp_path: Path
):
    dies = flag(tmp_path, "dies")
    made = hall("dies", seconds="0.1", die_once=str(dies))
    said = made.order()
    assert dies.with_suffix(".pid").exists()
    assert f"{PRODUCTS} accepted, 0 doubtful, 0 given up" in said.stdout
    assert len(made.drawn()) == PRODUCTS
    assert made.drawn().total() <= PRODUCTS + BATCH
    assert made.states() == {"COMPLETED": SHARDS, "CRASHED": 1}


@pytest.mark.slow
def test_a_shard_that_fails_is_tried_again_by_prefect(hall: Callable[..., Hall], tmp_path: Path):
    ill = flag(tmp_path, "ill")
    made = hall("retried", workers=3, retries=3, ill_while=str(ill))
    parent = made.studio.shop.start("run", "catalogue.csv", *CHOICE, *WORDS, *POOL)
    made.pool.wait(lambda: "AwaitingRetry" in {run["state_name"] for run in made.pool.shard_runs()}, "a retry is due")
    ill.unlink()
    made.pool.wait(lambda: parent.poll() is not None, "the run has ended")
    assert parent.returncode == 0, (made.folder / "started.log").read_text()
    assert made.states() == {"COMPLETED": SHARDS}
    assert max(run["run_count"] for run in made.pool.shard_runs()) > 1
    assert made.accounts() == (PRODUCTS, PRODUCTS)


@pytest.mark.slow
def test_an_operator_retries_the_failed_shards_alone_and_the_run_then_only_publishes(
    hall: Callable[..., Hall], tmp_path: Path
):
    ill = flag(tmp_path, "ill")
    made = hall("ill", ill_while=str(ill))
    said = made.order(check=False)
    assert said.returncode == 1
    assert "Nothing was released" in said.stderr
    failed = [run["id"] for run in made.pool.shard_runs()]
    assert made.states() == {"FAILED": SHARDS}
    ill.unlink()
    for flow_run_id in failed:
        made.pool.retry(flow_run_id)
    made.pool.wait(lambda: made.states() == {"COMPLETED": SHARDS}, "the retried shards are completed")
    tried = made.drawn()
    said = made.order()
    assert f"{PRODUCTS} accepted, 0 doubtful, 0 given up" in said.stdout
    assert made.drawn() == tried, "nothing is drawn for what the shards made"
    assert made.accounts() == (PRODUCTS, PRODUCTS)


@pytest.mark.slow
def test_a_parent_that_dies_is_run_again_and_watches_the_shards_that_are_being_made(hall: Callable[..., Hall]):
    made = hall("orphans", seconds="1")
    parent = made.studio.shop.start("run", "catalogue.csv", *CHOICE, *WORDS, *POOL)
    made.pool.wait(lambda: made.states()["RUNNING"] > 0, "a shard is running")
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()
    said = made.order()
    assert f"{PRODUCTS} accepted, 0 doubtful, 0 given up" in said.stdout
    assert set(made.drawn().values()) == {1}
    assert made.states() == {"COMPLETED": SHARDS}


@pytest.mark.slow
def test_a_zombie_that_wakes_up_after_its_replacement_finished_writes_nothing(
    hall: Callable[..., Hall], new_workshop: Callable[[str], Workshop], tmp_path: Path
):
    calm = new_studio(new_workshop, "awake", PRODUCTS, shard_size=PRODUCTS // SHARDS, studio="yes")
    calm.run(what=PACKSHOTS)
    freezes = flag(tmp_path, "freezes")
    made = hall("zombie", seconds="0.1", freeze_once=str(freezes), studio="yes")
    said = made.studio.run(*POOL, what=PACKSHOTS)
    assert f"{PRODUCTS} accepted" in said.stdout
    zombie = int(freezes.with_suffix(".pid").read_text())
    files, accounts = made.studio.files(), made.accounts()
    os.kill(zombie, signal.SIGCONT)
    made.pool.wait(lambda: not Path(f"/proc/{zombie}").exists(), "the zombie ends")
    assert made.studio.files() == files == calm.files()
    assert made.accounts() == accounts == (PRODUCTS, PRODUCTS)
    assert made.drawn().total() <= PRODUCTS + BATCH


@pytest.mark.slow
def test_a_shard_told_to_end_keeps_what_it_was_drawing_and_goes_on_elsewhere(hall: Callable[..., Hall]):
    made = hall("drained", workers=1, seconds="0.5")
    parent = made.studio.shop.start("run", "catalogue.csv", *CHOICE, *WORDS, *POOL)
    made.pool.wait(lambda: made.drawn().total() > 0, "a picture is drawn")
    process = int(made.studio.journals.drawn()[0].process.rpartition("-")[2])
    os.kill(process, signal.SIGTERM)
    made.pool.wait(lambda: parent.poll() is not None, "the run has ended")
    assert parent.returncode == 0, (made.folder / "started.log").read_text()
    assert set(made.drawn().values()) == {1}, "what was under way was kept"
    assert made.accounts() == (PRODUCTS, PRODUCTS)
    assert made.states() == {"COMPLETED": SHARDS, "CRASHED": 1}


@pytest.mark.slow
def test_cancelling_a_parent_ends_the_shards_that_wait_and_those_that_run(hall: Callable[..., Hall]):
    made = hall("cancelled", workers=1, seconds="1")
    parent = made.studio.shop.start("run", "catalogue.csv", *CHOICE, *WORDS, *POOL)
    made.pool.wait(lambda: made.drawn().total() > 0, "a picture is drawn")
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()
    cancel_children_of(made.pool)
    made.pool.wait(lambda: made.states() == {"CANCELLED": SHARDS}, "every shard is cancelled")
    drawn = made.drawn().total()
    assert drawn <= PRODUCTS // SHARDS
    said = made.order()
    assert f"{PRODUCTS} accepted, 0 doubtful, 0 given up" in said.stdout
    assert made.drawn().total() <= PRODUCTS + BATCH


def test_a_pool_without_a_worker_is_told_and_shards_that_somebody_cancels_are_not_made(
    workshop: Workshop, prefect_server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(flows.pool, "WAITING_S", 0.1)
    monkeypatch.setattr(flows.pool, "LOOK_EVERY_S", 0.2)
    pool = GpuPool(f"empty-{clock.fresh_id()}", prefect_server, workshop)
    pool.deploy()
    order = ProductionOrder(catalogue="catalogue.csv", scenes=("packshot",), channels=("shopify",), runner="pool")

    def cancel_when_told() -> None:
        pool.wait(lambda: "No worker has taken any of 1 shards yet" in caplog.text, "the missing worker is told")
        # a thread of our own knows nothing of the settings of the test's thread
        with temporary_settings({PREFECT_API_URL: prefect_server}), get_client(sync_client=True) as client:
            for run in pool.shard_runs():
                client.set_flow_run_state(UUID(run["id"]), Cancelled(message="not tonight"))

    with ThreadPoolExecutor(1) as operator, caplog.at_level(logging.WARNING, "zimage_core.tasks"):
        cancelled = operator.submit(cancel_when_told)
        with pytest.raises(EngineError, match=r"1 of 1 shards are not finished: Shard .*: not tonight"):
            produce(order)
        cancelled.result()
    assert workshop.calls() == []
