"""Where the product of a photo may stand in a picture of which nothing is known: over all places and many scales.

Guesses come from correlations with the reduced product; `alignment` sorts them out, coarsely, then the best in full.
Scale and shift only: a product that was turned is not found.
"""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Placement
from zimage_core.imaging.pixels import Plane, Rgb
from zimage_core.quality.alignment import LEVELS, Likeness, Standing, refine, refined
from zimage_core.quality.colour import lab_of
from zimage_core.quality.rasters import reduced

Floats = NDArray[np.float32]

FOUND_SIMILARITY: Final = 0.55
"""Correlation of picture and laid-in cut-out from which something like the product stands there."""
SURE_SIMILARITY: Final = 0.9
"""... and from which no other place need be tried."""
_SEARCH_PX: Final = 96  # short side of the raster on which `find` looks everywhere
_SEARCH_FILLS: Final = tuple(0.22 * 1.11**step for step in range(17))  # 0.22 to 1.17 of the frame
_LEAST_TEMPLATE_PX: Final = 12
_CANDIDATES: Final = 4
_TRIED_IN_FULL: Final = 2
_SOLID_ALPHA: Final = 250
_GRID: Final = 12
_FAR_APART: Final = 40.0
_COLOUR_WEIGHT: Final = 0.005


def find(picture_rgb: Rgb, grey: Plane, likeness: Likeness, silhouette: Box | None = None) -> Standing | None:
    """Return where something like the product stands in a picture of which nothing is known; None where nothing does.

    `grey` is the picture's luma.
    `silhouette` is the box of what stands before a plain backdrop, where someone has found it: it is tried first.
    Scale and shift only: a product that was turned is not found.
    """
    tried: list[tuple[float, Standing]] = []
    if silhouette is not None:
        first = refine(grey, likeness, _over(silhouette, likeness))
        tried.append((_likelihood(picture_rgb, likeness, first), first))
    if not tried or tried[0][0] < SURE_SIMILARITY:
        coarse = [refined(grey, likeness, near, LEVELS[:1]) for near in _everywhere(picture_rgb, likeness)]
        coarse.sort(key=lambda standing: -_likelihood(picture_rgb, likeness, standing))
        for near in coarse[:_TRIED_IN_FULL]:
            standing = refined(grey, likeness, near.placement, LEVELS[1:])
            tried.append((_likelihood(picture_rgb, likeness, standing), standing))
    if not tried:
        return None
    best = max(tried, key=lambda pair: pair[0])[1]
    return best if best.similarity >= FOUND_SIMILARITY else None


def _likelihood(picture_rgb: Rgb, likeness: Likeness, standing: Standing) -> float:
    """Return the similarity, less what the colours differ: of things alike in shape the product is nearest in hue."""
    rows, columns = np.nonzero(likeness.alpha[_GRID // 2 :: _GRID, _GRID // 2 :: _GRID] >= _SOLID_ALPHA)
    rows, columns = rows * _GRID + _GRID // 2, columns * _GRID + _GRID // 2
    at, scale = standing.placement, standing.placement.scale
    x = np.rint(at.x_px + scale * (likeness.left + columns / likeness.per_cutout[0])).astype(np.intp)
    y = np.rint(at.y_px + scale * (likeness.top + rows / likeness.per_cutout[1])).astype(np.intp)
    inside = (x >= 0) & (y >= 0) & (x < picture_rgb.shape[1]) & (y < picture_rgb.shape[0])
    if not inside.any():
        return -1.0
    seen = lab_of(picture_rgb[y[inside], x[inside]])[:, 1:]
    wanted = lab_of(likeness.rgb[rows[inside], columns[inside]])[:, 1:]
    apart = float(np.minimum(np.hypot(*(seen - wanted).T), _FAR_APART).mean())
    return standing.similarity - _COLOUR_WEIGHT * apart


def _over(found: Box, likeness: Likeness) -> Placement:
    """Return the placement that lays the visible product over a box of the picture."""
    height, width = likeness.alpha.shape
    wide, tall = width / likeness.per_cutout[0], height / likeness.per_cutout[1]
    scale = math.sqrt(found.width_px * found.height_px / (wide * tall))
    return _centred(likeness, scale, found.x_px + found.width_px / 2, found.y_px + found.height_px / 2)


def _centred(likeness: Likeness, scale: float, x_px: float, y_px: float) -> Placement:
    """Return the placement at a scale that brings the middle of the visible product to a point of the picture."""
    height, width = likeness.alpha.shape
    middle = (likeness.left + width / likeness.per_cutout[0] / 2, likeness.top + height / likeness.per_cutout[1] / 2)
    return Placement(scale, x_px - scale * middle[0], y_px - scale * middle[1])


def _everywhere(picture_rgb: Rgb, likeness: Likeness) -> list[Placement]:
    """Return placements worth refining: peaks of two correlations over many scales, each scale's best.

    Colour, within the product's mask, finds what is printed; edges, outline included, find what is plain.
    """
    height, width = picture_rgb.shape[:2]
    shrink = min(1.0, _SEARCH_PX / min(height, width))
    size = (max(8, round(width * shrink)), max(8, round(height * shrink)))
    small = reduced(picture_rgb, *size).astype(np.float32)
    ground = np.median(small.reshape(-1, 3), axis=0).astype(np.float32)
    outlines = _edges(small)
    tall, wide = likeness.alpha.shape
    by_colour: list[tuple[float, Placement]] = []
    by_outline: list[tuple[float, Placement]] = []
    for fill in _SEARCH_FILLS:
        zoom = fill * min(size[0] / wide, size[1] / tall)
        template = (round(wide * zoom), round(tall * zoom))
        if min(template) < 4 or max(template) < _LEAST_TEMPLATE_PX or template[0] > size[0] or template[1] > size[1]:
            continue
        wanted = cv2.resize(likeness.rgb, template, interpolation=cv2.INTER_AREA).astype(np.float32)
        alpha = cv2.resize(likeness.alpha, template, interpolation=cv2.INTER_AREA)
        laid = wanted + ground * (1.0 - alpha[..., None].astype(np.float32) / np.float32(255.0))
        maps = (
            (by_colour, _masked_correlation(small, wanted, alpha >= _SOLID_ALPHA)),
            (by_outline, cv2.matchTemplate(outlines, _edges(laid), cv2.TM_CCOEFF_NORMED)),
        )
        for peaks, agreed in maps:
            _, value, _, (x, y) = cv2.minMaxLoc(agreed)
            middle = ((x + template[0] / 2) / shrink, (y + template[1] / 2) / shrink)
            peaks.append((float(value), _centred(likeness, zoom / shrink * likeness.per_cutout[0], *middle)))
    best = [sorted(peaks, key=lambda peak: -peak[0])[:_CANDIDATES] for peaks in (by_colour, by_outline)]
    return [placement for peaks in best for _, placement in peaks]


def _edges(rgb: Floats) -> Floats:
    """Return how steep the luma is, square-rooted so that no single edge outweighs the rest."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    slope = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return np.asarray(cv2.sqrt(slope), dtype=np.float32)


def _masked_correlation(picture: Floats, wanted: Floats, mask: NDArray[np.bool_]) -> Floats:
    """Return the correlation of the masked template with every place of the picture, the channels taken together."""
    masks = np.ascontiguousarray(np.repeat(mask[..., None], 3, axis=2), dtype=np.float32)
    agreed = cv2.matchTemplate(picture, wanted, cv2.TM_CCOEFF_NORMED, mask=masks)
    return np.where(np.isfinite(agreed), np.clip(agreed, -1.0, 1.0), np.float32(-1.0)).astype(np.float32)
