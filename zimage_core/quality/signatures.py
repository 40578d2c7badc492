"""Signatures: what a picture, and the product in it, look like in 7 KB of text each; duplicates.py compares them.

16 x 16 cells say the mean Lab colour of each, and how much of it the product covers; 64 x 64 points of lightness say
what stands where. Where the product's place is known it has a signature of its own, over its bounding box, so that
size, place and backdrop say nothing of it.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Placement, Signature
from zimage_core.errors import QualityError
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Rgb, Rgba

SIGNATURE_VERSION: Final = "cells-2"
"""Of this file's code: signatures of another version are not compared, they are made anew."""

SIDE: Final = 16
"""Cells a side."""

FINE_SIDE: Final = 32
"""Points of lightness a side for the first look. 16 cannot tell plain shirts apart by their folds."""

DETAIL_SIDE: Final = 64
"""Points of lightness a side that are kept: sharp edges, which the second look asks for, need them."""

_SMALL_PX: Final = 128
_SMALL: Final = (_SMALL_PX, _SMALL_PX)
_SEEN_ALPHA: Final = 128

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Many signatures, 6 KB each: `planes` (n, 16, 16, 4) uint8, L* a* b* and cover of each cell; `detail` (n, 64, 64)
    uint8, L* of each point, and `fine` (n, 32, 32) its means; `proportions` (n,), ln(width / height).
    """

    planes: NDArray[np.uint8]
    fine: NDArray[np.uint8]
    proportions: Floats
    detail: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.planes)

    def take(self, rows: Rows) -> Cells:
        """Return some of them, in this order."""
        return Cells(self.planes[rows], self.fine[rows], self.proportions[rows], self.detail[rows])

    def lab(self) -> Floats:
        """Return L* 0..100, a*, b* of every cell, (n, 16, 16, 3)."""
        lab = self.planes[..., :3].astype(np.float32) - np.array([0, 128, 128], np.float32)
        lab[..., 0] /= np.float32(2.55)
        return lab

    def cover(self) -> Floats:
        """Return how much of every cell the product covers, (n, 16, 16) 0..1."""
        return self.planes[..., 3].astype(np.float32) / np.float32(255.0)


def signature_of(attempt_id: str, rgb: Rgb, cutout: CutOut | None, placement: Placement | None) -> Signature:
    """Return the signature of an attempt's pixels (H, W, 3), without any overlay.

    `cutout` and `placement` say where the product's own pixels stand; with either unknown only the whole picture is
    described.
    """
    height, width = rgb.shape[:2]
    cover, product = np.zeros((SIDE, SIDE), np.float32), None
    if cutout is not None and placement is not None:
        cover = _covered(cutout, placement, width, height)
        product = _product_code(cutout.rgba)
    small = np.asarray(cv2.resize(rgb, _SMALL, interpolation=cv2.INTER_AREA), dtype=np.float32)
    return Signature(
        attempt_id, SIGNATURE_VERSION, _code(small, np.ones(_SMALL, np.float32), cover, width / height), product
    )


def _product_code(rgba: Rgba) -> str | None:
    """Return the code of a cut-out (h, w, 4) over the bounding box of what shows; None when nothing does."""
    seen = rgba[..., 3] >= _SEEN_ALPHA
    if not seen.any():
        return None
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    box = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    proportions = box.shape[1] / box.shape[0]
    box = box[:: max(1, box.shape[0] // 512), :: max(1, box.shape[1] // 512)]
    alpha = np.ascontiguousarray(box[..., 3])
    premultiplied = cv2.multiply(np.ascontiguousarray(box[..., :3]), cv2.merge([alpha] * 3), scale=1.0 / 255.0)
    cover = np.asarray(cv2.resize(alpha, _SMALL, interpolation=cv2.INTER_AREA), dtype=np.float32) / np.float32(255.0)
    light = np.asarray(cv2.resize(premultiplied, _SMALL, interpolation=cv2.INTER_AREA), dtype=np.float32)
    return _code(light, cover, _means(cover, SIDE), proportions)


def _means(small: Floats, side: int) -> Floats:
    """Return the mean of each of side x side cells of a raster of 128 px, float32."""
    step = small.shape[0] // side
    return np.asarray(small.reshape(side, step, side, step, *small.shape[2:]).mean(axis=(1, 3)), dtype=np.float32)


def _covered(cutout: CutOut, placement: Placement, width_px: int, height_px: int) -> Floats:
    """Return how much of each cell of the picture the product covers, (16, 16) 0..1; half a cell's error is no harm."""
    reduced = max(1, max(cutout.rgba.shape[:2]) // 256)
    alpha = np.ascontiguousarray(cutout.rgba[::reduced, ::reduced, 3])
    across, down = _SMALL_PX / width_px, _SMALL_PX / height_px
    scale = placement.scale * reduced
    to_small = np.array([[scale * across, 0, placement.x_px * across], [0, scale * down, placement.y_px * down]])
    small = np.asarray(cv2.warpAffine(alpha, to_small, _SMALL, flags=cv2.INTER_LINEAR), dtype=np.float32)
    return _means(small, SIDE) / np.float32(255.0)


def _code(light: Floats, opacity: Floats, cover: Floats, proportions: float) -> str:
    """Return a signature as text, base64 of: L* a* b* and cover of each cell, L* of each point, ln(width / height).

    `light` (128, 128, 3) sRGB 0..255 times `opacity` (128, 128) 0..1; `cover` (16, 16) is kept as it is given.
    """
    planes = np.dstack([_lab_codes(light, opacity, SIDE), np.rint(cover * 255.0)]).astype(np.uint8)
    detail = np.ascontiguousarray(_lab_codes(light, opacity, DETAIL_SIDE)[..., 0]).astype(np.uint8)
    shape = np.float32(math.log(proportions)).astype("<f4").tobytes()
    return base64.b64encode(planes.tobytes() + detail.tobytes() + shape).decode("ascii")


def _lab_codes(light: Floats, opacity: Floats, side: int) -> Floats:
    """Return the mean colour of each of side x side cells as L* x 2.55, a* + 128, b* + 128, whole numbers 0..255."""
    weight = np.maximum(_means(opacity, side), np.float32(1e-3))
    means = np.clip(_means(light, side) / weight[..., None] / np.float32(255.0), 0.0, 1.0)
    lab = cv2.cvtColor(means.astype(np.float32), cv2.COLOR_RGB2LAB) * np.array([2.55, 1, 1]) + np.array([0, 128, 128])
    return np.asarray(np.clip(np.rint(lab), 0, 255), dtype=np.float32)


def read_cells(codes: Sequence[str]) -> Cells:
    """Return the signatures of these codes, in their order. Raises QualityError for a text that is no such code."""
    coarse, fine = SIDE * SIDE * 4, DETAIL_SIDE * DETAIL_SIDE
    raw = np.empty((len(codes), coarse + fine + 4), np.uint8)
    for row, code in enumerate(codes):
        try:
            raw[row] = np.frombuffer(base64.b64decode(code, validate=True), np.uint8)
        except (binascii.Error, ValueError) as error:
            raise QualityError(
                f"A signature of {len(code)} characters is not one of version {SIGNATURE_VERSION}."
            ) from error
    proportions = np.ascontiguousarray(raw[:, coarse + fine :]).view("<f4").reshape(-1).astype(np.float32)
    detail = np.ascontiguousarray(raw[:, coarse : coarse + fine]).reshape(-1, DETAIL_SIDE, DETAIL_SIDE)
    return Cells(np.ascontiguousarray(raw[:, :coarse]).reshape(-1, SIDE, SIDE, 4), _halved(detail), proportions, detail)


def _halved(detail: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the means of 2 x 2 points, rounded, (n, 32, 32)."""
    times = DETAIL_SIDE // FINE_SIDE
    parts = detail.reshape(-1, FINE_SIDE, times, FINE_SIDE, times).astype(np.uint16)
    total = parts.sum(axis=(2, 4), dtype=np.uint16)
    return np.asarray((total + times * times // 2) // (times * times), dtype=np.uint8)
