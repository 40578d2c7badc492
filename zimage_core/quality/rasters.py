"""Pictures made smaller, the fast way: OpenCV halves twenty times as fast as it reduces by any uneven step."""

from __future__ import annotations

from typing import Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Level = TypeVar("Level", np.uint8, np.float32)


def halved(pixels: NDArray[Level]) -> NDArray[Level]:
    """Return means over 2 x 2 pixels of (H, W) or (H, W, C): (H // 2, W // 2), at least 1; an odd last line is left."""
    height, width = (max(1, side // 2) for side in pixels.shape[:2])
    return _resized(pixels[: 2 * height, : 2 * width], width, height)


def reduced(pixels: NDArray[Level], width_px: int, height_px: int) -> NDArray[Level]:
    """Return (H, W) or (H, W, C) pixels made smaller, (height_px, width_px): halved first, as often as comes out even.

    Means over areas, as OpenCV's INTER_AREA, but that whole levels are rounded at each step.
    """
    while _halves_evenly(pixels, width_px, height_px):
        pixels = halved(pixels)
    return pixels if pixels.shape[:2] == (height_px, width_px) else _resized(pixels, width_px, height_px)


class Reductions(Generic[Level]):
    """(H, W) or (H, W, C) pixels and what was made of them by halving, each made once: several checks ask for it."""

    def __init__(self, pixels: NDArray[Level]) -> None:
        self._halves: list[NDArray[Level]] = [pixels]

    @property
    def whole(self) -> NDArray[Level]:
        """The pixels themselves."""
        return self._halves[0]

    def halved(self, times: int) -> NDArray[Level]:
        """Return the pixels halved some times, as `halved` does."""
        while len(self._halves) <= times:
            self._halves.append(halved(self._halves[-1]))
        return self._halves[times]

    def reduced(self, width_px: int, height_px: int) -> NDArray[Level]:
        """Return the pixels made smaller, (height_px, width_px), as `reduced` does."""
        times = 0
        while _halves_evenly(self.halved(times), width_px, height_px):
            times += 1
        return reduced(self.halved(times), width_px, height_px)


def _halves_evenly(pixels: NDArray[Level], width_px: int, height_px: int) -> bool:
    """Tell whether pixels can be halved without rest and be no smaller than wanted."""
    tall, wide = int(pixels.shape[0]), int(pixels.shape[1])
    return tall % 2 == wide % 2 == 0 and tall >= 2 * height_px and wide >= 2 * width_px


def _resized(pixels: NDArray[Level], width_px: int, height_px: int) -> NDArray[Level]:
    smaller = cv2.resize(pixels, (width_px, height_px), interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, dtype=pixels.dtype)
