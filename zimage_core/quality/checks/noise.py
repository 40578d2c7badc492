"""Is it a picture, or the noise that an unfinished or unfit generation leaves?

Noise is everywhere, so the calmest tenth of the picture is asked: textures, prints and leaves have calm places. And it
is like nothing else in one of two ways. What a decoder makes of noise strays in every direction of colour space, from
one latent (8 px) to the next; the colours of a weave, a check, a grain or a shadow lie along a line. Static differs
from pixel to pixel whichever way one goes; along a thread or an edge the next pixel is alike.

Where the photo's own pixels stand nothing is asked: a product pasted over noise would make it look like a picture.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Finding
from zimage_core.imaging.pixels import Float, Rgb
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.quantiles import quantile
from zimage_core.quality.rubric import Rubric

NAME = "noise"
SQUARE_PX: Final = 32
"""Side of the squares that are asked one by one: four latents each way, and small beside shadows and gradients."""
_RASTER_PX: Final = 4  # colours are averaged over 4 x 4 px first: a camera's grain goes, what a decoder makes stays
_CALMEST: Final = 0.1
_LEAST_SQUARES: Final = 4  # 64 x 64 px; fewer say nothing
_MOST_SQUARES: Final = 256  # more would not move a tenth part of them, only cost time
_PAIRS: Final = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_STEEPEST: Final = 32  # levels from pixel to pixel that count: the edges of a fine, hard pattern are steep, but few


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return how noisy the calmest tenth of the picture around the product is, in levels of a 4 px raster.

    The whole picture is asked where no product was placed. An even picture has 0 (that is `blank`).
    """
    asked = _asked(evidence)
    if int(asked.sum()) < _LEAST_SQUARES:
        return (not_applicable(NAME, "Nothing is left around the product that could be noise."),)
    level = noise_level(evidence.given.attempt_rgb, evidence.quarter, asked)
    where = "The picture" if evidence.product_alpha is None else "What is around the product"
    sentence = (
        f"{where} is calm enough: {level:.1f} levels of noise in its calmest tenth."
        if level <= rubric.limit(NAME)
        else f"{where} is noise: even its calmest tenth has {level:.1f} levels of it."
    )
    return (measured(rubric, NAME, level, "levels", sentence),)


def noise_level(rgb: Rgb, quarter: Rgb, asked: NDArray[np.bool_]) -> float:
    """Return the noise of the calmest tenth of the asked squares: the larger of colour noise and static, in levels.

    `quarter` is `rgb` halved twice, `asked` (H // 32, W // 32) bool with at least one true. Colour noise is the
    smallest of the three principal standard deviations of a square's colours on a 4 px raster. Static is how far a
    pixel is at least from its right and its lower neighbour, on average, over 4: that is what averaging 4 x 4 px
    leaves of independent noise.
    """
    rows, columns = asked.shape
    picture = rgb[: rows * SQUARE_PX, : columns * SQUARE_PX]
    raster = SQUARE_PX // _RASTER_PX
    chosen = np.flatnonzero(asked)
    chosen = chosen[:: -(-chosen.size // _MOST_SQUARES)]
    squares = quarter[: rows * raster, : columns * raster].reshape(rows, raster, columns, raster, 3)
    covariance = _covariance(squares[chosen // columns, :, chosen % columns].reshape(chosen.size, -1, 3))
    spreads = _smallest_eigenvalues(covariance.astype(np.float64))
    colour = np.sqrt(quantile(np.maximum(spreads, 0.0), _CALMEST))
    static = quantile(_pixel_steps(picture, (columns, rows)).ravel()[chosen], _CALMEST) / _RASTER_PX
    return float(max(colour, static))


def _asked(evidence: Evidence) -> NDArray[np.bool_]:
    """Return the squares in which the product does not show, all of them where it is unknown."""
    rows, columns = evidence.height_px // SQUARE_PX, evidence.width_px // SQUARE_PX
    alpha = evidence.product_alpha
    if alpha is None:
        return np.ones((rows, columns), dtype=np.bool_)
    raster = SQUARE_PX // _RASTER_PX
    sampled = alpha[: rows * SQUARE_PX : _RASTER_PX, : columns * SQUARE_PX : _RASTER_PX]
    by_row = np.ascontiguousarray(sampled).reshape(rows, raster, -1).max(axis=1)
    return np.asarray(by_row.reshape(rows, columns, raster).max(axis=2) == 0)


def _covariance(squares: Rgb) -> Float:
    """Return the covariance of the colours in each of (N, pixels, 3) squares: rr, rg, rb, gg, gb, bb; (6, N)."""
    channels = np.ascontiguousarray(squares.transpose(2, 0, 1)).astype(np.float32)
    channels -= channels.mean(axis=2, keepdims=True)
    products = np.stack([np.einsum("nk,nk->n", channels[i], channels[j]) for i, j in _PAIRS])
    return np.asarray(products / squares.shape[1], dtype=np.float32)


def _smallest_eigenvalues(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest eigenvalue of (6, N) symmetric 3 x 3 matrices (Smith 1961: the cubic's root by an angle)."""
    rr, rg, rb, gg, gb, bb = covariance
    middle = (rr + gg + bb) / 3.0
    aside = rg * rg + rb * rb + gb * gb
    rr, gg, bb = rr - middle, gg - middle, bb - middle
    size = np.sqrt((rr * rr + gg * gg + bb * bb + 2.0 * aside) / 6.0)
    determinant = rr * (gg * bb - gb * gb) - rg * (rg * bb - gb * rb) + rb * (rg * gb - gg * rb)
    angle = np.arccos(np.clip(determinant / np.maximum(2.0 * size**3, 1e-30), -1.0, 1.0)) / 3.0
    return np.asarray(middle + 2.0 * size * np.cos(angle + 2.0 * np.pi / 3.0))


def _pixel_steps(picture: Rgb, squares: tuple[int, int]) -> Float:
    """Return per square how far a pixel is at least from its right and its lower neighbour (green), on average."""
    green = picture[..., 1]
    at = np.ascontiguousarray(green[1::_RASTER_PX, 1::_RASTER_PX])
    right = np.ascontiguousarray(green[1::_RASTER_PX, 2::_RASTER_PX])
    below = np.ascontiguousarray(green[2::_RASTER_PX, 1::_RASTER_PX])
    least = cv2.min(cv2.absdiff(at, right), cv2.absdiff(at, below))
    steps = cv2.threshold(least, _STEEPEST, 0, cv2.THRESH_TRUNC)[1]
    mean = cv2.resize(steps.astype(np.float32), squares, interpolation=cv2.INTER_AREA)
    return np.asarray(mean, dtype=np.float32)
