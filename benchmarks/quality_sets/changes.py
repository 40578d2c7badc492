"""Changes to a product, by amounts a shopper would notice, and those that a good picture may make to it."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.quality_sets import damage
from benchmarks.quality_sets.production import recoloured
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Rgb, Rgba

Rng = np.random.Generator
LEAST_CHROMA = 18.0
"""Mean Lab chroma below which turning the hue by 20 degrees moves colours by less than 6, which nobody notices."""
LEAST_DETAIL = 2.5
"""Mean change of level by smoothing, below which there is no texture or print to lose."""


def chroma_of(cutout: CutOut) -> float:
    """Return the product's mean Lab chroma."""
    lab = cv2.cvtColor(cutout.rgba[..., :3].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return float(np.hypot(lab[..., 1], lab[..., 2])[cutout.rgba[..., 3] == 255].mean())


def detail_of(cutout: CutOut) -> float:
    """Return the mean change of level when texture and print are smoothed away."""
    smooth = texture_lost(cutout).rgba[..., :3].astype(np.float32)
    inside = cv2.erode((cutout.rgba[..., 3] == 255).astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    if not inside.any():
        return 0.0
    return float(np.abs(smooth - cutout.rgba[..., :3])[inside].mean())


def hue_turned(cutout: CutOut, degrees: float) -> CutOut:
    """Turn the product's hue."""
    return recoloured(cutout, damage.hue_turned(_rgb(cutout), degrees))


def lab_shifted(cutout: CutOut, rng: Rng, distance: float) -> CutOut:
    """Shift the product's colour by a distance in Lab, mostly in a* and b*: a shift of L* is another light."""
    direction = rng.standard_normal(3) * (0.15, 1.0, 1.0)
    step = direction / np.linalg.norm(direction) * distance
    return recoloured(cutout, damage.lab_shifted(_rgb(cutout), (float(step[0]), float(step[1]), float(step[2]))))


def warped(cutout: CutOut, rng: Rng, reach_px: float, wave_px: float) -> CutOut:
    """Bend the product by up to `reach_px`, in waves of `wave_px` (pixels of the cut-out)."""
    height, width = cutout.rgba.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, 4)
    turn = 2 * np.pi / wave_px
    dx = reach_px * np.sin(turn * y + phases[0]) * np.cos(0.5 * turn * x + phases[1])
    dy = reach_px * np.sin(turn * x + phases[2]) * np.cos(0.5 * turn * y + phases[3])
    premultiplied = _premultiplied(cutout.rgba)
    bent = cv2.remap(premultiplied, (x + dx).astype(np.float32), (y + dy).astype(np.float32), cv2.INTER_LINEAR)
    return CutOut(_straight(bent), cutout.coverage_ratio)


def texture_lost(cutout: CutOut, radius_px: float = 5.0) -> CutOut:
    """Smooth texture and print away and keep outlines and shading, as a model does that paints from memory."""
    inside = cutout.rgba[..., 3:].astype(np.float32) / 255
    weight = cv2.GaussianBlur(inside[..., 0], (0, 0), radius_px)[..., None]
    soft = cv2.GaussianBlur(_rgb(cutout).astype(np.float32) * inside, (0, 0), radius_px) / np.maximum(weight, 1e-3)
    return recoloured(cutout, np.clip(np.rint(soft), 0, 255).astype(np.uint8))


def busiest_box(cutout: CutOut, share: float = 0.3) -> tuple[slice, slice]:
    """Return the window (a share of each side) with the most detail: where label or print stands."""
    grey = cv2.cvtColor(_rgb(cutout), cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside = cv2.erode((cutout.rgba[..., 3] == 255).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(np.float32)
    detail = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 3.0)) * inside
    height, width = round(grey.shape[0] * share), round(grey.shape[1] * share)
    total = cv2.boxFilter(detail, -1, (width, height), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT)
    valid = total[: grey.shape[0] - height + 1, : grey.shape[1] - width + 1]
    top, left = np.unravel_index(int(valid.argmax()), valid.shape)
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


def label_scrambled(cutout: CutOut, rng: Rng) -> CutOut:
    """Shuffle small tiles of the busiest part: letters become strokes that mean nothing; colours and grain remain."""
    rows, columns = busiest_box(cutout)
    rgb = _rgb(cutout).copy()
    part = rgb[rows, columns]
    tile = max(6, round(min(part.shape[:2]) / 9))
    count = (part.shape[0] // tile, part.shape[1] // tile)
    places = [(i, j) for i in range(count[0]) for j in range(count[1])]
    for (i, j), k in zip(places, rng.permutation(len(places)), strict=True):
        a, b = places[int(k)]
        source = part[a * tile : (a + 1) * tile, b * tile : (b + 1) * tile][:, :: -1 if rng.random() < 0.5 else 1]
        rgb[
            rows.start + i * tile : rows.start + (i + 1) * tile,
            columns.start + j * tile : columns.start + (j + 1) * tile,
        ] = source
    return recoloured(cutout, rgb)


def fitted(other: CutOut, like: CutOut) -> CutOut:
    """Return another product scaled to the long side of this one."""
    scale = max(like.rgba.shape[:2]) / max(other.rgba.shape[:2])
    size = (max(8, round(other.rgba.shape[1] * scale)), max(8, round(other.rgba.shape[0] * scale)))
    small = cv2.resize(
        _premultiplied(other.rgba), size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    return CutOut(_straight(small), other.coverage_ratio)


def relit(cutout: CutOut, rng: Rng) -> CutOut:
    """Light the product a little otherwise: up to 12 % brighter or darker, a slope of up to 15 % across it."""
    height, width = cutout.rgba.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x / width - 0.5) * np.cos(angle) + (y / height - 0.5) * np.sin(angle)
    gain = rng.uniform(0.9, 1.12) * (1 + rng.uniform(0.05, 0.15) * slope)
    warmth = np.array([1 + (w := rng.uniform(-0.015, 0.015)), 1.0, 1 - w], np.float32)
    brightest = float(np.percentile(_rgb(cutout)[cutout.rgba[..., 3] == 255], 99))
    gain *= min(1.0, 250.0 / max(1.0, brightest * float(gain.max())))  # light that blows the product out is a defect
    lit = np.clip(_rgb(cutout).astype(np.float32) * gain[..., None] * warmth, 0, 255)
    return recoloured(cutout, np.rint(lit).astype(np.uint8))


def _rgb(cutout: CutOut) -> Rgb:
    return np.ascontiguousarray(cutout.rgba[..., :3])


def _premultiplied(rgba: Rgba) -> np.ndarray:
    plane = rgba.astype(np.float32)
    plane[..., :3] *= plane[..., 3:] / 255
    return plane


def _straight(plane: np.ndarray) -> Rgba:
    alpha = np.clip(plane[..., 3:], 0, 255)
    colour = np.clip(plane[..., :3] * 255 / np.maximum(alpha, 1), 0, 255) * (alpha > 0)
    return np.ascontiguousarray(np.rint(np.concatenate([colour, alpha], axis=2)).astype(np.uint8))
