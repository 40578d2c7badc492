"""PostgreSQL servers of the tests' own: Debian's programs, on a free port and a socket, ended with the body."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from free_ports import free_port

START_S = 60
_names = itertools.count(1)


@contextmanager
def running_postgresql() -> Iterator[str]:
    """Start a server and yield the URI of its database `postgres` on a socket; it listens on 127.0.0.1 too.

    It refuses to run as root, so root starts it as the account that the package has made for it.
    """
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # a short path: sockets allow 107 characters
    owner: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
    data, log = folder / "data", folder / "log"
    initdb = [_program("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    try:
        subprocess.run([*initdb, "--locale=C.UTF-8"], check=True, stdout=subprocess.DEVNULL, cwd=folder, **owner)
        options = {"listen_addresses": "127.0.0.1", "port": free_port(), "unix_socket_directories": folder}
        options |= {"fsync": "off", "max_connections": 200}
        command = [_program("postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in options.items())]
        with log.open("wb") as out:
            server = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, **owner)
        try:
            uri = f"postgresql://postgres:@/postgres?host={folder}&port={options['port']}"
            _await(uri, server, log)
            yield uri
        finally:
            server.send_signal(signal.SIGINT)  # ends its connections, then itself
            server.wait(timeout=START_S)
    finally:
        shutil.rmtree(folder)


def _await(uri: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(uri).close()
        except psycopg.OperationalError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        else:
            return


def _program(name: str) -> str:
    """Debian keeps these beside each version, outside the path."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parents[1].name))
    found = str(beside[-1]) if beside else shutil.which(name)
    assert found, f"{name} is not there: packaging/system-packages.sh test"
    return found


def new_database(server_uri: str) -> str:
    """Return the URI of an empty database on that server."""
    name = f"database{next(_names)}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server_uri.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="module")
def postgresql_server() -> Iterator[str]:
    """The URI of a PostgreSQL server of this module's own, on a socket."""
    with running_postgresql() as uri:
        yield uri


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """The URL of an empty database on that server."""
    return new_database(postgresql_server)
