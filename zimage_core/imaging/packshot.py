"""The packshot: the product alone on pure white, as marketplaces ask for the first picture. Nothing is generated."""

from __future__ import annotations

import numpy as np

from zimage_core.domain import Placement, Stage
from zimage_core.imaging.composite import paste, place_in
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Rgb
from zimage_core.imaging.placing import scale_notes


def packshot(cutout: CutOut, stage: Stage, width_px: int, height_px: int) -> tuple[Rgb, Placement, tuple[str, ...]]:
    """Return (rgb, placement, notes): the cut-out in the middle at the stage's fill ratio, 255 everywhere else.

    No shadow: Amazon's main-image rule asks for pure white (RGB 255,255,255) around the product. Raises ImageError when
    the cut-out is empty.
    """
    placement = place_in(cutout, width_px, height_px, stage.fill_ratio)
    white = np.full((height_px, width_px, 3), 255, dtype=np.uint8)
    return paste(white, cutout, placement), placement, scale_notes(placement)
