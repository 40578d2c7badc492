"""What goes wrong with pictures, by known amounts: blur, noise, compression, exposure, colour, resampling.

Every function takes (H, W, 3) uint8 and returns a new picture of the same size.
"""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.quality_sets.shooting import jpeg
from zimage_core.imaging.pixels import Rgb

__all__ = [
    "banded",
    "blurred",
    "cast",
    "contrast",
    "defocused",
    "exposed",
    "hue_turned",
    "jpeg",
    "lab_shifted",
    "moved",
    "noisy",
    "upscaled",
]


def blurred(rgb: Rgb, sigma_px: float) -> Rgb:
    """Blur by a Gaussian."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma_px), dtype=np.uint8)


def defocused(rgb: Rgb, radius_px: int) -> Rgb:
    """Blur by a disc, as an unfocused lens does."""
    y, x = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    disc = (x * x + y * y <= (radius_px + 0.3) ** 2).astype(np.float32)
    return np.asarray(cv2.filter2D(rgb, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT), dtype=np.uint8)


def moved(rgb: Rgb, length_px: int, angle_deg: float) -> Rgb:
    """Blur along a line, as a hand that moves does."""
    kernel = np.zeros((length_px, length_px), np.float32)
    kernel[length_px // 2] = 1.0
    turn = cv2.getRotationMatrix2D(((length_px - 1) / 2, (length_px - 1) / 2), angle_deg, 1.0)
    kernel = cv2.warpAffine(kernel, turn, (length_px, length_px))
    return np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT), dtype=np.uint8)


def upscaled(rgb: Rgb, factor: float) -> Rgb:
    """Reduce by a factor and enlarge again (cubic)."""
    height, width = rgb.shape[:2]
    small = cv2.resize(rgb, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def noisy(rgb: Rgb, sigma: float, rng: np.random.Generator) -> Rgb:
    """Add Gaussian noise of `sigma` levels to each channel."""
    grain = rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(sigma)
    return np.clip(np.rint(rgb + grain), 0, 255).astype(np.uint8)


def contrast(rgb: Rgb, factor: float) -> Rgb:
    """Pull all levels towards the mean grey."""
    middle = float(rgb.mean())
    return np.clip(np.rint(middle + (rgb.astype(np.float32) - middle) * factor), 0, 255).astype(np.uint8)


def exposed(rgb: Rgb, factor: float) -> Rgb:
    """Multiply levels and clip."""
    return np.clip(np.rint(rgb.astype(np.float32) * factor), 0, 255).astype(np.uint8)


def cast(rgb: Rgb, gains: tuple[float, float, float]) -> Rgb:
    """Multiply the channels apart."""
    return np.clip(np.rint(rgb.astype(np.float32) * np.asarray(gains, np.float32)), 0, 255).astype(np.uint8)


def banded(rgb: Rgb, step: int) -> Rgb:
    """Round levels to multiples of a step, the picture smoothed first so that no grain hides the bands."""
    smooth = cv2.bilateralFilter(rgb, 7, 12, 5)
    return np.clip(np.rint(smooth.astype(np.float32) / step) * step, 0, 255).astype(np.uint8)


def hue_turned(rgb: Rgb, degrees: float) -> Rgb:
    """Turn the hue around the grey axis of Lab, lightness and chroma kept."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = lab[..., 1].copy(), lab[..., 2].copy()
    lab[..., 1], lab[..., 2] = c * a - s * b, s * a + c * b
    return _from_lab(lab)


def lab_shifted(rgb: Rgb, by: tuple[float, float, float]) -> Rgb:
    """Shift all colours by (L, a, b)."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) + np.asarray(by, np.float32)
    return _from_lab(lab)


def _from_lab(lab: np.ndarray) -> Rgb:
    back = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.clip(np.rint(back * 255), 0, 255).astype(np.uint8)
