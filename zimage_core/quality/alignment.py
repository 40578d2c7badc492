"""Where exactly the product of a photo stands in a picture, when that is known to a few per cent: scale and shift.

`refine` starts near a placement (`search` finds one where none is known). It compares the picture with the cut-out laid
over the picture's own surroundings, so the outline speaks as loudly as the print, and it fits the light along with the
place, so light that was changed does not move anything.

The fit is Lucas and Kanade's (1981) with the mean of both gradients (Benhimane and Malis 2004), coarse to fine; what
disagrees after all (a scrambled label, clutter) loses its weight (Cauchy's), so the rest still finds its place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Placement
from zimage_core.imaging.composite import visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Plane, Rgb, Rgba
from zimage_core.quality.rasters import reduced

Floats = NDArray[np.float32]

LIKENESS_SIDE_PX: Final = 320
Level = tuple[int, int, float | None]
LEVELS: Final[tuple[Level, ...]] = ((48, 8, 0.07), (112, 5, 0.03), (176, 5, None))
"""Coarse to fine: long side of the product's raster, rounds, and how near to the outline, over that side, the picture
may still show a product that stands aside. None: the outline is left out, for a shadow at the foot moves it, and what
is printed and woven inside decides, as far as there is any."""
_HELD: Final = np.array([2e7, 4e2, 4e2, 0.0, 0.0, 0.0, 0.0])
"""How firmly the inside holds on to where the outline led: 0.5 % of zoom and 1 raster px, against some grey levels."""
_PAD_RATIO: Final = 0.16  # surroundings that are looked at, over the raster
_COARSE: Final = 4
_SPREAD_RATIO: Final = 0.06
_SOFT_PX: Final = 1.0
_TERMS: Final = 7
_FREE: Final = np.zeros(_TERMS)
_INSIDE: Final = 0.98
_CALM_LEVELS: Final = 6.0
_STILL_PX: Final = 0.01


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the product stands, and how much the picture there looks like it: correlation -1..1, outline included."""

    placement: Placement
    similarity: float


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What shows of a cut-out: `rgba` (h, w, 4) uint8 premultiplied, whose corner lies at `left`, `top` there."""

    rgba: Rgba
    left: int
    top: int


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """The product as the photo shows it, once reduced: `rgb` (h, w, 3) uint8 premultiplied, `alpha` (h, w) uint8.

    One pixel of the cut-out is `per_cutout` pixels (across, down) of it; its corner lies at `left`, `top` there.
    """

    rgb: Rgb
    alpha: Plane
    per_cutout: tuple[float, float]
    left: int
    top: int


@dataclass(frozen=True, slots=True, eq=False)
class _Raster:
    """A likeness on a small raster with `pad_px` of room around it: (h, w) float32.

    `grey` is premultiplied, 0..255; `alpha` 0..1; `clear` is 1 where there is surely no product, `near` where there is
    or nearly.
    """

    grey: Floats
    alpha: Floats
    clear: Floats
    near: Floats
    per_cutout: tuple[float, float]
    left: int
    top: int
    pad_px: int


def shown_of(cutout: CutOut) -> Shown:
    """Return the visible part of a cut-out. Raises ImageError when it is empty."""
    box = visible_box(np.asarray(cv2.extractChannel(cutout.rgba, 3), dtype=np.uint8))
    part = cutout.rgba[box.y_px : box.bottom_px, box.x_px : box.right_px]
    return Shown(np.asarray(cv2.cvtColor(part, cv2.COLOR_RGBA2mRGBA), dtype=np.uint8), box.x_px, box.y_px)


def likeness_of(shown: Shown) -> Likeness:
    """Return the visible part of a cut-out, its longer side reduced to 320 px."""
    shaded = shown.rgba
    height, width = shaded.shape[:2]
    factor = max(width, height) // LIKENESS_SIDE_PX
    if factor > 1:  # a whole factor is reduced fast, what is left over then costs little
        shaded = in_whole_blocks(shaded, factor)
        height, width = shaded.shape[:2]
        shaded = np.asarray(
            cv2.resize(shaded, (width // factor, height // factor), interpolation=cv2.INTER_AREA), dtype=np.uint8
        )
    shrink = min(1.0, LIKENESS_SIDE_PX / max(shaded.shape[:2]))
    size = (max(4, round(shaded.shape[1] * shrink)), max(4, round(shaded.shape[0] * shrink)))
    shaded = np.asarray(cv2.resize(shaded, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    rgb, alpha = cv2.cvtColor(shaded, cv2.COLOR_RGBA2RGB), cv2.extractChannel(shaded, 3)
    return Likeness(
        np.asarray(rgb, dtype=np.uint8), np.asarray(alpha, dtype=np.uint8), (size[0] / width, size[1] / height),
        shown.left, shown.top,
    )  # fmt: skip


def in_whole_blocks(rgba: Rgba, factor: int) -> Rgba:
    """Return (h, w, 4) pixels with clear ones added below and right, so that blocks of factor x factor come out even.

    A whole factor is reduced many times as fast as any other.
    """
    more = (-rgba.shape[0] % factor, -rgba.shape[1] % factor)
    return np.asarray(cv2.copyMakeBorder(rgba, 0, more[0], 0, more[1], cv2.BORDER_CONSTANT), dtype=np.uint8)


def refine(grey: Plane, likeness: Likeness, near: Placement) -> Standing:
    """Return where the product stands, starting from a placement that is wrong by a few per cent at most.

    `grey` is the picture, (H, W) uint8. The similarity is for the caller to judge: nothing is refused here.
    """
    return refined(grey, likeness, near, LEVELS)


def refined(grey: Plane, likeness: Likeness, near: Placement, levels: tuple[Level, ...]) -> Standing:
    """Return `refine` as far as some of its levels go."""
    placement, similarity = near, -1.0
    for long_side_px, rounds, clear_ratio in levels:
        raster = _raster_of(likeness, long_side_px, clear_ratio)
        held = _HELD if clear_ratio is None else _FREE
        placement, alike = _fitted(grey, raster, placement, rounds, held)
        similarity = similarity if clear_ratio is None else alike
    return Standing(placement, similarity)


# ---------------------------------------------------------------- the fit


def _raster_of(likeness: Likeness, long_side_px: int, clear_ratio: float | None) -> _Raster:
    height, width = likeness.alpha.shape
    shrink = long_side_px / max(width, height)
    size = (max(4, round(width * shrink)), max(4, round(height * shrink)))
    per_x, per_y = size[0] / width * likeness.per_cutout[0], size[1] / height * likeness.per_cutout[1]
    pad_px = math.ceil(_PAD_RATIO * long_side_px)
    grey, alpha = (
        cv2.copyMakeBorder(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), *(pad_px,) * 4, cv2.BORDER_CONSTANT)
        for plane in (cv2.cvtColor(likeness.rgb, cv2.COLOR_RGB2GRAY), likeness.alpha)
    )
    share = _soft(alpha.astype(np.float32) * np.float32(1.0 / 255.0))
    near, clear = _inside(share) if clear_ratio is None else _around(share, clear_ratio * long_side_px)
    return _Raster(
        _soft(grey.astype(np.float32)), share, clear, near, (per_x, per_y), likeness.left, likeness.top, pad_px
    )


def _inside(share: Floats) -> tuple[Floats, Floats]:
    """Return the weights (near, clear) of a raster on which only the inside of the product counts."""
    inside = cv2.erode((share > _INSIDE).astype(np.float32), np.ones((7, 7), np.uint8), borderValue=0)
    return np.asarray(inside, dtype=np.float32), np.zeros_like(share)


def _around(share: Floats, astray_px: float) -> tuple[Floats, Floats]:
    """Return the weights (near, clear) of a raster on which the outline counts, give or take `astray_px`."""
    reach = 2 * max(1, round(astray_px)) + 1
    clear = (cv2.dilate(share, np.ones((reach, reach), np.uint8)) < 0.02).astype(np.float32)
    return np.asarray(cv2.dilate(share, np.ones((5, 5), np.uint8)), dtype=np.float32), clear


def _fitted(
    grey: Plane, raster: _Raster, near: Placement, rounds: int, held: NDArray[np.float64]
) -> tuple[Placement, float]:
    """Return the placement at which picture and product agree best, and their correlation there."""
    height, width = raster.alpha.shape
    patch, to_patch = _patch(grey, raster, near)
    place = np.array([1.0, 0.0, 0.0])  # zoom, shift in raster px, over the placement it started from
    light = np.array([1.0, 0.0, 0.0, 0.0])  # gain, its slope across and down, offset of the product's light
    u = np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5 - width / 2)
    v = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5 - height / 2)
    for _ in range(rounds):
        seen = _seen(patch, place, to_patch, (width, height))
        wanted, weight = _wanted(seen, raster, light)
        both = (seen + wanted) * np.float32(0.5)
        dx, dy = cv2.Sobel(both, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(both, cv2.CV_32F, 0, 1, scale=0.125)
        off = seen - wanted
        calm = max(_CALM_LEVELS, 1.5 * _median_of(np.abs(off), raster.near))
        weight = weight / (1.0 + np.square(off * np.float32(1.0 / calm)))
        slopes = (raster.grey * (u * np.float32(2 / width)), raster.grey * (v * np.float32(2 / height)))
        terms = np.stack([-(dx * u + dy * v), -dx, -dy, raster.grey, *slopes, raster.alpha]).reshape(_TERMS, -1)
        weighted = terms * weight.reshape(1, -1)
        system = (weighted @ terms.T).astype(np.float64)
        system[np.diag_indices(_TERMS)] = system[np.diag_indices(_TERMS)] * 1.001 + 0.01 + held
        pull = (weighted @ off.reshape(-1)).astype(np.float64)
        pull[:3] -= held[:3] * (place - (1.0, 0.0, 0.0))
        step = np.linalg.solve(system, pull)
        moved = np.clip(step[:3], (-0.05, -3.0, -3.0), (0.05, 3.0, 3.0))
        place = place + moved
        place[0] = min(max(place[0], 0.8), 1.25)
        light = np.clip(light + step[3:], (0.4, -0.3, -0.3, -60.0), (2.0, 0.3, 0.3, 60.0))
        if max(abs(moved[0]) * max(height, width) / 2, abs(moved[1]), abs(moved[2])) < _STILL_PX:
            break
    seen = _seen(patch, place, to_patch, (width, height))
    return _placement_at(raster, near, place), _correlation(seen, _wanted(seen, raster, light)[0], raster.near)


def _median_of(plane: Floats, weight: Floats) -> float:
    chosen = plane[weight > 0.5]
    return float(np.median(chosen)) if chosen.size else 0.0


def _wanted(seen: Floats, raster: _Raster, light: NDArray[np.float64]) -> tuple[Floats, Floats]:
    """Return the product laid over the picture's own surroundings, and how far each pixel of that can be believed."""
    height, width = raster.alpha.shape
    gain, across, down, offset = (np.float32(value) for value in light)
    lit = gain + across * np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    lit = lit + down * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    wanted = lit * raster.grey + offset * raster.alpha
    if not raster.clear.any():
        return wanted + (1.0 - raster.alpha) * seen, raster.near
    around, unrest = _surroundings(seen, raster.clear)
    wanted += (1.0 - raster.alpha) * around
    behind = np.float32(1.0 / (1.0 + (unrest / _CALM_LEVELS) ** 2))
    return wanted, raster.near * (raster.alpha + (1.0 - raster.alpha) * behind)


def _surroundings(seen: Floats, clear: Floats) -> tuple[Floats, float]:
    """Return the picture without the product, what is surely beside it spread over where it stands, and how unruly
    that is: the mean absolute departure from its own spread, in levels."""
    height, width = seen.shape
    size = (max(2, width // _COARSE), max(2, height // _COARSE))
    sigma = _SPREAD_RATIO * max(size)
    shown, weight = (
        cv2.GaussianBlur(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), (0, 0), sigma)
        for plane in (seen * clear, clear)
    )
    mean = float(shown.sum()) / max(1e-3, float(weight.sum()))
    coarse = (shown + np.float32(mean * 1e-3)) / (weight + np.float32(1e-3))
    spread = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    off = (seen - spread) * clear
    unrest = float(np.abs(off).sum()) / max(1.0, float(clear.sum()))
    return np.asarray(spread + off, dtype=np.float32), unrest


def _patch(grey: Plane, raster: _Raster, near: Placement) -> tuple[Floats, NDArray[np.float64]]:
    """Return the picture around a placement at about the raster's resolution, and where raster px lie in it.

    The second is (2, 3): patch = [:, :2] @ raster + [:, 2], edges of pixels counted, not their centres.
    """
    height, width = raster.alpha.shape
    across, down = (near.scale / per for per in raster.per_cutout)
    left = near.x_px + near.scale * raster.left - across * raster.pad_px
    top = near.y_px + near.scale * raster.top - down * raster.pad_px
    spare_px = _PAD_RATIO * across * max(height, width)
    step = 1 << max(0, math.floor(math.log2(max(1e-6, min(across, down)))))  # sides that can be halved are reduced fast
    x0, x1 = _span(left - spare_px, left + across * width + spare_px, grey.shape[1], step)
    y0, y1 = _span(top - spare_px, top + down * height + spare_px, grey.shape[0], step)
    crop = grey[y0:y1, x0:x1].astype(np.float32)
    if across > 1.0:
        size = (max(2, round((x1 - x0) / across)), max(2, round((y1 - y0) / down)))
        crop = reduced(crop, *size)
    per_x, per_y = crop.shape[1] / (x1 - x0), crop.shape[0] / (y1 - y0)
    to_patch = np.array([[across * per_x, 0.0, (left - x0) * per_x], [0.0, down * per_y, (top - y0) * per_y]])
    return _soft(crop), to_patch


def _soft(plane: Floats) -> Floats:
    """Return a plane without what its raster cannot hold: a sharp edge between two rasters pulls both to one grid."""
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), _SOFT_PX), dtype=np.float32)


def _span(first: float, last: float, length: int, step: int) -> tuple[int, int]:
    """Return whole pixels (start, end) inside a picture's side that cover a span, at least two where there are two.

    So many that `step` divides them, where the picture is large enough; there its last few may be left out.
    """
    start = max(0, min(math.floor(first), length - 2))
    end = min(length, max(start + 2, math.ceil(last)))
    end = start + -(-(end - start) // step) * step
    return start, end if end <= length else max(min(start + 2, length), start + (length - start) // step * step)


def _seen(patch: Floats, place: NDArray[np.float64], to_patch: NDArray[np.float64], size: tuple[int, int]) -> Floats:
    """Return what the picture shows on the raster when the product stands at `place`."""
    zoom, shift_x, shift_y = place
    moved = np.array(
        [
            [to_patch[0, 0] * zoom, 0.0, to_patch[0, 0] * ((1.0 - zoom) * size[0] / 2 + shift_x) + to_patch[0, 2]],
            [0.0, to_patch[1, 1] * zoom, to_patch[1, 1] * ((1.0 - zoom) * size[1] / 2 + shift_y) + to_patch[1, 2]],
        ]
    )
    return _sampled(patch, moved, size)


def _sampled(plane: NDArray[Any], to_plane: NDArray[np.float64], size: tuple[int, int]) -> NDArray[Any]:
    """Return a plane read at `to_plane` @ (x, y, 1), (2, 3), which counts edges of pixels; `size` is (width, height).

    Bilinear; beyond the plane its border goes on.
    """
    centred = to_plane.copy()
    centred[:, 2] += 0.5 * (centred[:, 0] + centred[:, 1]) - 0.5  # OpenCV counts the centres of pixels
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(plane, centred, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _placement_at(raster: _Raster, near: Placement, place: NDArray[np.float64]) -> Placement:
    zoom, shift_x, shift_y = (float(value) for value in place)
    across, down = (near.scale / per for per in raster.per_cutout)
    height, width = raster.alpha.shape
    from_left, from_top = (1 - zoom) * (width / 2 - raster.pad_px), (1 - zoom) * (height / 2 - raster.pad_px)
    return Placement(
        near.scale * zoom,
        near.x_px + near.scale * raster.left * (1 - zoom) + across * (from_left + shift_x),
        near.y_px + near.scale * raster.top * (1 - zoom) + down * (from_top + shift_y),
    )


def _correlation(first: Floats, second: Floats, weight: Floats) -> float:
    """Return the weighted correlation -1..1 of two planes; 0 where one of them is even."""
    total = max(1e-6, float(weight.sum()))
    a = first - np.float32(float((first * weight).sum()) / total)
    b = second - np.float32(float((second * weight).sum()) / total)
    spread = math.sqrt(float((a * a * weight).sum()) * float((b * b * weight).sum())) / total
    return float((a * b * weight).sum()) / total / spread if spread > 1.0 else 0.0
