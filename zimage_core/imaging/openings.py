"""Openings: where the backdrop shows through the product, and what only looks like it."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.pixels import Float, Plane, Rgb
from zimage_core.imaging.regions import Seen, around, as_plane, grown, shrunk

_MIN_HOLE_PX: Final = 24
_NOOK_PX: Final = 48
_HOLE_OFFSET: Final = 0.75
_HOLE_SPREAD: Final = 1.0
"""A hole's mean and mean absolute departure from the backdrop, in levels beyond grain and ringing (measured: 0.4 and
0.6 in a 14 px gap at JPEG q95; highlights that pass for white at a glance 1.3 and more)."""
_RINGING_OPEN: Final = 0.03
_RINGING_ENCLOSED: Final = 0.015
"""What ringing adds to that, as a share of the edges around. Of enclosed areas only large ones are allowed it: a small
one is more often a highlight."""
_LARGE_HOLE_RATIO: Final = 0.002
CLIPPED_LEVEL: Final = 250
CLIPPED_HOLE_RATIO: Final = 0.0015
"""Of the photo's area: the gap between the lamp's arms has 0.0027, the figures of a phone's clock 0.0009."""
_MOST_CLIPPED_HOLES: Final = 3
_DOUBTFUL: Final = 2.5
"""Up to this many times what a hole may depart, a large area is reported as doubtful."""
_RIM_LIMITS: Final = 4
"""A hole's rim stands this many limits above the backdrop, 3 px from it."""


def find_openings(seen: Seen, outside: Plane, reached: Plane, like: Plane) -> tuple[Plane, int, int]:
    """Return 1 where the backdrop shows through the product, how many px of it are enclosed, how many are doubtful.

    A hole departs from the backdrop by its grain and nothing else, and contrast jumps at its rim. A narrow gap that is
    open to the outside (`reached`) needs no such rim; a nook of the outline needs no proof at all. Before a backdrop
    clipped at white that is no proof either, since highlights, white print and screens clip there too: then only a few
    large areas count as openings, and the rest stays product.
    """
    candidates = as_plane(cv2.subtract(like, outside))
    count, components, stats, _ = cv2.connectedComponentsWithStats(candidates, connectivity=4)
    labels = np.asarray(components, dtype=np.int32)
    area = stats[:, cv2.CC_STAT_AREA]
    is_open = np.bincount(labels[reached > 0], minlength=count) > 0
    size = np.clip(area / (_LARGE_HOLE_RATIO * labels.size), 0, 1)
    ringing = grown(seen.contrast, 17).astype(np.float32)
    allowed = seen.noise + np.where(is_open, _RINGING_OPEN, _RINGING_ENCLOSED * size) * _mean_of(ringing, labels, count)
    departure = _departure(seen.calm, seen.backdrop.surface, labels, allowed)
    departure[0] = np.inf
    chosen = is_open & ((departure <= 1.0) | (area < _NOOK_PX))
    enclosed = (departure <= 1.0) & ~is_open & (area >= _MIN_HOLE_PX)
    chosen[0] = False
    clipped = float(np.median(seen.backdrop.surface[::16, ::16])) >= CLIPPED_LEVEL
    large = enclosed & (area >= (CLIPPED_HOLE_RATIO * labels.size if clipped else 0))
    if not clipped or large.sum() <= _MOST_CLIPPED_HOLES:
        for label in np.nonzero(large)[0]:
            part = around(stats[label], labels.shape)
            patch = as_plane(labels[part] == label)
            chosen[label] = _has_sharp_rim(patch, seen.contrast[part], candidates[part], seen.limit)
    opened = chosen & enclosed
    kept = ~chosen & (enclosed | ((departure <= _DOUBTFUL) & (area >= CLIPPED_HOLE_RATIO * labels.size)))
    return as_plane(chosen[labels]), int(area[opened].sum()), int(area[kept].sum())


def _departure(calm: Rgb, surface: Rgb, labels: NDArray[np.int32], allowed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each label how far its pixels, its rim left out, depart from the backdrop: 1 = just within what
    `allowed` (the levels of grain and ringing to reckon with) and a little explain; infinite where there are none."""
    inner = shrunk(as_plane(labels > 0), 3) > 0
    rows, columns = np.nonzero(inner)
    owner = labels[rows, columns]
    size = np.bincount(owner, minlength=allowed.size)
    per = 1.0 / np.maximum(size, 1)
    offset = calm[rows, columns].astype(np.float32) - surface[rows, columns]
    departure = np.where(size > 0, 0.0, np.inf)
    for channel in range(3):
        mean = np.bincount(owner, weights=offset[:, channel], minlength=size.size) * per
        spread = np.bincount(owner, weights=np.abs(offset[:, channel] - mean[owner]), minlength=size.size) * per
        departure = np.maximum(departure, np.abs(mean) / (_HOLE_OFFSET + 0.75 * allowed))
        departure = np.maximum(departure, spread / (_HOLE_SPREAD + allowed))
    return departure


def _mean_of(plane: Float, labels: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Return the mean of a plane over each label."""
    used = labels > 0
    sums = np.bincount(labels[used], weights=plane[used], minlength=count)
    return np.asarray(sums / np.maximum(np.bincount(labels[used], minlength=count), 1), dtype=np.float64)


def _has_sharp_rim(patch: Plane, contrast: Plane, candidates: Plane, limit: int) -> bool:
    """Tell whether contrast jumps at the rim, as it does around a hole: a highlight fades into its surroundings."""
    rim = cv2.subtract(grown(patch, 7), grown(patch, 5))
    around = contrast[cv2.bitwise_and(rim, 1 - candidates) > 0]
    return bool(around.size and np.quantile(around, 0.25) >= _RIM_LIMITS * limit)
