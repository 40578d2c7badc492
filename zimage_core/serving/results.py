"""Pictures that were made, on disk by content key: answered again at no cost, for a time and up to a size.

One file per picture: a line of JSON (what is known of it, the checksum), then the PNG. A file is finished before it
gets its name, and is read whole or not at all: a checksum that does not fit is a picture we do not have. What is there
is found again after a restart, in the order in which it was made. Ages are counted by a clock that is never set: no
picture grows old because the system's time was corrected.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from zimage_core import clock
from zimage_core.engines.exchange import RenderedForm
from zimage_core.errors import StorageError
from zimage_core.imaging.pixels import sha256_hex
from zimage_core.serving.work import Picture

log = logging.getLogger("zimage_core.serving")

SUFFIX: Final = ".picture"
MAX_PICTURES: Final = 100_000
"""What is known of so many takes 45 MB of memory; real pictures reach the limit of bytes long before."""
PROBE_BYTES: Final = 65_536
_UNFINISHED: Final = ".unfinished"
_FAN_OUT_CHARS: Final = 2


@dataclass(frozen=True, slots=True)
class Kept:
    """One picture on disk: its size, and when it was made (on the clock that is never set)."""

    size_bytes: int
    made_s: float


class Results:
    """A folder of pictures, the least recently read first to go. Safe to use from several threads, not processes."""

    def __init__(
        self,
        folder: Path,
        *,
        ttl_s: float,
        max_bytes: int,
        now: Callable[[], datetime] = clock.now,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        """Find what is there. Raises StorageError when the folder cannot be read or written."""
        self._folder = folder
        self._ttl_s, self._max_bytes = ttl_s, max_bytes
        self._now, self._elapsed_s = now, elapsed_s
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._bytes = 0
        self.trouble = ""
        try:
            self._find()
        except OSError as error:
            raise StorageError(f"The pictures in {folder} cannot be read: {error.strerror or error}.") from error
        self.probe()
        if self.trouble:
            raise StorageError(self.trouble)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """Bytes of all pictures kept."""
        return self._bytes

    def has(self, key: str) -> bool:
        """Tell whether this picture is kept and not too old."""
        with self._lock:
            kept = self._kept.get(key)
            return kept is not None and self._age_s(kept) < self._ttl_s

    def get(self, key: str) -> Picture | None:
        """Return the picture, None when it is not kept, too old, or its file is damaged."""
        if not self.has(key):
            return None
        try:
            picture = _parsed(self._path(key).read_bytes())
        except OSError:
            picture = None
        if picture is None:
            self._forget(key)
            return None
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
        return picture

    def put(self, key: str, picture: Picture) -> None:
        """Keep a picture; older ones go where the size demands it. Raises StorageError when the disk refuses."""
        about = {"about": picture.about.model_dump(mode="json"), "sha256": sha256_hex(picture.png)}
        data = json.dumps(about, ensure_ascii=True).encode() + b"\n" + picture.png
        path = self._path(key)
        unfinished = path.with_name(f"{key}.{clock.fresh_id()}{_UNFINISHED}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(data)
            unfinished.replace(path)
        except OSError as error:
            _remove(unfinished)
            self.trouble = f"A picture could not be written to {path.parent}: {error.strerror or error}."
            raise StorageError(self.trouble) from error
        self.trouble = ""
        with self._lock:
            self._replace(key, Kept(len(data), self._elapsed_s()))
            doomed = self._over_size()
        self._unlink(doomed)

    def probe(self) -> None:
        """Write a small file and remove it: `trouble` then says why pictures cannot be kept, or is ''."""
        probe = self._folder / f"probe.{clock.fresh_id()}{_UNFINISHED}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"0" * PROBE_BYTES)
        except OSError as error:
            self.trouble = f"Pictures cannot be written to {self._folder}: {error.strerror or error}."
        else:
            self.trouble = ""
        finally:
            _remove(probe)

    def prune(self) -> int:
        """Remove what is too old or too much; return how many pictures that were."""
        with self._lock:
            doomed = [key for key, kept in self._kept.items() if self._age_s(kept) >= self._ttl_s]
            for key in doomed:
                self._bytes -= self._kept.pop(key).size_bytes
            doomed += self._over_size()
        self._unlink(doomed)
        return len(doomed)

    # ------------------------------------------------------------ inside

    def _find(self) -> None:
        """Learn what a former process left, and remove what it did not finish."""
        now_s, elapsed_s = self._now().timestamp(), self._elapsed_s()
        found: list[tuple[str, Kept]] = []
        for path in self._folder.rglob("*"):
            if path.name.endswith(_UNFINISHED):
                _remove(path)
            elif path.suffix == SUFFIX:
                seen = path.stat()
                # dated by a clock that was ahead: as if just made
                found.append((path.stem, Kept(seen.st_size, elapsed_s - max(0.0, now_s - seen.st_mtime))))
        for key, kept in sorted(found, key=lambda pair: pair[1].made_s):
            self._replace(key, kept)
        self.prune()

    def _replace(self, key: str, kept: Kept) -> None:
        former = self._kept.pop(key, None)
        self._bytes += kept.size_bytes - (former.size_bytes if former else 0)
        self._kept[key] = kept

    def _over_size(self) -> list[str]:
        """Take out of the books what is too much, the least recently read first, and return it."""
        doomed = []
        while len(self._kept) > MAX_PICTURES or (self._bytes > self._max_bytes and len(self._kept) > 1):
            key, kept = self._kept.popitem(last=False)
            self._bytes -= kept.size_bytes
            doomed.append(key)
        return doomed

    def _forget(self, key: str) -> None:
        with self._lock:
            kept = self._kept.pop(key, None)
            self._bytes -= kept.size_bytes if kept else 0
        self._unlink([key])

    def _unlink(self, keys: list[str]) -> None:
        for key in keys:
            _remove(self._path(key))

    def _age_s(self, kept: Kept) -> float:
        return self._elapsed_s() - kept.made_s

    def _path(self, key: str) -> Path:
        return self._folder / key[:_FAN_OUT_CHARS] / f"{key}{SUFFIX}"


def _remove(path: Path) -> None:
    """Remove a file that nobody needs; where that is refused it stays, and is found again at the next start."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s could not be removed: %s", path, error.strerror or error)


def _parsed(data: bytes) -> Picture | None:
    head, _, png = data.partition(b"\n")
    try:
        known = json.loads(head)
        about = RenderedForm.model_validate(known["about"])
        sound = sha256_hex(png) == known["sha256"]
    except (ValueError, KeyError, TypeError, ValidationError):
        return None
    return Picture(png, about) if sound else None
