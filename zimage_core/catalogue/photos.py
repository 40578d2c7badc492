"""The photos that a catalogue names: inside its folder, real pictures, whole, and named by their sha256."""

from __future__ import annotations

import hashlib
import re
import stat
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from zimage_core.catalogue.catalogue import excerpt
from zimage_core.domain import Product, Refusal

MIN_SIDE_PX: Final = 64
"""Below this nothing can be cut out; how good a larger photo is, grading says."""
MAX_FILE_BYTES: Final = 512 << 20
_CHUNK_BYTES: Final = 1 << 20
_HEAD_BYTES: Final = 32
_AHEAD: Final = 4
"""Photos in flight per worker: enough to keep order without holding all of them."""

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")
_DRIVE: Final = re.compile(r"[A-Za-z]:")

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


@dataclass(frozen=True, slots=True)
class _Fault:
    code: str
    reason: str


def check_photos(
    products: Iterable[Product], root: Path, *, max_megapixels: float = 80.0, workers: int = 4
) -> Iterator[Product | Refusal]:
    """Return each product with `image_sha256`, or the refusal of it, in the order given; without image it passes as is.

    `image` must be a path relative to `root` that stays inside it, links followed; backslashes count as slashes and
    the product comes back with the path in its `/` form. The file must be a JPEG, PNG, WebP, AVIF, TIFF or BMP of one
    frame, at most `max_megapixels`, 64 px or more on each side, and decode to its end: JPEG is decoded at an eighth of
    its size, PNG by the checksum of every chunk, the others in full. Several frames are refused (which one shows the
    product?), but a JPEG with further pictures behind the first, as phones write, is taken by its first. CMYK is
    taken with a colour profile and refused without one: nobody could say what its colours are.
    """
    inside = root.resolve()
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="photos") as pool:
        waiting: deque[Future[Product | Refusal]] = deque()
        for product in products:
            waiting.append(pool.submit(_check, product, inside, max_megapixels))
            if len(waiting) >= workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _check(product: Product, root: Path, max_megapixels: float) -> Product | Refusal:
    if product.image is None:
        return product
    located = _locate(product.image, root)
    found = _examine(located, max_megapixels) if isinstance(located, Path) else located
    if isinstance(found, _Fault):
        value = excerpt(product.image)
        return Refusal("extract", found.code, found.reason, product.sku, product.record_no, "image", value)
    return replace(product, image=str(PurePosixPath(product.image.replace("\\", "/"))), image_sha256=found)


def _locate(image: str, root: Path) -> Path | _Fault:
    """Return the real path of the photo, or why it may not be read."""
    text = image.replace("\\", "/")
    if _DRIVE.match(text) and not text[2:].startswith("//"):
        return _Fault(
            "photo_outside", "The image is an absolute path; write it relative to the catalogue's photo folder."
        )
    if _URL.match(text):
        return _Fault("photo_is_url", "The image is a URL; download the photo and give its path in the photo folder.")
    pure = PurePosixPath(text)
    if pure.is_absolute():
        return _Fault(
            "photo_outside", "The image is an absolute path; write it relative to the catalogue's photo folder."
        )
    if ".." in pure.parts:
        return _Fault("photo_outside", "The image path climbs out with '..'; write it relative to the photo folder.")
    try:
        real = (root / pure).resolve(strict=True)
        if not real.is_relative_to(root):
            return _Fault(
                "photo_outside", "The image is a link that leads out of the photo folder; copy the photo into it."
            )
        status = real.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _Fault("photo_missing", "There is no such photo; add the file, or correct the path (case counts).")
    except (OSError, ValueError, RuntimeError):
        return _Fault("photo_unreadable", "The photo cannot be read; check its name, its links and its permissions.")
    if not stat.S_ISREG(status.st_mode):
        return _Fault("photo_not_a_file", "The image is not a file; give the path of a photo.")
    if status.st_size == 0:
        return _Fault("photo_empty", "The photo is an empty file; export it again.")
    if status.st_size > MAX_FILE_BYTES:
        return _Fault("photo_too_large", f"The photo is larger than {MAX_FILE_BYTES >> 20} MiB; save it smaller.")
    return real


def _examine(path: Path, max_megapixels: float) -> str | _Fault:
    """Return the photo's sha256, or what is wrong with it. One open file is hashed and judged, so both mean it."""
    try:
        with path.open("rb") as stream:
            digest = hashlib.sha256()
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
            stream.seek(0)
            return _judge(stream, max_megapixels) or digest.hexdigest()
    except PermissionError:
        return _Fault("photo_unreadable", "The photo cannot be read; check its permissions.")
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, MemoryError, struct.error):
        # Pillow's decoders meet damaged bytes with any of these; all mean that the file is damaged.
        return _Fault("photo_damaged", "The photo is damaged or cut off and cannot be decoded; export it again.")


def _judge(stream: BinaryIO, max_megapixels: float) -> _Fault | None:
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    opener = next((opener for pattern, _, opener in _OPENERS if pattern.match(head)), None)
    if opener is None:
        names = ", ".join(name for _, name, _ in _OPENERS)
        return _Fault(
            "photo_not_an_image", f"The file is not a picture that is read ({names}); export the photo as JPEG."
        )
    with opener(stream) as image:
        width_px, height_px = image.size
        if width_px * height_px > max_megapixels * 1e6:
            return _Fault(
                "photo_too_many_pixels",
                f"The photo is {width_px} x {height_px} px, above {max_megapixels:g} megapixels; save it smaller.",
            )
        if min(width_px, height_px) < MIN_SIDE_PX:
            return _Fault(
                "photo_too_small",
                f"The photo is {width_px} x {height_px} px; each side must have at least {MIN_SIDE_PX} px.",
            )
        frames = int(getattr(image, "n_frames", 1))
        if frames > 1:
            return _Fault("photo_animated", f"The picture has {frames} frames; save the one that shows the product.")
        if image.mode == "CMYK" and not image.info.get("icc_profile"):
            return _Fault("photo_cmyk", "The photo is CMYK without a colour profile; save it as sRGB.")
        _decode(image)
    return None


def _decode(image: ImageFile.ImageFile) -> None:
    if image.format == "PNG":
        image.verify()
        return
    if image.format == "JPEG":
        image.draft(image.mode, (image.width // 8, image.height // 8))
    image.load()
