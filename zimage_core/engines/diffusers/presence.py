"""Whether a model's files are here and can be read, found out without loading or downloading any. Imports no torch."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zimage_core.engines.diffusers.header import read_header
from zimage_core.engines.diffusers.hub import read_hub_id
from zimage_core.engines.diffusers.options import read_options
from zimage_core.engines.diffusers.weights import find_model
from zimage_core.errors import ConfigurationError

DOWNLOAD_GIB: Final = 31.0
"""Z-Image-Turbo as published: 24.6 GB transformer (fp32), 8.0 GB text encoder, 0.2 GB VAE."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A model by its name; no files where it is still to be downloaded."""

    name: str
    files: int = 0
    size_bytes: int = 0


def look_for_model(given: Mapping[str, str]) -> Presence:
    """Return what is here of the model that these engine options name, after opening every file of it.

    Raises ConfigurationError: an option is wrong, a file is missing, damaged or not ours to read, or there is too
    little room for the download.
    """
    options = read_options(given)
    try:
        found = find_model(dataclasses.replace(options, offline=True))
    except ConfigurationError:
        if options.offline or Path(options.model).expanduser().exists() or read_hub_id(options.model) is None:
            raise
        _check_room()
        return Presence(options.model)
    size_bytes = 0
    for path in found.all_files:
        size_bytes += _read(path)
    return Presence(found.name, len(found.all_files), size_bytes)


def _read(path: Path) -> int:
    """Open a file, read what says what it holds, and return its size in bytes."""
    try:
        with path.open("rb") as file:
            file.read(1)
        if path.suffix.lower() == ".safetensors":
            read_header(path)
        return path.stat().st_size
    except OSError as error:
        raise ConfigurationError(
            f"The model's file {path} cannot be read ({error.strerror}): give this account the right to, or copy it "
            "again."
        ) from error


def _check_room() -> None:
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE)
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free_gib = shutil.disk_usage(there).free / 2**30
    if free_gib < DOWNLOAD_GIB:
        raise ConfigurationError(
            f"The model is to be downloaded, {DOWNLOAD_GIB:.0f} GiB, and {folder} has {free_gib:.1f} GiB free: make "
            "room, or set HF_HOME to a larger disk."
        )
