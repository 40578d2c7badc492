"""The detail step: a picture made twice as large, its fine structure drawn anew tile by tile.

Lanczos gives the size, img2img at a low strength gives the detail a resampler cannot know; overlapping tiles keep every
call at a size the model was trained for, and are blended by weights that fall linearly towards their edges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box
from zimage_core.engines.diffusers.frames import Frame
from zimage_core.imaging.pixels import Rgb

TILE_SIDE_PX: Final = 1024
OVERLAP_PX: Final = 128
"""An eighth of a tile, sixteen latents: wide enough that two drawings of the same texture fade into each other."""


def enlarged(picture: Rgb, width_px: int, height_px: int) -> Rgb:
    """Return the picture at another size, by Lanczos (4 lobes); values stay 0 to 255."""
    return np.asarray(cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_LANCZOS4), dtype=np.uint8)


def tiles_of(width_px: int, height_px: int, side_px: int = TILE_SIDE_PX, overlap_px: int = OVERLAP_PX) -> list[Box]:
    """Return equal tiles that cover a picture, neighbours overlapping by at least `overlap_px`, rows first.

    A picture no longer than one tile in a direction has one there, as long as itself.
    """
    across, tile_width_px = _cuts(width_px, side_px, overlap_px)
    down, tile_height_px = _cuts(height_px, side_px, overlap_px)
    return [Box(x, y, tile_width_px, tile_height_px) for y in down for x in across]


def _cuts(length_px: int, side_px: int, overlap_px: int) -> tuple[list[int], int]:
    if length_px <= side_px:
        return [0], length_px
    count = -(-(length_px - overlap_px) // (side_px - overlap_px))
    return [round(place) for place in np.linspace(0, length_px - side_px, count)], side_px


def tile_seed(seed: int, index: int) -> int:
    """Return the seed of one tile: 32 bits from the attempt's own, so that no two tiles share their noise."""
    return int.from_bytes(hashlib.sha256(f"tile:{seed}:{index}".encode()).digest()[:4], "big")


def add_detail(
    picture: Rgb,
    seed: int,
    draw: Callable[[Sequence[Rgb], Sequence[int]], Sequence[Frame]],
    *,
    side_px: int = TILE_SIDE_PX,
    overlap_px: int = OVERLAP_PX,
) -> Frame:
    """Return the picture at twice its size, every tile drawn over by `draw` (pictures of one size, their seeds).

    The picture's sides are multiples of 8, so that every tile's are multiples of 16. Not finite if any tile was not.
    """
    height_px, width_px = 2 * picture.shape[0], 2 * picture.shape[1]
    large = enlarged(picture, width_px, height_px)
    total = np.zeros((height_px, width_px, 3), dtype=np.float32)
    weights = np.zeros((height_px, width_px, 1), dtype=np.float32)
    finite = True
    for index, tile in enumerate(tiles_of(width_px, height_px, side_px, overlap_px)):
        part = (slice(tile.y_px, tile.bottom_px), slice(tile.x_px, tile.right_px))
        (frame,) = draw([np.ascontiguousarray(large[part])], [tile_seed(seed, index)])
        weight = _fade(tile.height_px, overlap_px)[:, None, None] * _fade(tile.width_px, overlap_px)[None, :, None]
        total[part] += frame.rgb * weight
        weights[part] += weight
        finite = finite and frame.finite
    return Frame(np.rint(total / weights).astype(np.uint8), finite)


def _fade(length_px: int, overlap_px: int) -> NDArray[Any]:
    """Return weights that rise from one edge over the overlap and fall towards the other; never zero."""
    ramp = np.arange(1, length_px + 1, dtype=np.float32)
    return np.minimum(np.minimum(ramp, ramp[::-1]) / np.float32(overlap_px), np.float32(1.0))
