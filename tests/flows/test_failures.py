"""What each stage leaves behind when it fails: a sentence, the release that stood before, and work that is not lost."""

from __future__ import annotations

import json
import socket
import threading
from functools import partial
from pathlib import Path

import pytest
from workshop import MUG, Workshop

import tasks.renditions
from flows.produce import produce
from tasks.lease import held_lease, shard_lease
from tasks.order import ProductionOrder
from tasks.runtime import opened_rooms, rooms
from zimage_core.errors import EngineError, LeaseLost, LedgerBusy, StorageError
from zimage_core.storage import upload


@pytest.fixture
def order(workshop: Workshop) -> ProductionOrder:
    workshop.write(MUG)
    return ProductionOrder(
        catalogue=str(workshop.catalogue), promotion="618", scenes=("studio",), channels=("taobao_main",)
    )


def pointer(shop: Workshop) -> dict[str, str]:
    current: dict[str, str] = json.loads((shop.cdn / "current" / "618.json").read_text())
    return current


def the_attempt(shop: Workshop) -> Path:
    (path,) = (shop.folder / "work" / "store" / "attempts").rglob("*.png")
    return path


def test_a_picture_that_cannot_be_read_back_stops_its_grade_and_the_release_before_stands(
    workshop: Workshop, order: ProductionOrder
):
    produce(order)
    before = pointer(workshop)
    the_attempt(workshop).write_bytes(b"\x89PNG half of it")
    workshop.write(MUG | {"price": "49.00"})
    with pytest.raises(EngineError, match="is damaged"):
        produce(order)
    assert pointer(workshop) == before


def test_a_store_that_refuses_stops_the_release_and_the_next_run_finishes_it(
    workshop: Workshop, order: ProductionOrder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tasks.renditions, "upload", partial(upload, pauses_s=()))  # it waits a minute and more else
    (workshop.folder / "out").mkdir()
    workshop.cdn.mkdir()
    (workshop.cdn / "img").write_text("a file where a folder must be")
    with pytest.raises(StorageError):
        produce(order)
    assert not (workshop.cdn / "current").exists()
    (workshop.cdn / "img").unlink()
    calls = workshop.calls()
    produce(order)
    assert pointer(workshop)["manifest_key"]
    assert workshop.calls() == calls


def test_a_report_that_cannot_be_written_leaves_the_release_and_is_written_next_time(
    workshop: Workshop, order: ProductionOrder
):
    (workshop.folder / "out").mkdir()
    (workshop.folder / "out" / "reports").write_text("a file where a folder must be")
    with pytest.raises((StorageError, OSError)):
        produce(order)
    assert pointer(workshop)["release_id"]
    (workshop.folder / "out" / "reports").unlink()
    run_id = produce(order)
    assert (workshop.folder / "out" / "reports" / run_id / "index.html").is_file()


def test_a_shard_that_another_worker_holds_is_not_made_twice(workshop: Workshop, order: ProductionOrder):
    run_id = produce(order.model_copy(update={"publish": False}))
    (shard_id,) = rooms(order).ledger.promised_shards(run_id)
    entered, leave, refused = threading.Event(), threading.Event(), []

    def hold() -> None:
        with shard_lease(order, shard_id):
            entered.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    entered.wait(30)
    try:
        with shard_lease(order, shard_id):
            refused.append("let in")
    except LedgerBusy as error:
        refused.append(str(error))
    finally:
        leave.set()
        holder.join()
    assert len(refused) == 1
    assert "is being worked on by" in refused[0]
    with shard_lease(order, shard_id):
        assert rooms(order).ledger.lease_owner(shard_id) is not None


def test_the_lease_of_a_worker_that_died_on_this_machine_is_taken_over_at_once(
    workshop: Workshop, order: ProductionOrder
):
    run_id = produce(order.model_copy(update={"publish": False}))
    (shard_id,) = rooms(order).ledger.promised_shards(run_id)
    dead = workshop.start("status")
    dead.wait()
    assert rooms(order).ledger.acquire_lease(shard_id, f"{socket.gethostname()}:{dead.pid}:0", 3600)
    with shard_lease(order, shard_id):
        assert rooms(order).ledger.lease_owner(shard_id) != f"{socket.gethostname()}:{dead.pid}:0"


def test_nothing_is_written_for_a_shard_whose_lease_was_let_go(workshop: Workshop, order: ProductionOrder):
    run_id = produce(order.model_copy(update={"publish": False}))
    (shard_id,) = rooms(order).ledger.promised_shards(run_id)
    with shard_lease(order, shard_id):
        held_lease(shard_id).renew()
    with pytest.raises(LeaseLost, match="no longer answers"):
        held_lease(shard_id)


def test_rooms_are_closed_when_a_command_ends(workshop: Workshop, order: ProductionOrder):
    with opened_rooms():
        first = rooms(order)
    assert rooms(order) is not first
