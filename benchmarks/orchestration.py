"""What orchestration costs: our flows against one mapped task per image per stage, on a Prefect server of their own.

    python benchmarks/orchestration.py                                          # 600 images, a few minutes
    python benchmarks/orchestration.py --images 3600                            # as the figures in RESULTS.md
    python benchmarks/orchestration.py --gpus 4 --seconds 0.5 --images 3600     # and devices that sleep per image

What is counted, wall time and CPU seconds of the client, with bodies that do nothing on both sides:

    obvious   a flow with one mapped task per image for each of three stages
    ours      the flow `produce` over as many shots: extract, plan, make, grade, compare, publish, report. It runs once
              without Prefect and makes everything; then, `--rounds` times, as it is, and every body gives at once what
              it gave before (orchestra/tape.py), and says again what it said to Prefect
    server    CPU seconds of the server's processes, task runs, and rows of all tables of its SQLite file, counted once
              it has written down what it was told

The ratio is obvious' wall time over the median of ours.

Devices (`--gpus`): a process each with an engine that sleeps so long per image. Their own time is images x seconds /
devices; wall time is told from the first image begun to the last verdict, and for the whole command.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from orchestra.own_server import Cost, OwnServer, own_server
from orchestra.workplace import CHANNEL, SCENES, Workplace, new_workplace

from zimage_core import clock

TASK_RUNS_PER_1000 = 60
WALL_RATIO = 1.05
TIMES_LESS = 15.0


def told(what: str, cost: Cost, images: int) -> None:
    """Print what the server had to do."""
    most = sorted(cost.rows.items(), key=lambda item: -item[1])[:6]
    rows = sum(cost.rows.values())
    print(
        f"{what:<34} server {cost.cpu_s:7.1f} CPU-s | {cost.task_runs:6,} task runs = "
        f"{cost.task_runs / images * 1000:7.1f} per 1,000 | {cost.flow_runs} flow runs | "
        f"{rows / images * 1000:9,.0f} rows per 1,000 ({', '.join(f'{table} {count:,}' for table, count in most)})",
        flush=True,
    )


def obvious(server: OwnServer, folder: Path, images: int) -> dict[str, Any]:
    """Run the obvious design once."""
    before = server.cost()
    place = new_workplace(folder / "obvious", server.environment(), products=1)
    took = place.run("obvious", str(images), "4")
    told("one task per image per stage", server.cost().since(before), images)
    print(f"{'':<34} {took['wall_s']:7.1f} s wall, {took['cpu_s']:.1f} CPU-s in the client", flush=True)
    return took


def ours(
    server: OwnServer, folder: Path, images: int, settings: Mapping[str, str], given: argparse.Namespace
) -> dict[str, float]:
    """Run our flows with bodies that do nothing, some times; return the median of what they took."""
    before = server.cost()
    environment, products = server.environment() | settings, images // len(SCENES)
    place = new_workplace(folder / "ours", environment, products=products, calls="1")
    how = ("profile", given.profile) if given.profile else (str(given.rounds),)
    took = place.run("ours", json.dumps(place.order()), *how)
    print(f"ours without Prefect: {took['bare']['wall_s']:.1f} s wall; {made(place)}", flush=True)
    rounds: list[dict[str, float]] = took["rounds"]
    if not rounds:
        return {}
    told("ours", server.cost().since(before).shared(len(rounds)), images)
    for key, unit in (("wall_s", "s wall"), ("cpu_s", "CPU-s in the client")):
        print(f"{'':<34} {', '.join(f'{one[key]:.1f}' for one in rounds)} {unit}", flush=True)
    return {key: median(one[key] for one in rounds) for key in rounds[0]}


def made(place: Workplace) -> str:
    """Return in words what the ledger of a workplace holds."""
    with closing(sqlite3.connect(place.folder / "work" / "ledger.sqlite")) as ledger:
        attempts = ledger.execute("SELECT count(*) FROM attempt").fetchone()[0]
        kinds = ledger.execute("SELECT kind, count(*) FROM verdict GROUP BY kind ORDER BY kind").fetchall()
    return f"{attempts:,} images, verdicts {', '.join(f'{kind} {count:,}' for kind, count in kinds)}"


def devices(server: OwnServer, folder: Path, given: argparse.Namespace, settings: Mapping[str, str]) -> None:
    """Run the command with devices that sleep, and tell how much of the time they drew."""
    names = [f"gpu{n}" for n in range(given.gpus)]
    options = {"seconds": str(given.seconds), "calls": "2", "together": str(given.gpus)}
    place = new_workplace(
        folder / "devices",
        server.environment() | settings,
        products=given.images // len(SCENES),
        devices=names,
        **options,
    )
    before, start_s, offset_s = server.cost(), clock.elapsed_s(), clock.now().timestamp() - clock.elapsed_s()
    start_cpu_s = children_cpu_s()
    scenes = [word for scene in SCENES for word in ("-s", scene)]
    publish = () if given.publish else ("--no-publish",)
    place.zimage("run", "catalogue.csv", "-p", "everyday", "--engine", "sleeping", *scenes, "-c", CHANNEL, *publish)
    command_s, cpu_s = clock.elapsed_s() - start_s, children_cpu_s() - start_cpu_s
    drawn = journals(place)
    with closing(sqlite3.connect(place.folder / "work" / "ledger.sqlite")) as ledger:
        last = ledger.execute("SELECT max(at) FROM verdict").fetchone()[0]
        shards = dict(
            ledger.execute("SELECT a.attempt_id, p.shard_id FROM attempt a JOIN promise p ON p.shot_id = a.shot_id")
        )
    images = sum(map(len, drawn.values()))
    first_s, last_s = min(d[0].begun_s for d in drawn.values()), max(d[-1].ended_s for d in drawn.values())
    judged_s = datetime.fromisoformat(last).timestamp() - offset_s
    own_s = images * given.seconds / given.gpus
    slept_s = sum(one.ended_s - one.begun_s for of_device in drawn.values() for one in of_device) / given.gpus
    print(f"\n{given.gpus} devices, {given.seconds} s an image, {made(place)}, {len(set(shards.values()))} shards")
    print(f"the engines' own time {own_s:.1f} s ({slept_s:.1f} s as they measured it)")
    for what, wall_s in (
        ("first image begun to last image drawn", last_s - first_s),
        ("first image begun to last verdict", judged_s - first_s),
        ("the whole command", command_s),
    ):
        print(f"{what:<38} {wall_s:8.1f} s = {wall_s / own_s:.3f} x the engines' own time")
    print(waits(drawn, shards, first_s, last_s))
    print(f"the command took {cpu_s:.1f} CPU-s, {cpu_s / images * 1000:.0f} ms an image")
    told("devices", server.cost().since(before), images)
    print(
        f"aims: <= {WALL_RATIO} x from the first image to the last verdict; <= {TASK_RUNS_PER_1000} task runs per 1,000"
    )


def children_cpu_s() -> float:
    """Return the CPU seconds of all processes that were started here and have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass(frozen=True)
class Drawn:
    """An image, and when it was drawn."""

    attempt_id: str
    begun_s: float
    ended_s: float


def journals(place: Workplace) -> dict[str, list[Drawn]]:
    """Return what each device drew, in order."""
    found = {}
    for path in sorted((place.folder / "journals").iterdir()):
        lines = [line.split() for line in path.read_text().splitlines()]
        images = [Drawn(words[1], float(words[2]), float(words[3])) for words in lines if words[0] == "drawn"]
        if images:
            found[path.stem] = sorted(images, key=lambda one: one.begun_s)
    return found


def waits(drawn: Mapping[str, list[Drawn]], shards: Mapping[str, str], first_s: float, last_s: float) -> str:
    """Return in words what a device waited for on average: within a shard, between shards, before and after all."""
    within = between = ends = 0.0
    for images in drawn.values():
        ends += images[0].begun_s - first_s + last_s - images[-1].ended_s
        for one, following in itertools.pairwise(images):
            wait_s = max(0.0, following.begun_s - one.ended_s)
            if shards.get(one.attempt_id) == shards.get(following.attempt_id):
                within += wait_s
            else:
                between += wait_s
    within, between, ends = (wait_s / len(drawn) for wait_s in (within, between, ends))
    return f"a device waited {within:.1f} s within shards, {between:.1f} s between them, {ends:.1f} s at the two ends"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=None, help="600 without devices, 240 with, where not given")
    parser.add_argument("--gpus", type=int, default=0, help="so many devices that sleep, instead of the comparison")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long a device sleeps per image")
    parser.add_argument("--publish", action="store_true", help="let the devices' command publish as well")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="ZIMAGE_NAME for our flows")
    parser.add_argument("--rounds", type=int, default=3, help="how often our flows run with Prefect")
    parser.add_argument("--only", choices=("obvious", "ours", "devices"), help="one part alone")
    parser.add_argument("--profile", default="", help="write cProfile's figures of our flows without Prefect, no more")
    given = parser.parse_args()
    settings = {f"ZIMAGE_{name}": value for name, _, value in (word.partition("=") for word in given.set)}
    given.only = "ours" if given.profile else given.only
    parts = {given.only} if given.only else {"devices"} if given.gpus else {"obvious", "ours", "devices"}
    compared = given.images or 600
    with tempfile.TemporaryDirectory(prefix="zimage-orchestration-") as place:
        folder = Path(place)
        with own_server(folder) as server:
            least = obvious(server, folder, compared) if "obvious" in parts else None
            most = ours(server, folder, compared, settings, given) if "ours" in parts else None
            if least and most:
                print(
                    f"{least['wall_s'] / most['wall_s']:.1f} times less orchestration by the clock, "
                    f"{least['cpu_s'] / most['cpu_s']:.1f} times less by the client's CPU (aim: >= {TIMES_LESS:.0f})"
                )
            if "devices" in parts:
                given.gpus, given.images = given.gpus or 4, given.images if given.gpus and given.images else 240
                devices(server, folder, given, settings)


if __name__ == "__main__":
    main()
