"""Promises on disk: written once, ended once, and one of two equal ones at the same moment is the first."""

from __future__ import annotations

import dataclasses
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from standing_clock import StandingClock

from zimage_core.errors import StorageError
from zimage_core.serving.taskbook import TaskBook, TaskRow


def row(task_id: str = "t1", **changes: object) -> TaskRow:
    made = TaskRow(task_id, "shop", "queued", "normal", "engine-1", "key", b"{}", "", "", 0, 100.0, None, None)
    return dataclasses.replace(made, **changes)


def promise(book: TaskBook, made: TaskRow, *, key: str | None = None, body: str = "body", good: bool = True):
    return book.promise(made, key=key, body=body, still_good=lambda _: good)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def book(tmp_path: Path, clock: StandingClock):
    with_clock = TaskBook(tmp_path / "tasks.sqlite", now=clock, elapsed_s=lambda: clock.now.timestamp())
    yield with_clock
    with_clock.close()


def test_a_task_goes_its_way_and_an_end_is_final(book: TaskBook, clock: StandingClock) -> None:
    assert promise(book, row()) == ("new", row())
    assert book.get("t1", "shop") == row()
    assert book.get("t1", "another caller") is None
    book.begun(["t1"])
    begun = book.get("t1", "shop")
    assert (begun.state, begun.starts, begun.started_s) == ("running", 1, clock.now.timestamp())
    book.queued_again(["t1"])
    book.begun(["t1"])
    assert book.get("t1", "shop").starts == 2
    book.finished(["t1"], "done")
    book.finished(["t1"], "lost", reason="too late to say so")
    ended = book.get("t1", "shop")
    assert (ended.state, ended.reason, ended.finished_s) == ("done", "", clock.now.timestamp())
    assert book.unfinished() == []


def test_what_is_unfinished_comes_back_oldest_first_from_another_process(book: TaskBook, tmp_path: Path) -> None:
    for number in (3, 1, 2):
        promise(book, row(f"t{number}", created_s=float(number)))
    book.begun(["t2"])
    book.finished(["t3"], "cancelled")
    again = TaskBook(tmp_path / "tasks.sqlite")
    assert [(task.task_id, task.state) for task in again.unfinished()] == [("t1", "queued"), ("t2", "running")]
    again.close()


def test_a_key_stands_for_one_body_and_one_good_task(book: TaskBook) -> None:
    assert promise(book, row("t1"), key="k")[0] == "new"
    claim, before = promise(book, row("t2"), key="k")
    assert (claim, before.task_id) == ("same", "t1")
    assert promise(book, row("t3"), key="k", body="other")[0] == "other"
    assert promise(book, row("t4", caller="another"), key="k", body="other")[0] == "new", "keys belong to callers"
    assert promise(book, row("t5"), key="k", good=False)[1].task_id == "t5", "a task that failed is taken anew"
    assert promise(book, row("t6"), key="k")[1].task_id == "t5"
    assert [task.task_id for task in book.unfinished()] == ["t1", "t4", "t5"]


def test_a_key_of_a_request_that_is_waited_for_stands_for_one_body_too(book: TaskBook) -> None:
    assert book.claim_key("shop", "k", "body")
    assert book.claim_key("shop", "k", "body")
    assert not book.claim_key("shop", "k", "other")
    assert promise(book, row(), key="k", body="other")[0] == "other"
    assert promise(book, row(), key="k", body="body")[0] == "new"


def test_of_equal_promises_at_the_same_moment_one_is_new(book: TaskBook) -> None:
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda number: promise(book, row(f"t{number}"), key="k"), range(40)))
    assert sorted(claim for claim, _ in claims) == ["new"] + ["same"] * 39
    assert len({task.task_id for _, task in claims}) == 1
    assert len(book.unfinished()) == 1


def test_what_was_refused_after_all_leaves_nothing(book: TaskBook) -> None:
    promise(book, row(), key="k")
    book.strike_out("t1")
    assert book.get("t1", "shop") is None
    assert promise(book, row("t2"), key="k", body="other")[0] == "new"


def test_old_ends_and_keys_are_forgotten_but_never_what_waits(book: TaskBook, clock: StandingClock) -> None:
    for task_id in ("ended", "waits"):
        promise(book, row(task_id, created_s=clock.now.timestamp()), key=task_id)
    book.claim_key("shop", "k", "body")
    book.finished(["ended"], "done")
    clock.pass_s(50)
    assert book.prune(task_ttl_s=100, key_ttl_s=100) == 0
    clock.pass_s(51)
    assert book.prune(task_ttl_s=100, key_ttl_s=100) == 3, "the task that ended, its key, and the key without a task"
    assert book.get("ended", "shop") is None
    assert promise(book, row("again"), key="waits")[0] == "same"


def test_a_file_of_another_release_or_no_file_at_all_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "tasks.sqlite"
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    with pytest.raises(StorageError, match="another release"):
        TaskBook(path)
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StorageError, match=r"tasks\.sqlite.*damaged"):
        TaskBook(path)


def test_a_file_that_was_damaged_is_refused_not_half_read(tmp_path: Path) -> None:
    path = tmp_path / "tasks.sqlite"
    book = TaskBook(path)
    for number in range(200):
        promise(book, row(f"t{number}", request=bytes(500)))
    book.close()
    data = bytearray(path.read_bytes())
    data[8192 : 8192 + 4096] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(StorageError, match="damaged"):
        TaskBook(path)


def test_what_a_task_asked_for_goes_when_it_ends_so_that_the_file_stays_small(book: TaskBook, tmp_path: Path) -> None:
    for number in range(100):
        promise(book, row(f"t{number}", request=bytes(200_000)))
        assert len(book.get(f"t{number}", "shop").request) == 200_000
        book.finished([f"t{number}"], "done")
        assert book.get(f"t{number}", "shop").request == b""
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert size < 10 * 2**20, f"{size} bytes for a hundred tasks that ended"


def test_an_end_that_the_disk_refuses_is_written_later(book: TaskBook) -> None:
    for task_id in ("t1", "t2", "t3"):
        promise(book, row(task_id))
    book._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError):
        book.finished(["t1", "t2"], "done")
    with pytest.raises(StorageError):
        book.finished(["t3"], "failed", failure="{}")
    with pytest.raises(StorageError):
        book.catch_up()
    book._connection.execute("PRAGMA query_only = OFF")
    book.catch_up()
    assert [book.get(task_id, "shop").state for task_id in ("t1", "t2", "t3")] == ["done", "done", "failed"]


def test_a_clock_that_is_set_makes_no_task_forgotten(tmp_path: Path, clock: StandingClock) -> None:
    book = TaskBook(tmp_path / "tasks.sqlite", now=clock, elapsed_s=lambda: 7.0)
    promise(book, row(created_s=clock.now.timestamp()), key="k")
    book.finished(["t1"], "done")
    clock.pass_s(86_400 * 365)
    assert book.prune(task_ttl_s=100, key_ttl_s=100) == 0
    assert book.get("t1", "shop") is not None
    book.close()
