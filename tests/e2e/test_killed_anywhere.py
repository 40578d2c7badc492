"""SIGKILL at more than thirty writes of one run, one after another: the same files, hardly a picture drawn twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from workshop import LIPSTICK, MUG, SOFT_CUSHION, Workshop

LAMP = {"sku": "LAMP-1", "name": "原木台灯", "category": "灯具", "price": "199.00", "image": "products/lamp.jpg"}
PERFUME = {"sku": "PERF-1", "name": "淡香精", "category": "美妆", "price": "680.00", "image": "products/perfume.jpg"}
SUPPORT = Path(__file__).resolve().parents[1] / "support"
KILLS = 30
ORDER = {
    "catalogue": "catalogue.csv",
    "promotion": "618",
    "scenes": ["packshot", "studio", "lifestyle"],
    "channels": ["taobao_main", "shopify"],
}


@pytest.fixture
def carried_out(tmp_path: Path, new_workshop: Callable[[str], Workshop]) -> Iterator[Callable[..., dict[str, Any]]]:
    """Return a function that carries the order out in a workshop, in a fork that is killed at its n-th write."""
    environment = new_workshop("server").environment | {"PREFECT_LOGGING_LEVEL": "ERROR"}
    log = (tmp_path / "forks.log").open("wb")
    server = subprocess.Popen(
        [sys.executable, str(SUPPORT / "fork_server.py")],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None

    def carry_out(shop: Workshop, kill_at: int) -> dict[str, Any]:
        mine = {name: value for name, value in shop.environment.items() if name.startswith("ZIMAGE_")}
        asked = {"folder": str(shop.folder), "environment": mine, "order": ORDER, "kill_at": kill_at}
        print(json.dumps(asked), file=server.stdin, flush=True)
        answer = server.stdout.readline()
        assert answer, (tmp_path / "forks.log").read_text()
        return dict(json.loads(answer))

    yield carry_out
    server.stdin.close()
    server.wait(timeout=60)
    server.stdout.close()
    log.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two minutes on a machine that does nothing else
def test_a_run_killed_at_thirty_writes_ends_with_the_files_of_a_calm_one(
    new_workshop: Callable[[str], Workshop], carried_out: Callable[..., dict[str, Any]], tmp_path: Path
):
    calm, killed = new_workshop("calm"), new_workshop("killed")
    for shop in (calm, killed):
        shop.write(MUG, LIPSTICK, SOFT_CUSHION, LAMP, PERFUME)
    assert carried_out(calm, 0)["code"] == 0, (tmp_path / "forks.log").read_text()

    where: list[str] = []
    while ended := carried_out(killed, len(where) + 1):  # one write further each time, so that it comes to an end
        assert ended["code"] in (0, -signal.SIGKILL), (tmp_path / "forks.log").read_text()
        if ended["code"] == 0:
            break
        where.append(ended["where"])
    assert len(where) >= KILLS, where
    assert {"promise", "cutouts"} <= {name.split()[-1] for name in where}, where

    assert killed.files() == calm.files()
    asked, wanted = (Counter(line.split()[0] for line in shop.calls()) for shop in (killed, calm))
    assert set(asked) == set(wanted)
    in_flight = len(where) * int(killed.environment["ZIMAGE_BATCH_SIZE"])
    assert asked.total() <= wanted.total() + in_flight
