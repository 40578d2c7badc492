"""Files that appear whole, and what killed writers of this machine leave behind."""

from __future__ import annotations

import os
from pathlib import Path

from zimage_core.errors import StorageError
from zimage_core.processes import is_dead, owner_name
from zimage_core.storage.keys import TEMPORARY


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is no object of a store (a report), half of it never seen. Raises StorageError."""
    temporary = unfinished(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        if temporary.is_file():
            temporary.unlink()
        raise StorageError(f"{path} could not be written: {error.strerror or error}.") from error


def sweep(folder: Path) -> int:
    """Remove what killed writers of this machine left unfinished right in this folder; return how many files."""
    found = folder.glob(f"{TEMPORARY}*")
    left = [path for path in found if is_dead(path.name.removeprefix(TEMPORARY).replace("~", ":"))]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def unfinished(folder: Path) -> Path:
    """Return a name for a file being written in this folder, which `sweep` knows; not every system takes a colon."""
    return folder / f"{TEMPORARY}{owner_name().replace(':', '~')}"


def flush_folder(folder: Path) -> None:
    """Flush a folder's names to the disk. Raises StorageError."""
    # A name is durable only when the folder that holds it is; Windows cannot open folders and needs no flush.
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(f"The folder {folder} could not be flushed to disk: {error}.") from error
