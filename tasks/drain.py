"""Being told to end: finish what is under way, begin nothing new, and then end as the signal says."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger("zimage_core.tasks")


_told: set[int] = set()


def told_to_end() -> bool:
    """Tell whether a signal that is held back in this process asks it to end: begin nothing new."""
    return bool(_told)


@contextmanager
def draining() -> Iterator[None]:
    """Hold SIGTERM back while the body runs; who works looks at `told_to_end` before it begins anything new.

    When the body has ended the signal has its effect: Prefect notes that the run was ended, or the process ends. A
    second SIGTERM is not held back. In a thread that is not the main one signals cannot be held, and none is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)

    def hold(number: int, frame: FrameType | None) -> None:
        _told.add(number)
        signal.signal(signal.SIGTERM, before)
        log.warning("Told to end: the batch that is being made is finished and kept, nothing new is begun.")

    signal.signal(signal.SIGTERM, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if _told:
            _told.clear()
            signal.raise_signal(signal.SIGTERM)
