"""Live progress on the terminal: what the ledger counts, redrawn while a flow runs in the foreground.

The counts come from the ledger and not from the flow, so they are right whichever process makes the images.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.text import Text

from zimage_core import clock
from zimage_core.ledger import Tally

REDRAW_EVERY_S = 0.5
REST_RATIO = 20
"""Counting a large run takes the ledger a while: the watcher rests this many times as long as a count took."""

LINE_EVERY_S = 10.0
"""Where the output is not a terminal (a log file, CI), a line this often instead of a moving picture."""


@dataclass(frozen=True)
class _Start:
    """Where this process found the run, so that the ETA counts only what is made now."""

    done: int
    at_s: float


def describe(tally: Tally, *, done_before: int, elapsed_s: float) -> str:
    """Return one line: done of promised, each grade's count, what failed, and when it will be over at this pace."""
    done = tally.accepted + tally.doubtful + tally.given_up
    parts = [f"{done}/{tally.promised} shots"]
    parts += [f"{letter} {count}" for letter, count in sorted(tally.letters.items())]
    parts += [f"{name} {count}" for name, count in (("given up", tally.given_up), ("failed", tally.failed)) if count]
    made = done - done_before
    left = tally.promised - done
    if left == 0:
        parts.append("done")
    elif made > 0 and elapsed_s > 1:
        parts.append(f"ETA {_duration(left * elapsed_s / made)}")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def progress(console: Console, tally: Callable[[], Tally | None]) -> Iterator[None]:
    """Show `tally` while the body runs; None means that the run is not known yet (Prefect and the catalogue first)."""
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(console, tally, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(console: Console, tally: Callable[[], Tally | None], ended: threading.Event) -> None:
    show = _Line(tally)
    if console.is_terminal:
        with Live(console=console, transient=False, refresh_per_second=4) as live:
            while not ended.wait(REDRAW_EVERY_S):
                live.update(Text(show()))
            live.update(Text(show()))
        return
    shown = ""
    while not ended.wait(LINE_EVERY_S):
        line = show()
        if line != shown:
            console.print(line, highlight=False)
            shown = line
    if (line := show()) != shown:
        console.print(line, highlight=False)


class _Line:
    """The present line; remembers what was done when the run first became visible."""

    def __init__(self, tally: Callable[[], Tally | None]) -> None:
        self._tally = tally
        self._start: _Start | None = None

    def __call__(self) -> str:
        tally = self._tally()
        if tally is None:
            return "reading the catalogue …"
        done = tally.accepted + tally.doubtful + tally.given_up
        if self._start is None:
            self._start = _Start(done, clock.elapsed_s())
        elapsed_s = clock.elapsed_s() - self._start.at_s
        return describe(tally, done_before=self._start.done, elapsed_s=elapsed_s)
