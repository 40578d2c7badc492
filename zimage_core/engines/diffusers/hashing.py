"""One hash for a set of weight files: every byte counts, where they lie does not, and 20 GB are read once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from zimage_core.clock import fresh_id
from zimage_core.errors import ConfigurationError

MEMORY_NAME: Final = "weights-sha256.json"
MAX_THREADS: Final = 8
"""sha256 lets go of the interpreter lock; beyond this the disk is the limit."""
MAX_REMEMBERED: Final = 10_000


def weights_hash(files: Iterable[Path], cache: Path | None) -> str:
    """Return sha256 (hex) over the contents of `files`: the same contents at other paths give the same hash.

    It is the hash of the sorted hashes of the files, so neither names nor order count. What each file hashes to is
    remembered in `cache`/weights-sha256.json by path, size, times and inode; None remembers nothing. Raises
    ConfigurationError when a file cannot be read or changes while it is read.
    """
    memory = cache / MEMORY_NAME if cache is not None else None
    known = _remembered(memory)
    paths = [path.resolve() for path in files]
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as pool:
        hashed = list(pool.map(lambda path: _hash(path, known), paths))
    fresh = {key: digest for key, digest in hashed if known.get(key) != digest}
    if memory is not None and fresh:
        _remember(memory, fresh)
    total = hashlib.sha256()
    for digest in sorted(digest for _, digest in hashed):
        total.update(bytes.fromhex(digest))
    return total.hexdigest()


def _hash(path: Path, known: dict[str, str]) -> tuple[str, str]:
    """Return what the file is remembered by, and its hash."""
    try:
        with path.open("rb") as file:
            before = _key(path, os.fstat(file.fileno()))
            if before in known:
                return before, known[before]
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if _key(path, os.fstat(file.fileno())) != before:
                raise ConfigurationError(f"{path} changed while it was read; wait until it is written and start again.")
    except OSError as error:
        raise ConfigurationError(f"Weights cannot be read from {path}: {error.strerror or error}.") from error
    return before, digest


def _key(path: Path, stat: os.stat_result) -> str:
    return f"{path}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ctime_ns}|{stat.st_ino}"


def _remembered(memory: Path | None) -> dict[str, str]:
    """Return what was remembered; nothing when it cannot be read, for it can be computed again."""
    if memory is None:
        return {}
    try:
        read = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(read, dict):
        return {}
    return {key: value for key, value in read.items() if isinstance(value, str) and len(value) == 64}


def _remember(memory: Path, fresh: dict[str, str]) -> None:
    """Add to the memory. Two processes may lose each other's lines, never leave half a file."""
    together = list((_remembered(memory) | fresh).items())[-MAX_REMEMBERED:]
    memory.parent.mkdir(parents=True, exist_ok=True)
    temporary = memory.with_name(f".{memory.name}.{fresh_id()}")
    temporary.write_text(json.dumps(dict(together), indent=0), "utf-8")
    temporary.replace(memory)
