"""A folder with a made-up catalogue and an engine that draws at once or by sleeping, registered as any package is."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestra.own_server import ROOT

SCENES, CHANNEL = ("studio", "lifestyle", "detail"), "tmall_detail"
"""Three scenes that every category has, and a channel that takes each of them in one size: three shots a product."""

NAMES = ("素白马克杯", "胡桃木托盘", "亚麻抱枕", "香薰蜡烛", "陶瓷花瓶", "棉麻桌布", "不锈钢保温壶", "竹编收纳篮")
COLOURS = ("白色", "米色", "灰色", "墨绿色", "藏青色")


@dataclass(frozen=True)
class Workplace:
    """A folder of its own with `catalogue.csv`, and the environment of `zimage` there."""

    folder: Path
    environment: Mapping[str, str]

    def order(self, **more: Any) -> dict[str, Any]:
        """Return the order of everything in the catalogue, as ProductionOrder takes it."""
        about = {"catalogue": "catalogue.csv", "promotion": "everyday", "scenes": SCENES, "channels": [CHANNEL]}
        return about | more

    def run(self, module: str, *arguments: str) -> dict[str, Any]:
        """Run one of `orchestra`'s modules in a process of its own; return the JSON of its last line."""
        done = self._ran([sys.executable, "-m", f"orchestra.{module}", *arguments])
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def zimage(self, *arguments: str) -> str:
        """Run `zimage` with these arguments; return what it said."""
        return self._ran([sys.executable, "-m", "flows", *arguments]).stdout

    def _ran(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.folder, env=dict(self.environment), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command[2:5])} failed:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
        return done


def new_workplace(
    folder: Path, environment: Mapping[str, str], *, products: int, devices: Sequence[str] = (), **options: str
) -> Workplace:
    """Make a folder with so many products without photos, drawn by the tests' sleeping engine with these options."""
    folder.mkdir(parents=True)
    write_catalogue(folder / "catalogue.csv", products)
    settings = {
        "PYTHONPATH": os.pathsep.join([str(_plugin(folder)), str(ROOT), str(ROOT / "benchmarks")]),
        "ZIMAGE_ENGINE": "sleeping",
        "ZIMAGE_ENGINE_OPTIONS": json.dumps({"journal": str(folder / "journals")} | options),
        "OMP_NUM_THREADS": "1",
    }
    if devices:
        settings["ZIMAGE_ENGINE_DEVICES"] = ",".join(devices)
    return Workplace(folder, dict(environment) | settings)


def write_catalogue(path: Path, products: int) -> None:
    """Write a catalogue with names, colours and prices of its own for every product, and no photos."""
    with path.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(("sku", "name", "name_en", "category", "color", "price", "description"))
        for n in range(products):
            name, colour = NAMES[n % len(NAMES)], COLOURS[n % len(COLOURS)]
            about = f"{colour}{name}，日常家用，第 {n} 款"
            rows.writerow((f"SKU-{n:06}", f"{name}{n}", f"Item {n}", "家居", colour, f"{19 + n % 900}.00", about))


def _plugin(folder: Path) -> Path:
    """Return a folder with the package that registers the sleeping engine."""
    package = folder / "plugins"
    info = package / "zimage_sleeping_engine-1.0.dist-info"
    info.mkdir(parents=True)
    code = (ROOT / "tests" / "support" / "sleeping_engine.py").read_text(encoding="utf-8")
    varied = (
        "\n\nfrom orchestra.varied import picture\n"  # the tests' pictures are nearly alike: comparing takes longer
    )
    (package / "zimage_sleeping_engine.py").write_text(code + varied, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zimage-sleeping-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zimage.engines]\nsleeping = zimage_sleeping_engine:create\n")
    return package
