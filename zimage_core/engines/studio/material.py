"""What floors and table tops are made of: textures without colour, kept once made, coloured when used.

A texture is a pure function of (material, variant, resolution, squash), so keeping it changes no picture. `squash` is
how much the camera flattens the floor: rows of the texture are that much shorter than columns, so that it is sampled
one to one in perspective and never shimmers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.engines.studio import cloth, stone, tile, tone, wood

Material = Literal["paper", "wood", "marble", "slate", "limestone", "linen", "terrazzo", "tiles", "gloss"]
Pixels = NDArray[np.uint8]

VARIANTS = 6
"""Textures per material; a seed picks one, then turns, mirrors, shifts and colours it."""


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """`tone`: (h, w) uint8, 128 = the base colour, higher is lighter. `accent`: (h, w) uint8 index of a second colour,
    0 = none; what 1..255 mean is the material's. `unit_px`: columns per ground unit (the picture's longer side)."""

    tone: Pixels
    accent: Pixels
    unit_px: int


@dataclass(frozen=True, slots=True)
class Finish:
    """How a material takes colour and light: L* of 128 tones, share of light mirrored, chroma of the dark tones."""

    span_l: float
    sheen: float
    dark_chroma: float = 1.0


FINISHES: dict[Material, Finish] = {
    "paper": Finish(span_l=6.0, sheen=0.0),
    "wood": Finish(span_l=34.0, sheen=0.10, dark_chroma=1.12),
    "marble": Finish(span_l=16.0, sheen=0.24),
    "slate": Finish(span_l=22.0, sheen=0.10),
    "limestone": Finish(span_l=20.0, sheen=0.06),
    "linen": Finish(span_l=30.0, sheen=0.0),
    "terrazzo": Finish(span_l=14.0, sheen=0.18),
    "tiles": Finish(span_l=22.0, sheen=0.22),
    "gloss": Finish(span_l=4.0, sheen=0.30),
}


@lru_cache(maxsize=48)
def texture(material: Material, variant: int, unit_px: int, squash: float) -> Texture:
    """Return a texture 2 units wide of a floor in perspective, or 1.5 x 1.5 units of a surface seen from above.

    Kept, so that each is made once per process.
    """
    rng = np.random.Generator(np.random.PCG64([variant, *material.encode()]))
    rows, columns = round(unit_px * (0.9 if squash < 1 else 1.5)), round(unit_px * (2.0 if squash < 1 else 1.5))
    draw = {
        "wood": wood.draw,
        "marble": stone.draw_marble,
        "slate": stone.draw_slate,
        "limestone": stone.draw_limestone,
        "linen": cloth.draw_linen,
        "terrazzo": tile.draw_terrazzo,
        "tiles": tile.draw_tiles,
        "paper": cloth.draw_paper,
        "gloss": cloth.draw_smooth,
    }[material]
    relief, accent = draw(rng, rows, columns, float(unit_px), squash)
    codes = np.clip(np.rint(relief * 127.0 + 128.0), 0, 255).astype(np.uint8)
    codes.setflags(write=False)
    accent.setflags(write=False)
    return Texture(codes, accent, unit_px)


def ramp(base: str, finish: Finish) -> NDArray[np.float32]:
    """Return the light of the 256 tones of a material of this base colour, (256, 3) float32."""
    lab = tone.lab_of(base)
    steps = (np.arange(256, dtype=np.float32) - 128.0) / 128.0
    chroma = np.where(steps < 0, 1.0 - steps * (finish.dark_chroma - 1.0) * 2.0, 1.0).astype(np.float32)
    table = np.stack([np.clip(lab[0] + steps * finish.span_l, 2, 99), lab[1] * chroma, lab[2] * chroma], axis=1)
    rgb = cv2.cvtColor(table.reshape(1, 256, 3).astype(np.float32), cv2.COLOR_Lab2RGB).reshape(256, 3)
    return np.square(np.clip(rgb, 0.0, 1.0)).astype(np.float32)
