"""A white ground, measured: how white it is around the product, and how much of the picture the product fills."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# White background, measured on JPEGs of 49 cut-outs on pure white: the share of true background at >= 250 was >= .9992
# at any quality >= 75, while exactly 255 fails on every JPEG because of ringing (.9945 at q92).
WHITE_LEVEL = 250
MIN_WHITE_RATIO = 0.995
_BORDER_RATIO = 0.02
_RIM_RATIO = 0.003  # of the short side: so close to the product a pixel is its soft outline or the light in its glass
_FOREGROUND_LEVEL = 243  # 255 - 12: what differs from white by more than 12 is product or shadow
_MIN_RUN_PX = 3  # rows and columns with fewer foreground pixels are specks
FILL_TOLERANCE = 0.005  # the product's edge is soft over a pixel or two


def white_background(rgb: NDArray[np.uint8]) -> tuple[float, float]:
    """Return (border's darkest level, share of the background at >= 250) of a picture that should stand on white.

    The background is what is joined to the border, no more than 12 levels from white, and not right at the product.
    """
    darkest = rgb.min(axis=2)
    band = max(1, round(_BORDER_RATIO * min(darkest.shape)))
    outside = (darkest >= _FOREGROUND_LEVEL).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    rim = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    joined = np.isin(labels, rim[rim > 0]).astype(np.uint8)
    reach = 2 * round(_RIM_RATIO * min(darkest.shape)) + 1
    background = cv2.erode(joined, np.ones((reach, reach), np.uint8)) > 0
    share = float((darkest[background] >= WHITE_LEVEL).mean()) if background.any() else 0.0
    border = np.ones(darkest.shape, bool)
    border[band:-band, band:-band] = False
    return float(darkest[border].min()), share


def fill_ratio(rgb: NDArray[np.uint8]) -> float:
    """Return the long side of the product's bounding box over that of the picture along the same axis, on white."""
    foreground = rgb.min(axis=2) < _FOREGROUND_LEVEL
    height, width = foreground.shape
    rows = np.flatnonzero(foreground.sum(axis=1) >= _MIN_RUN_PX)
    columns = np.flatnonzero(foreground.sum(axis=0) >= _MIN_RUN_PX)
    if not rows.size or not columns.size:
        return 0.0
    return float(max((rows[-1] - rows[0] + 1) / height, (columns[-1] - columns[0] + 1) / width))
