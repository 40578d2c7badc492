"""Is the product itself over- or underexposed? The share of white in the whole picture means nothing in a studio.

Three questions. Are highlights lost: white alone is no fault (white glaze, white cloth), but light that was cut off
piles up at the top of the histogram with little just below it. Is anything light at all. And where the photo is known:
is the product as light as on it, whatever its tone. Never a veto: how light a product may be is a matter of taste.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Finding
from zimage_core.imaging.pixels import Plane, Rgb, to_linear
from zimage_core.quality.colour import lightness
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

CLIPPED = "exposure_clipped"
DARK = "exposure_dark"
SHIFT = "exposure_shift"
_BRIGHT_QUANTILE: Final = 0.95
_SLOPE_LEVELS: Final = 16  # how far below the clipping level the histogram tells what would have been there anyway
_MIN_SHARE: Final = 0.01
_LINES: Final = slice(None, None, 2)  # every second line is asked for its tones: hundreds of thousands of pixels
_BLACK_LIGHT: Final = 0.004  # linear light added to both sides: reflections in black say nothing of the exposure
_QUANTILES: Final = np.linspace(0.1, 0.9, 9)


def measure_clipped(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the share of the product that was lost in white: at the clipping level, beyond what leads up to it.

    Where nobody knows the product, it is asked of all that is not white backdrop.
    """
    level = rubric.checks.exposure_clipped.level
    product = _product_lines(evidence)
    rgb = evidence.given.attempt_rgb
    lightest = _lightest(rgb if product is None else rgb[evidence.product_window][_LINES])
    asked = _not_backdrop(lightest, level) if product is None else product
    known = product is not None
    count = int(cv2.countNonZero(asked))
    if count < _MIN_SHARE * asked.size and not known:
        return (not_applicable(CLIPPED, "There is nothing but white to judge the exposure by."),)
    histogram = _histogram(lightest, asked, count) / count
    value = lost_in_white(histogram, level)
    what = "the product" if known else "what is not backdrop"
    return (measured(rubric, CLIPPED, value, "share", f"{value:.0%} of {what} is lost in white."),)


def _product_lines(evidence: Evidence) -> Plane | None:
    """Return every second line of the product in its window (1, else 0); None where nobody knows it or it is hidden."""
    if evidence.product is None:
        return None
    lines = evidence.product[evidence.product_window][_LINES].view(np.uint8)
    return lines if cv2.countNonZero(lines) else None


def _histogram(plane: Plane, asked: Plane, count: int) -> NDArray[np.float32]:
    """Return how often each of 256 levels stands where `asked` (> 0 at `count` places): all but a few are counted fast.

    OpenCV counts a whole plane in a tenth of the time of a masked one, so the others are made black and taken off.
    """
    black = np.asarray(cv2.copyTo(plane, asked))
    histogram = np.asarray(cv2.calcHist([black], [0], None, [256], [0, 256]).ravel(), dtype=np.float32)
    histogram[0] = count - histogram[1:].sum(dtype=np.float64)
    return histogram


def _lightest(rgb: Rgb) -> Plane:
    """Return the largest of each pixel's channels, (H, W) uint8."""
    return np.maximum(np.maximum(rgb[..., 0], rgb[..., 1]), rgb[..., 2])


def lost_in_white(histogram: NDArray[Any], level: int) -> float:
    """Return the share of a histogram (256 shares) at or above `level` that the levels below do not lead up to.

    Tones that end in white thin out or level off towards it; light that was cut off stands there alone. So as many as
    the levels below it hold, on average, are taken as belonging there.
    """
    below = float(histogram[level - _SLOPE_LEVELS : level].mean())
    return max(0.0, float(histogram[level:].sum()) - below * (256 - level))


def _not_backdrop(lightest: Plane, level: int) -> Plane:
    """Return what is not white from the border on (255), (H, W); looked at on every fourth pixel."""
    small = np.ascontiguousarray(lightest[::4, ::4])
    white = (small >= level).view(np.uint8)
    framed = cv2.copyMakeBorder(white, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(framed, None, (0, 0), 2)
    asked = np.where(framed[1:-1, 1:-1] == 2, 0, 255).astype(np.uint8)
    size = (lightest.shape[1], lightest.shape[0])
    return np.asarray(cv2.resize(asked, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def measure_dark(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the lightness (CIE L*) that the lightest 5 % of the product reach: black lacquer has highlights."""
    product = _product_lines(evidence)
    if product is None:
        return (not_applicable(DARK, "Nobody knows where the product is."),)
    grey = evidence.grey[evidence.product_window][_LINES]
    histogram = _histogram(grey, product, int(cv2.countNonZero(product)))
    reached = np.cumsum(histogram, dtype=np.float64) / histogram.sum(dtype=np.float64)
    value = lightness(min(255, int(np.searchsorted(reached, _BRIGHT_QUANTILE))))
    return (measured(rubric, DARK, value, "L*", f"The lightest parts of the product reach L* {value:.0f} of 100."),)


def measure_shift(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return by how many stops (doublings of light) the product is lighter or darker than on its photo."""
    pixels = evidence.product_beside_photo
    if pixels is None:
        return (not_applicable(SHIFT, "There is no photo of the product, or nobody knows where it is."),)
    stops = 0.0 if evidence.product_kept else _stops_between(*pixels)
    value = abs(stops)
    direction = "lighter" if stops > 0 else "darker"
    sentence = f"The product is {value:.1f} stops {direction} than on its photo."
    if value <= rubric.limit(SHIFT):
        sentence = "The product is as light as on its photo."
    return (measured(rubric, SHIFT, value, "stops", sentence),)


def _stops_between(shown: Rgb, true: Rgb) -> float:
    """Return by how many stops (N, 3) pixels are lighter than others: the mean over nine quantiles of their light."""
    return float(np.mean(np.log2(_tones(shown) + _BLACK_LIGHT) - np.log2(_tones(true) + _BLACK_LIGHT)))


def _tones(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the linear light at nine quantiles of (N, 3) pixels: shifts and other crops hardly move them."""
    light = to_linear(rgb) @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
    return np.asarray(np.quantile(light, _QUANTILES), dtype=np.float64)
