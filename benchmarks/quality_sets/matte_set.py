"""Photos with their true mattes, as they are and as poor photographers take them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.quality_sets import damage
from benchmarks.quality_sets.photo_set import ProductPhoto, photos
from zimage_core.imaging.pixels import Plane, Rgb

Rng = np.random.Generator
UNFIT = ("faded", "busy_backdrop", "cropped", "hard_shadow")


@dataclass(frozen=True, slots=True, eq=False)
class MatteCase:
    """A photo and its true matte. `condition` is "as_is", or what makes it unfit; `opaque`: neither glass nor unfit."""

    photo: str
    kind: str
    tone: str
    ground: str
    condition: str
    traits: frozenset[str]
    rgb: Rgb
    alpha: Plane

    @property
    def opaque(self) -> bool:
        """Tell whether the cut-out must be exact: a fit photo of a solid product."""
        return self.condition == "as_is" and "glass" not in self.traits


def mattes(seed: str = "B", count: int | None = None) -> Iterator[MatteCase]:
    """Yield each photo as it is, and every third one in each unfit condition as well."""
    for number, base in enumerate(photos(seed, count)):
        yield from cases_of(base, number)


def cases_of(base: ProductPhoto, number: int) -> Iterator[MatteCase]:
    """Yield the cases of one photo."""
    yield MatteCase(base.name, base.kind, base.tone, base.ground, "as_is", base.traits, base.rgb, base.alpha)
    if number % 3 == 0:
        for k, condition in enumerate(UNFIT):
            rng = np.random.default_rng([number, k])
            rgb, alpha = _unfit(condition, base, rng)
            yield MatteCase(base.name, base.kind, base.tone, base.ground, condition, base.traits, rgb, alpha)


def _unfit(condition: str, base: ProductPhoto, rng: Rng) -> tuple[Rgb, Plane]:
    rgb, alpha = base.rgb, base.alpha
    if condition == "faded":
        return damage.exposed(rgb, float(rng.uniform(1.35, 1.9))), alpha
    if condition == "cropped":
        rows, columns = np.flatnonzero(alpha.max(axis=1)), np.flatnonzero(alpha.max(axis=0))
        top = int(rows[0] + 0.25 * (rows[-1] - rows[0]))
        right = int(columns[-1] - 0.2 * (columns[-1] - columns[0]))
        return np.ascontiguousarray(rgb[top:, :right]), np.ascontiguousarray(alpha[top:, :right])
    share = (alpha.astype(np.float32) / 255)[..., None]
    if condition == "busy_backdrop":
        coarse = rng.integers(40, 230, (9, 9, 3)).astype(np.float32)
        ground = cv2.resize(coarse, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        ground = ground + 18 * rng.standard_normal((*rgb.shape[:2], 1))
        return np.clip(np.rint(base.product_rgb * share + ground * (1 - share)), 0, 255).astype(np.uint8), alpha
    reach = 0.12 * max(rgb.shape[:2])
    move = np.float32([[1, 0, reach], [0, 1, 0.35 * reach]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(share[..., 0], move, rgb.shape[1::-1]), (0, 0), 1.5)
    dark = rgb * (1 - 0.6 * shadow[..., None] * (1 - share))
    return np.clip(np.rint(dark), 0, 255).astype(np.uint8), alpha
