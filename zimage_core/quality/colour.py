"""Colour as the eye counts it: CIE Lab (D65) from sRGB, CIEDE2000 between Lab colours, WCAG contrast."""

from __future__ import annotations

import re

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.errors import QualityError
from zimage_core.imaging.pixels import Rgb

Lab = NDArray[np.float32]
Floats = NDArray[np.float32]

_HEX = re.compile(r"#[0-9a-fA-F]{6}")


def lab_of(rgb: NDArray[np.uint8] | Floats) -> Lab:
    """Return CIE L*a*b* (D65) of sRGB 0..255; shape (..., 3) in and out."""
    flat = np.asarray(rgb, dtype=np.float32).reshape(-1, 1, 3) / np.float32(255.0)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2LAB), dtype=np.float32).reshape(rgb.shape)


def lab_of_hex(colour: str) -> Lab:
    """Return the (3,) Lab of a #rrggbb. Raises QualityError when it is not one."""
    if not _HEX.fullmatch(colour):
        raise QualityError(f"'{colour}' is not a colour of the form #rrggbb.")
    return lab_of(np.frombuffer(bytes.fromhex(colour[1:]), dtype=np.uint8))


def lightness(grey: int) -> float:
    """Return CIE L* 0..100 of an sRGB grey level 0..255."""
    return float(lab_of(np.array([grey, grey, grey], dtype=np.uint8))[0])


def delta_e(first: Lab, second: Lab) -> Floats:
    """Return CIEDE2000 between Lab colours of shapes (..., 3) that broadcast (Sharma, Wu, Dalal 2005, k = 1)."""
    one, two = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    l1, a1, b1 = one[..., 0], one[..., 1], one[..., 2]
    l2, a2, b2 = two[..., 0], two[..., 1], two[..., 2]
    mean_chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(mean_chroma**7 / (mean_chroma**7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    grey = c1 * c2 == 0
    turn = np.where(grey, 0.0, (h2 - h1 + 180) % 360 - 180)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)
    lm, cm = (l1 + l2) / 2, (c1 + c2) / 2
    hm = np.where(grey, h1 + h2, np.where(np.abs(h1 - h2) > 180, (h1 + h2 + 360) / 2 % 360, (h1 + h2) / 2))
    t = (
        1
        - 0.17 * np.cos(np.radians(hm - 30))
        + 0.24 * np.cos(np.radians(2 * hm))
        + 0.32 * np.cos(np.radians(3 * hm + 6))
        - 0.20 * np.cos(np.radians(4 * hm - 63))
    )
    sl = 1 + 0.015 * (lm - 50) ** 2 / np.sqrt(20 + (lm - 50) ** 2)
    sc, sh = 1 + 0.045 * cm, 1 + 0.015 * cm * t
    twist = -2 * np.sqrt(cm**7 / (cm**7 + 25.0**7)) * np.sin(np.radians(60 * np.exp(-(((hm - 275) / 25) ** 2))))
    squared = (dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + twist * (dc / sc) * (dh / sh)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)), dtype=np.float32)


def luminance(rgb: Rgb) -> Floats:
    """Return relative luminance 0..1 of sRGB (..., 3) uint8 (WCAG 2.2, IEC 61966-2-1)."""
    linear = cv2.LUT(rgb.reshape(-1, 1, 3), _LINEAR)
    light = cv2.transform(linear, np.array([[0.2126, 0.7152, 0.0722]], dtype=np.float32))
    return np.asarray(light, dtype=np.float32).reshape(rgb.shape[:-1])


def contrast_ratio(first: float, second: float) -> float:
    """Return the WCAG 2.2 contrast ratio 1..21 of two relative luminances."""
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


def _linear_table() -> Floats:
    level = np.arange(256, dtype=np.float64) / 255
    curve = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return curve.astype(np.float32)


_LINEAR = _linear_table()
