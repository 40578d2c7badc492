"""Colours and light: palette colours to light and back, choosing tones that set a product off, and the final 8 bits.

Light here is the square of the sRGB code (gamma 2.0): shadows and highlights add and multiply as in the world to within
what the eye can tell, and a square root takes a tenth of the time of the exact curve.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Light3 = NDArray[np.float32]
Plane = NDArray[np.float32]

_SHOULDER = np.float32(0.90)  # light above this is rolled off instead of clipped


def rgb_of(color: str) -> NDArray[np.float32]:
    """Return '#rrggbb' as three codes 0..1."""
    digits = color.lstrip("#")
    return np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)], dtype=np.float32) / np.float32(255.0)


def light_of(color: str) -> NDArray[np.float32]:
    """Return '#rrggbb' as light, (3,) float32."""
    return np.square(rgb_of(color))


def lab_of(color: str) -> NDArray[np.float32]:
    """Return '#rrggbb' as CIE L*a*b* (D65): L 0..100."""
    return np.asarray(cv2.cvtColor(rgb_of(color).reshape(1, 1, 3), cv2.COLOR_RGB2Lab).reshape(3), dtype=np.float32)


def color_of(lab: NDArray[np.float32]) -> str:
    """Return L*a*b* as '#rrggbb', clipped to sRGB."""
    rgb = cv2.cvtColor(lab.astype(np.float32).reshape(1, 1, 3), cv2.COLOR_Lab2RGB).reshape(3)
    return "#" + "".join(f"{int(code):02x}" for code in np.clip(np.rint(rgb * 255.0), 0, 255))


def with_lightness(color: str, lightness: float, chroma_ratio: float = 1.0) -> str:
    """Return the colour at another L* (0..100), its chroma multiplied by `chroma_ratio`."""
    lab = lab_of(color)
    return color_of(np.array([lightness, lab[1] * chroma_ratio, lab[2] * chroma_ratio], dtype=np.float32))


def mixed(first: str, second: str, ratio: float) -> str:
    """Return the colour `ratio` of the way from the first to the second, in L*a*b*."""
    return color_of(lab_of(first) * np.float32(1.0 - ratio) + lab_of(second) * np.float32(ratio))


def nudged(color: str, rng: np.random.Generator, amount: float = 1.0) -> str:
    """Return the colour moved a little, as two rolls of the same paper differ: L* by 1.2, warmth by 1 (sigma)."""
    lighter, warmer = np.clip(rng.normal(0.0, [1.2, 1.0]), -2.5, 2.5) * amount
    return color_of(lab_of(color) + np.array([lighter, 0.25 * warmer, warmer], dtype=np.float32))


def outline_lab(rgba: Pixels) -> NDArray[np.float32]:
    """Return the L*a*b* of the product just inside its outline, (n, 3): what a backdrop must differ from."""
    height, width = rgba.shape[:2]
    step = max(1, max(height, width) // 256)
    small = rgba[::step, ::step]
    solid = (small[..., 3] >= 250).astype(np.uint8)
    rim = (solid - cv2.erode(solid, np.ones((5, 5), dtype=np.uint8), borderValue=0)).astype(bool)
    if not rim.any():
        rim = small[..., 3] > 0
    codes = small[..., :3][rim].astype(np.float32).reshape(1, -1, 3) / np.float32(255.0)
    return np.asarray(cv2.cvtColor(codes, cv2.COLOR_RGB2Lab).reshape(-1, 3), dtype=np.float32)


def apartness(color: str, outline: NDArray[np.float32]) -> float:
    """Return how far the colour is from the outline's where it is least: the lower quartile of the distances.

    A quarter of an outline that is lost is seen, however crisp the rest. Chroma counts half of what lightness does.
    """
    apart = np.square(outline - lab_of(color)) @ np.array([1.0, 0.25, 0.25], dtype=np.float32)
    return float(np.sqrt(np.quantile(apart, 0.25)))


def set_apart(color: str, outline: NDArray[np.float32], enough: float, wanted: float) -> str:
    """Return the colour where it is `enough` apart from the outline, else moved in L* (12..96) until `wanted` is.

    A near-neutral tone that is darkened turns drab, so it is warmed as paper and plaster of that depth are. Where no
    lightness is far enough, the one that is farthest.
    """
    own = lab_of(color)
    best, farthest = color, apartness(color, outline)
    if farthest >= enough:
        return color
    for step in range(1, 60):
        if farthest >= wanted:
            break
        for move in (-1.0, 1.0):
            lightness = float(own[0]) + move * step
            if not 12.0 <= lightness <= 96.0:
                continue
            drab = max(0.0, 1.0 - float(np.hypot(own[1], own[2])) / 8.0) * min(1.0, step / 12.0) * (move < 0)
            tried = color_of(np.array([lightness, own[1] + 1.5 * drab, own[2] + 7.0 * drab], dtype=np.float32))
            if apartness(tried, outline) > farthest:
                best, farthest = tried, apartness(tried, outline)
    return best


def contrasting(palette: tuple[str, ...], outline: NDArray[np.float32]) -> str:
    """Return a tone at least 38 L* away from the outline's median, taken from the palette where it can be.

    Of the palette the colour farthest in lightness is taken and, if it is too near still, moved on in its own hue: down
    for light products, up for dark ones. Chroma is kept between 12, below which a deep tone looks like wet cement, and
    30: the product is to be the loudest thing in the picture.
    """
    lightness = float(np.median(outline[:, 0]))
    far = max(palette, key=lambda color: abs(float(lab_of(color)[0]) - lightness))
    away = float(lab_of(far)[0])
    if abs(away - lightness) < 38.0:
        away = lightness - 38.0 if lightness > 52.0 else lightness + 38.0
    tone = lab_of(far)
    chroma = float(np.hypot(tone[1], tone[2]))
    wanted = min(30.0, max(chroma, 12.0)) if chroma > 2.0 else chroma
    return with_lightness(far, float(np.clip(away, 14.0, 94.0)), wanted / max(chroma, 1e-3))


def luminance(light: NDArray[np.float32]) -> Plane:
    """Return the luminance of light (..., 3)."""
    return np.asarray(light @ np.array([0.2126, 0.7152, 0.0722], dtype=np.float32), dtype=np.float32)


def upsampled(small: NDArray[np.float32], width_px: int, height_px: int) -> NDArray[np.float32]:
    """Return a soft picture at full size; cubic, so that its slopes have no visible steps."""
    return np.asarray(cv2.resize(small, (width_px, height_px), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def develop(light: Light3, rng: np.random.Generator, grain: float = 0.7) -> Pixels:
    """Return light as 8-bit sRGB codes, (H, W, 3): shoulder for highlights, grain and dither, so gradients never band.

    `grain` is the sigma of the grain in codes. One triangular-like noise per pixel serves all channels, as film grain
    does; it is wide enough (more than half a code) to hide every step of the 8 bits.
    """
    over = np.maximum(light - _SHOULDER, np.float32(0.0))
    rolled = np.minimum(light, _SHOULDER) + over / (np.float32(1.0) + over * np.float32(1.0 / (1.0 - _SHOULDER)))
    codes = cv2.sqrt(np.maximum(rolled, np.float32(0.0))) * np.float32(255.0)
    noise = rng.random(light.shape[:2], dtype=np.float32) + rng.random(light.shape[:2], dtype=np.float32)
    codes += ((noise - np.float32(1.0)) * np.float32(grain * 2.449) + np.float32(0.5))[..., None]
    return np.asarray(np.clip(codes, 0.0, 255.0), dtype=np.uint8)
