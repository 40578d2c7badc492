"""How long it takes to promise a large catalogue's shots, and how much memory: ours against everything in lists.

    python benchmarks/planning.py                                   # 10,000 and 30,000 shots
    python benchmarks/planning.py --shots 10000,100000              # as the figures in RESULTS.md
    python benchmarks/planning.py --postgres postgresql://…         # an EMPTY database; SQLite otherwise

Each size is a process of its own against a Prefect server of the benchmark's own: products without photos, three scenes
each, drawn from words. `ours` is the tasks extract and plan as a run carries them out, the ledger included. `simple`
keeps everything in lists and promises one row per transaction: measured on 3,000 rows, told for all of them, at the
smallest size. Memory is what the process held at most above what it held when Prefect, ledger and engine stood.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path

from orchestra.own_server import OwnServer, own_server
from orchestra.workplace import SCENES, new_workplace

AIM_S, AIM_MIB = 60.0, 300.0
"""For 100,000 shots."""


def measure(server: OwnServer, folder: Path, how: str, shots: int, postgres: str | None, profile: str) -> float:
    """Plan so many shots and print what each stage took; return the wall seconds per 1,000 shots."""
    ledger = {} if postgres is None else {"ZIMAGE_LEDGER_URL": postgres}
    place = new_workplace(
        folder / f"{how}{shots}", server.environment() | ledger, products=math.ceil(shots / len(SCENES))
    )
    found = place.run("planned", how, json.dumps(place.order()), *([profile] if profile else []))
    for stage, took in found["stages"].items():
        per_1000_s = took["wall_s"] / found["shots"] * 1000
        print(
            f"{how:<7} {found['shots']:>8,} shots | {stage:<27} {took['wall_s']:7.1f} s {took['cpu_s']:7.1f} CPU-s | "
            f"{per_1000_s:7.3f} s per 1,000 | +{took['peak_mib']:6.1f} MiB",
            flush=True,
        )
    return float(found["stages"]["both"]["wall_s"]) / float(found["shots"]) * 1000


def main() -> None:
    """Measure the sizes that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", default="10000,30000", help="sizes, separated by commas")
    parser.add_argument("--postgres", help="SQLAlchemy URL of an EMPTY PostgreSQL ledger; one size and ours alone")
    parser.add_argument("--profile", default="", help="write cProfile's figures of ours to this file; slower")
    given = parser.parse_args()
    sizes = [int(word) for word in given.shots.split(",")]
    with tempfile.TemporaryDirectory(prefix="zimage-planning-") as folder, own_server(Path(folder)) as server:
        each = [measure(server, Path(folder), "ours", size, given.postgres, given.profile) for size in sizes]
        if given.postgres is None and not given.profile:
            naive = measure(server, Path(folder), "simple", min(sizes), None, "")
            print(f"{naive / each[0]:.1f} times faster than everything in lists, row by row, at {min(sizes):,} shots")
    print(f"aims for 100,000 shots: <= {AIM_S:.0f} s, <= +{AIM_MIB:.0f} MiB, and memory that does not grow with them")


if __name__ == "__main__":
    main()
