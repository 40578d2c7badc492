"""A second, closer look at two pictures that may be one view: the same thing in the same place, on other noise.

Another seed of a stage moves the blur of its room or the threads of its cloth, and with it most of what is averaged
over cells; what stands there sharply stays. So sharp edges are asked, after the pictures are laid over each other:

    edges       share of the strength of sharp edges, on the thing that both show, that only one has
    gradients   1 - correlation of all gradients on it
    print       sharp gradients that differ well inside it, in the worst window: another label, other letters
    hue, tone   difference of a*, b* along its edges, which a colour variant moves; of L* on it, overall and at worst
    around      lightness, hue, smooth structure and texture of what stands around it: another scene is another picture

The thing is what the edges that both have in common enclose. The largest quotient of difference and limit counts.
Limits were fitted on the modelled pictures of benchmarks/quality_sets, seed A and one that no figure is reported of.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.quality.signatures import DETAIL_SIDE, Cells, Floats

_LIMITS: Final = np.array([0.45, 0.25, 3.2, 1.4, 6.0, 20.0, 7.0, 2.2, 6.0, 0.28], dtype=np.float32)
"""edges, gradients (shares); print (L* per point); hue (a*b*); tone and at worst (L*); around: lightness (L*), hue
(a*b*), structure (Lab), texture (ln of the ratio)."""
_HUE: Final = 3
_SHARP: Final = 2.0
"""L* per point of a gradient that counts as an edge: JPEG and grain stay below."""
_ALIKE: Final = 0.5
_NOISE: Final = 0.09
"""Power of gradients that says nothing, (L* per point) squared."""
_LEAST_POINTS: Final = 30
_LEAST_AROUND: Final = 100
_WORTH_LAYING: Final = 0.2
"""Share of edges in common from which laying the pictures over each other can still help."""
_MOST_STRETCH, _MOST_SHIFT = 0.12, 4.0
"""Of a side, and points of 64: a copy with its margin cut off, not another place in the frame."""
_STEPS: Final = 20
_WINDOW: Final = 9

Lab = Floats


def same_view_distance(one: Cells, other: Cells) -> tuple[Floats, Floats]:
    """Return how far two views are apart and how far their hues are, pair by pair, both (n,); 1.0 and less is near.

    As they are, or laid over each other by a small affine move, whichever is nearer. inf and 0.0 where they have no
    sharp edges in common. About 1 ms a pair: ask it of few.
    """
    apart, hue = np.full(len(one), np.inf, np.float32), np.zeros(len(one), np.float32)
    first, second = _lab(one), _lab(other)
    for row in range(len(one)):
        found = _quotients(first[row], second[row])
        if found is not None and float(found.max()) > 1.0 and float(found[0]) * float(_LIMITS[0]) < 1.0 - _WORTH_LAYING:
            laid = _laid_over(first[row], second[row])
            again = None if laid is None else _quotients(first[row], laid)
            found = again if again is not None and float(again.max()) < float(found.max()) else found
        if found is not None:
            apart[row], hue[row] = found.max(), found[_HUE]
    return apart, hue


def _lab(cells: Cells) -> Lab:
    """Return L* a* b* of each point, (n, 64, 64, 3); hue is kept per cell and drawn smoothly between them."""
    coarse = cells.lab()
    lab = np.empty((len(cells), DETAIL_SIDE, DETAIL_SIDE, 3), np.float32)
    lab[..., 0] = cells.detail.astype(np.float32) / np.float32(2.55)
    for row in range(len(cells)):
        hues = np.ascontiguousarray(coarse[row, ..., 1:])
        lab[row, ..., 1:] = cv2.resize(hues, (DETAIL_SIDE, DETAIL_SIDE), interpolation=cv2.INTER_LINEAR)
    return lab


def _laid_over(first: Lab, second: Lab) -> Lab | None:
    """Return the second moved onto the first; None where that takes more than a small move, or nothing fits."""
    move = np.eye(2, 3, dtype=np.float32)
    steps = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, _STEPS, 1e-3)
    planes = [np.ascontiguousarray(lab[..., 0]) for lab in (first, second)]
    everywhere = np.ones(planes[0].shape, np.uint8)
    try:
        _, found = cv2.findTransformECC(planes[0], planes[1], move, cv2.MOTION_AFFINE, steps, everywhere, 5)
    except cv2.error:  # it did not converge: the two have little in common
        return None
    moved = np.abs(np.asarray(found, dtype=np.float32) - np.eye(2, 3, dtype=np.float32))
    # the shift is of the upper left corner: what it does to the middle counts
    middle = np.abs((np.asarray(found) - np.eye(2, 3)) @ np.array([DETAIL_SIDE / 2, DETAIL_SIDE / 2, 1.0]))
    if float(moved[:, :2].max()) > _MOST_STRETCH or float(middle.max()) > _MOST_SHIFT:
        return None
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (DETAIL_SIDE, DETAIL_SIDE)
    return np.asarray(cv2.warpAffine(second, found, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _quotients(first: Lab, second: Lab) -> Floats | None:
    """Return difference over limit of two views (64, 64, 3), in the order of `_LIMITS`; None without a common thing."""
    sharp = [_gradients(_without_blur(lab[..., 0])) for lab in (first, second)]
    powers = [(g * g).sum(axis=0) for g in sharp]
    strongest = np.maximum(*powers)
    strong = strongest > _SHARP**2
    common = strong & ((sharp[0] * sharp[1]).sum(axis=0) > _ALIKE * strongest)
    thing = _enclosed(common)
    if int(thing.sum()) < _LEAST_POINTS:
        return None
    edges = 1.0 - float(strongest[common & thing].sum()) / max(float(strongest[strong & thing].sum()), 1e-6)
    inside = _shrunk(thing, 3)
    whole = [_gradients(_smooth(lab[..., 0], 0.7))[:, inside] for lab in (first, second)]
    damping = _NOISE * 2.0 * max(1, int(inside.sum()))
    scale = float(np.sqrt(((whole[0] ** 2).sum() + damping) * ((whole[1] ** 2).sum() + damping)))
    left = ((sharp[0] - sharp[1]) ** 2).sum(axis=0) * _shrunk(thing, 7)
    printed = float(np.sqrt(cv2.blur(left.astype(np.float32), (_WINDOW, _WINDOW)).max()))
    apart = first - second
    rim = _grown(common, 3) & inside
    rim = rim if int(rim.sum()) >= _LEAST_POINTS else _grown(common, 3) & thing
    hue = float(np.hypot(*apart[rim][:, 1:].mean(axis=0)))
    tone = np.abs(apart[..., 0] - apart[..., 0][thing].mean()) * thing
    filled = cv2.blur(thing.astype(np.float32), (8, 8))
    worst = float((cv2.blur(tone.astype(np.float32), (8, 8)) / np.maximum(filled, 0.3)).max())
    found = [edges, 1.0 - float((whole[0] * whole[1]).sum()) / scale, printed, hue, float(tone[thing].mean()), worst]
    found += _around(apart, powers, ~_grown(thing, 5))
    return np.asarray(np.array(found, dtype=np.float32) / _LIMITS, dtype=np.float32)


def _around(apart: Lab, powers: list[Floats], outside: NDArray[np.bool_]) -> list[float]:
    """Return lightness, hue, smooth structure and texture by which what is outside differs; zeros where little is."""
    if int(outside.sum()) < _LEAST_AROUND:
        return [0.0, 0.0, 0.0, 0.0]
    mean = apart[outside].mean(axis=0)
    smooth = float(np.abs(_smooth(np.ascontiguousarray(apart[..., 0]), 4.0)[outside]).mean())
    texture = [float(np.sqrt(power[outside].mean() + 0.05)) for power in powers]
    return [abs(float(mean[0])), float(np.hypot(mean[1], mean[2])), smooth, abs(float(np.log(texture[0] / texture[1])))]


def _enclosed(common: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what edges enclose, gaps of a few points bridged, (64, 64)."""
    lines = cv2.morphologyEx(_grown(common, 3).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    free = np.pad(1 - lines, 1, constant_values=1).astype(np.uint8)
    cv2.floodFill(free, np.zeros((free.shape[0] + 2, free.shape[1] + 2), np.uint8), (0, 0), 2)
    thing = (free[1:-1, 1:-1] != 2).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(thing, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0)


def _grown(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0)


def _shrunk(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    return np.asarray(cv2.erode(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0)


def _smooth(plane: Floats, sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), dtype=np.float32)


def _without_blur(lightness: Floats) -> Floats:
    """Return what is finer than about 2 points: a room out of focus has next to none of it."""
    calm = _smooth(lightness, 0.7)
    return np.asarray(calm - _smooth(calm, 2.0), dtype=np.float32)


def _gradients(plane: Floats) -> Floats:
    """Return the slopes across and down, (2, 64, 64), per point."""
    slopes = [cv2.Sobel(plane, cv2.CV_32F, *along, ksize=1) for along in ((1, 0), (0, 1))]
    return np.asarray(np.stack(slopes) / np.float32(2.0), dtype=np.float32)
