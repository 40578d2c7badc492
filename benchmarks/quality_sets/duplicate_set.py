"""Pictures that repeat each other, and pictures that only look alike: other products on one stage, other colours.

Hard on both sides, and kept: another seed of a room out of focus counts as a repeat (the product and its table are the
same, the lights behind it are not), the same product at the same place before another scene does not. Truly doubtful is
a colour variant of a black product, black in very dark red: a person would have to look twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.quality_sets import changes, damage
from benchmarks.quality_sets.photo_set import photo
from benchmarks.quality_sets.production import shot_of
from zimage_core.domain import Placement, SceneName
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Rgb

GROUP_COUNT = 40
SAME_LEVELS = 9.0
"""Mean difference of 64 px thumbnails up to which two seeds gave the same picture to the eye."""
TRUE_KINDS = ("original", "resized", "reencoded", "cropped_2", "brightened", "seed_near")
OTHER_KINDS = ("colour_variant", "other_scene")


@dataclass(frozen=True, slots=True, eq=False)
class DuplicateCase:
    """A picture of group `group` (one product in one scene). All of TRUE_KINDS of one group repeat each other; any
    other pair does not: neither two groups, nor a colour variant or another scene of the same product. `cutout` and
    `placement` say where the product stands."""

    group: str
    kind: str
    rgb: Rgb
    cutout: CutOut
    placement: Placement

    @property
    def repeats(self) -> bool:
        """Tell whether it repeats its group's original."""
        return self.kind in TRUE_KINDS


def duplicates(seed: str = "B", count: int | None = None) -> Iterator[DuplicateCase]:
    """Yield the pictures of `count` groups; groups share stages, so that only their products differ."""
    for number in range(min(GROUP_COUNT, count if count is not None else GROUP_COUNT)):
        yield from group_of(seed, number)


def group_of(seed: str, number: int) -> Iterator[DuplicateCase]:
    """Yield the pictures of one group."""
    base = photo(seed, number)
    scene: SceneName = ("studio", "lifestyle", "packshot", "flat_lay")[number % 4]
    cutout = base.cutout()
    rng = np.random.default_rng([ord(seed), number, 9])
    made = {"original": (cutout, scene, 1), "seed_near": (cutout, scene, 2)}
    if changes.chroma_of(cutout) >= changes.LEAST_CHROMA:
        made["colour_variant"] = (changes.hue_turned(cutout, float(rng.choice([60.0, 120.0, 180.0, 240.0]))), scene, 1)
    else:
        made["colour_variant"] = (
            changes.recoloured(cutout, damage.cast(cutout.rgba[..., :3], (0.95, 0.45, 0.42))),
            scene,
            1,
        )
    made["other_scene"] = (cutout, "lifestyle" if scene == "studio" else "studio", 1)
    made_of: dict[str, tuple[Rgb, CutOut, Placement]] = {}
    for kind, (shown, name, render_seed) in made.items():
        shot = shot_of(base, cutout, name, shown=shown, seed=render_seed, side_px=800)
        if shot is not None:
            made_of[kind] = (shot.attempt_rgb, shown, shot.placement)
    if "original" not in made_of:
        return
    first, _, at = made_of["original"]
    if "seed_near" in made_of and _distance(first, made_of["seed_near"][0]) > SAME_LEVELS:
        del made_of["seed_near"]  # another view of the room: neither a repeat nor a different picture
    small = np.asarray(cv2.resize(first, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA), np.uint8)
    made_of["resized"] = (small, cutout, Placement(at.scale * 0.6, at.x_px * 0.6, at.y_px * 0.6))
    made_of["reencoded"] = (damage.jpeg(first, 60), cutout, at)
    pad = round(0.02 * first.shape[0])
    cropped = np.ascontiguousarray(first[pad:-pad, pad:-pad])
    made_of["cropped_2"] = (cropped, cutout, Placement(at.scale, at.x_px - pad, at.y_px - pad))
    made_of["brightened"] = (damage.exposed(first, 1.05), cutout, at)
    for kind, (rgb, shown, placement) in made_of.items():
        yield DuplicateCase(f"{seed}-{number:03d}", kind, rgb, shown, placement)


def _distance(first: Rgb, second: Rgb) -> float:
    small = [cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32) for rgb in (first, second)]
    return float(np.abs(small[0] - small[1]).mean())
