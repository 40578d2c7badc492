"""Prefect servers and workers as processes of their own, on free ports, ended by those who started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from free_ports import free_port

START_S = 120
BRISK = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    # an automation on the absence of events fires a minute and more after its time with the defaults
    "PREFECT_SERVER_EVENTS_EXPIRED_BUCKET_BUFFER": "PT1S",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
}
"""Settings for a server that is not waited for."""


def environment_of(home: Path, url: str | None = None) -> dict[str, str]:
    """Return an environment without this machine's settings; `home` is where Prefect keeps its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ZIMAGE_", "PREFECT_"))}
    kept |= {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "300",
    }
    return kept if url is None else kept | {"PREFECT_API_URL": url}


@contextmanager
def started_server(home: Path, *, ui: bool = False, settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Start a server with a database of its own in `home`, unless `settings` name another; yield its API's URL."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = ["server", "start", "--host", "127.0.0.1", "--port", str(port), *([] if ui else ["--no-ui"])]
    url = f"http://127.0.0.1:{port}/api"
    environment = environment_of(home) | {"PREFECT_UI_API_URL": url}  # where pages in a browser ask
    environment |= settings or {}
    with started(command, environment, home / "server.log") as server:
        deadline = time.monotonic() + START_S
        while not _answers(url):
            assert server.poll() is None, (home / "server.log").read_text()
            assert time.monotonic() < deadline, (home / "server.log").read_text()
            time.sleep(0.2)
        yield url


@contextmanager
def started(
    command: list[str], environment: Mapping[str, str], log: Path, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `prefect` with these arguments until the body ends, then end it and whatever it has started."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *command],
            env=dict(environment),
            cwd=cwd,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ran(arguments: list[str], environment: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m ...` with these arguments and return what it said; it may fail."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env=dict(environment),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
