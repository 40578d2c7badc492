"""Half a report is never seen: it is written beside its place under another name, then moved."""

from __future__ import annotations

import os
from pathlib import Path

from zimage_core.errors import StorageError


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old one or the new one, nothing between. Raises StorageError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"The report {path.name} could not be written: {error.strerror}.") from error
