"""`zimage run --engine zimage_http` through `zimage serve`: the demo's images byte for byte, from another process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from free_ports import free_port
from served_engine import ServerProcess

from zimage_core.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_demos_images_through_a_server_are_those_of_the_engine_in_process_byte_for_byte(
    tmp_path: Path, prefect_server: str
) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ZIMAGE_", "PREFECT_"))}
    environment |= {"PREFECT_API_URL": prefect_server, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def images(folder: Path, *arguments: str) -> dict[str, bytes]:
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "flows", *arguments],
            cwd=folder,
            env=environment | {"PREFECT_HOME": str(folder / "prefect")},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        cdn = folder / "out" / "cdn" / "img"
        return {str(path.relative_to(cdn)): path.read_bytes() for path in cdn.rglob("*") if path.is_file()}

    in_process = images(tmp_path / "here", "demo")
    server = ServerProcess(tmp_path / "server", free_port(), engine="studio").start()
    try:
        remote = ("--engine", "zimage_http", "--engine-option", f"url={server.url}")
        order = ("run", str(ROOT / "examples" / "catalogue.csv"), "--promotion", "618")
        through_server = images(tmp_path / "there", *order, *remote)
        log = server.log.read_text()
    finally:
        server.end()

    assert len(in_process) > 50
    assert through_server.keys() == in_process.keys()
    assert [name for name, content in in_process.items() if through_server[name] != content] == []
    assert log.count("POST /v1/generate 200") == len(attempts(tmp_path / "there")), "one call for each picture"
    assert drawn_by(tmp_path / "here") == drawn_by(tmp_path / "there") == {"studio"}


def attempts(folder: Path) -> list[tuple[str, str]]:
    """Attempt id and engine of every picture that the ledger of the one run there knows."""
    with Ledger.open(f"sqlite:///{folder / 'work' / 'ledger.sqlite'}") as ledger:
        (row,) = ledger.runs()
        shots = [promise.shot.shot_id for promise in ledger.iter_promises(row.run.run_id)]
        tried = [attempt for one in ledger.attempts(shots).values() for attempt in one]
    return [(attempt.attempt_id, attempt.engine) for attempt in tried if attempt.object_key is not None]


def drawn_by(folder: Path) -> set[str]:
    return {engine for _, engine in attempts(folder)}
