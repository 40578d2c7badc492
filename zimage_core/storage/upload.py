"""Many objects to one store at once: so many on their way at a time, so many in memory, each answered for."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from zimage_core.errors import StorageError, StoreRefused
from zimage_core.storage.base import Store

log = logging.getLogger("zimage_core.storage")

PAUSES_S = (10.0, 60.0)
"""How long to wait before the second and the third pass over what failed: a service that asks for less gets less."""

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Upload:
    """An object to create. `source` is its bytes, or a file that is read when its turn comes: then only the objects
    that are on their way are in memory.
    """

    key: str
    source: bytes | Path
    content_type: str
    cache_control: str | None = None

    def data(self) -> bytes:
        """Return the bytes. Raises StorageError when the file cannot be read."""
        if isinstance(self.source, bytes):
            return self.source
        try:
            return self.source.read_bytes()
        except OSError as error:
            raise StorageError(f"{self.source} could not be read to be uploaded: {error.strerror or error}.") from error


@dataclass(frozen=True, slots=True)
class UploadAnswer:
    """What became of one object: written, already there with the same bytes, or failed with a reason.

    Written whose answer was lost on its way may be told as there.
    """

    key: str
    outcome: Literal["written", "there", "failed"]
    error: StorageError | None = None


def upload(
    store: Store,
    objects: Iterable[Upload],
    threads: int,
    *,
    resume_under: str | None = None,
    pauses_s: Sequence[float] = PAUSES_S,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[UploadAnswer, ...]:
    """Create these objects, `threads` at a time, and answer for each in the order given; one failing stops no other.

    What fails for a reason that may pass is tried again after each pause, so an object gets three passes of five tries.
    With `resume_under`, keys under that prefix are listed first and those that are there are compared by checksum
    instead of being sent: what a killed upload left to do. Raises StoreRefused as soon as the store lets us in for
    nothing, since no other object would fare better.
    """
    there = frozenset(store.list_keys(resume_under)) if resume_under is not None else frozenset()

    def send(item: Upload) -> tuple[UploadAnswer, Upload | None]:
        answer = _sent(store, item, is_known=item.key in there)
        return answer, item if answer.error is not None and answer.error.retryable else None

    passed = at_once(send, objects, threads)
    answers = [answer for answer, _ in passed]
    failed = [(number, again) for number, (_, again) in enumerate(passed) if again is not None]
    for pause_s in pauses_s:
        if not failed:
            break
        sleep(pause_s)
        log.warning("%d objects of %d failed so far and are sent again: %s", len(failed), len(answers), _first(answers))
        passed = at_once(send, [item for _, item in failed], threads)
        for (number, _), (answer, _) in zip(failed, passed, strict=True):
            answers[number] = answer
        failed = [(number, again) for (number, _), (_, again) in zip(failed, passed, strict=True) if again is not None]
    return tuple(answers)


def at_once(work: Callable[[Item], Made], items: Iterable[Item], threads: int) -> list[Made]:
    """Return `work(item)` for each item, in order, done by `threads` at a time; no more items than threads are held.

    The first exception of the work or of the items is raised, when what is on its way is finished.
    """
    pulled = enumerate(items)
    made: dict[int, Made] = {}
    pulling, stopped = threading.Lock(), threading.Event()

    def pull() -> tuple[int, Item] | None:
        with pulling:
            return None if stopped.is_set() else next(pulled, None)

    def run() -> None:
        try:
            while (turn := pull()) is not None:
                number, item = turn
                del turn
                made[number] = work(item)
                del item
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(threads, "store") as pool:
        try:
            for running in [pool.submit(run) for _ in range(threads)]:
                running.result()
        finally:
            stopped.set()
    return [made[number] for number in range(len(made))]


def _sent(store: Store, item: Upload, *, is_known: bool) -> UploadAnswer:
    try:
        data = item.data()
        if is_known and store.facts(item.key).sha256 == hashlib.sha256(data).hexdigest():
            return UploadAnswer(item.key, "there")
        written = store.put(item.key, data, content_type=item.content_type, cache_control=item.cache_control)
    except StoreRefused:
        raise
    except StorageError as error:
        return UploadAnswer(item.key, "failed", error)
    return UploadAnswer(item.key, "written" if written else "there")


def _first(answers: Sequence[UploadAnswer]) -> StorageError | None:
    return next((answer.error for answer in answers if answer.error is not None), None)
