"""The packshot: the product alone on pure white, as marketplaces ask for the first picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Placement
from zimage_core.engines.base import RenderRequest
from zimage_core.engines.studio.setting import scale_notes
from zimage_core.imaging.composite import paste, place_in
from zimage_core.imaging.cutout import CutOut


def render_packshot(request: RenderRequest, cutout: CutOut) -> tuple[NDArray[np.uint8], Placement, tuple[str, ...]]:
    """Return (rgb, placement, notes): the cut-out in the middle at the scene's fill ratio, 255 everywhere else.

    No shadow: Amazon's main-image rule asks for pure white (RGB 255,255,255) around the product.
    """
    placement = place_in(cutout, request.width_px, request.height_px, request.scene.stage.fill_ratio)
    white = np.full((request.height_px, request.width_px, 3), 255, dtype=np.uint8)
    return paste(white, cutout, placement), placement, scale_notes(placement)
