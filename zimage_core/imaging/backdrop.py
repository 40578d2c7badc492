"""What stands behind the product: a plain backdrop as a smooth surface, or the finding that it is not plain.

The backdrop is estimated from the photo's border, where a product photo shows nothing else, as a quadratic in x and y
per channel: that holds a plain colour, a lamp's fall-off and a vignette. Once the product is known, `refine` follows
what the border cannot show, such as a soft shadow on the ground, from all the backdrop in view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.pixels import Float, Plane, Rgb

CELL_PX: Final = 8
"""The backdrop is smooth, so it is measured in cells of a JPEG block's size; their means are free of its noise."""
_RING_CELLS: Final = 2
_TRIM_ROUNDS: Final = 8
_CELL_TOLERANCE: Final = 5.0
"""Levels a border cell may depart from the surface and still be backdrop, at least."""
_WHOLE_CELL: Final = 0.95
_LEAST_CELLS: Final = 400
_REFIT_ROUNDS: Final = 3
_RIDGE: Final = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Backdrop:
    """A smooth backdrop: `surface` (H, W, 3) uint8, `noise` the standard deviation of its grain in levels.

    `border_ratio` is the share of the photo's border where this backdrop is seen. `unshaded` is the surface without the
    shadows that lie on it, as far as it is known.
    """

    surface: Rgb
    noise: float
    border_ratio: float
    unshaded: Rgb


def find_backdrop(rgb: Rgb) -> Backdrop:
    """Return the backdrop seen along the border of an (H, W, 3) photo; `border_ratio` says how far it can be believed.

    A least-squares surface is fitted to the border's cells, trimmed again and again to those that agree with it, so
    that a product which touches the border, or a corner logo, does not bend it.
    """
    means, grain = _cells(rgb)
    rows, columns = means.shape[:2]
    ring = np.zeros((rows, columns), dtype=bool)
    ring[:_RING_CELLS] = ring[-_RING_CELLS:] = True
    ring[:, :_RING_CELLS] = ring[:, -_RING_CELLS:] = True
    terms = _terms(rows, columns)
    samples, design = means[ring], terms[ring]
    off = np.abs(samples - _mode(samples)).max(axis=1)
    used = off <= np.quantile(off, 0.6)
    coefficients = np.zeros((terms.shape[-1], 3), dtype=np.float32)
    for turn in range(_TRIM_ROUNDS):
        order = 3 if turn < _TRIM_ROUNDS // 2 else terms.shape[-1]  # a plane first, its curvature when it has settled
        coefficients[:order] = np.linalg.lstsq(design[used][:, :order], samples[used], rcond=None)[0]
        off = np.abs(samples - design @ coefficients).max(axis=1)
        used = off <= np.clip(3.0 * np.median(off[used]), _CELL_TOLERANCE, 2.0 * _CELL_TOLERANCE)
        if used.sum() < 3 * terms.shape[-1]:
            break
    noise = float(np.median(grain[ring][used])) if used.any() else float("inf")
    surface = _full_size(terms @ coefficients, rgb)
    return Backdrop(surface, noise, float(used.mean()), surface)


def refine(rgb: Rgb, backdrop: Backdrop, product: Plane) -> Backdrop:
    """Return the backdrop as it is where it can be seen: everything that is not `product` ((H, W) uint8, 1 = product).

    The smooth surface is fitted again, to all of the backdrop in view. What it does not explain (a soft shadow, a
    spotlight) is spread from where it is seen by blurring with weights, first finely, then widely, and fades to nothing
    far from any sight of it.
    """
    means, seen = _cells_where(rgb, 1 - product)
    refitted = _refitted(means, seen)
    smooth = _cells_where(backdrop.surface, np.ones_like(product))[0] if refitted is None else refitted
    rest = (means - smooth) * seen[..., None]
    spread = [
        (cv2.GaussianBlur(rest, (0, 0), sigma), np.maximum(cv2.GaussianBlur(seen, (0, 0), sigma), 1e-3)[..., None])
        for sigma in (0.8, 4.0)
    ]
    (fine, fine_weight), (wide, wide_weight) = spread
    trust = np.clip(fine_weight / 0.2, 0.0, 1.0)
    local = trust * fine / fine_weight + (1 - trust) * wide / np.maximum(wide_weight, 0.1)
    surface = _full_size(np.asarray(smooth + local, dtype=np.float32), rgb)
    return Backdrop(surface, backdrop.noise, backdrop.border_ratio, _full_size(smooth, rgb))


def _refitted(means: Float, seen: Float) -> Float | None:
    """Return the quartic surface through the cells that show the backdrop, None where too few do.

    Ridge regression, trimmed twice to the cells that agree: a shadow on the ground does not bend it.
    """
    whole = seen > _WHOLE_CELL
    whole[1::2] = False  # every other row is plenty
    if whole.sum() < _LEAST_CELLS:
        return None
    terms = _terms(seen.shape[0], seen.shape[1], degree=4)
    design, samples = terms[whole], means[whole]
    used = np.ones(len(design), dtype=np.bool_)
    coefficients = np.zeros((terms.shape[-1], 3), dtype=np.float32)
    for _ in range(_REFIT_ROUNDS):
        ridge = np.float32(_RIDGE * used.sum()) * np.eye(terms.shape[-1], dtype=np.float32)
        coefficients = np.linalg.solve(design[used].T @ design[used] + ridge, design[used].T @ samples[used])
        off = np.abs(samples - design @ coefficients).max(axis=1)
        used = off <= max(3.0 * float(np.median(off)), 1.0)
    return np.asarray(terms @ coefficients, dtype=np.float32)


def follow(rgb: Rgb, surface: Rgb, outside: Plane, sigma_px: float) -> Rgb:
    """Return the surface as the pixels of `outside` ((H, W) uint8, 1 = backdrop) show it within a few px of them.

    Cells are too coarse for the last few px of a shadow before the product; this is the same weighted blur by pixels.
    """
    weight = cv2.GaussianBlur(outside.astype(np.float32), (0, 0), sigma_px)[..., None]
    seen = cv2.GaussianBlur(cv2.copyTo(rgb, outside).astype(np.float32), (0, 0), sigma_px)
    trust = np.minimum(weight * np.float32(50.0), np.float32(1.0))
    followed = trust * seen / np.maximum(weight, np.float32(1e-3)) + (1 - trust) * surface
    return np.asarray(np.rint(followed), dtype=np.uint8)


def contrast_with(rgb: Rgb, surface: Rgb) -> Plane:
    """Return (H, W) uint8: the largest difference of the channels, so that pale yellow on white counts by its blue."""
    red, green, blue = cv2.split(cv2.absdiff(rgb, surface))
    return np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)


def _cells(rgb: Rgb) -> tuple[Float, NDArray[np.float32]]:
    """Return per cell the mean colour (rows, columns, 3) and the standard deviation of its noisiest channel."""
    height, width = rgb.shape[:2]
    size = (max(8, width // CELL_PX), max(8, height // CELL_PX))
    values = rgb.astype(np.float32)
    means = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    squares = cv2.resize(values * values, size, interpolation=cv2.INTER_AREA)
    spread = np.sqrt(np.maximum(squares - means * means, 0.0)).max(axis=2)
    return np.asarray(means, dtype=np.float32), np.asarray(spread, dtype=np.float32)


def _cells_where(rgb: Rgb, where: Plane) -> tuple[Float, Float]:
    """Return per cell the mean colour of the pixels where `where` is 1, and their share of the cell."""
    height, width = rgb.shape[:2]
    size = (max(8, width // CELL_PX), max(8, height // CELL_PX))
    share = cv2.resize(where * np.uint8(255), size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    masked = cv2.copyTo(rgb, where) if where.min() == 0 else rgb
    sums = cv2.resize(masked.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    means = sums / np.maximum(share, np.float32(1e-3))[..., None]
    return np.asarray(means, dtype=np.float32), np.where(share > 0.05, share, np.float32(0.0))


def _terms(rows: int, columns: int, degree: int = 2) -> Float:
    """Return (rows, columns, terms) with x and y from -1 to 1: 1, x, y, xy, x2, y2, for degree 4 all up to y4."""
    y, x = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
    terms = [np.ones_like(x), x, y, x * y, x * x, y * y]
    if degree == 4:
        terms += [x**i * y**j for i in range(5) for j in range(5) if 3 <= i + j <= 4]
    return np.stack(terms, axis=-1).astype(np.float32)


def _mode(samples: Float) -> Float:
    """Return the commonest colour among the border's cells, to 16 levels, as the mean of those that share it."""
    bins = (samples // 16).astype(np.int32)
    keys = bins[:, 0] * 256 + bins[:, 1] * 16 + bins[:, 2]
    values, counts = np.unique(keys, return_counts=True)
    return np.asarray(samples[keys == values[int(np.argmax(counts))]].mean(axis=0), dtype=np.float32)


def _full_size(cells: Float, rgb: Rgb) -> Rgb:
    height, width = rgb.shape[:2]
    levels = np.clip(np.rint(cells), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(levels, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
