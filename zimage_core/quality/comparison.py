"""The product as a picture shows it and as the photo shows it, laid pixel on pixel, and what differs.

Structure and colour are asked apart, because a recoloured product keeps all of its structure. What a scene's light does
to a product is taken out first: contrast and structure do not see it, and colour is compared after the gain, its slope
across the product and the warmth that a lamp may have were fitted, within what a lamp may do.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Box, Placement
from zimage_core.imaging.pixels import Plane, Rgb, Rgba
from zimage_core.quality.alignment import Shown, in_whole_blocks
from zimage_core.quality.colour import Lab, delta_e, lab_of

Floats = NDArray[np.float32]

_MAX_SIDE_PX: Final = 400
_SOLID_LEVEL: Final = 254
_WINDOW_PX: Final = 7
_CELLS: Final = 7
_MIN_CELL_SHARE: Final = 0.2
_SOFT_PX: Final = 0.6
_C2: Final = (0.03 * 255) ** 2  # Wang et al. 2004: keeps flat regions from dividing noise by noise
_FINE_PX: Final = 1.5  # texture is what a Gaussian of this takes away
_FINE_NOISE: Final = 2.0  # squared levels of grain and JPEG that are not texture
_FINE_QUANTILE: Final = 0.1
_FINE_KEPT: Final = 0.55
_FINE_COST: Final = 1.0
"""Photos moved by 2 % keep 0.46 of their fine contrast and more in nearly every cell, smoothed ones 0.2 or less."""
_COLOUR_CELL_PX: Final = 16
_COLOUR_QUANTILE: Final = 0.75
_PATCH_QUANTILE: Final = 0.95
_PATCH_WEIGHT: Final = 0.6
"""Three quarters of the product decide; a part of it in another colour has to be further off to say as much."""
_KEPT_LEVELS: Final = 2
_LEAST_KEPT: Final = 0.05
_DARKEST: Final = 8.0
_LIGHTEST: Final = 250.0
_GAINS: Final = (0.78, 1.28)
_SLOPE: Final = 0.12
_WARMTH: Final = 0.045
_WARM: Final = np.array([1.0, 0.0, -1.0])
_HUE_CHROMA: Final = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """`shown` and `wanted`, (h, w, 3) uint8, premultiplied where not `solid`; `solid` (h, w) uint8, 1 = all product.

    A pixel is `factor` x `factor` pixels of the picture, whose `box` this is.
    """

    shown: Rgb
    wanted: Rgb
    solid: Plane
    box: Box
    factor: int


@dataclass(frozen=True, slots=True)
class Structure:
    """`value` 0..1 is the worst part's likeness, `where` that part in the picture; `texture` the fine contrast kept."""

    value: float
    texture: float
    where: Box


@dataclass(frozen=True, slots=True)
class Colour:
    """`value` is CIEDE2000 after light was taken out; `hue_deg` and `chroma_ratio` say what became of the colour."""

    value: float
    hue_deg: float
    chroma_ratio: float


def pair_of(attempt_rgb: Rgb, product: Rgba, box: Box) -> Pair:
    """Return the pair over a box of the picture: `product` is (box.height_px, box.width_px, 4) premultiplied."""
    factor = _factor_of(box)
    shown = _shrunk_by(attempt_rgb[box.y_px : box.bottom_px, box.x_px : box.right_px], factor)
    return _pair(shown, _shrunk_by(product, factor), box, factor)


def _factor_of(box: Box) -> int:
    """Return by how much a box of the picture is reduced to be compared."""
    return math.ceil(max(box.width_px, box.height_px) / _MAX_SIDE_PX)


def _pair(shown: Rgb, wanted: Rgba, box: Box, factor: int) -> Pair:
    solid = (cv2.extractChannel(wanted, 3) >= _SOLID_LEVEL).astype(np.uint8)
    return Pair(shown, np.asarray(cv2.cvtColor(wanted, cv2.COLOR_RGBA2RGB), dtype=np.uint8), solid, box, factor)


def pair_at(attempt_rgb: Rgb, product: Shown, placement: Placement) -> Pair | None:
    """Return the pair over the box that a product fills at a placement that was found.

    The product is laid in at the pair's size alone, like `placed_premultiplied` to 1 %; None where it would stand
    outside the picture.
    """
    (height_px, width_px), (tall, wide) = attempt_rgb.shape[:2], product.rgba.shape[:2]
    left, top = placement.x_px + placement.scale * product.left, placement.y_px + placement.scale * product.top
    x0, y0 = max(0, math.floor(left)), max(0, math.floor(top))
    x1 = min(width_px, math.ceil(left + placement.scale * wide))
    y1 = min(height_px, math.ceil(top + placement.scale * tall))
    if x1 - x0 < _WINDOW_PX or y1 - y0 < _WINDOW_PX:
        return None
    box = Box(x0, y0, x1 - x0, y1 - y0)
    factor = _factor_of(box)
    shown = _shrunk_by(attempt_rgb[y0:y1, x0:x1], factor)
    blocks = max(1, math.floor(factor / placement.scale))
    rest = placement.scale * blocks / factor
    to_pair = np.array(
        [
            [rest, 0.0, (left - x0) / factor + 0.5 * rest - 0.5],
            [0.0, rest, (top - y0) / factor + 0.5 * rest - 0.5],
        ]
    )
    small = _shrunk_by(in_whole_blocks(product.rgba, blocks), blocks)
    laid = cv2.warpAffine(small, to_pair, shown.shape[1::-1], flags=cv2.INTER_CUBIC)
    return _pair(shown, np.asarray(laid, dtype=np.uint8), box, factor)


def structure_of(pair: Pair) -> Structure | None:
    """Return how well contrast and structure (SSIM, Wang et al. 2004) and fine texture agree in the worst of 7 x 7
    cells over the product; None when too little of it is solid. Pixels that were kept need no comparing."""
    if _kept(pair):
        return Structure(1.0, 1.0, pair.box)
    solid = cv2.erode(pair.solid, np.ones((_WINDOW_PX, _WINDOW_PX), np.uint8), borderValue=0).astype(np.float32)
    like = _structure_map(_grey(pair.shown), _grey(pair.wanted))
    cells = []
    planes = [like * solid, *(_fine_contrast(rgb) * solid for rgb in (pair.shown, pair.wanted))]
    for cell in _cells_of(solid.shape):
        share = float(solid[cell].sum())
        if share > 0.0 and share >= _MIN_CELL_SHARE * solid[cell].size:
            likeness, shown, wanted = (float(plane[cell].sum()) / share for plane in planes)
            cells.append((likeness, shown, wanted, cell))
    if not cells:
        return None
    worst, _, _, where = min(cells, key=lambda cell: cell[0])
    kept = [(shown + _FINE_NOISE) / (wanted + _FINE_NOISE) for _, shown, wanted, _ in cells]
    texture = float(np.quantile(kept, _FINE_QUANTILE))
    faded = 1.0 - _FINE_COST * max(0.0, _FINE_KEPT - texture)
    if faded < worst:
        where = cells[int(np.argmin(kept))][3]
    return Structure(max(0.0, min(worst, faded)), texture, _in_picture(pair, where))


def colour_of(pair: Pair) -> Colour | None:
    """Return how far the product's colours are off, over cells of 16 px; None when too little of it is solid."""
    if _kept(pair):
        return Colour(0.0, 0.0, 1.0)
    solid = cv2.erode(pair.solid, np.ones((5, 5), np.uint8), borderValue=0)
    shown, wanted, places = _cell_means(pair, np.asarray(solid, dtype=np.uint8))
    if len(shown) == 0:
        return None
    lit = np.clip(wanted * _light(shown, wanted, places), 0, 255).astype(np.float32)
    seen, meant = lab_of(shown), lab_of(lit)
    off = delta_e(seen, meant)
    value = max(float(np.quantile(off, _COLOUR_QUANTILE)), _PATCH_WEIGHT * float(np.quantile(off, _PATCH_QUANTILE)))
    return Colour(value, *_turned(seen, meant))


# ---------------------------------------------------------------- structure


def _shrunk_by(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return means over factor x factor blocks, the remainder at the lower right left out (a whole factor is fast)."""
    height, width = max(1, pixels.shape[0] // factor), max(1, pixels.shape[1] // factor)
    whole = pixels[: height * factor, : width * factor]
    if factor == 1:
        return np.ascontiguousarray(whole)
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _grey(rgb: Rgb) -> Floats:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def _fine_contrast(rgb: Rgb) -> Floats:
    """Return what a small Gaussian takes away, squared, the mean of the channels: a turned hue keeps it."""
    fine = cv2.absdiff(rgb, cv2.GaussianBlur(rgb, (0, 0), _FINE_PX))
    squared = cv2.multiply(fine, fine, dtype=cv2.CV_32F)
    return np.asarray(cv2.transform(squared, np.full((1, 3), 1 / 3, np.float32)), dtype=np.float32)


def _structure_map(first: Floats, second: Floats) -> Floats:
    shape = (_WINDOW_PX, _WINDOW_PX)
    # float32 keeps its digits when the mean is small
    a, b = (cv2.GaussianBlur(plane - np.float32(128.0), (0, 0), _SOFT_PX) for plane in (first, second))
    m1, m2 = cv2.blur(a, shape), cv2.blur(b, shape)
    v1, v2 = cv2.blur(a * a, shape) - m1 * m1, cv2.blur(b * b, shape) - m2 * m2
    both = cv2.blur(a * b, shape) - m1 * m2
    return np.asarray((2 * both + _C2) / (v1 + v2 + _C2), dtype=np.float32)


def _kept(pair: Pair) -> bool:
    """Tell whether the picture shows the wanted pixels themselves wherever the product is solid."""
    if int(cv2.countNonZero(pair.solid)) < _LEAST_KEPT * pair.solid.size:
        return False
    return int(cv2.copyTo(cv2.absdiff(pair.shown, pair.wanted), pair.solid).max()) <= _KEPT_LEVELS


def _cells_of(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    rows, columns = (np.linspace(0, side, _CELLS + 1).astype(int) for side in shape[:2])
    return [
        (slice(top, bottom), slice(left, right))
        for top, bottom in itertools.pairwise(rows.tolist())
        for left, right in itertools.pairwise(columns.tolist())
    ]


def _in_picture(pair: Pair, cell: tuple[slice, slice]) -> Box:
    rows, columns = cell
    return Box(
        pair.box.x_px + pair.factor * int(columns.start),
        pair.box.y_px + pair.factor * int(rows.start),
        pair.factor * int(columns.stop - columns.start),
        pair.factor * int(rows.stop - rows.start),
    )


# ---------------------------------------------------------------- colour


def _cell_means(pair: Pair, solid: Plane) -> tuple[Floats, Floats, Floats]:
    """Return mean colours (n, 3) of the cells that the product covers, shown and wanted, and where they lie, -1..1."""
    height, width = solid.shape
    size = (max(1, width // _COLOUR_CELL_PX), max(1, height // _COLOUR_CELL_PX))
    weight = cv2.resize(solid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    known = weight >= _MIN_CELL_SHARE

    def means(rgb: Rgb) -> Floats:
        total = cv2.resize(cv2.copyTo(rgb, solid).astype(np.float32), size, interpolation=cv2.INTER_AREA)
        return np.asarray(total[known] / weight[known][:, None], dtype=np.float32)

    rows, columns = np.nonzero(known)
    places = np.stack([2 * (columns + 0.5) / size[0] - 1, 2 * (rows + 0.5) / size[1] - 1], axis=1)
    return means(pair.shown), means(pair.wanted), places.astype(np.float32)


def _light(shown: Floats, wanted: Floats, places: Floats) -> NDArray[Any]:
    """Return (n, 3) factors that a lamp may have put on the wanted colours: gain, its slope, warmth; all bounded.

    Channels that are clipped or nearly black say nothing of the light and have no vote.
    """
    votes = ((shown < _LIGHTEST) & (wanted > _DARKEST) & (wanted < _LIGHTEST)).astype(np.float64)
    if votes.sum() < 6:
        return np.ones_like(wanted)
    ratio = np.log(np.maximum(shown, 1.0) / np.maximum(wanted, 1.0))
    terms = np.concatenate([np.ones((len(places), 1)), places], axis=1)[:, None, :].repeat(3, axis=1)
    terms = np.concatenate([terms, np.broadcast_to(_WARM, ratio.shape)[..., None]], axis=2).reshape(-1, 4)
    sample, weight = ratio.reshape(-1), votes.reshape(-1) * np.sqrt(np.maximum(wanted, 1.0)).reshape(-1)
    held = np.diag([1e-6, 0.02, 0.02, 0.02]) * weight.sum()  # a light that is not needed is not lit
    fitted = np.zeros(4)
    fitted[0] = float(np.median(sample[votes.reshape(-1) > 0]))
    for _ in range(4):
        off = sample - terms @ fitted
        near = weight / (1.0 + np.square(off / 0.06))
        fitted = np.linalg.solve((terms * near[:, None]).T @ terms + held, (terms * near[:, None]).T @ sample)
    low, high = np.log(_GAINS[0]), np.log(_GAINS[1])
    fitted = np.clip(fitted, (low, -_SLOPE, -_SLOPE, -_WARMTH), (high, _SLOPE, _SLOPE, _WARMTH))
    return np.exp((terms @ fitted).reshape(-1, 3))


def _turned(seen: Lab, meant: Lab) -> tuple[float, float]:
    """Return (degrees the hue was turned, chroma seen over chroma meant), each weighted by chroma; (0, 1) for greys."""
    first, second = meant[:, 1] + 1j * meant[:, 2], seen[:, 1] + 1j * seen[:, 2]
    chroma = np.abs(first)
    if float(chroma.mean()) < _HUE_CHROMA:
        return 0.0, 1.0
    turn = np.angle((second * np.conj(first)).sum(), deg=True)
    return float(turn), float(np.abs(second).sum() / chroma.sum())
