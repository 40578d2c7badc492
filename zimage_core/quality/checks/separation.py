"""Does the product stand out from its backdrop? White on near-white is a true picture that nobody can read."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Finding
from zimage_core.imaging.composite import VISIBLE_ALPHA
from zimage_core.quality.colour import delta_e, lab_of
from zimage_core.quality.evidence import Evidence, window
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.quantiles import quantile
from zimage_core.quality.rubric import Rubric

NAME = "separation"
_POINTS = 1000
_MIN_POINTS = 60
_RIM_PX = 8
_STEP_RATIO = 0.005  # how far from the outline colour is taken, over the short side
_QUANTILE = 0.25  # the weakest quarter of the outline decides; a lost edge is seen even where the rest is crisp


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return CIEDE2000 between product and backdrop across the outline, at the weakest quarter of its length."""
    alpha = evidence.product_alpha
    if alpha is None:
        return (not_applicable(NAME, "Nobody knows where the product ends."),)
    if evidence.given.cutout is None:
        return (not_applicable(NAME, "The product was told from the backdrop by its contrast: it stands out."),)
    if evidence.product_box is None:
        return (not_applicable(NAME, "The product shows no outline against a backdrop."),)
    step_px = max(3.0, _STEP_RATIO * evidence.short_side_px)
    around = window(evidence.product_box, evidence.width_px, evidence.height_px, grow_px=math.ceil(step_px) + _RIM_PX)
    inside, outside = _pairs(np.ascontiguousarray(alpha[around]), step_px)
    if len(inside) < _MIN_POINTS:
        return (not_applicable(NAME, "The product shows no outline against a backdrop."),)
    soft = np.asarray(cv2.blur(evidence.given.attempt_rgb[around], (5, 5)), dtype=np.uint8)
    difference = delta_e(lab_of(soft[inside[:, 1], inside[:, 0]]), lab_of(soft[outside[:, 1], outside[:, 0]]))
    value = quantile(difference, _QUANTILE)
    faint = float((difference < rubric.limit(NAME)).mean())
    passes = value >= rubric.limit(NAME)
    sentence = (
        f"The product stands out from the backdrop (colour difference {value:.0f} along its outline)."
        if passes
        else f"The product melts into the backdrop along {faint:.0%} of its outline (colour difference {value:.1f})."
    )
    return (measured(rubric, NAME, value, "dE2000", sentence, box=None if passes else evidence.product_box),)


def _pairs(alpha: NDArray[np.uint8], step_px: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (n, 2) pixel positions (x, y) just inside and just outside the outline, across from each other."""
    contours, _ = cv2.findContours((alpha >= 128).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64)
    outline = np.concatenate([contour[:, 0] for contour in contours]).astype(np.float64)
    outline = outline[:: -(-len(outline) // _POINTS)]
    # which way is in changes slowly along an outline: half the raster is enough to tell
    half = cv2.resize(alpha, ((alpha.shape[1] + 1) // 2, (alpha.shape[0] + 1) // 2), interpolation=cv2.INTER_LINEAR)
    slope = cv2.GaussianBlur(half, (0, 0), 1.0)
    rows, columns = (outline[:, axis].astype(np.int64) // 2 for axis in (1, 0))
    across, down = (part[rows, columns].astype(np.float32) for part in cv2.spatialGradient(slope))
    length = np.hypot(across, down)
    normal = np.stack([across, down], axis=1) / np.maximum(length, 1e-6)[:, None]
    inside = np.rint(outline + step_px * normal).astype(np.int64)
    outside = np.rint(outline - step_px * normal).astype(np.int64)
    height_px, width_px = alpha.shape
    edge = np.array([width_px - 1, height_px - 1])
    framed = ((inside >= 0) & (inside <= edge) & (outside >= 0) & (outside <= edge)).all(axis=1) & (length > 0)
    inside, outside = inside[framed], outside[framed]
    kept = (alpha[inside[:, 1], inside[:, 0]] >= VISIBLE_ALPHA) & (alpha[outside[:, 1], outside[:, 0]] <= 8)
    return inside[kept], outside[kept]
