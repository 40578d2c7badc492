"""What runs along a picture's edge: a frame on all four sides, or the product itself where it fills the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_REACH_RATIO = 0.12  # of the side: wider than this is a picture on a ground, not a picture with a frame
_EVEN_LEVELS = 28  # JPEG with colour at half size rings by that much inside the 16 x 16 px where a red frame ends
_EVEN_SHARE = 0.95
_STEP_LEVELS = 40
_STEP_SHARE = 0.6  # of the edge's length: a product that touches one side of its backdrop shows far less
_STEP_ROWS = 4  # the edge is soft over some rows after scaling
_PRODUCT_SHARE = 0.35  # of the border: a product that fills its picture touches two sides, and not all along them
_RING_PX = 16  # JPEG with colour at half size rings within the 16 x 16 px that hold the outline
_BORDER_RATIO = 0.02
_WHITE_LEVEL = 243  # what is as light is a white ground, which shops ask for


def frame_width_px(rgb: NDArray[np.uint8]) -> int:
    """Return how wide the frame around a picture (H, W, 3) is at its narrowest side, in pixels; 0 = there is none.

    A frame has one colour, is not white, and ends in an edge along most of each of the four sides. White around a
    picture is never called a frame: a white ground that a square product nearly fills looks the same.
    """
    sides = (rgb, rgb[::-1], rgb.swapaxes(0, 1), rgb.swapaxes(0, 1)[::-1])
    colours = [np.median(side[0].astype(np.int16), axis=0) for side in sides]
    if float(np.min(colours[0])) >= _WHITE_LEVEL or float(np.ptp(colours, axis=0).max()) > _EVEN_LEVELS:
        return 0
    widths = [_width_of(side, colours[0]) for side in sides]
    return min(widths)


def only_product_at_border(rgb: NDArray[np.uint8], *, white_level: int) -> bool:
    """Tell whether all that is below `white_level` along the border of a picture on white belongs to the product.

    The product is the largest connected part that is not white. Shadows, strips and corners that are not joined to it
    are the background's fault, and so is whatever covers more of the border than a product that fills its picture.
    """
    darkest = rgb.min(axis=2)
    inked = (darkest < _WHITE_LEVEL).astype(np.uint8)
    _, labels, areas, _ = cv2.connectedComponentsWithStats(inked, connectivity=8)
    if len(areas) < 2:
        return False
    product = (labels == 1 + int(np.argmax(areas[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)
    band = max(1, round(_BORDER_RATIO * min(darkest.shape)))
    border = np.ones(darkest.shape, bool)
    border[band:-band, band:-band] = False
    near = cv2.dilate(product, np.ones((2 * _RING_PX + 1, 2 * _RING_PX + 1), np.uint8)) > 0
    below = border & (darkest < white_level)
    return not bool((below & ~near).any()) and float(product[border].mean()) <= _PRODUCT_SHARE


def _width_of(side: NDArray[np.uint8], colour: NDArray[np.float64]) -> int:
    """Return after how many rows from the top the even colour ends in an edge; 0 = it is not even, or just fades."""
    reach = max(2, round(_REACH_RATIO * side.shape[0]))
    margin = round(_REACH_RATIO * side.shape[1])
    band = side[: reach + _STEP_ROWS, margin : side.shape[1] - margin].astype(np.int16)
    away = np.abs(band - colour.astype(np.int16)).max(axis=2)
    uneven = np.flatnonzero((away[:reach] <= _EVEN_LEVELS).mean(axis=1) < _EVEN_SHARE)
    if not uneven.size or uneven[0] == 0:
        return 0
    width = int(uneven[0])
    beyond = (away[width : width + _STEP_ROWS] > _STEP_LEVELS).mean(axis=1)
    return width if float(beyond.max(initial=0.0)) >= _STEP_SHARE else 0
