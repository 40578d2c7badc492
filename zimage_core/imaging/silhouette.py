"""Which pixels are product: everything that the backdrop, known as a surface, does not explain.

Backdrop is what looks like it *and* can be reached from the border, so white labels and highlights inside the product
stay; what is enclosed must prove itself (`openings`, `see_through`), and so must a shadow (`soft_shadow`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from zimage_core.imaging.backdrop import Backdrop, contrast_with, refine
from zimage_core.imaging.openings import find_openings
from zimage_core.imaging.pixels import Plane, Rgb
from zimage_core.imaging.regions import Seen, as_plane, grown, reached_from_border, seeds_of, shrunk, widely_reached
from zimage_core.imaging.rim import beyond_first_edge
from zimage_core.imaging.see_through import shaded_openings
from zimage_core.imaging.soft_shadow import Bends, bends_of, soft_shadow, up_to_the_edge

_RINGING_RATIO: Final = 0.10
"""JPEG rings with up to 10 % of an edge's height within a block of it (measured: q87 4:2:0 4 %, q75 8 %)."""
_HELD_RATIO: Final = 0.04
"""... and with up to 4 % on average over 7 px."""
_CHROMA_REACH_PX: Final = 33
_CHROMA_LIGHTNESS: Final = 2
"""Colour at half resolution (4:2:0) rings up to 16 px from an edge; beyond 8 its lightness moves 2 levels at most."""
_SHADOW_ROUNDS: Final = 3
_OPENING_ROUNDS: Final = 5
_MIN_SPECK_PX: Final = 48
_SPECK_RATIO: Final = 0.0004


@dataclass(frozen=True, slots=True, eq=False)
class Silhouette(Seen):
    """The product's mask, (H, W) uint8, 1 = product or its edge, with what it was seen against, refined.

    `pieces_px` are the areas of its separate pieces, largest first. `shadow_px` of soft shadow were taken away,
    `hole_px` are enclosed openings, `doubtful_px` are enclosed areas that look like the backdrop but were kept.
    """

    mask: Plane
    pieces_px: tuple[int, ...]
    shadow_px: int
    hole_px: int
    doubtful_px: int


def find_silhouette(rgb: Rgb, backdrop: Backdrop) -> Silhouette:
    """Return the mask of what stands in front of a plain backdrop. Never fails: an empty mask is an answer."""
    calm, noise = _calmed(rgb, backdrop.noise)
    limit = int(np.ceil(max(4.0, 4.0 * noise + 2.0)))
    seen = Seen(calm, backdrop, contrast_with(calm, backdrop.surface), noise, limit)
    bends = bends_of(seen)
    seen, outside, shadow = _without_shadows(rgb, seen, bends)
    seen, through = _with_openings(rgb, seen, outside, bends)
    seeds, followed = seeds_of(through), as_plane(cv2.max(shadow, through))
    if followed.any():
        backdrop, outside = up_to_the_edge(seen, as_plane(cv2.max(outside, through)), followed, seeds)
        seen = _against(seen, backdrop)
    like = as_plane(cv2.max(_like_backdrop(seen), shrunk(outside, 5)))
    reached = reached_from_border(like, seeds)
    outside = widely_reached(reached, seeds)
    holes, hole_px, doubtful_px = find_openings(seen, outside, reached, like)
    mask = as_plane(1 - cv2.max(outside, holes))
    mask = as_plane(cv2.subtract(mask, beyond_first_edge(mask, seen, followed)))
    mask, pieces_px = _without_specks(mask)
    hole_px += cv2.countNonZero(cv2.bitwise_and(through, as_plane(1 - mask)))
    return Silhouette(
        calm, seen.backdrop, seen.contrast, noise, limit, mask, pieces_px, int(shadow.sum()), hole_px, doubtful_px
    )


def _against(seen: Seen, backdrop: Backdrop) -> Seen:
    """Return the photo seen against what is better known of its backdrop."""
    return Seen(seen.calm, backdrop, contrast_with(seen.calm, backdrop.surface), seen.noise, seen.limit)


def _without_shadows(rgb: Rgb, seen: Seen, bends: Bends) -> tuple[Seen, Plane, Plane]:
    """Return the photo against a backdrop that holds its soft shadows, where it is in view, and where a shadow is.

    First what is reached widely; then, from there, what is left in the corners.
    """
    outside = reached_from_border(_like_backdrop(seen))
    shadow = np.zeros_like(outside)
    for turn in range(_SHADOW_ROUNDS):
        more = soft_shadow(seen, outside, bends, wide=turn == 0)
        if turn and not more.any():
            break
        shadow, outside = as_plane(cv2.max(shadow, more)), as_plane(cv2.max(outside, more))
        seen = _against(seen, refine(rgb, seen.backdrop, grown(1 - outside, 5)))
        outside = as_plane(cv2.max(outside, reached_from_border(as_plane(cv2.max(outside, _like_backdrop(seen))))))
    return seen, outside, shadow


def _with_openings(rgb: Rgb, seen: Seen, outside: Plane, bends: Bends) -> tuple[Seen, Plane]:
    """Return the photo against the backdrop as openings show it too, and these openings; each round knows it better."""
    through = np.zeros_like(outside)
    for turn in range(_OPENING_ROUNDS):
        known = as_plane(cv2.max(outside, through))
        more = shaded_openings(seen, known, bends, beside_others=turn > 0)
        if not more.any():
            break
        through = as_plane(cv2.max(through, more))
        seen = _against(seen, refine(rgb, seen.backdrop, grown(as_plane(1 - cv2.max(outside, through)), 5)))
    return seen, through


def _calmed(rgb: Rgb, noise: float) -> tuple[Rgb, float]:
    """Return the photo with its grain smoothed, and the grain left: white noise falls to 1 / (2 sqrt(pi) sigma) under
    a Gaussian; JPEG leaves it correlated, so a third is reckoned with."""
    if noise < 1.2:
        return rgb, noise
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 1.2), dtype=np.uint8), noise / 3.0


def _like_backdrop(seen: Seen) -> Plane:
    """Return 1 where contrast is below the limit, or is what JPEG leaves around a strong edge.

    Within a block of an edge ten times as high, weak contrast counts as product only where it holds on average over
    7 px, the strong pixels left out: pale glass beside a black line does, ringing does not. The same average finds
    what grain hides from the limit on single pixels.
    """
    contrast, limit = _without_colour_ringing(seen), seen.limit
    around = grown(contrast, 17)
    strong = (contrast > np.maximum(around * np.float32(_RINGING_RATIO), np.float32(limit))).astype(np.uint8)
    rest = (contrast * (1 - strong)).astype(np.float32)
    share = cv2.blur((1 - strong) * np.uint8(255), (7, 7)).astype(np.float32) * np.float32(1 / 255)
    average = cv2.blur(rest, (7, 7)) / np.maximum(share, np.float32(0.1))
    held = min(float(limit), max(4.0, 2.5 * seen.noise + 2.5))
    weak = average > np.maximum(around * np.float32(_HELD_RATIO), held)
    return np.asarray((strong == 0) & ~weak, dtype=np.uint8)


def _without_colour_ringing(seen: Seen) -> Plane:
    """Return the contrast (H, W), 0 where it is what JPEG's halved colours leave around a ten times stronger colour.

    What is within the limit stays: it is only counted on average, as a pale product's is.
    """
    grey, surface = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) for rgb in (seen.calm, seen.backdrop.surface))
    lightness = cv2.absdiff(grey, surface)
    colour = as_plane(cv2.subtract(seen.contrast, lightness))
    ringing = ((lightness <= _CHROMA_LIGHTNESS) & (seen.contrast > seen.limit)).astype(np.uint8)
    ringing &= (colour <= grown(colour, _CHROMA_REACH_PX) * np.float32(_RINGING_RATIO)).astype(np.uint8)
    return as_plane(seen.contrast * (1 - ringing))


def _without_specks(mask: Plane) -> tuple[Plane, tuple[int, ...]]:
    """Drop dust, pieces that are tiny by themselves and beside the largest one; return the areas of the others too."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    keep = areas >= max(_MIN_SPECK_PX, _SPECK_RATIO * int(areas.max()))
    kept = tuple(sorted((int(area) for area in areas[keep]), reverse=True))
    return (mask if keep[1:].all() else as_plane(keep[labels])), kept
