"""What every phase of the benchmark shares: the clock, the budget, the rows of the table."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass
class Row:
    """One measurement. `seconds` is per call, `images` what a call makes; TFLOP/s and its share where it is known."""

    phase: str
    what: str
    seconds: float
    images: int = 1
    ms_per_forward: float | None = None
    tflops: float | None = None
    peak_share: float | None = None
    note: str = ""

    @property
    def images_per_s(self) -> float:
        """Pictures made in a second."""
        return self.images / self.seconds


@dataclass
class Bench:
    """One run: what was asked, what was found, and how much time is left of the budget."""

    arguments: Any
    device: torch.device
    started_s: float = field(default_factory=time.perf_counter)
    rows: list[Row] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    peak_tflops: float | None = None

    @property
    def is_cuda(self) -> bool:
        """Whether this is a GPU."""
        return self.device.type == "cuda"

    @property
    def _rent(self) -> float | None:
        return self.arguments.rent if self.is_cuda else None

    def left_s(self) -> float:
        """Return the seconds left of the budget."""
        return float(self.arguments.budget) - (time.perf_counter() - self.started_s)

    def wait(self) -> None:
        """Wait until the device has done all it was given."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def seconds(self, call: Callable[[], object], *, groups: int = 5, warm_ups: int = 2, inner: int = 1) -> float:
        """Return the median seconds per call over groups of calls, each group awaited."""
        if not self.is_cuda:
            groups, warm_ups, inner = min(groups, 2), min(warm_ups, 1), 1
        for _ in range(warm_ups):
            call()
        found = []
        for _ in range(groups):
            self.wait()
            before = time.perf_counter()
            for _ in range(inner):
                call()
            self.wait()
            found.append((time.perf_counter() - before) / inner)
        return statistics.median(found)

    def add(
        self, phase: str, what: str, seconds: float, images: int = 1, *, flops: float = 0.0, forwards: int = 0,
        note: str = "",
    ) -> None:  # fmt: skip
        """Keep and print a row; `flops` and `forwards` are those of one call."""
        tflops = flops / seconds / 1e12 if flops else None
        share = tflops / self.peak_tflops if tflops and self.peak_tflops else None
        row = Row(phase, what, seconds, images, 1e3 * seconds / forwards if forwards else None, tflops, share, note)
        self.rows.append(row)
        print(f"[{time.perf_counter() - self.started_s:5.0f} s] {line(row, self._rent)}", flush=True)

    @contextmanager
    def phase(self, name: str, needs_s: float) -> Iterator[bool]:
        """Give whether this phase is asked for and affordable; an error in it is kept, and the others still run."""
        wanted = name in self.arguments.phases.split(",")
        affordable = not self.is_cuda or self.left_s() > needs_s
        if wanted and not affordable:
            self.facts.setdefault("left_out", []).append(name)
            print(f"-- {name}: left out, {self.left_s():.0f} s of the budget are left and it takes {needs_s:.0f}")
        try:
            yield wanted and affordable
        except Exception as error:
            if not self.is_cuda:
                raise
            self.facts.setdefault("errors", {})[name] = repr(error)[:2000]
            print(f"!! {name}: {type(error).__name__}: {str(error)[:400]}", flush=True)
            torch.cuda.empty_cache()

    def finish(self) -> None:
        """Print the table and write the JSON."""
        print(f"\n{HEADER}")
        for row in self.rows:
            print(line(row, self._rent))
        for name, value in self.facts.items():
            print(f"{name}: {value}")
        if self.arguments.out:
            path = Path(self.arguments.out)
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [asdict(row) | {"images_per_s": row.images_per_s} for row in self.rows]
            found = {"arguments": vars(self.arguments), "facts": self.facts, "rows": rows}
            path.write_text(json.dumps(found, indent=1, default=str))


HEADER = (
    f"{'phase':<10} {'what':<52} {'ms/image':>9} {'images/s':>9} {'ms/fwd':>8} {'TFLOP/s':>8} {'of peak':>7} "
    f"{'$/1000':>7}  note"
)


def line(row: Row, rent_usd_per_h: float | None) -> str:
    """Return a row of the table; the cost is that of 1000 pictures at this rent (USD per hour / 3600 s * 1000)."""
    makes_pictures = row.phase in ("stock", "ours", "end to end")
    cost = rent_usd_per_h / 3.6 / row.images_per_s if rent_usd_per_h and makes_pictures else None
    return (
        f"{row.phase:<10} {row.what:<52} {1e3 * row.seconds / row.images:>9.2f} {row.images_per_s:>9.3f} "
        f"{_or_blank(row.ms_per_forward, '8.2f')} {_or_blank(row.tflops, '8.1f')} {_or_blank(row.peak_share, '7.1%')} "
        f"{_or_blank(cost, '7.3f')}  {row.note}"
    )


def _or_blank(value: float | None, form: str) -> str:
    return format(value, form) if value is not None else " " * int(form.split(".")[0])
