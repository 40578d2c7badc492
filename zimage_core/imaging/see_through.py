"""Openings with a shadow in them: the backdrop between the spokes of a wheel, inside a chain, behind a chair's back.

What is enclosed must prove that it is backdrop and not a label, a highlight or clear glass: it has the backdrop's hue
to a level or two, agrees with it in brightness, with the shadow seen around the product or without it, is nowhere
brighter, and ends at an edge all around. Before a coloured backdrop the hue proves much, before a grey or white one
little, and before one that is clipped at white, as highlights and print are too, only a large opening is believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.openings import CLIPPED_HOLE_RATIO, CLIPPED_LEVEL
from zimage_core.imaging.pixels import Float, Plane
from zimage_core.imaging.regions import Seen, around, as_plane, grown
from zimage_core.imaging.soft_shadow import Bends, ratio_range

_MIN_AREA_PX: Final = 24
_DARKEST: Final = 60
_BRIGHTEST: Final = 240
"""Of 200, the backdrop's own brightness: what may be looked at."""
_CHROMATIC_LEVELS: Final = 24
"""Between the channels of a backdrop whose hue can be recognised."""
_HUE_LEVELS: Final = 2.0
_SURE_HUE_LEVELS: Final = 2.5
"""How far the mean hue may be off; measured: openings 0.0 to 1.4, 1.8 where JPEG is coarse."""
_UNSURE_RATIO: Final = 0.08
"""Of what the backdrop changes over the whole photo: so far it may be wrong behind the product."""
_AGREES: Final = 0.35
_AGREES_BY_HUE: Final = 0.05
_AGREES_BESIDE: Final = 0.05
_SHADED: Final = 170
"""Of 200: beside openings already found, one that is wholly in their shadow is this bright at least."""
_CORE_RATIO: Final = 0.02
_CORE_AGREES: Final = 0.8
_SURE_AGREES: Final = 0.9
"""Further than a 50th of the photo's side from any edge a shadow has faded; glass has not."""
_BRIGHTER_RATIO: Final = 0.5
_RIM: Final = 0.7


_ALIKE: Final = (0.85, 1.08)
_ALIKE_LEVELS: Final = 3.0
_INSIDE_RATIO: Final = 0.008


@dataclass(frozen=True, slots=True)
class _Facts:
    """Of each candidate, by label: its area in px; the shares of it that agree with the backdrop, that are its core, of
    this core that agree, and that are brighter; how far its mean hue is off, in levels; the least of its channels' mean
    brightness, 200 = the backdrop's."""

    area: NDArray[np.float64]
    agrees: NDArray[np.float64]
    core: NDArray[np.float64]
    core_agrees: NDArray[np.float64]
    brighter: NDArray[np.float64]
    hue_off: NDArray[np.float64]
    darkest: NDArray[np.float64]


def shaded_openings(seen: Seen, outside: Plane, bends: Bends, *, beside_others: bool) -> Plane:
    """Return 1 where the backdrop shows through the product, partly in shadow.

    `beside_others` says that openings were found already: then a neighbour may lie wholly in their shadow.
    """
    coarse = seen.backdrop.surface[::32, ::32].reshape(-1, 3).astype(np.int16)
    unsure = _UNSURE_RATIO * float(np.ptp(coarse, axis=0).max())
    chromatic = float(np.median(np.ptp(coarse, axis=1))) >= _CHROMATIC_LEVELS
    candidates = _candidates(seen, outside, bends, chromatic)
    count, components, stats, _ = cv2.connectedComponentsWithStats(candidates, connectivity=4)
    if count == 1:
        return candidates
    labels = np.asarray(components, dtype=np.int32)
    facts = _facts(seen, candidates, labels, stats[:, cv2.CC_STAT_AREA], unsure)
    least = np.full(count, _AGREES_BY_HUE if chromatic else _AGREES)
    if beside_others:
        calm = (facts.darkest >= _SHADED) & (facts.hue_off <= 1.0 + seen.noise)
        least = np.where(calm, np.minimum(least, _AGREES_BESIDE), least)
    hue = np.where(facts.agrees >= _SURE_AGREES, _SURE_HUE_LEVELS, _HUE_LEVELS) + seen.noise
    chosen = (facts.area >= _MIN_AREA_PX) & (facts.hue_off <= hue) & (facts.agrees >= least)
    chosen &= facts.brighter <= _BRIGHTER_RATIO * facts.agrees
    if float(np.median(coarse)) >= CLIPPED_LEVEL:
        chosen &= facts.area >= CLIPPED_HOLE_RATIO * labels.size
    chosen &= (facts.core < 0.1) | (facts.core_agrees >= _CORE_AGREES)
    chosen[0] = False
    for label in np.nonzero(chosen)[0]:
        part = around(stats[label], labels.shape)
        patch = as_plane(labels[part] == label)
        rim = cv2.subtract(grown(patch, 5), patch) > 0
        chosen[label] = float(bends.edges[part][rim].mean()) >= _RIM
    return as_plane(chosen[labels])


def _candidates(seen: Seen, outside: Plane, bends: Bends, chromatic: bool) -> Plane:
    """Return 1 for what is not known to be backdrop, has about its hue and no edges; a hue alone is enough."""
    low, high = ratio_range(seen.calm, seen.backdrop.surface)
    fit = bends.smooth
    if chromatic:
        red, green, blue = cv2.split(seen.backdrop.surface)
        off = cv2.multiply(cv2.subtract(high, low), cv2.min(cv2.min(red, green), blue), scale=1 / 200)
        fit = fit | (off <= seen.limit)
    found = as_plane(fit & (low >= _DARKEST) & (high <= _BRIGHTEST) & (outside == 0))
    return as_plane(cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)))


def _facts(seen: Seen, candidates: Plane, labels: NDArray[np.int32], area_px: NDArray[Any], unsure: float) -> _Facts:
    """Return what is known of each candidate, from every other row and column of it."""
    few = (slice(None, None, 2), slice(None, None, 2))
    at = np.nonzero(candidates[few])
    owner, count = labels[few][at], area_px.size
    size = np.maximum(np.bincount(owner, minlength=count), 1).astype(np.float64)

    def share(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(owner, weights=values, minlength=count) / size, dtype=np.float64)

    own, surface, unshaded = (
        plane[few][at].astype(np.float32) for plane in (seen.calm, seen.backdrop.surface, seen.backdrop.unshaded)
    )
    tolerance = np.float32(seen.limit + unsure)
    brighter = np.any(own > np.maximum(surface, unshaded) + tolerance, axis=1)
    agrees = ~brighter & np.all(own >= np.minimum(surface, unshaded) - tolerance, axis=1)
    inner = cv2.distanceTransform(candidates, cv2.DIST_C, 3)[few][at] > _CORE_RATIO * max(labels.shape)
    ratio = np.float32(200.0) * own / np.maximum(surface, np.float32(1.0))
    mean = np.stack([share(ratio[:, channel]) for channel in range(3)], axis=1)
    core = share(inner)
    return _Facts(
        area=area_px.astype(np.float64),
        agrees=share(agrees),
        core=core,
        core_agrees=share(inner & agrees) / np.maximum(core, 1e-6),
        brighter=share(brighter),
        hue_off=np.ptp(mean, axis=1) * share(surface.min(axis=1)) / 200.0,
        darkest=mean.min(axis=1),
    )


def alike_ratio(seen: Seen, depth: Float) -> float:
    """Return the share of the product's inside that has the backdrop's own colour, a little darker or lighter.

    `depth` is that of the product's mask. Measured on made-up products: clear glass 0.8 to 0.9, white on white 0.87 and
    more, what is opaque and of another colour below 0.1 unless backdrop was left between its parts.
    """
    few = (slice(None, None, 4), slice(None, None, 4))
    inside = np.nonzero(depth[few] > _INSIDE_RATIO * max(depth.shape))
    if not inside[0].size:
        return 0.0
    shown, behind = (plane[few][inside].astype(np.float32) for plane in (seen.calm, seen.backdrop.surface))
    brightness = (shown * behind).sum(axis=1) / np.maximum((behind * behind).sum(axis=1), np.float32(1.0))
    off = np.abs(shown - brightness[:, None] * behind).max(axis=1)
    alike = (brightness > _ALIKE[0]) & (brightness < _ALIKE[1]) & (off <= _ALIKE_LEVELS + seen.noise)
    return float(alike.mean())
