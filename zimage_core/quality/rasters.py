"""Pictures made smaller, the fast way: OpenCV halves three times as fast as it reduces by any other step."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def halved(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return means over 2 x 2 pixels of (H, W) or (H, W, C): (H // 2, W // 2), at least 1; an odd last line is left."""
    height, width = (max(1, side // 2) for side in pixels.shape[:2])
    whole = pixels[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
