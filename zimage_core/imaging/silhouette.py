"""Which pixels are product: everything that the backdrop, known as a surface, does not explain.

Backdrop is what looks like it *and* can be reached from the border, so white labels and highlights inside the product
stay; a hole (a handle, a gap between two arms) must look so exactly like the backdrop, up to a sharp rim, that no
highlight does. A soft shadow is reached from the border over pixels that change slowly; the product's edge does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.backdrop import Backdrop, contrast_with, follow, refine
from zimage_core.imaging.outline import depth_of, outline_points, ramp_width
from zimage_core.imaging.pixels import Float, Plane, Rgb

_SQUARE: Final = {size: np.ones((size, size), np.uint8) for size in (3, 5, 7, 17)}
_RINGING_RATIO: Final = 0.10
"""JPEG rings with up to 10 % of an edge's height within a block of it (measured: q87 4:2:0 4 %, q75 8 %)."""
_HELD_RATIO: Final = 0.04
"""... and with up to 4 % on average over 7 px."""
_SHADOW_MIN_RATIO: Final = 0.45
"""A shadow darker than this share of the backdrop is not soft, and is left to the checks on the outline."""
_SHADOW_RIM_SHARP: Final = 0.2
_SHADOW_CORE_SHARP: Final = 0.8
"""A shadow fades out at its outer rim and ends at the product's edge: shares of rim and core that are sharp."""
_SHADOW_AREA: Final = 1000
"""A shadow has at least the photo's area over this."""
_SHADOW_DEPTH: Final = 3
"""A shadow is somewhere this many limits darker than the backdrop; paler than that, it could be clear glass."""
_SLOW: Final = 5.0
"""Levels within 3 px that a soft shadow changes at most; the edge of a product 12 levels from white changes 10."""
_SHARP_RAMP_PX: Final = 3.0
_EDGE_STEPS: Final = 3
_EDGE_SIGMA_PX: Final = 2.5
_EDGE_LEVELS: Final = 4
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
_CLIPPED_LEVEL: Final = 250
_CLIPPED_HOLE_RATIO: Final = 0.0015
_MOST_CLIPPED_HOLES: Final = 3
"""Of the photo's area: the gap between the lamp's arms has 0.0027, the figures of a phone's clock 0.0009."""
_RIM_LIMITS: Final = 4
_MIN_SPECK_PX: Final = 48
_SPECK_RATIO: Final = 0.0004


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What a photo is seen as: `calm` is the photo without its grain, `noise` the grain left in it, in levels;
    `contrast` that of `calm` with the backdrop; `limit` the contrast above which a pixel is not backdrop."""

    calm: Rgb
    backdrop: Backdrop
    contrast: Plane
    noise: float
    limit: int


@dataclass(frozen=True, slots=True, eq=False)
class Silhouette(_Scene):
    """The product's mask, (H, W) uint8, 1 = product or its edge, with what it was seen against, refined.

    `shadow_px` of soft shadow were taken away, `hole_px` are enclosed openings, `doubtful_px` are enclosed areas that
    look like the backdrop but were kept as product.
    """

    mask: Plane
    shadow_px: int
    hole_px: int
    doubtful_px: int


def find_silhouette(rgb: Rgb, backdrop: Backdrop) -> Silhouette:
    """Return the mask of what stands in front of a plain backdrop. Never fails: an empty mask is an answer."""
    calm, noise = _calmed(rgb, backdrop.noise)
    limit = int(np.ceil(max(4.0, 4.0 * noise + 2.0)))
    seen = _Scene(calm, backdrop, contrast_with(calm, backdrop.surface), noise, limit)
    outside = _reached_from_border(_like_backdrop(seen))
    shadow = _soft_shadow(seen, outside)
    outside = _plane(cv2.max(outside, shadow))
    backdrop = refine(rgb, backdrop, _grown(1 - outside, 5))
    if shadow.any():
        backdrop, outside = _up_to_the_edge(calm, backdrop, outside, shadow, limit)
    seen = _Scene(calm, backdrop, contrast_with(calm, backdrop.surface), noise, limit)
    like = _plane(cv2.max(_like_backdrop(seen), _shrunk(outside, 5)))
    reached = _reached_from_border(like)
    outside = _widely_reached(reached)
    holes, hole_px, doubtful_px = _holes(seen, outside, reached, like)
    mask = _without_specks(_plane(cv2.subtract(1 - outside, holes)))
    return Silhouette(calm, backdrop, seen.contrast, noise, limit, mask, int(shadow.sum()), hole_px, doubtful_px)


def _calmed(rgb: Rgb, noise: float) -> tuple[Rgb, float]:
    """Return the photo with its grain smoothed, and the grain left: white noise falls to 1 / (2 sqrt(pi) sigma) under
    a Gaussian; JPEG leaves it correlated, so a third is reckoned with."""
    if noise < 1.2:
        return rgb, noise
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 1.2), dtype=np.uint8), noise / 3.0


def _like_backdrop(seen: _Scene) -> Plane:
    """Return 1 where contrast is below the limit, or is what JPEG leaves around a strong edge.

    Within a block of an edge ten times as high, weak contrast counts as product only where it holds on average over
    7 px, the strong pixels left out: pale glass beside a black line does, ringing does not. The same average finds
    what grain hides from the limit on single pixels.
    """
    contrast, limit = seen.contrast, seen.limit
    around = cv2.dilate(contrast, _SQUARE[17])
    strong = (contrast > np.maximum(around * np.float32(_RINGING_RATIO), np.float32(limit))).astype(np.uint8)
    rest = (contrast * (1 - strong)).astype(np.float32)
    share = cv2.blur((1 - strong) * np.uint8(255), (7, 7)).astype(np.float32) * np.float32(1 / 255)
    average = cv2.blur(rest, (7, 7)) / np.maximum(share, np.float32(0.1))
    held = min(float(limit), max(4.0, 2.5 * seen.noise + 2.5))
    weak = average > np.maximum(around * np.float32(_HELD_RATIO), held)
    return np.asarray((strong == 0) & ~weak, dtype=np.uint8)


def _reached_from_border(passable: Plane) -> Plane:
    """Return 1 where `passable` is connected (4 neighbours) with the border of the picture."""
    framed = cv2.copyMakeBorder(passable, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(framed, None, (0, 0), 2)
    return _plane(framed[1:-1, 1:-1] == 2)


def _widely_reached(reached: Plane) -> Plane:
    """Return the part of `reached` that is reached from the border through passages of 7 px or more.

    A pale spot on the outline would else let the backdrop leak into a pale product; narrow gaps and nooks are judged
    with the holes.
    """
    core = _reached_from_border(_shrunk(reached, 7))
    return _plane(cv2.bitwise_and(_grown(core, 9), reached))


def _grown(mask: Plane, size: int) -> Plane:
    return _plane(cv2.dilate(mask, np.ones((size, size), np.uint8)))


def _shrunk(mask: Plane, size: int) -> Plane:
    return _plane(cv2.erode(mask, np.ones((size, size), np.uint8), borderValue=1))


def _plane(values: NDArray[Any]) -> Plane:
    return np.asarray(values, dtype=np.uint8)


# ---------------------------------------------------------------- soft shadows


def _soft_shadow(seen: _Scene, outside: Plane) -> Plane:
    """Return 1 where a soft shadow or a slow vignette borders on `outside`.

    They are what can be reached from the border over slowly changing pixels of the backdrop's hue, through passages
    wider than a broken edge. A region whose outer rim is sharp, which is pale all over or which passes into the product
    without an edge may be a product whose outline leaks or fades somewhere, and stays.
    """
    slope = _channel_range(seen.calm)
    bar = _SLOW + 2.0 * seen.noise
    least_px = max(200, outside.size // _SHADOW_AREA)
    added = _slowly_reached(seen, outside, slope <= bar)
    if cv2.countNonZero(added) >= least_px:
        # in a photo out of focus the product's own edges are slow too
        sharpness = _SHARP_RAMP_PX / ramp_width(seen.contrast, outline_points(depth_of(1 - outside)), quantile=0.25)
        if sharpness < 1.0:
            bar *= sharpness
            added = _slowly_reached(seen, outside, slope <= bar)
    if cv2.countNonZero(added) < least_px:
        return np.zeros_like(outside)
    count, components, stats, _ = cv2.connectedComponentsWithStats(added, connectivity=4)
    labels = np.asarray(components, dtype=np.int32)
    outer = _sharp_share(labels, _grown(outside, 3) & added, slope, 2.0 * bar, 5, count)
    front = (1 - outside) & (1 - added)
    inner = _sharp_share(labels, _grown(front, 9) & added, slope, 2.0 * bar, 13, count)
    darkest = np.zeros(count, dtype=np.uint8)
    np.maximum.at(darkest, labels[added > 0], seen.contrast[added > 0])
    accepted = (stats[:, cv2.CC_STAT_AREA] >= least_px) & (darkest >= _SHADOW_DEPTH * seen.limit)
    accepted &= (outer <= _SHADOW_RIM_SHARP) & (inner >= _SHADOW_CORE_SHARP)
    accepted[0] = False
    return _plane(accepted[labels])


def _sharp_share(
    labels: NDArray[np.int32], rim: Plane, slope: Plane, bar: float, window: int, count: int
) -> NDArray[np.float64]:
    """Return for each label the share of its rim where the slope within a window exceeds the bar."""
    at = np.nonzero(rim)
    owner, steep = labels[at], _grown(slope, window)[at] > bar
    rims = np.bincount(owner, minlength=count)
    return np.asarray(np.bincount(owner[steep], minlength=count) / np.maximum(rims, 1), dtype=np.float64)


def _slowly_reached(seen: _Scene, outside: Plane, slow: NDArray[np.bool_]) -> Plane:
    """Return 1 for what is reached from `outside` over slow pixels of the backdrop's hue, 5 px wide at least."""
    shade = _shade_of(seen.calm, seen.backdrop.surface, seen.limit)
    passable = _plane(cv2.max(_plane(slow) & shade, outside))
    passable = _plane(
        cv2.medianBlur(passable, 5)
    )  # specks of grain are no fence; an edge, 3 px wide and long, stays one
    core = _reached_from_border(_shrunk(passable, 5))
    return _plane(cv2.subtract(_grown(core, 7) & passable, outside))


def _up_to_the_edge(calm: Rgb, backdrop: Backdrop, outside: Plane, shadow: Plane, limit: int) -> tuple[Backdrop, Plane]:
    """Return the backdrop and `outside` followed through the last few px of a shadow, where it is darkest.

    Step by step: the surface is continued a little further in, and what agrees with it belongs to it. Nothing further
    than 12 px from the shadow is touched.
    """
    close = _grown(shadow, 25)
    rows, columns = np.nonzero(close.any(axis=1))[0], np.nonzero(close.any(axis=0))[0]
    part = (slice(max(0, rows[0] - 8), rows[-1] + 9), slice(max(0, columns[0] - 8), columns[-1] + 9))
    surface, reached = backdrop.surface.copy(), outside.copy()
    for _ in range(_EDGE_STEPS):
        surface[part] = follow(calm[part], surface[part], _shrunk(reached[part], 3), _EDGE_SIGMA_PX)
        agrees = _plane(contrast_with(calm[part], surface[part]) <= limit + _EDGE_LEVELS) & close[part]
        reached[part] = cv2.max(reached[part], cv2.bitwise_and(agrees, _grown(reached[part], 7)))
        reached = _widely_reached(_reached_from_border(reached))
    surface[part] = follow(calm[part], surface[part], _shrunk(reached[part], 3), _EDGE_SIGMA_PX)
    return Backdrop(surface, backdrop.noise, backdrop.border_ratio), reached


def _channel_range(calm: Rgb) -> Plane:
    """Return per pixel the range of levels in its 3 x 3 neighbourhood, the largest of the channels."""
    red, green, blue = cv2.split(cv2.morphologyEx(calm, cv2.MORPH_GRADIENT, _SQUARE[3]))
    return np.asarray(cv2.max(cv2.max(red, green), blue), dtype=np.uint8)


def _shade_of(calm: Rgb, surface: Rgb, limit: int) -> Plane:
    """Return 1 where a pixel is the backdrop's colour at another brightness (45 % to 110 %)."""
    ratio = cv2.divide(calm, surface, scale=200.0)  # 200 = as bright as the backdrop, per channel
    red, green, blue = cv2.split(ratio)
    high, low = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    same_hue = cv2.subtract(high, low) <= max(8, 2 * limit)
    return _plane(same_hue & (low >= 200 * _SHADOW_MIN_RATIO) & (high <= 220))


# ---------------------------------------------------------------- holes and specks


def _holes(found: _Scene, outside: Plane, reached: Plane, like: Plane) -> tuple[Plane, int, int]:
    """Return 1 where the backdrop shows through the product, how many px of it are enclosed, how many are doubtful.

    A hole departs from the backdrop by its grain and nothing else, and contrast jumps at its rim. A narrow gap that is
    open to the outside (`reached`) needs no such rim; a nook of the outline needs no proof at all. Before a backdrop
    clipped at white that is no proof either, since highlights, white print and screens clip there too: then only a few
    large areas count as openings, and the rest stays product.
    """
    candidates = _plane(cv2.subtract(like, outside))
    count, components, stats, _ = cv2.connectedComponentsWithStats(candidates, connectivity=4)
    labels = np.asarray(components, dtype=np.int32)
    area = stats[:, cv2.CC_STAT_AREA]
    is_open = np.bincount(labels[reached > 0], minlength=count) > 0
    size = np.clip(area / (_LARGE_HOLE_RATIO * labels.size), 0, 1)
    ringing = cv2.dilate(found.contrast, _SQUARE[17]).astype(np.float32)
    allowed = found.noise + np.where(is_open, _RINGING_OPEN, _RINGING_ENCLOSED * size) * _mean_of(
        ringing, labels, count
    )
    alike = _alike(found.calm, found.backdrop.surface, labels, allowed)
    chosen = is_open & (alike | (area < _NOOK_PX))
    enclosed = alike & ~is_open & (area >= _MIN_HOLE_PX)
    chosen[0] = enclosed[0] = False
    clipped = float(np.median(found.backdrop.surface[::16, ::16])) >= _CLIPPED_LEVEL
    large = enclosed & (area >= (_CLIPPED_HOLE_RATIO * labels.size if clipped else 0))
    if not clipped or large.sum() <= _MOST_CLIPPED_HOLES:
        for label in np.nonzero(large)[0]:
            part = _around(stats[label], labels.shape)
            patch = _plane(labels[part] == label)
            chosen[label] = _has_sharp_rim(patch, found.contrast[part], candidates[part], found.limit)
    opened, kept = chosen & enclosed, enclosed & ~chosen
    return _plane(chosen[labels]), int(area[opened].sum()), int(area[kept].sum())


def _around(box: NDArray[np.int32], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the slices of a component's bounding box (left, top, width, height, area) and 4 px around it."""
    left, top, width, height = (int(value) for value in box[:4])
    return (
        slice(max(0, top - 4), min(shape[0], top + height + 4)),
        slice(max(0, left - 4), min(shape[1], left + width + 4)),
    )


def _alike(calm: Rgb, surface: Rgb, labels: NDArray[np.int32], allowed: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell for each label whether its pixels, its rim left out, depart from the backdrop by no more than `allowed`
    (the levels of grain and ringing to reckon with) and a little."""
    inner = cv2.erode((labels > 0).astype(np.uint8), _SQUARE[3], borderValue=1) > 0
    rows, columns = np.nonzero(inner)
    owner = labels[rows, columns]
    size = np.bincount(owner, minlength=allowed.size)
    per = 1.0 / np.maximum(size, 1)
    offset = calm[rows, columns].astype(np.float32) - surface[rows, columns]
    alike = size > 0
    for channel in range(3):
        mean = np.bincount(owner, weights=offset[:, channel], minlength=size.size) * per
        spread = np.bincount(owner, weights=np.abs(offset[:, channel] - mean[owner]), minlength=size.size) * per
        alike &= (np.abs(mean) <= _HOLE_OFFSET + 0.75 * allowed) & (spread <= _HOLE_SPREAD + allowed)
    return np.asarray(alike, dtype=np.bool_)


def _mean_of(plane: Float, labels: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Return the mean of a plane over each label."""
    used = labels > 0
    sums = np.bincount(labels[used], weights=plane[used], minlength=count)
    return np.asarray(sums / np.maximum(np.bincount(labels[used], minlength=count), 1), dtype=np.float64)


def _has_sharp_rim(patch: Plane, contrast: Plane, candidates: Plane, limit: int) -> bool:
    """Tell whether contrast jumps at the rim, as it does around a hole: a highlight fades into its surroundings."""
    rim = cv2.subtract(cv2.dilate(patch, _SQUARE[7]), cv2.dilate(patch, _SQUARE[5]))
    around = contrast[cv2.bitwise_and(rim, 1 - candidates) > 0]
    return bool(around.size and np.quantile(around, 0.25) >= _RIM_LIMITS * limit)


def _without_specks(mask: Plane) -> Plane:
    """Drop dust: pieces that are tiny by themselves and beside the largest one."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    keep = areas >= max(_MIN_SPECK_PX, _SPECK_RATIO * int(areas.max()))
    return np.asarray(keep[labels], dtype=np.uint8)
