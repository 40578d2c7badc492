"""Workshops whose pictures the sleeping engine draws, and what its processes wrote down about it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workshop import MUG, Workshop

CHOICE = ("-p", "everyday", "--engine", "sleeping")
WORDS = ("-s", "studio", "-c", "wechat_moments")
PACKSHOTS = ("-s", "packshot", "-c", "amazon_main")


@dataclass
class Drawn:
    """One line of a journal: which process drew which attempt, and when."""

    process: str
    attempt_id: str
    started_s: float
    ended_s: float


@dataclass
class Journals:
    """What the processes of a run wrote down, each in a file of its own."""

    folder: Path

    def lines(self) -> Iterator[tuple[str, list[str]]]:
        for path in sorted(self.folder.glob("*.txt")):
            for line in path.read_text().splitlines():
                yield path.stem, line.split()

    def drawn(self) -> list[Drawn]:
        return [Drawn(who, w[1], float(w[2]), float(w[3])) for who, w in self.lines() if w[0] == "drawn"]

    def loads(self) -> Counter[str]:
        return Counter(who for who, words in self.lines() if words[0] == "load")

    def devices(self) -> list[str]:
        return sorted(who.rpartition("-")[0] for who in self.loads())

    def pictures_per_second(self) -> float:
        drawn = self.drawn()
        return len(drawn) / (max(d.ended_s for d in drawn) - min(d.started_s for d in drawn))


@dataclass
class Studio:
    """A workshop whose pictures are drawn by the sleeping engine."""

    shop: Workshop
    journals: Journals

    def run(self, *arguments: str, what: tuple[str, ...] = WORDS, check: bool = True):
        return self.shop.run("run", "catalogue.csv", *CHOICE, *what, *arguments, check=check)

    def files(self) -> dict[str, bytes]:
        return self.shop.files()


def new_studio(
    new_workshop: Callable[[str], Workshop], name: str, products: int, *devices: str, shard_size: int, **options: str
) -> Studio:
    """Return a workshop with so many products, drawn on these devices with these options of the engine."""
    shop = new_workshop(name)
    photo = MUG["image"] if "studio" in options else ""
    shop.write(*({**MUG, "sku": f"CUP-{n:03}", "image": photo} for n in range(products)))
    journals = Journals(shop.folder / "journals")
    shop.environment |= {
        "ZIMAGE_ENGINE_OPTIONS": json.dumps({"journal": str(journals.folder)} | options),
        "ZIMAGE_ENGINE_DEVICES": ",".join(devices) or "auto",
        "ZIMAGE_SHARD_SIZE": str(shard_size),
        "ZIMAGE_BATCH_SIZE": "4",
    }
    return Studio(shop, journals)
