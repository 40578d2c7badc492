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

Seeds = tuple[tuple[int, int], ...]
"""Pixels (x, y) in openings, from which backdrop is reached as from the border."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A photo against its backdrop: `calm` is the photo without its grain, `noise` the grain left in it, in levels;
    `contrast` that of `calm` with the backdrop; `limit` the contrast above which a pixel is not backdrop."""

    calm: Rgb
    backdrop: Backdrop
    contrast: Plane
    noise: float
    limit: int


def reached_from_border(passable: Plane, seeds: Seeds = ()) -> Plane:
    """Return 1 where `passable` is connected (4 neighbours) with the border of the picture, or with one of `seeds`."""
    framed = cv2.copyMakeBorder(passable, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(framed, None, (0, 0), 2)
    for x, y in seeds:
        if framed[y + 1, x + 1] == 1:
            cv2.floodFill(framed, None, (x + 1, y + 1), 2)
    return as_plane(framed[1:-1, 1:-1] == 2)


def widely_reached(reached: Plane, seeds: Seeds = ()) -> Plane:
    """Return the part of `reached` that is reached from the border, or from `seeds`, through passages of 7 px or more.

    A pale spot on the outline would else let the backdrop leak into a pale product; narrow gaps and nooks are judged
    with the holes.
    """
    core = reached_from_border(shrunk(reached, 7), seeds)
    return as_plane(cv2.bitwise_and(grown(core, 9), reached))


def seeds_of(openings: Plane) -> Seeds:
    """Return for each opening the pixel that lies deepest in it."""
    count, components, stats, _ = cv2.connectedComponentsWithStats(openings, connectivity=4)
    depth = cv2.distanceTransform(openings, cv2.DIST_L2, 3)
    deepest = []
    for label in range(1, count):
        left, top, width, height = (int(value) for value in stats[label, :4])
        part = (slice(top, top + height), slice(left, left + width))
        inside = np.where(components[part] == label, depth[part], 0)
        row, column = divmod(int(np.argmax(inside)), width)
        deepest.append((left + column, top + row))
    return tuple(deepest)


def around(box: NDArray[np.int32], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the slices of a component's bounding box (left, top, width, height, area) and 4 px around it."""
    left, top, width, height = (int(value) for value in box[:4])
    return (
        slice(max(0, top - 4), min(shape[0], top + height + 4)),
        slice(max(0, left - 4), min(shape[1], left + width + 4)),
    )


def grown(mask: Plane, size: int) -> Plane:
    """Return the largest value within a square of `size` px around each pixel."""
    return as_plane(cv2.dilate(mask, np.ones((size, size), np.uint8)))


def shrunk(mask: Plane, size: int) -> Plane:
    """Return the smallest value within a square of `size` px around each pixel; beyond the picture counts as 1."""
    return as_plane(cv2.erode(mask, np.ones((size, size), np.uint8), borderValue=1))


def as_plane(values: NDArray[Any]) -> Plane:
    """Return booleans or numbers as uint8."""
    return np.asarray(values, dtype=np.uint8)
