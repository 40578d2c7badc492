"""Being told to end: finish what is under way, begin nothing new, and then end as the signal says."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger("zimage_core.tasks")


@contextmanager
def draining() -> Iterator[Callable[[], bool]]:
    """Hold SIGTERM back while the body runs; the function it gives says whether one came.

    The body looks at it before it begins anything new. When the body has ended the signal has its effect: Prefect notes
    that the run was ended, or the process ends. A second SIGTERM is not held back. In a thread that is not the main one
    signals cannot be held, and none is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    told: list[int] = []
    before = signal.getsignal(signal.SIGTERM)

    def hold(number: int, frame: FrameType | None) -> None:
        told.append(number)
        signal.signal(signal.SIGTERM, before)
        log.warning("Told to end: what is being made is finished and kept, nothing new is begun.")

    signal.signal(signal.SIGTERM, hold)
    try:
        yield lambda: bool(told)
    finally:
        signal.signal(signal.SIGTERM, before)
        if told:
            signal.raise_signal(signal.SIGTERM)
