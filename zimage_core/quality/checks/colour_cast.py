"""Does a coloured light lie over the picture? Told by the product's photo, or by a backdrop that should be white.

Without either nobody can tell a warm light from a cream-coloured product on a cream-coloured ground: then nothing is
said.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from zimage_core.domain import Finding
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.colour import Floats, lab_of
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

NAME = "colour_cast"
_RING_RATIO: Final = 0.02
_NONE: Final = np.zeros(2, np.float32)
_LIGHT: Final = 60.0  # L*: a darker backdrop is none that should be white


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return how far the product's mean colour, or a packshot's white, is off in a*b* (CIE Lab)."""
    beside = evidence.product_beside_photo
    if beside is not None:
        off, what = _NONE if evidence.product_kept else _between(*beside), "The product's colours are"
    elif evidence.given.scene.name == "packshot":
        ground = np.median(lab_of(_ring(evidence)), axis=0)
        if ground[0] < _LIGHT:
            return (not_applicable(NAME, "The backdrop is too dark to tell a cast by it."),)
        off, what = ground[1:], "The white of the backdrop is"
    else:
        return (not_applicable(NAME, "There is neither a photo nor a white backdrop to tell a cast by."),)
    value = float(np.hypot(*off))
    if value <= rubric.limit(NAME):
        return (measured(rubric, NAME, value, "dab", "No coloured light lies over the picture."),)
    sentence = f"{what} off by {value:.0f} towards {_hue(float(off[0]), float(off[1]))}: a colour cast."
    return (measured(rubric, NAME, value, "dab", sentence),)


def _between(shown: Rgb, true: Rgb) -> Floats:
    """Return how far the mean colour of (N, 3) pixels is from that of others, in a* and b*."""
    first, second = (lab_of(pixels).mean(axis=0) for pixels in (shown, true))
    return np.asarray(first[1:] - second[1:], dtype=np.float32)


def _ring(evidence: Evidence) -> np.ndarray:
    """Return every fourth pixel of the picture's border, (N, 3)."""
    rgb = evidence.given.attempt_rgb
    wide = max(2, round(_RING_RATIO * evidence.short_side_px))
    parts = (rgb[:wide], rgb[-wide:], rgb[wide:-wide, :wide], rgb[wide:-wide, -wide:])
    return np.concatenate([part.reshape(-1, 3)[::4] for part in parts])


def _hue(a: float, b: float) -> str:
    names = ("red", "orange", "yellow", "green", "cyan", "blue", "violet", "magenta")
    return names[round(np.degrees(np.arctan2(b, a)) % 360 / 45) % len(names)]
