"""A process per device: as many times as fast, each shot once, and no harm from a device that dies or never starts."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from sleeping_studio import CHOICE, PACKSHOTS, WORDS, Studio, new_studio
from workshop import Workshop


@pytest.fixture
def studio(new_workshop: Callable[[str], Workshop]) -> Callable[..., Studio]:
    """Return a function that makes a workshop with so many products, drawn on these devices with these options."""

    def make(name: str, products: int, *devices: str, shard_size: int = 8, **options: str) -> Studio:
        return new_studio(new_workshop, name, products, *devices, shard_size=shard_size, **options)

    return make


@pytest.mark.slow
def test_four_devices_draw_much_faster_than_one_and_load_once_each(studio: Callable[..., Studio]):
    one = studio("one", 40, shard_size=40, seconds="0.25", calls="2")
    four = studio("four", 160, *["cpu"] * 4, shard_size=40, seconds="0.25", calls="2", together="4")
    one.run()
    four.run()
    assert len(one.journals.drawn()) == 40
    assert len({d.attempt_id for d in four.journals.drawn()}) == len(four.journals.drawn()) == 160
    assert list(four.journals.loads().values()) == [1, 1, 1, 1]
    # nearly four on a machine that does nothing else; two cores that grade as well, beside other work, give less
    assert four.journals.pictures_per_second() >= 2 * one.journals.pictures_per_second()


@pytest.mark.slow
def test_the_files_and_the_run_are_the_same_whether_one_process_made_them_or_two(studio: Callable[..., Studio]):
    here = studio("here", 8, studio="yes")
    two = studio("two", 8, "x", "y", shard_size=2, studio="yes", together="2")
    here.run(what=PACKSHOTS)
    two.run(what=PACKSHOTS)
    assert two.journals.devices() == ["x", "y"]
    assert len([name for name in two.files() if name.startswith("cdn/img/")]) == 8
    assert two.files() == here.files()
    drawn = two.journals.drawn()
    assert {d.attempt_id for d in drawn} == {d.attempt_id for d in here.journals.drawn()}
    two.run("--engine-option", "device=z", what=PACKSHOTS)
    assert two.journals.drawn() == drawn
    assert two.files() == here.files()


@pytest.mark.slow
def test_the_shard_of_a_device_process_that_is_killed_is_finished_by_another_at_once(
    studio: Callable[..., Studio], prefect_server: str
):
    made = studio("killed", 12, "frail", "fine", shard_size=6, seconds="0.05", together="2")
    made.shop.environment["ZIMAGE_LEASE_S"] = "3600"  # nobody waits for a lease to run out
    said = made.run()
    assert "12 accepted, 0 doubtful, 0 given up" in said.stdout
    assert "Device frail: Its process ended with signal SIGKILL" in said.stderr
    drawn = Counter(d.attempt_id for d in made.journals.drawn())
    assert len(drawn) == 12
    assert drawn.total() <= 12 + 4
    states = {run["name"].split(" · ")[0]: run["state_type"] for run in subflows(prefect_server, produce_run(made))}
    assert (states["frail"], states["fine"]) == ("CRASHED", "COMPLETED")
    frail = next(r for r in subflows(prefect_server, produce_run(made)) if r["name"].startswith("frail"))
    assert [run["state_type"] for run in subflows(prefect_server, frail["id"])] == ["CRASHED"]


@pytest.mark.slow
def test_a_device_that_cannot_start_is_one_sentence_and_the_others_make_everything(studio: Callable[..., Studio]):
    made = studio("broken", 8, "broken", "fine", shard_size=2)
    said = made.run()
    assert "8 accepted" in said.stdout
    assert said.stderr.count("Engine 'sleeping' has no device broken.") == 1
    assert made.journals.devices() == ["fine"]


@pytest.mark.slow
def test_what_one_device_could_not_make_another_makes(studio: Callable[..., Studio]):
    made = studio("ill", 4, "ill", "fine", shard_size=2, together="2")
    assert "4 accepted" in made.run().stdout
    assert made.journals.devices() == ["fine", "ill"]


@pytest.mark.slow
def test_when_no_device_can_make_it_the_run_fails_with_the_reason_and_releases_nothing(studio: Callable[..., Studio]):
    made = studio("all-ill", 4, "ill", "ill", shard_size=2)
    done = made.run(check=False)
    assert done.returncode == 1
    assert "EngineError: 2 of 2 shards are not finished" in done.stderr
    assert "Device ill is ill." in done.stderr.rpartition("EngineError: 2 of 2")[2]
    assert not (made.shop.cdn / "current").exists()


def test_when_no_device_can_even_start_nothing_is_begun(studio: Callable[..., Studio]):
    made = studio("all-broken", 4, "broken", "broken")
    done = made.run(check=False)
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith("ConfigurationError: Engine 'sleeping' has no device broken.")
    assert made.shop.run("status").stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_device_processes_end_with_the_one_that_started_them(studio: Callable[..., Studio], ended_by: signal.Signals):
    made = studio("ended", 8, "x", "y", shard_size=4, seconds="0.4", together="2")
    process = made.shop.start("run", "catalogue.csv", *CHOICE, *WORDS)
    try:
        wait_until(lambda: made.journals.folder.exists() and len(made.journals.drawn()) > 2)
        process.send_signal(ended_by)
        process.wait(30)
        pids = [int(who.rpartition("-")[2]) for who in made.journals.loads()]
        assert len(pids) == 2
        wait_until(lambda: not any(is_running(pid) for pid in pids))
    finally:
        end(process)
    made.run()
    assert len({d.attempt_id for d in made.journals.drawn()}) == 8
    assert "8 accepted" in made.shop.run("status").stdout


@pytest.mark.slow
def test_device_processes_use_the_server_that_the_run_itself_started(studio: Callable[..., Studio]):
    made = studio("serverless", 4, "x", "y", shard_size=2, together="2")
    del made.shop.environment["PREFECT_API_URL"]
    assert "4 accepted" in made.run().stdout
    assert made.journals.devices() == ["x", "y"]


@pytest.mark.parametrize(
    ("named", "found", "worked"),
    [((), "", "none"), ((), "solo", "none"), (("solo",), "x y", "solo"), ((), "x y", "x y")],
)
def test_one_device_is_this_process_and_is_told_to_the_engine_only_when_it_was_named(
    studio: Callable[..., Studio], named: tuple[str, ...], found: str, worked: str
):
    made = studio("auto", 4, *named, shard_size=2, finds=found, together=str(len(worked.split())))
    made.run()
    assert made.journals.devices() == worked.split()


def test_what_an_engine_says_while_it_loads_is_seen_on_the_terminal_and_kept_by_prefect(
    studio: Callable[..., Studio], prefect_server: str
):
    made = studio("loading", 4, "x", "y", shard_size=2, together="2")
    said = made.run().stderr.splitlines()
    assert sorted(line for line in said if "Loading" in line) == [
        f"Loading the weights of engine sleeping on {device}" for device in ("x", "y")
    ]
    devices = subflows(prefect_server, produce_run(made))
    shards = [shard["id"] for run in devices for shard in subflows(prefect_server, run["id"])]
    wait_until(lambda: len([m for m in messages(prefect_server, shards) if m.startswith("Loading the weights")]) == 2)


# ---------------------------------------------------------------- what is asked of the operating system and of Prefect


def wait_until(true: Callable[[], bool], patience_s: float = 60) -> None:
    deadline_s = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def end(process: subprocess.Popen[bytes]) -> None:
    """End what the test started, all of its process group, whatever became of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def is_running(pid: int) -> bool:
    """A process that has ended but was not waited for by whoever inherited it runs no more."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def produce_run(made: Studio) -> str:
    """Return the id of the newest flow run of `produce` for this workshop's catalogue."""
    url = made.shop.environment["PREFECT_API_URL"]
    query = {"flows": {"name": {"any_": ["produce"]}}, "sort": "START_TIME_DESC", "limit": 1}
    newest: str = httpx.post(f"{url}/flow_runs/filter", json=query).json()[0]["id"]
    return newest


def subflows(url: str, flow_run_id: str) -> list[dict[str, str]]:
    query = {"flow_runs": {"parent_flow_run_id": {"any_": [flow_run_id]}}}
    found: list[dict[str, str]] = httpx.post(f"{url}/flow_runs/filter", json=query).json()
    return found


def messages(url: str, flow_run_ids: list[str]) -> list[str]:
    query = {"logs": {"flow_run_id": {"any_": flow_run_ids}}}
    return [line["message"] for line in httpx.post(f"{url}/logs/filter", json=query).json()]
