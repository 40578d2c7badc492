"""What a safetensors file says of itself: names, types and shapes of its tensors, read without torch and without them.

The format is eight bytes with the length of a JSON header, the header, and the tensors' bytes one after another; the
offsets in the header say how long a whole file is, so that half a download is known before anything is loaded.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zimage_core.errors import ConfigurationError

MAX_HEADER_BYTES: Final = 100_000_000
"""The limit of the safetensors library; more is not a header but some other file."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor of a file: its type as the format names it (BF16, F8_E4M3, ...) and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Header:
    """The tensors of a file by name, in the file's order, and the texts that whoever saved it left there."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """Return what the safetensors file at `path` holds.

    Raises ConfigurationError: the file is not there, is not safetensors, or ends before its last tensor does.
    """
    try:
        size_bytes = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER_BYTES, size_bytes - 8):
                raise _not_safetensors(path, start)
            text = file.read(length)
    except OSError as error:
        raise ConfigurationError(f"Weights cannot be read from {path}: {error.strerror or error}.") from error
    try:
        entries = json.loads(text)
        metadata = entries.pop("__metadata__", {})
        tensors = {name: TensorInfo(entry["dtype"], tuple(entry["shape"])) for name, entry in entries.items()}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _not_safetensors(path, start) from error
    if size_bytes != 8 + length + end:
        raise ConfigurationError(
            f"{path} is not whole: its header promises {8 + length + end:,} bytes and it has {size_bytes:,}; "
            "fetch or copy it again."
        )
    return Header(path, tensors, {str(key): str(value) for key, value in metadata.items()})


def _not_safetensors(path: Path, start: bytes) -> ConfigurationError:
    """Return the error for a file of another kind; the kinds that are often mistaken for safetensors are named."""
    kind = "not a safetensors file"
    if start.startswith(b"GGUF"):
        kind = "a GGUF file; name it .gguf"
    elif start.startswith((b"PK", b"\x80\x02")):
        kind = "a pickled PyTorch checkpoint, which can run code when it is opened; convert it to safetensors"
    elif start.startswith(b"version "):
        kind = "a Git LFS pointer, not the weights themselves; run `git lfs pull`"
    elif start.lstrip()[:1] == b"<":
        kind = "a web page, perhaps of a download that needed a login"
    elif not start:
        kind = "empty"
    return ConfigurationError(f"{path} is {kind}.")
