"""What a ControlNet is shown of a placed product: its edges, or how near everything is. No model is asked.

The union ControlNets of Z-Image were trained on `cv2.Canny` edges and on relative inverse depth (near = white); both
are made here from the placed cut-out and the scene's stage alone, so that the same shot gives the same picture.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from zimage_core.domain import Stage
from zimage_core.imaging.composite import VISIBLE_ALPHA, paste_premultiplied
from zimage_core.imaging.pixels import Float, Rgb, Rgba
from zimage_core.imaging.set_down import horizon_row
from zimage_core.imaging.shadow import find_ground

ControlKind = Literal["canny", "depth"]

_GROUND_LEVEL = 128
"""Mid-grey: no product is lost in it on both sides, and the outline is drawn from the matte anyway."""
_CANNY_LOW, _CANNY_HIGH = 100, 200
"""The thresholds that ControlNet's own annotator and the training sets made with it use."""
_MIDDLE_ALPHA = 128
_FAR, _NEAR = 24.0, 200.0
"""Levels of the wall behind and of the floor at the picture's lower edge; what is above is for what stands out."""
_SWEEP_SOFT_RATIO = 0.06  # share of the height over which a sweep bends from floor to wall
_BULGE = 40.0  # levels by which the middle of a product is nearer than its outline
_LYING_LEVEL = 110.0  # a surface seen from above is equally far everywhere
_SLAB = 40.0  # levels by which what lies on it stands out


def control_picture(kind: ControlKind, product: Rgba, stage: Stage, width_px: int, height_px: int) -> Rgb:
    """Return the control picture of a placed product (premultiplied, any size), (height_px, width_px, 3) uint8."""
    if product.shape[:2] != (height_px, width_px):
        resized = cv2.resize(product, (width_px, height_px), interpolation=cv2.INTER_AREA)
        product = np.asarray(resized, dtype=np.uint8)
    return canny_control(product) if kind == "canny" else depth_control(product, stage)


def canny_control(product: Rgba) -> Rgb:
    """Return white edges of a placed product on black, (H, W, 3), from its premultiplied (H, W, 4) pixels.

    Edges inside come from its pixels over mid-grey; the outline comes from the matte, so that a grey product keeps it.
    """
    ground = np.full((*product.shape[:2], 3), _GROUND_LEVEL, dtype=np.uint8)
    edges = cv2.Canny(paste_premultiplied(ground, product), _CANNY_LOW, _CANNY_HIGH)
    solid = (product[..., 3] >= _MIDDLE_ALPHA).astype(np.uint8)
    outline = cv2.morphologyEx(solid, cv2.MORPH_GRADIENT, np.ones((2, 2), dtype=np.uint8))
    edges = np.maximum(edges * (product[..., 3] > 0), outline * np.uint8(255))
    return np.repeat(np.asarray(edges, dtype=np.uint8)[..., None], 3, axis=2)


def depth_control(product: Rgba, stage: Stage) -> Rgb:
    """Return a plausible relative inverse depth, (H, W, 3), 255 = nearest, of a placed product in its stage.

    A floor plane's inverse depth falls linearly with the row up to the horizon; the wall behind is as far as the floor
    there. The product stands where its foot touches the floor, and bulges: the deeper inside its outline, the nearer.
    """
    height, width = product.shape[:2]
    alpha = np.ascontiguousarray(product[..., 3])
    visible = (alpha >= VISIBLE_ALPHA).astype(np.uint8)
    around = _around(alpha, stage, height)
    depth = np.repeat(around[:, None], width, axis=1)
    if visible.any():
        share = alpha.astype(np.float32) / np.float32(255.0)
        body = _foot_level(around, alpha, stage) + np.float32(_BULGE) * _bulge(visible)
        depth = depth * (1.0 - share) + body * share
    codes = np.clip(np.rint(depth), 0, 255).astype(np.uint8)
    return np.repeat(codes[..., None], 3, axis=2)


def _around(alpha: np.ndarray, stage: Stage, height: int) -> Float:
    """Return the depth levels of the rows without the product, (H,) float32."""
    rows = np.arange(height, dtype=np.float32)
    if stage.backdrop == "surface":
        return np.full(height, _LYING_LEVEL, dtype=np.float32)
    horizon = horizon_row(find_ground(alpha), stage.horizon_ratio, height)
    rise = (rows - np.float32(horizon)) / np.float32(max(1.0, height - horizon))
    # softplus: a sweep bends, and a table's edge is near enough to its wall that no step is seen either
    soft = np.float32(_SWEEP_SOFT_RATIO)
    bent = soft * np.logaddexp(np.float32(0.0), rise / soft)
    return np.asarray(_FAR + (_NEAR - _FAR) * np.minimum(bent, 1.0), dtype=np.float32)


def _foot_level(around: Float, alpha: np.ndarray, stage: Stage) -> float:
    """Return the level of a product's outline: that of the floor where it stands."""
    if stage.backdrop == "surface":
        return _LYING_LEVEL + _SLAB
    lowest = max((ground.bottom_row_px for ground in find_ground(alpha)), default=float(len(around)))
    return float(around[min(len(around) - 1, int(lowest))])


def _bulge(visible: np.ndarray) -> Float:
    """Return 0 at the outline to 1 at the deepest place inside, round as a cylinder is, (H, W) float32."""
    inside = np.asarray(cv2.distanceTransform(visible, cv2.DIST_L2, 5), dtype=np.float32)
    reach = inside / np.float32(max(float(inside.max()), 1.0))
    return np.asarray(np.sqrt(np.maximum(1.0 - np.square(1.0 - reach), 0.0)), dtype=np.float32)
