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
from zimage_core.quality.rubric import Rubric

NAME = "noise"
SQUARE_PX: Final = 32
"""Side of the squares that are asked one by one: four latents each way, and small beside shadows and gradients."""
_RASTER_PX: Final = 4  # colours are averaged over 4 x 4 px first: a camera's grain goes, what a decoder makes stays
_CALMEST: Final = 0.1
_LEAST_SQUARES: Final = 4  # 64 x 64 px; fewer say nothing
_MOST_SQUARES: Final = 256  # more would not move a tenth part of them, only cost time
_STEEPEST: Final = 32  # levels from pixel to pixel that count: the edges of a fine, hard pattern are steep, but few


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return how noisy the calmest tenth of the picture around the product is, in levels of a 4 px raster.

    The whole picture is asked where no product was placed. An even picture has 0 (that is `blank`).
    """
    asked = _asked(evidence)
    if int(asked.sum()) < _LEAST_SQUARES:
        return (not_applicable(NAME, "Nothing is left around the product that could be noise."),)
    level = noise_level(evidence.given.attempt_rgb, asked)
    where = "The picture" if evidence.product_alpha is None else "What is around the product"
    sentence = (
        f"{where} is calm enough: {level:.1f} levels of noise in its calmest tenth."
        if level <= rubric.limit(NAME)
        else f"{where} is noise: even its calmest tenth has {level:.1f} levels of it."
    )
    return (measured(rubric, NAME, level, "levels", sentence),)


def noise_level(rgb: Rgb, asked: NDArray[np.bool_]) -> float:
    """Return the noise of the calmest tenth of the asked squares: the larger of colour noise and static, in levels.

    `asked` is (H // 32, W // 32) bool with at least one true. Colour noise is the smallest of the three principal
    standard deviations of a square's colours on a 4 px raster. Static is how far a pixel is at least from its right and
    its lower neighbour, on average, over 4: that is what averaging 4 x 4 px leaves of independent noise.
    """
    height, width = (side - side % SQUARE_PX for side in rgb.shape[:2])
    picture = rgb[:height, :width]
    chosen = np.flatnonzero(asked)
    chosen = chosen[:: -(-chosen.size // _MOST_SQUARES)]
    spreads = np.linalg.eigvalsh(_covariance(picture).reshape(-1, 3, 3)[chosen])[:, 0]
    colour = np.sqrt(np.quantile(np.maximum(spreads, 0.0), _CALMEST))
    static = np.quantile(_pixel_steps(picture).ravel()[chosen], _CALMEST) / _RASTER_PX
    return float(max(colour, static))


def _asked(evidence: Evidence) -> NDArray[np.bool_]:
    """Return the squares in which the product does not show, all of them where it is unknown."""
    rows, columns = evidence.height_px // SQUARE_PX, evidence.width_px // SQUARE_PX
    alpha = evidence.product_alpha
    if alpha is None:
        return np.ones((rows, columns), dtype=np.bool_)
    raster = SQUARE_PX // _RASTER_PX
    sampled = alpha[: rows * SQUARE_PX : _RASTER_PX, : columns * SQUARE_PX : _RASTER_PX]
    return np.asarray(~sampled.reshape(rows, raster, columns, raster).any(axis=(1, 3)))


def _covariance(picture: Rgb) -> Float:
    """Return the covariance of the colours in every square on the 4 px raster, (rows, columns, 3, 3)."""
    small = _halved(_halved(picture)).astype(np.float32)
    channels, mean = cv2.split(small), _per_square(small, picture)
    covariance = np.empty((*mean.shape[:2], 3, 3), dtype=np.float32)
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        covariance[..., i, j] = _per_square(channels[i] * channels[j], picture) - mean[..., i] * mean[..., j]
        covariance[..., j, i] = covariance[..., i, j]
    return covariance


def _pixel_steps(picture: Rgb) -> Float:
    """Return per square how far a pixel is at least from its right and its lower neighbour (green), on average."""
    green = picture[..., 1]
    at = green[1::_RASTER_PX, 1::_RASTER_PX]
    right, below = green[1::_RASTER_PX, 2::_RASTER_PX], green[2::_RASTER_PX, 1::_RASTER_PX]
    steps = np.minimum(cv2.absdiff(at, right), cv2.absdiff(at, below))
    return _per_square(np.minimum(steps, _STEEPEST).astype(np.float32), picture)


def _halved(picture: Rgb) -> Rgb:
    # twice by two: OpenCV has a fast way for that, and takes three times as long for once by four
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _per_square(plane: Float, picture: Rgb) -> Float:
    """Return the mean of every square."""
    size = (picture.shape[1] // SQUARE_PX, picture.shape[0] // SQUARE_PX)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
