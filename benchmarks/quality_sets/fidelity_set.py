"""A product in a picture beside its reference cut-out: changed as a shopper would notice, or as a good picture may."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.quality_sets import changes, damage
from benchmarks.quality_sets.photo_set import photo
from benchmarks.quality_sets.production import Shot, graded_input, library
from zimage_core.domain import Placement
from zimage_core.imaging.composite import paste_premultiplied, place_in, placed_premultiplied
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.grade import GradeInput

Rng = np.random.Generator
SIDE_PX = 1024
PRODUCT_COUNT = 40
ACCEPTED = ("same", "relit", "jpeg_80", "shifted_1", "shifted_2", "scaled_2", "relit_jpeg_shifted")
CHANGED = ("hue_20", "lab_12", "warp_4", "texture_lost", "label_scrambled", "other_product")


@dataclass(frozen=True, slots=True, eq=False)
class FidelityCase:
    """A picture of a product. `faithful` for accepted changes; `given.placement` is None where the place is unknown."""

    photo: str
    kind: str
    change: str
    faithful: bool
    placement_known: bool
    given: GradeInput


def fidelity(seed: str = "B", count: int | None = None) -> Iterator[FidelityCase]:
    """Yield every change of the first `count` products, each with the placement known and unknown."""
    for number in range(min(PRODUCT_COUNT, count if count is not None else PRODUCT_COUNT)):
        yield from cases_of(seed, number)


def cases_of(seed: str, number: int, only: Container[str] = (*ACCEPTED, *CHANGED)) -> Iterator[FidelityCase]:
    """Yield the cases of one product, of these changes only."""
    base = photo(seed, number)
    cutout = base.cutout()
    for k, change in enumerate((*ACCEPTED, *CHANGED)):
        if change not in only:
            continue
        rng = np.random.default_rng([ord(seed), number, k, 5])
        ground = _ground(np.random.default_rng([ord(seed), number]), base.tone)
        placement = place_in(cutout, SIDE_PX, SIDE_PX, float(rng.uniform(0.55, 0.72)), (0.5, 0.53))
        shown = _changed(change, cutout, rng, seed, number, placement.scale)
        if shown is None:
            continue
        at = _moved(change, placement, cutout)
        rgb = paste_premultiplied(_shaded(ground, shown, at), placed_premultiplied(shown, at, SIDE_PX, SIDE_PX))
        rgb = damage.jpeg(rgb, 80) if "jpeg" in change else rgb
        scene = library().scene("studio", base.category)
        given = graded_input(Shot(base, scene, cutout, placement, rgb), overlay=None)
        faithful = change in ACCEPTED
        yield FidelityCase(base.name, base.kind, change, faithful, True, given)
        yield FidelityCase(base.name, base.kind, change, faithful, False, _unknown(given))


def _unknown(given: GradeInput) -> GradeInput:
    return dataclasses.replace(given, placement=None, placed=None, mode="inpaint")


def _changed(change: str, cutout: CutOut, rng: Rng, seed: str, number: int, scale: float) -> CutOut | None:
    """Return the product as drawn; None where the change could not be seen on it (a hue on grey, texture on plain)."""
    if change in ("same", "jpeg_80", "shifted_1", "shifted_2", "scaled_2"):
        return cutout
    if change.startswith("relit"):
        return changes.relit(cutout, rng)
    if change == "hue_20":
        seen = changes.chroma_of(cutout) >= changes.LEAST_CHROMA
        return changes.hue_turned(cutout, 20.0) if seen else None
    if change == "lab_12":
        return changes.lab_shifted(cutout, rng, 12.0)
    if change == "warp_4":
        return changes.warped(cutout, rng, 4.0 / scale, 110.0 / scale)
    if change == "other_product":
        for step in (5, 9, 13):
            other = photo(seed, (number + step) % PRODUCT_COUNT)
            if other.kind != photo(seed, number).kind:
                return changes.fitted(other.cutout(), cutout)
    if changes.detail_of(cutout) < changes.LEAST_DETAIL:
        return None
    return (
        changes.texture_lost(cutout, 5.0 / scale) if change == "texture_lost" else changes.label_scrambled(cutout, rng)
    )


def _moved(change: str, at: Placement, cutout: CutOut) -> Placement:
    height, width = cutout.rgba.shape[:2]
    if change in ("shifted_1", "shifted_2", "relit_jpeg_shifted"):
        step = SIDE_PX * (0.02 if change == "shifted_2" else 0.01)
        return Placement(at.scale, at.x_px + step * 0.8, at.y_px - step * 0.6)
    if change == "scaled_2":
        return Placement(at.scale * 1.02, at.x_px - 0.01 * at.scale * width, at.y_px - 0.01 * at.scale * height)
    return at


def _ground(rng: Rng, tone: str) -> Rgb:
    middle = np.asarray((95, 90, 86) if tone in ("white", "pale") else (214, 208, 200)) + rng.normal(0, 10, 3)
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32) / SIDE_PX - 0.5
    light = 1.06 - 0.3 * (x**2 + y**2)
    grain = rng.normal(0, 0.8, (SIDE_PX, SIDE_PX, 1))
    return np.clip(middle * light[..., None] + grain, 0, 255).astype(np.uint8)


def _shaded(ground: Rgb, cutout: CutOut, at: Placement) -> Rgb:
    """Return the ground with a soft shadow below the product."""
    alpha = placed_premultiplied(cutout, at, SIDE_PX, SIDE_PX)[..., 3].astype(np.float32) / 255
    small = cv2.resize(alpha, (256, 256), interpolation=cv2.INTER_AREA)
    dropped = cv2.warpAffine(small, np.float32([[1, 0, 3], [0, 1, 5]]), (256, 256))
    shade = cv2.resize(cv2.GaussianBlur(dropped, (0, 0), 5.0), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(ground * (1 - 0.35 * np.clip(shade, 0, 1)[..., None])), 0, 255).astype(np.uint8)
