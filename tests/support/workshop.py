"""A workshop: one folder with a catalogue, its photos and everything that `zimage` writes, for tests of whole runs."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

PHOTOS = Path(__file__).resolve().parents[2] / "examples" / "products"
COLUMNS = ("sku", "name", "name_en", "category", "color", "price", "original_price", "image")

MUG = {"sku": "MUG-1", "name": "白瓷马克杯", "name_en": "White mug", "category": "家居", "price": "59.00",
       "image": "products/mug.jpg"}  # fmt: skip
SOFT_CUSHION = {"sku": "CUSH-1", "name": "亚麻抱枕", "category": "家居", "price": "99",
                "image": "products/cushion_soft.jpg"}  # fmt: skip
"""Its photo is slightly out of focus: as a packshot it is a C at full size and a B with fewer pixels."""

LIPSTICK = {"sku": "LIP-1", "name": "正红唇膏", "name_en": "Red lipstick", "category": "美妆", "price": "139.00",
            "image": "products/lipstick.jpg"}  # fmt: skip


JOURNAL_ENGINE = '''
from pathlib import Path

from zimage_core.engines.registry import create_engine

MODES = ("packshot", "stage")


class JournalEngine:
    """The studio engine, with a line written for every picture it is asked for, before it makes it."""

    def __init__(self, options):
        self.inner = create_engine("studio", {})
        self.journal = Path(options["journal"])
        self.info = self.inner.info

    def render(self, requests):
        with self.journal.open("a") as journal:
            for request in requests:
                journal.write(f"{request.attempt_id} {request.sku} {request.scene.name} {request.number}\\n")
        return self.inner.render(requests)

    def close(self):
        self.inner.close()


def create(options):
    return JournalEngine(options)
'''


@dataclass
class Workshop:
    """A folder of its own: a catalogue with photos, work and output folders, and the environment of `zimage` there."""

    folder: Path
    environment: dict[str, str]
    rows: list[dict[str, str]] = field(default_factory=list)

    @property
    def catalogue(self) -> Path:
        return self.folder / "catalogue.csv"

    @property
    def cdn(self) -> Path:
        return self.folder / "out" / "cdn"

    @property
    def journal(self) -> Path:
        return self.folder / "journal.txt"

    def write(self, *rows: dict[str, str]) -> None:
        """Write these rows as the catalogue and put their photos beside it."""
        self.rows = list(rows)
        (self.folder / "products").mkdir(exist_ok=True)
        with self.catalogue.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(rows)
        for row in rows:
            photo = PHOTOS / Path(row.get("image", "")).name
            if photo.is_file():
                shutil.copyfile(photo, self.folder / row["image"])

    def calls(self) -> list[str]:
        """Return one line per picture the engine was asked for: attempt_id, SKU, scene, attempt number."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def files(self) -> dict[str, bytes]:
        """Return every file under out/ with its bytes, but for the notes of switches, which say when they were made."""
        out = self.folder / "out"
        found = {str(p.relative_to(out)): p for p in sorted(out.rglob("*")) if p.is_file()}
        return {name: path.read_bytes() for name, path in found.items() if "/history/" not in name}

    def live(self, promotion: str) -> dict[tuple[str, str, str], dict[str, object]]:
        """Return the files of the promotion's live release by SKU, scene and channel."""
        pointer = json.loads((self.cdn / "current" / f"{promotion}.json").read_text())
        manifest = json.loads((self.cdn / pointer["manifest_key"]).read_text())
        return {(file["sku"], file["scene"], file["channel"]): file for file in manifest["files"]}

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `zimage` with these arguments as a process of its own and wait for it."""
        done = subprocess.run(
            [sys.executable, "-m", "flows", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert not check or done.returncode == 0, textwrap.indent(done.stdout + done.stderr, "  ")
        return done

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `zimage` in a process group of its own and return at once."""
        with (self.folder / "started.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
