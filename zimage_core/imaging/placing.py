"""Where the product goes: on its feet below the horizon, clear of the room for text, as large as the scene says.

Every engine that starts from a photo places by these rules, so a shot looks the same whoever draws around it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Placement, Stage
from zimage_core.imaging.composite import place_in, visible_box
from zimage_core.imaging.cutout import CutOut

_MARGIN_RATIO = 0.035  # nothing stands nearer to the picture's edge, so that shadows have where to fall
_TEXT_ROOM_RATIO = 0.20  # share of the side that a scene's text room takes
_LEAST_FLOOR_RATIO = 0.10  # floor in front of the horizon that a product needs to look set down
_CLOSEUP_FILL_RATIO = 1.55
_LARGEST_SCALE = 1.25  # a photo enlarged further looks soft


def place(cutout: CutOut, stage: Stage, width_px: int, height_px: int) -> tuple[Placement, tuple[str, ...]]:
    """Return where the product lands for this stage, and notes for the person who reads the attempt.

    Raises ImageError when the cut-out is empty.
    """
    if stage.backdrop == "closeup":
        placement = _closeup(cutout, stage, width_px, height_px)
    elif stage.backdrop in ("surface", "white"):
        placement = place_in(cutout, width_px, height_px, stage.fill_ratio, _centre(cutout, stage, width_px, height_px))
    else:
        placement = _standing(cutout, stage, width_px, height_px)
    return placement, scale_notes(placement)


def scale_notes(placement: Placement) -> tuple[str, ...]:
    """Return a note when the photo had to be enlarged."""
    if placement.scale <= 1.0:
        return ()
    return (f"The photo is smaller than the picture needs: enlarged {placement.scale:.2f} times.",)


def _spans(cutout: CutOut, stage: Stage, width_px: int, height_px: int) -> tuple[float, float]:
    """Return the placed product's width and height as shares of the picture's."""
    box = visible_box(cutout.rgba[..., 3])
    scale = stage.fill_ratio * min(width_px / box.width_px, height_px / box.height_px)
    return scale * box.width_px / width_px, scale * box.height_px / height_px


def _centre(cutout: CutOut, stage: Stage, width_px: int, height_px: int) -> tuple[float, float]:
    """Return the middle of the product: the picture's own, moved away from the text room within the margin."""
    wide, tall = _spans(cutout, stage, width_px, height_px)
    moves = {
        "none": (0.0, 0.0),
        "top": (0.0, 1.0),
        "bottom": (0.0, -1.0),
        "left": (1.0, 0.0),
        "right": (-1.0, 0.0),
    }
    move_x, move_y = moves[stage.text_room]
    free_x = max(0.0, (1.0 - wide) / 2 - _MARGIN_RATIO)
    free_y = max(0.0, (1.0 - tall) / 2 - _MARGIN_RATIO)
    return 0.5 + move_x * min(free_x, _TEXT_ROOM_RATIO / 2), 0.5 + move_y * min(free_y, _TEXT_ROOM_RATIO / 2)


def _standing(cutout: CutOut, stage: Stage, width_px: int, height_px: int) -> Placement:
    """Return the placement of a product on its feet: low in the frame, its base well in front of the horizon."""
    centre_x, centre_y = _centre(cutout, stage, width_px, height_px)
    tall = _spans(cutout, stage, width_px, height_px)[1]
    lift = 0.0 if stage.text_room == "bottom" else 0.03
    base = centre_y + tall / 2 + lift
    base = max(base, stage.horizon_ratio + _LEAST_FLOOR_RATIO)
    lowest = 1.0 - (_TEXT_ROOM_RATIO if stage.text_room == "bottom" else 1.6 * _MARGIN_RATIO)
    base = max(min(base, lowest), tall + _MARGIN_RATIO)
    return place_in(cutout, width_px, height_px, stage.fill_ratio, (centre_x, 0.5), baseline_ratio=base)


def _closeup(cutout: CutOut, stage: Stage, width_px: int, height_px: int) -> Placement:
    """Return a placement larger than the picture, on the product's richest part that the frame does not cut through."""
    box = visible_box(cutout.rgba[..., 3])
    wanted = stage.fill_ratio if stage.fill_ratio > 1.05 else _CLOSEUP_FILL_RATIO
    # fill by the shorter reach: a closeup of a slim bottle fills the frame's width less, but its height well over
    scale = wanted * min(width_px / box.width_px, height_px / box.height_px)
    least = 1.15 * min(width_px / box.width_px, height_px / box.height_px)
    scale = max(least, min(scale, _LARGEST_SCALE))
    centre_x, centre_y = _richest(cutout.rgba, width_px / scale, height_px / scale)
    return Placement(scale, width_px / 2 - scale * centre_x, height_px / 2 - scale * centre_y)


def _richest(rgba: NDArray[np.uint8], width: float, height: float) -> tuple[float, float]:
    """Return the middle (x, y in cut-out pixels) of the width x height window that shows most detail and cuts least.

    Detail is the Laplacian of luma inside the outline; what the window's border runs through counts against it, and
    product counts a little more than empty ground.
    """
    step = max(1, max(rgba.shape[:2]) // 200)
    alpha = cv2.resize(rgba[..., 3], None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(np.ascontiguousarray(rgba[..., :3]), cv2.COLOR_RGB2GRAY)
    fine = np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=3))
    inside = cv2.erode((rgba[..., 3] >= 250).astype(np.uint8), np.ones((9, 9), dtype=np.uint8), borderValue=0)
    detail = cv2.resize(fine * inside, (alpha.shape[1], alpha.shape[0]), interpolation=cv2.INTER_AREA)
    detail = np.minimum(detail, np.percentile(detail, 99.5)) / max(float(detail.max()), 1e-6)
    rows, columns = alpha.shape
    half_w, half_h = min(width / step, columns) / 2, min(height / step, rows) / 2
    best, at = -np.inf, (columns / 2, rows / 2)
    solid = alpha.astype(np.float32) / np.float32(255.0)
    for y in np.linspace(half_h, rows - half_h, 13):
        for x in np.linspace(half_w, columns - half_w, 13):
            window = (slice(int(y - half_h), int(y + half_h)), slice(int(x - half_w), int(x + half_w)))
            rim = max(1, int(0.06 * min(half_w, half_h)))
            total, middle = detail[window], detail[window][rim:-rim, rim:-rim]
            cut = float(total.sum() - middle.sum())
            score = float(middle.sum()) - 3.0 * cut + 0.06 * float(solid[window].sum())
            if score > best + 1e-6:
                best, at = score, (float(x), float(y))
    return at[0] * step, at[1] * step
