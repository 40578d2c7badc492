"""A Prefect server of a benchmark's own, and what it cost: processor seconds, rows in its database, task runs."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from zimage_core.clock import elapsed_s

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))
from started_prefect import environment_of, started  # noqa: E402 - the tests' own way of starting and ending one

START_S = 120.0
SETTLED_S, PATIENCE_S = 4.0, 180.0
"""The server records task runs later than they end: it has caught up when so long nothing was added."""

RECORDER = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
}
"""The server's settings for many task runs: 6-10 ms a task run instead of 65-80; docs/operations.md."""


@dataclass(frozen=True)
class Cost:
    """What a server has spent and kept so far. `rows` are those of all tables, `artifacts` and `logs` among them."""

    cpu_s: float
    task_runs: int
    flow_runs: int
    rows: Mapping[str, int]

    def since(self, before: Cost) -> Cost:
        """Return what came after another moment."""
        added = {table: count - before.rows.get(table, 0) for table, count in self.rows.items()}
        return Cost(
            self.cpu_s - before.cpu_s,
            self.task_runs - before.task_runs,
            self.flow_runs - before.flow_runs,
            {table: count for table, count in added.items() if count},
        )

    def shared(self, times: int) -> Cost:
        """Return the part of one of so many equal things."""
        rows = {table: round(count / times) for table, count in self.rows.items()}
        return Cost(self.cpu_s / times, round(self.task_runs / times), round(self.flow_runs / times), rows)


@dataclass(frozen=True)
class OwnServer:
    """A server that answers at `url` and keeps its database in `home`."""

    url: str
    home: Path
    session: int

    def environment(self) -> dict[str, str]:
        """Return the environment of a client of this server, with none of this machine's own settings."""
        return environment_of(self.home.parent / "client", self.url)

    def cost(self) -> Cost:
        """Return what the server has spent until now, once it has written down all it was told."""
        counted, last_change_s, start_s = -1, elapsed_s(), elapsed_s()
        while elapsed_s() - last_change_s < SETTLED_S:
            rows = self._rows()
            if sum(rows.values()) != counted:
                counted, last_change_s = sum(rows.values()), elapsed_s()
            if elapsed_s() - start_s > PATIENCE_S:
                print(f"(the server still writes after {PATIENCE_S:.0f} s; counted as it stands)")
                break
            time.sleep(0.25)
        return Cost(self._cpu_s(), rows.get("task_run", 0), rows.get("flow_run", 0), rows)

    def _rows(self) -> dict[str, int]:
        with closing(sqlite3.connect(f"file:{self.home / 'prefect.db'}?mode=ro", uri=True, timeout=30)) as database:
            names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}

    def _cpu_s(self) -> float:
        """Return the processor seconds of every process of the server's session, ended children included."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(") ")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            if int(fields[3]) == self.session:
                ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def own_server(folder: Path) -> Iterator[OwnServer]:
    """Start a server with a database of its own, on a free port of this machine alone; end it with the body."""
    home = folder / "server"
    home.mkdir(parents=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # a benchmark that is ended ends its server too
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = ["server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    url, log = f"http://127.0.0.1:{port}/api", home / "server.log"
    with started(command, environment_of(home) | RECORDER, log) as process:
        deadline_s = elapsed_s() + START_S
        while not _answers(url):
            if process.poll() is not None or elapsed_s() > deadline_s:
                raise RuntimeError(f"The Prefect server did not start: {log.read_text()}")
            time.sleep(0.2)
        yield OwnServer(url, home, process.pid)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
