"""The doctor's questions about places: stores, ledger, server and clock, each against a real one that is wrong."""

from __future__ import annotations

import json
import sqlite3
import zoneinfo
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from free_ports import free_port
from prefect.settings import PREFECT_API_URL, temporary_settings
from small_servers import Answer, Seen, SmallServer, json_answer
from workshop import Workshop

from flows.cli_doctor import ask, known_checks
from tasks import fitness_places
from tasks.fitness import Advice
from zimage_core.errors import ConfigurationError, LedgerError, StorageError, ZImageError
from zimage_core.ledger import Ledger
from zimage_core.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(work_dir=tmp_path / "work", out_dir=tmp_path / "out")


@pytest.fixture
def free_url() -> str:
    return f"http://127.0.0.1:{free_port()}/api"


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Seen], Answer]], str]]:
    """Return a function that starts a server which answers by a function; its URL."""
    started: list[SmallServer] = []

    def start(answer: Callable[[Seen], Answer]) -> str:
        server = SmallServer(answer)
        server.start()
        started.append(server)
        return f"{server.url}/api"

    yield start
    for server in started:
        server.stop()


# ---------------------------------------------------------------- stores


def test_stores_are_written_to_read_and_left_as_they_were(settings: Settings):
    assert "written, read and deleted" in next(fitness_places.check_work_store(settings))
    assert list(fitness_places.check_publishing(settings))
    assert not [path for path in settings.out_dir.rglob("doctor*") if path.is_file()]


def test_a_work_store_that_cannot_be_written_to_names_its_setting(settings: Settings):
    wrong = settings.model_copy(update={"work_dir": Path("/proc/self")})
    with pytest.raises(StorageError, match="ZIMAGE_WORK_DIR"):
        list(fitness_places.check_work_store(wrong))


def test_a_publishing_folder_that_cannot_be_written_to_names_its_settings(settings: Settings):
    wrong = settings.model_copy(update={"out_dir": Path("/proc/self")})
    with pytest.raises(StorageError, match="ZIMAGE_PUBLISH_"):
        list(fitness_places.check_publishing(wrong))


def test_a_bucket_is_probed_and_one_that_is_gone_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    from s3_on_moto import fresh_bucket, moto_url

    for name, value in (
        ("TO", f"s3://{fresh_bucket()}/shop"),
        ("ENDPOINT", moto_url()),
        ("REGION", "us-east-1"),
        ("ACCESS_KEY_ID", "key"),
        ("SECRET_ACCESS_KEY", "secret"),
    ):
        monkeypatch.setenv(f"ZIMAGE_PUBLISH_{name}", value)
    assert "s3://" in next(fitness_places.check_publishing(settings))
    monkeypatch.setenv("ZIMAGE_PUBLISH_TO", "s3://nobody-has-this/shop")
    with pytest.raises(StorageError, match="written to the store s3://nobody-has-this/shop"):
        list(fitness_places.check_publishing(settings))


# ---------------------------------------------------------------- ledger


def _with_ledger(settings: Settings, url: str) -> Settings:
    return load_settings(work_dir=settings.work_dir, out_dir=settings.out_dir, ledger_url=url)


def test_a_ledger_is_written_to_and_a_pool_advised_to_take_another(settings: Settings):
    settings.work_dir.mkdir()
    assert "0 runs, written to" in next(fitness_places.check_ledger(settings))
    *_, last = fitness_places.check_ledger(settings.model_copy(update={"runner": "pool"}))
    assert isinstance(last, Advice)
    assert "PostgreSQL" in last


def test_a_ledger_of_a_newer_program_is_said(settings: Settings, tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    Ledger.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO migration VALUES (9999, 'later', '2030-01-01')")
    connection.close()
    with pytest.raises(LedgerError, match=r"version 9999.*use the newer zimage"):
        list(fitness_places.check_ledger(_with_ledger(settings, f"sqlite:///{path}")))


def test_a_ledger_that_can_only_be_read_is_said(settings: Settings, tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    Ledger.open(f"sqlite:///{path}").close()
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    with pytest.raises(ZImageError, match=r"readonly|read-only|ZIMAGE_LEDGER_URL"):
        list(fitness_places.check_ledger(_with_ledger(settings, url)))


def test_a_database_that_is_not_there_is_said_without_its_password(settings: Settings, free_url: str):
    port = free_url.rpartition(":")[2].partition("/")[0]
    url = f"postgresql+psycopg://zimage:s3cret@127.0.0.1:{port}/zimage"
    with pytest.raises(LedgerError, match="ZIMAGE_LEDGER_URL") as caught:
        list(fitness_places.check_ledger(_with_ledger(settings, url)))
    assert "s3cret" not in str(caught.value)


# ---------------------------------------------------------------- Prefect


def test_a_server_is_asked_for_its_version_and_a_small_recorder_is_advised(settings: Settings, prefect_server: str):
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        assert [said for said in fitness_places.check_prefect(settings) if isinstance(said, Advice)] == []


def test_a_server_that_is_down_or_is_something_else_is_said(settings: Settings, free_url: str, serve):
    with (
        temporary_settings({PREFECT_API_URL: free_url}),
        pytest.raises(ConfigurationError, match=r"cannot be reached.*prefect server start"),
    ):
        list(fitness_places.check_prefect(settings))
    with (
        temporary_settings({PREFECT_API_URL: serve(lambda _: Answer(404))}),
        pytest.raises(ConfigurationError, match="PREFECT_API_URL ends in /api"),
    ):
        list(fitness_places.check_prefect(settings))
    with (
        temporary_settings({PREFECT_API_URL: serve(lambda _: Answer(401))}),
        pytest.raises(ConfigurationError, match="PREFECT_API_AUTH_STRING"),
    ):
        list(fitness_places.check_prefect(settings))


def test_a_server_behind_a_password_is_asked_with_it(settings: Settings, serve):
    import prefect
    from prefect.settings import PREFECT_API_AUTH_STRING

    def guarded(seen: Seen) -> Answer:
        let_in = seen.headers.get("authorization") == "Basic b3BzOnMzY3JldA=="  # ops:s3cret
        return json_answer({} if seen.path.endswith("settings") else prefect.__version__) if let_in else Answer(401)

    with temporary_settings({PREFECT_API_URL: serve(guarded), PREFECT_API_AUTH_STRING: "ops:s3cret"}):
        said = " ".join(fitness_places.check_prefect(settings))
    assert prefect.__version__ in said
    assert "s3cret" not in said


def test_another_version_and_a_slow_recorder_are_said(settings: Settings, serve):
    import prefect

    recorder = {"server": {"services": {"task_run_recorder": {"batch_size": 1}}}}
    minor = ".".join(prefect.__version__.split(".")[:2])
    version = f"{minor}.999"

    def answer(seen: Seen) -> Answer:
        return json_answer(recorder if seen.path.endswith("settings") else version)

    with temporary_settings({PREFECT_API_URL: serve(answer)}):
        _, differs, slow = fitness_places.check_prefect(settings)
    assert isinstance(differs, Advice)
    assert "RECORDER_BATCH_SIZE=100" in slow
    with (
        temporary_settings({PREFECT_API_URL: serve(lambda _: json_answer("2.20.1"))}),
        pytest.raises(ConfigurationError, match=r"version 2\.20\.1 and this client"),
    ):
        list(fitness_places.check_prefect(settings))


def test_a_pool_needs_a_server_its_pools_and_deployments(settings: Settings, prefect_server: str, serve):
    import prefect

    pool = settings.model_copy(update={"runner": "pool"})
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(ConfigurationError, match="no Prefect server is configured"),
    ):
        list(fitness_places.check_prefect(pool))

    def bare(seen: Seen) -> Answer:
        return json_answer(prefect.__version__) if seen.path.endswith("version") else Answer(404)

    with (
        temporary_settings({PREFECT_API_URL: serve(bare)}),
        pytest.raises(ConfigurationError, match=r"no work pool cpu, no work pool gpu, no deployment.*zimage setup"),
    ):
        list(fitness_places.check_prefect(pool))

    def unlimited(seen: Seen) -> Answer:
        if seen.path.endswith("version"):
            return json_answer(prefect.__version__)
        return json_answer({"concurrency_limit": None, "status": "NOT_READY"})

    with temporary_settings({PREFECT_API_URL: serve(unlimited)}):
        said = list(fitness_places.check_prefect(pool))
    assert "pools cpu and gpu" in said[1]
    assert [isinstance(one, Advice) for one in said[2:]] == [True, True]
    assert "prefect worker start --pool gpu" in said[-1]


# ---------------------------------------------------------------- clock


def _dated(shift_s: float) -> Callable[[Seen], Answer]:
    def answer(_: Seen) -> Answer:
        at = datetime.now(UTC) + timedelta(seconds=shift_s)
        return Answer(200, headers={"Date": format_datetime(at, usegmt=True)})

    return answer


@pytest.mark.parametrize(("shift_s", "why"), [(-120, "ahead of"), (120, "behind")])
def test_a_clock_that_differs_from_the_server_s_is_said(settings: Settings, serve, shift_s: float, why: str):
    with (
        temporary_settings({PREFECT_API_URL: serve(_dated(shift_s))}),
        pytest.raises(ConfigurationError, match=rf"This clock is 1[12]\d s {why}.*timedatectl"),
    ):
        list(fitness_places.check_clock(settings))


def test_a_clock_is_compared_with_whoever_answers(settings: Settings, serve, free_url: str, prefect_server: str):
    for url in (serve(_dated(3)), prefect_server):
        with temporary_settings({PREFECT_API_URL: url}):
            assert f"of {url}" in next(fitness_places.check_clock(settings))
    engine = settings.model_copy(update={"engine_options": {"url": serve(_dated(-300))}})
    with temporary_settings({PREFECT_API_URL: free_url}):
        assert "no server to compare it with" in next(fitness_places.check_clock(settings))
        with pytest.raises(ConfigurationError, match="ahead of"):
            list(fitness_places.check_clock(engine))


def test_a_machine_without_time_zones_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setitem(sys.modules, "tzdata", None)
    monkeypatch.setitem(sys.modules, "tzdata.zoneinfo.Asia", None)
    zoneinfo.ZoneInfo.clear_cache()
    zoneinfo.reset_tzpath(to=[])
    try:
        with pytest.raises(ConfigurationError, match="apt-get install tzdata"):
            list(fitness_places.check_clock(settings))
    finally:
        zoneinfo.reset_tzpath()


# ---------------------------------------------------------------- the command


def test_the_doctor_asks_everything_says_what_to_do_and_can_be_read_by_a_program(
    new_workshop: Callable[[str], Workshop], free_url: str
):
    shop = new_workshop("shop")
    said = json.loads(shop.run("doctor", "--json").stdout)
    assert said["fit"]
    assert {check["check"] for check in said["checks"]} == set(known_checks())

    shop.environment["PREFECT_API_URL"] = free_url
    done = shop.run("doctor", "--only", "prefect", "--only", "python", check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("✗ prefect: The Prefect server at http://127.0.0.1")
    assert lines[1].startswith("✓ python: 3.")
    wrong = shop.run("doctor", "--only", "weather", check=False)
    assert wrong.returncode == 2
    assert "the checks are python, disk" in " ".join(wrong.stderr.split())


def test_a_check_that_breaks_is_an_answer_too(settings: Settings):
    def broken(_: Settings) -> Iterator[str]:
        yield "found this"
        raise ZeroDivisionError("by nothing")

    answer = ask("odd", broken, settings)
    assert (answer.state, answer.found) == ("failed", ("found this",))
    assert "ZeroDivisionError: by nothing" in answer.sentence()


def test_metrics_are_told_once_or_on_a_port(new_workshop: Callable[[str], Workshop], free_url: str):
    import os
    import signal
    import time

    shop = new_workshop("shop")
    assert "zimage_run_shots" in shop.run("metrics").stdout
    port = free_url.rpartition(":")[2].partition("/")[0]
    process = shop.start("metrics", "--port", port)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
                break
            except httpx.TransportError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
        assert "# TYPE zimage_run_cost_usd_total counter" in text
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
