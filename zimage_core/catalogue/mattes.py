"""The mattes that a catalogue names: one per photo, of its very size, grey or with transparency, with a product in it.

A matte says which part of the photo is the product, 255 = product. It is the supplier's word against the pixels, so it
is taken as it is; what could not possibly be meant is refused here, before anything is made with it.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageFile

from zimage_core.catalogue.pictures import DAMAGED, Fault, open_picture, too_many, upright_size

_GREY_MODES: Final = ("1", "L", "I;16", "I;16B", "I;16L", "I")
_EMPTY_BELOW: Final = 0.5
"""Of full: a matte that nowhere rises above half leaves nothing that is more product than backdrop."""
_OPAQUE_FROM: Final = 0.98
"""Of full: a matte that nowhere falls below this takes nothing away."""


def examine_matte(path: Path, photo: Path, max_megapixels: float) -> str | Fault:
    """Return the matte's sha256, or what is wrong with it.

    It is decoded in full: a greyscale picture, or one with transparency, whose alpha then counts and whose colours do
    not. It must have the size of the `photo`, both as they are shown, turned upright.
    """
    try:
        data = path.read_bytes()
        stream = io.BytesIO(data)
        opened = open_picture(stream, "matte")
        if isinstance(opened, Fault):
            return opened
        with opened as image:
            fault = too_many(image, max_megapixels, "matte")
            fault = fault or _of_other_size(image, _size_of(photo)) or _meaningless(image)
        return fault or hashlib.sha256(data).hexdigest()
    except PermissionError:
        return Fault("matte_unreadable", "The matte cannot be read; check its permissions.")
    except DAMAGED:
        return Fault("matte_damaged", "The matte is damaged or cut off and cannot be decoded; export it again.")


def _size_of(photo: Path) -> tuple[int, int]:
    with photo.open("rb") as stream:
        opened = open_picture(stream, "photo")
        if isinstance(opened, Fault):
            raise OSError(opened.reason)  # it was read a moment ago
        with opened as image:
            return upright_size(image)


def _of_other_size(image: ImageFile.ImageFile, photo_size: tuple[int, int]) -> Fault | None:
    width_px, height_px = upright_size(image)
    if (width_px, height_px) == photo_size:
        return None
    is_turned = (height_px, width_px) == photo_size
    hint = "it is turned on its side" if is_turned else "it belongs to another photo, or was cropped or scaled"
    return Fault(
        "matte_other_size",
        f"The matte is {width_px} x {height_px} px but the photo {photo_size[0]} x {photo_size[1]} px: {hint}; export "
        "it at the photo's size.",
    )


def _meaningless(image: ImageFile.ImageFile) -> Fault | None:
    """Return why the matte cannot be meant: colours and no transparency, nothing in it, or nothing left out."""
    plane = _alpha_of(image)
    if plane is None:
        return Fault(
            "matte_not_grey",
            "The matte is a colour picture without transparency; export it in greyscale (white = product) or as RGBA.",
        )
    least, most = np.asarray(plane).min(), np.asarray(plane).max()
    full = 255.0 if plane.mode == "L" else 65535.0
    if float(most) < _EMPTY_BELOW * full:
        return Fault("matte_empty", "The matte is black all over: no part of the photo would be the product.")
    if float(least) > _OPAQUE_FROM * full:
        return Fault(
            "matte_all_opaque",
            "The matte is white all over, so it cuts nothing out; export it again, or clear the cell.",
        )
    return None


def _alpha_of(image: ImageFile.ImageFile) -> Image.Image | None:
    """Return the plane that says what is product, None where the picture has none."""
    if "A" in image.getbands():
        return image.getchannel("A")
    if "transparency" in image.info:
        return image.convert("RGBA").getchannel("A")
    if image.mode in _GREY_MODES:
        return image.convert("L") if image.mode == "1" else image.copy()
    rgb = image.convert("RGB")
    red, green, blue = rgb.split()
    coloured = ImageChops.lighter(ImageChops.difference(red, green), ImageChops.difference(red, blue))
    return red if coloured.getextrema()[1] == 0 else None
