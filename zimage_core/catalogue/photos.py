"""The photos that a catalogue names: inside its folder, real pictures, whole, and named by their sha256."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from PIL import ImageFile

from zimage_core.catalogue.catalogue import excerpt
from zimage_core.catalogue.mattes import examine_matte
from zimage_core.catalogue.pictures import (
    COLUMN_OF,
    DAMAGED,
    MIN_SIDE_PX,
    Fault,
    Kind,
    as_path,
    locate,
    open_picture,
    too_many,
)
from zimage_core.domain import Product, Refusal

_CHUNK_BYTES: Final = 1 << 20
_AHEAD: Final = 4
"""Photos in flight per worker: enough to keep order without holding all of them."""


def check_photos(
    products: Iterable[Product], root: Path, *, max_megapixels: float = 80.0, workers: int = 4
) -> Iterator[Product | Refusal]:
    """Return each product with `image_sha256`, or the refusal of it, in the order given; without image it passes as is.

    `image` must be a path relative to `root` that stays inside it, links followed; backslashes count as slashes and
    the product comes back with the path in its `/` form. The file must be a JPEG, PNG, WebP, AVIF, TIFF or BMP of one
    frame, at most `max_megapixels`, 64 px or more on each side, and decode to its end: JPEG is decoded at an eighth of
    its size, PNG by the checksum of every chunk, the others in full. Several frames are refused (which one shows the
    product?), but a JPEG with further pictures behind the first, as phones write, is taken by its first. CMYK is
    taken with a colour profile and refused without one: nobody could say what its colours are. A `matte` beside the
    image is checked in the same way, and as `mattes` says; the product comes back with `matte_sha256`.
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
        if product.matte is None:
            return product
        alone = Fault(
            "matte_without_photo", "There is a matte but no image; give the photo that it cuts out, or clear the matte."
        )
        return _refusal(product, alone, "matte", product.matte)
    located = locate(product.image, root, "photo")
    if isinstance(located, Fault):
        return _refusal(product, located, "photo", product.image)
    sha256 = _examine(located, max_megapixels)
    if isinstance(sha256, Fault):
        return _refusal(product, sha256, "photo", product.image)
    checked = replace(product, image=as_path(product.image), image_sha256=sha256)
    if product.matte is None:
        return checked
    matte = locate(product.matte, root, "matte")
    matte_sha256 = examine_matte(matte, located, max_megapixels) if isinstance(matte, Path) else matte
    if isinstance(matte_sha256, Fault):
        return _refusal(product, matte_sha256, "matte", product.matte)
    return replace(checked, matte=as_path(product.matte), matte_sha256=matte_sha256)


def _refusal(product: Product, fault: Fault, kind: Kind, written: str) -> Refusal:
    field, value = COLUMN_OF[kind], excerpt(written)
    return Refusal("extract", fault.code, fault.reason, product.sku, product.record_no, field, value)


def _examine(path: Path, max_megapixels: float) -> str | Fault:
    """Return the photo's sha256, or what is wrong with it. One open file is hashed and judged, so both mean it."""
    try:
        with path.open("rb") as stream:
            digest = hashlib.sha256()
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
            stream.seek(0)
            return _judge(stream, max_megapixels) or digest.hexdigest()
    except PermissionError:
        return Fault("photo_unreadable", "The photo cannot be read; check its permissions.")
    except DAMAGED:
        return Fault("photo_damaged", "The photo is damaged or cut off and cannot be decoded; export it again.")


def _judge(stream: BinaryIO, max_megapixels: float) -> Fault | None:
    opened = open_picture(stream, "photo")
    if isinstance(opened, Fault):
        return opened
    with opened as image:
        if fault := too_many(image, max_megapixels, "photo"):
            return fault
        width_px, height_px = image.size
        if min(width_px, height_px) < MIN_SIDE_PX:
            return Fault(
                "photo_too_small",
                f"The photo is {width_px} x {height_px} px; each side must have at least {MIN_SIDE_PX} px.",
            )
        if image.mode == "CMYK" and not image.info.get("icc_profile"):
            return Fault("photo_cmyk", "The photo is CMYK without a colour profile; save it as sRGB.")
        _decode(image)
    return None


def _decode(image: ImageFile.ImageFile) -> None:
    if image.format == "PNG":
        image.verify()
        return
    if image.format == "JPEG":
        image.draft(image.mode, (image.width // 8, image.height // 8))
    image.load()
