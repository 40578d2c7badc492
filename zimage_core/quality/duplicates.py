"""Near-duplicates: is this the same picture, or the same product photo, a second time?

Signatures (signatures.py) are compared by what light, JPEG, size and a slightly wider matte change little, and another
colour, print, outline or product changes a lot:

    outline     share of the covered area that only one of them covers; difference of the bounding boxes' proportions
    tone        difference of the mean lightness, which relighting moves
    hue         difference of the mean chroma (a*, b*), which a colour variant moves
    structure   what is left of lightness after one gain, of chroma after one offset: overall and in the worst blocks
    edges       1 - correlation of the gradients of lightness, damped so that noise alone correlates with nothing: two
                plain white shirts differ in nothing else

Each difference is divided by its limit; the largest quotient is the distance, and two are near at 1.0 or less. The
limits were fitted on the modelled photos of benchmarks/quality_sets, for products on seed A but for the edges of plain
things (B), for whole pictures on all seeds; docs/policy.md has the figures, 2026-11-21.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zimage_core.quality.same_view import same_view_distance
from zimage_core.quality.signatures import (
    FINE_SIDE,
    SIDE,
    SIGNATURE_VERSION,
    Cells,
    Floats,
    Rows,
    read_cells,
    signature_of,
)

__all__ = [
    "NEAR",
    "SIGNATURE_VERSION",
    "Cells",
    "backdrop_distance",
    "most_alike_backdrops",
    "picture_distance",
    "product_distance",
    "read_cells",
    "repeat_distance",
    "signature_of",
]

NEAR: Final = 1.0
"""Distances up to this one mean: the same again."""

PROPORTIONS, TONE, HUE = 0.07, 7.5, 5.0
_LIMITS: Final = np.array([0.14, PROPORTIONS, TONE, HUE, 2.8, 2.6, 6.0, 5.5], dtype=np.float32)
"""outline, proportions (ln), tone (L*), hue (a*b*), structure of L* and of a*b*, the two in the worst blocks."""

_PICTURE_LIMITS: Final = np.array([1.0, PROPORTIONS, TONE, 2.0, 3.0, 2.8, 6.2, 7.2], dtype=np.float32)
"""For whole pictures: a product is only a part of one, so that what moves it moves the mean less."""

_BACKDROP_LIMITS: Final = np.array([1.0, PROPORTIONS, 4.0, 2.7, 2.1, 1.6, 5.4, 4.0], dtype=np.float32)
"""For backdrops, which are far smoother than products: less is a difference one sees."""

_EDGES, _PICTURE_EDGES = 0.65, 0.4
"""1 - correlation of gradients, of products and of whole pictures."""

_LOCAL: Final = (np.float32(5.0), np.float32(11.0))
"""L* and a*b* of the four cells of a whole picture that differ most."""

_MARGIN: Final = 0.02
_MOVED: Final = 0.25
"""Share of what either product covers that only one of them covers: beyond, it stands elsewhere in the frame."""

_GAINS: Final = (np.float32(0.75), np.float32(1.33))
_BLOCK: Final = 4
_WORST_BLOCKS: Final = 3
_FILLED_BLOCK: Final = 6.0
"""Cells of a 4 x 4 block that must be covered for the block to be asked for its worst."""
_LEAST_BACKDROP: Final = 25.0
"""Cells of backdrop that two pictures must have in common to be compared by it, of 256."""
_UNCOVERED: Final = 0.03
"""A cell that holds more of a product than this does not show the backdrop's colour."""
_LEADERS: Final = 60
PAIRS_AT_ONCE: Final = 1024
_NOISE_GRADIENT: Final = 0.3
"""L* per point: gradients as weak as this are halved in the correlation of edges; JPEG and grain reach it."""
_LEAST_POINTS: Final = 60.0
"""Fewer points inside, as in spectacles, say nothing of edges."""
_FLAT, _FAINT = 1.1, 3.0
"""Power of gradients, in that of noise, up to which there are no edges to compare: a plain thing in one tone; and up to
which faint ones are not asked where form is equal but for `_ALL_BUT_EQUAL` of the limits: all but tone and hue, which
JPEG moves by half of theirs where it smooths leather's grain away."""
_ALL_BUT_EQUAL: Final = 0.35
_OF_LIGHT: Final = (2, 3)
"""Where tone and hue stand among the limits."""
_WORTH_A_LOOK: Final = 4.2
"""Distance of whole pictures up to which the second look is taken: two seeds of one stage reach 3.4."""
_INSIDE: Final = 0.95


# ---------------------------------------------------------------- distances


def product_distance(one: Cells, other: Cells) -> Floats:
    """Return how far products are apart, pair by pair, (n,); 1.0 and less is near. Give the cells of product codes."""
    first, second = one.cover(), other.cover()
    union = np.maximum(np.maximum(first, second).sum(axis=(1, 2)), np.float32(1e-6))
    outline = np.abs(first - second).sum(axis=(1, 2)) / union
    return _distance(one, other, np.minimum(first, second), outline, _LIMITS)


def picture_distance(one: Cells, other: Cells) -> Floats:
    """Return how far whole pictures are apart, whatever is in them, (n,). Give the cells of picture codes.

    The nearest of three: as they are, and with the middle of either enlarged, as a copy with its margin cut off is. The
    few that come near to it are looked at again (same_view.py): another seed's view of one stage is found there, and
    what differs in hue along its edges is told apart. Beyond `_WORTH_A_LOOK` the distance is at least what is returned:
    what is that far as a whole is not asked for its cells.
    """
    everything, nothing = np.ones(one.planes.shape[:3], np.float32), np.zeros(len(one), np.float32)
    pairs = ((one, other), (_enlarged(one), other), (one, _enlarged(other)))
    found = [_distance(*pair, everything, nothing, _PICTURE_LIMITS, edges=_PICTURE_EDGES) for pair in pairs]
    for far, (first, second) in zip(found, pairs, strict=True):
        rows = np.flatnonzero(far <= _WORTH_A_LOOK)
        if len(rows):
            far[rows] = np.maximum(far[rows], _local_distance(first.take(rows), second.take(rows)))
    far = np.asarray(np.minimum.reduce(found), dtype=np.float32)
    rows = np.flatnonzero(far <= _WORTH_A_LOOK)
    if len(rows):
        view, hue = same_view_distance(one.take(rows), other.take(rows))
        far[rows] = np.minimum(np.maximum(far[rows], hue), view)
    return far


def _local_distance(one: Cells, other: Cells) -> Floats:
    """Return how far the four cells are apart that differ most, (n,): a thin product changes little of its picture."""
    lightness = [_blurred(_blurred(cells.fine.astype(np.float32) / np.float32(2.55), 1), 2) for cells in (one, other)]
    first, second = (plane - plane.mean(axis=(1, 2), keepdims=True) for plane in lightness)
    both, power = (first * second).sum(axis=(1, 2)), (second * second).sum(axis=(1, 2))
    gain = np.clip(both / np.maximum(power, np.float32(1e-3)), *_GAINS)
    left = np.abs(first - gain[:, None, None] * second)
    step = FINE_SIDE // SIDE
    tone = left.reshape(-1, SIDE, step, SIDE, step).mean(axis=(2, 4)).reshape(-1, SIDE * SIDE)
    chroma = one.lab()[..., 1:] - other.lab()[..., 1:]
    chroma -= chroma.mean(axis=(1, 2), keepdims=True)
    hue = np.hypot(chroma[..., 0], chroma[..., 1]).reshape(-1, SIDE * SIDE)
    worst = [np.partition(plane, -4, axis=1)[:, -4:].mean(axis=1) for plane in (tone, hue)]
    return np.asarray(np.maximum(worst[0] / _LOCAL[0], worst[1] / _LOCAL[1]), dtype=np.float32)


def _enlarged(cells: Cells) -> Cells:
    """Return the same signatures of the pictures' middles: a margin of 2 % is cut off on all sides."""
    coarse, fine = (_sampling(side) for side in (SIDE, FINE_SIDE))
    planes = np.einsum("ri,cj,nijk->nrck", coarse, coarse, cells.planes.astype(np.float32), optimize=True)
    points = np.einsum("ri,cj,nij->nrc", fine, fine, cells.fine.astype(np.float32), optimize=True)
    return Cells(np.rint(planes).astype(np.uint8), np.rint(points).astype(np.uint8), cells.proportions, cells.detail)


@lru_cache(maxsize=2)
def _sampling(side: int) -> Floats:
    """Return the linear interpolation of `side` cells at as many points of the middle, (side, side) float32."""
    at = ((np.arange(side) + 0.5) / side - 0.5) * (1.0 - 2.0 * _MARGIN) * side + (side - 1) / 2.0
    left = np.clip(np.floor(at), 0, side - 2).astype(np.intp)
    rows = np.zeros((side, side), np.float32)
    rows[np.arange(side), left] = 1.0 - (at - left)
    rows[np.arange(side), left + 1] = at - left
    return rows


def backdrop_distance(one: Cells, other: Cells) -> Floats:
    """Return how far what stands around the products is apart, pair by pair, (n,); inf with too little in common.

    Give the cells of picture codes: what either product covers is left out.
    """
    free = (np.maximum(one.cover(), other.cover()) <= _UNCOVERED).astype(np.float32)
    quotients = _distance(one, other, free, np.zeros(len(one), np.float32), _BACKDROP_LIMITS, edges=None)
    return np.where(free.sum(axis=(1, 2)) >= _LEAST_BACKDROP, quotients, np.float32(np.inf)).astype(np.float32)


def most_alike_backdrops(cells: Cells) -> Rows:
    """Return the rows of the largest group of pictures that share nearly one backdrop, lowest first.

    A group is what is near to one of its pictures; as many are asked as it takes to find any group of a twentieth of
    the pictures. Give the cells of picture codes.
    """
    best = np.empty(0, dtype=np.intp)
    for leader in np.unique(np.linspace(0, len(cells) - 1, min(len(cells), _LEADERS)).astype(np.intp)):
        near: list[Rows] = []
        for start in range(0, len(cells), PAIRS_AT_ONCE):
            rows = np.arange(start, min(start + PAIRS_AT_ONCE, len(cells)), dtype=np.intp)
            asked = cells.take(np.full(len(rows), leader, dtype=np.intp))
            near.append(rows[backdrop_distance(asked, cells.take(rows)) <= NEAR])
        group = np.concatenate(near)
        best = group if len(group) > len(best) else best
    return best


def repeat_distance(one: Cells, other: Cells) -> Floats:
    """Return how far pictures of one product are apart, (n,): its place in the frame, and what stands around it.

    Near as whole pictures is near as well, and all that is asked where the product's place is unknown in both. Give the
    cells of picture codes.
    """
    first, second = one.cover(), other.cover()
    union = np.maximum(first, second).sum(axis=(1, 2))
    moved = np.abs(first - second).sum(axis=(1, 2)) / np.maximum(union, np.float32(1e-6)) / np.float32(_MOVED)
    known = np.maximum(moved, backdrop_distance(one, other))
    whole = picture_distance(one, other)
    return np.where(union > 0.0, np.minimum(known, whole), whole).astype(np.float32)


def _distance(
    one: Cells, other: Cells, weight: Floats, outline: Floats, limits: Floats, *, edges: float | None = _EDGES
) -> Floats:
    """Return the largest quotient of difference and limit of each pair, (n,). Edges are asked only of what is near."""
    proportions = np.abs(one.proportions - other.proportions)
    differences = [outline, proportions, *_differences(one.lab(), other.lab(), weight)]
    quotients = np.stack(differences, axis=1) / limits
    found = np.asarray(quotients.max(axis=1), dtype=np.float32)
    left = np.flatnonzero(found <= NEAR)
    if edges is not None and len(left):
        form = np.delete(quotients[left], _OF_LIGHT, axis=1).max(axis=1)
        faint = np.where(form <= _ALL_BUT_EQUAL, np.float32(_FAINT), np.float32(_FLAT))
        apart = np.float32(1.0) - _edges_alike(one.fine[left], other.fine[left], weight[left], faint)
        found[left] = np.maximum(found[left], apart / np.float32(edges))
    return found


def _differences(one: Floats, other: Floats, weight: Floats) -> list[Floats]:
    """Return tone, hue, structure of L* and a*b*, and the worst blocks' of both, each (n,), in the units of Lab."""
    total = np.maximum(weight.sum(axis=(1, 2)), np.float32(1e-6))
    share = weight / total[:, None, None]
    means = [np.einsum("nij,nijc->nc", share, lab) for lab in (one, other)]
    first, second = (lab - mean[:, None, None, :] for lab, mean in zip((one, other), means, strict=True))
    spread = [np.einsum("nij,nij->n", share, lab[..., 0] ** 2) for lab in (first, second)]
    gain = np.clip(np.sqrt((spread[0] + 1.0) / (spread[1] + 1.0)), *_GAINS)
    left_tone = np.abs(first[..., 0] - gain[:, None, None] * second[..., 0])
    left_hue = np.hypot(first[..., 1] - second[..., 1], first[..., 2] - second[..., 2])
    moved = means[0] - means[1]
    return [
        np.abs(moved[:, 0]),
        np.hypot(moved[:, 1], moved[:, 2]),
        np.einsum("nij,nij->n", share, left_tone),
        np.einsum("nij,nij->n", share, left_hue),
        _worst(left_tone, weight),
        _worst(left_hue, weight),
    ]


def _edges_alike(one: NDArray[np.uint8], other: NDArray[np.uint8], weight: Floats, faint: Floats) -> Floats:
    """Return the damped correlation of the gradients of L*, (n,) -1..1, well inside both: rims always agree.

    1.0 where there are too few points, or gradients no stronger than `faint` (n,) times noise in one of the two.
    """
    inside = (weight > _INSIDE).astype(np.uint8)
    times = FINE_SIDE // SIDE
    gradients = []
    for fine in (one, other):
        lightness = fine.astype(np.float32) / np.float32(2.55)
        lightness = _blurred(_blurred(lightness, 1), 2)
        across = (lightness[:, 1:-1, 2:] - lightness[:, 1:-1, :-2]) / np.float32(2.0)
        down = (lightness[:, 2:, 1:-1] - lightness[:, :-2, 1:-1]) / np.float32(2.0)
        gradients.append(np.stack([across, down], axis=1))
    counted = np.repeat(np.repeat(_core(inside), times, axis=1), times, axis=2)[:, None, 1:-1, 1:-1].astype(np.float32)
    first, second = gradients
    damping = np.float32(_NOISE_GRADIENT**2) * counted.sum(axis=(1, 2, 3)) * np.float32(2.0)
    powers = [np.einsum("ncij,ncij,ndij->n", g, g, counted) + damping for g in gradients]
    together = np.einsum("ncij,ncij,ndij->n", first, second, counted)
    alike = together / np.sqrt(np.maximum(powers[0] * powers[1], np.float32(1e-12)))
    says = (counted.sum(axis=(1, 2, 3)) >= _LEAST_POINTS) & (np.minimum(*powers) > damping * faint)
    return np.where(says, alike, np.float32(1.0)).astype(np.float32)


def _blurred(lightness: Floats, axis: int) -> Floats:
    """Return (1, 2, 1) / 4 along an axis, edges repeated: about a Gaussian of 0.7 points."""
    pads = [(0, 0)] * 3
    pads[axis] = (1, 1)
    padded = np.pad(lightness, pads, mode="edge")
    size = lightness.shape[axis]
    before, here, after = (np.take(padded, range(start, start + size), axis=axis) for start in range(3))
    return np.asarray((before + np.float32(2.0) * here + after) / np.float32(4.0), dtype=np.float32)


def _core(inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return which cells have their four neighbours inside as well, (n, 16, 16); the border of the raster is inside."""
    padded = np.pad(inside, ((0, 0), (1, 1), (1, 1)), mode="constant", constant_values=1)
    beside = (padded[:, 2:, 1:-1], padded[:, :-2, 1:-1], padded[:, 1:-1, 2:], padded[:, 1:-1, :-2])
    return np.asarray(np.minimum.reduce([inside, *beside]), dtype=np.uint8)


def _worst(left: Floats, weight: Floats) -> Floats:
    """Return the mean of the three worst blocks of 4 x 4 cells of each pair, (n,): a label fills few of them."""
    blocks = SIDE // _BLOCK
    shape = (-1, blocks, _BLOCK, blocks, _BLOCK)
    filled = weight.reshape(shape).sum(axis=(2, 4))
    mean = (left * weight).reshape(shape).sum(axis=(2, 4)) / np.maximum(filled, np.float32(1e-6))
    mean = np.where(filled >= _FILLED_BLOCK, mean, np.float32(0.0)).reshape(-1, blocks * blocks)
    return np.asarray(np.partition(mean, -_WORST_BLOCKS, axis=1)[:, -_WORST_BLOCKS:].mean(axis=1), dtype=np.float32)
