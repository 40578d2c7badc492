"""What a stage looks like this time: its colours and materials, settled from scene, change, seed and product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Change, Light, Stage
from zimage_core.engines.studio import tone
from zimage_core.engines.studio.material import VARIANTS, Material

# distance (L*, chroma halved) from the outline below which a tone is moved, and to which: falloff takes some of it
_APART = (6.5, 10.5)
_FLOOR_APART = (4.5, 8.0)  # a floor may be nearer: the contact shadow draws the line there
_SURFACE_APART = (4.5, 10.5)  # in a flat lay the shadow goes all around


@dataclass(frozen=True, slots=True)
class Look:
    """Colours are '#rrggbb'. `pattern` False = one quiet tone, nothing drawn on wall or floor."""

    wall: str
    floor: str
    accents: tuple[str, ...]
    material: Material
    variant: int
    light: Light
    pattern: bool


def settle(stage: Stage, change: Change, outline: NDArray[np.float32], rng: np.random.Generator) -> Look:
    """Return the look of one attempt. `outline` is the L*a*b* along the product's outline, (n, 3).

    The palette's first colour is the backdrop's, the second the floor's, the rest are for what stands about; each moves
    a little with the seed. A backdrop that would swallow the product is moved away from it in lightness, hue kept;
    change.backdrop "contrast" asks for a tone at least 38 L* away, "plain" for one tone without pattern,
    "palette" for the palette's colours as they are.
    """
    palette = stage.palette or ("#e9e4dc",)
    amount = 0.0 if change.backdrop == "palette" else 1.0
    wall = tone.nudged(palette[0], rng, amount)
    floor = tone.nudged(palette[1] if len(palette) > 1 else palette[0], rng, amount)
    accents = palette[2:] if len(palette) > 2 else palette
    pattern = change.backdrop != "plain"
    if change.backdrop == "contrast":
        wall = tone.contrasting(palette, outline)
        floor = wall if stage.backdrop == "surface" else tone.mixed(floor, wall, 0.75)
    else:
        wall = tone.set_apart(wall, outline, *_APART)
        floor = tone.set_apart(floor, outline, *(_SURFACE_APART if stage.backdrop == "surface" else _FLOOR_APART))
    if change.backdrop == "plain":
        floor = tone.mixed(wall, floor, 0.35)
    material: Material = "paper" if not pattern else _material(stage, floor, rng)
    return Look(wall, _as_matter(floor, material), accents, material, int(rng.integers(VARIANTS)), stage.light, pattern)


def _material(stage: Stage, floor: str, rng: np.random.Generator) -> Material:
    """Return what the floor is made of; the kinds of stone and tile follow from how light it is, and from the seed."""
    lightness = float(tone.lab_of(floor)[0])
    kind = stage.floor
    if kind == "stone":
        if lightness < 45.0:
            return "slate"
        return "marble" if lightness > 80.0 and rng.random() < 0.6 else "limestone"
    if kind == "tile":
        return "terrazzo" if rng.random() < 0.6 else "tiles"
    if kind == "fabric":
        return "linen"
    return "paper" if kind == "none" else kind


def _as_matter(color: str, material: Material) -> str:
    """Return the colour as this material can have it: wood is never blue, slate never bright pink."""
    lab = tone.lab_of(color)
    if material == "wood":
        lightness = float(np.clip(lab[0], 26.0, 80.0))
        # from walnut to ash, chroma highest in between: measured on photographs of oiled boards
        natural = np.array([lightness, 10.0 - 0.03 * lightness, 13.0 + 0.13 * lightness], dtype=np.float32)
        near = np.array([lightness, lab[1], lab[2]], dtype=np.float32)
        return tone.color_of(natural * np.float32(0.62) + near * np.float32(0.38))
    if material in ("slate", "limestone", "marble"):
        return tone.color_of(np.array([lab[0], lab[1] * 0.8, lab[2] * 0.85], dtype=np.float32))
    return color
