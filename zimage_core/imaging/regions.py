"""What the search for the product works on: a photo seen against a backdrop, and masks grown, shrunk and flooded.

Masks are (H, W) uint8, 1 = yes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.backdrop import Backdrop
from zimage_core.imaging.pixels import Plane, Rgb


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A photo against its backdrop: `calm` is the photo without its grain, `noise` the grain left in it, in levels;
    `contrast` that of `calm` with the backdrop; `limit` the contrast above which a pixel is not backdrop."""

    calm: Rgb
    backdrop: Backdrop
    contrast: Plane
    noise: float
    limit: int


def reached_from_border(passable: Plane) -> Plane:
    """Return 1 where `passable` is connected (4 neighbours) with the border of the picture."""
    framed = cv2.copyMakeBorder(passable, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(framed, None, (0, 0), 2)
    return as_plane(framed[1:-1, 1:-1] == 2)


def widely_reached(reached: Plane) -> Plane:
    """Return the part of `reached` that is reached from the border through passages of 7 px or more.

    A pale spot on the outline would else let the backdrop leak into a pale product; narrow gaps and nooks are judged
    with the holes.
    """
    core = reached_from_border(shrunk(reached, 7))
    return as_plane(cv2.bitwise_and(grown(core, 9), reached))


def grown(mask: Plane, size: int) -> Plane:
    """Return the largest value within a square of `size` px around each pixel."""
    return as_plane(cv2.dilate(mask, np.ones((size, size), np.uint8)))


def shrunk(mask: Plane, size: int) -> Plane:
    """Return the smallest value within a square of `size` px around each pixel; beyond the picture counts as 1."""
    return as_plane(cv2.erode(mask, np.ones((size, size), np.uint8), borderValue=1))


def as_plane(values: NDArray[Any]) -> Plane:
    """Return booleans or numbers as uint8."""
    return np.asarray(values, dtype=np.uint8)
