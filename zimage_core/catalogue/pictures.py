"""Files that a catalogue names: found inside its folder, opened by their first bytes, and what is wrong with them."""

from __future__ import annotations

import re
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Literal

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

Kind = Literal["photo", "matte"]
COLUMN_OF: Final[dict[Kind, str]] = {"photo": "image", "matte": "matte"}
MIN_SIDE_PX: Final = 64
"""Below this nothing can be cut out; how good a larger photo is, grading says."""
MAX_FILE_BYTES: Final = 512 << 20
_HEAD_BYTES: Final = 32
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_ORIENTATION: Final = 0x0112
_LYING: Final = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

_Opener = Callable[[BinaryIO], ImageFile.ImageFile]
_OPENERS: Final[tuple[tuple[re.Pattern[bytes], str, _Opener], ...]] = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG", JpegImagePlugin.JpegImageFile),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG", PngImagePlugin.PngImageFile),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WebP", WebPImagePlugin.WebPImageFile),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "AVIF", AvifImagePlugin.AvifImageFile),
    (re.compile(rb"II\*\x00|MM\x00\*"), "TIFF", TiffImagePlugin.TiffImageFile),
    (re.compile(rb"BM"), "BMP", BmpImagePlugin.BmpImageFile),
)
"""By first bytes, never by extension. The plugins are called directly: `Image.open` warns by a process-wide limit."""

DAMAGED: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    MemoryError,
    struct.error,
)
"""Pillow's decoders meet damaged bytes with any of these; all mean that the file is damaged."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file: a stable `code` and a sentence."""

    code: str
    reason: str


def as_path(text: str) -> str:
    """Return a path as it is kept: backslashes as slashes, no `./`."""
    return str(PurePosixPath(text.replace("\\", "/")))


def locate(written: str, root: Path, kind: Kind) -> Path | Fault:
    """Return the real path of a file that the catalogue names, or why it may not be read.

    It must be a path relative to `root` that stays inside it, links followed; backslashes count as slashes.
    """
    text = written.replace("\\", "/")
    column = COLUMN_OF[kind]
    relative = "write it relative to the catalogue's photo folder."
    if _DRIVE.match(text) and not text[2:].startswith("//"):
        return Fault(f"{kind}_outside", f"The {column} is an absolute path; {relative}")
    if _URL.match(text):
        return Fault(
            f"{kind}_is_url", f"The {column} is a URL; download the {kind} and give its path in the photo folder."
        )
    pure = PurePosixPath(text)
    if pure.is_absolute():
        return Fault(f"{kind}_outside", f"The {column} is an absolute path; {relative}")
    if ".." in pure.parts:
        return Fault(
            f"{kind}_outside", f"The {column} path climbs out with '..'; write it relative to the photo folder."
        )
    try:
        real = (root / pure).resolve(strict=True)
        if not real.is_relative_to(root):
            return Fault(
                f"{kind}_outside",
                f"The {column} is a link that leads out of the photo folder; copy the {kind} into it.",
            )
        status = real.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Fault(f"{kind}_missing", f"There is no such {kind}; add the file, or correct the path (case counts).")
    except (OSError, ValueError, RuntimeError):
        return Fault(f"{kind}_unreadable", f"The {kind} cannot be read; check its name, its links and its permissions.")
    return _unfit(status.st_mode, status.st_size, kind) or real


def _unfit(mode: int, size_bytes: int, kind: Kind) -> Fault | None:
    if not stat.S_ISREG(mode):
        return Fault(f"{kind}_not_a_file", f"The {COLUMN_OF[kind]} is not a file; give the path of a {kind}.")
    if size_bytes == 0:
        return Fault(f"{kind}_empty", f"The {kind} is an empty file; export it again.")
    if size_bytes > MAX_FILE_BYTES:
        return Fault(f"{kind}_too_large", f"The {kind} is larger than {MAX_FILE_BYTES >> 20} MiB; save it smaller.")
    return None


def open_picture(stream: BinaryIO, kind: Kind) -> ImageFile.ImageFile | Fault:
    """Return the picture in an open file, by its first bytes, not yet decoded. Raises one of DAMAGED."""
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    opener = next((opener for pattern, _, opener in _OPENERS if pattern.match(head)), None)
    if opener is None:
        names = ", ".join(name for _, name, _ in _OPENERS)
        as_what = "JPEG" if kind == "photo" else "PNG"
        return Fault(
            f"{kind}_not_an_image",
            f"The file is not a picture that is read ({names}); export the {kind} as {as_what}.",
        )
    return opener(stream)


def too_many(image: ImageFile.ImageFile, max_megapixels: float, kind: Kind) -> Fault | None:
    """Return why a picture has more pixels or frames than are decoded, from its header alone; None where it is fit."""
    width_px, height_px = image.size
    if width_px * height_px > max_megapixels * 1e6:
        return Fault(
            f"{kind}_too_many_pixels",
            f"The {kind} is {width_px} x {height_px} px, above {max_megapixels:g} megapixels; save it smaller.",
        )
    frames = int(getattr(image, "n_frames", 1))
    if frames > 1:
        return Fault(f"{kind}_animated", f"The picture has {frames} frames; save the one that shows the product.")
    return None


def upright_size(image: ImageFile.ImageFile) -> tuple[int, int]:
    """Return (width, height) in px as the picture is shown, turned upright by its EXIF orientation."""
    width_px, height_px = image.size
    return (height_px, width_px) if image.getexif().get(_ORIENTATION) in _LYING else (width_px, height_px)
