"""Light, backdrop and camera: from a modelled product to the photo a shop would be sent, with its exact matte.

Two softboxes and a fill light shade the parts; the backdrop gets the product's soft shadow; the camera adds its lens
(a point spread of half a pixel), shot and read noise, and JPEG. All light is linear until the camera.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.quality_sets.bodies import Product, Rng
from benchmarks.quality_sets.surfaces import Canvas, Floats, Part, noise
from zimage_core.imaging.pixels import Plane, Rgb

_BRIGHTEST = 0.87  # linear; 239 of 255 levels


@dataclass(frozen=True, slots=True)
class Lights:
    """A key and a second softbox: directions (towards the light), size 0..1, strengths; `fill` comes from all sides."""

    key: tuple[float, float, float]
    second: tuple[float, float, float]
    size: float
    strength: float
    second_strength: float
    fill: float


@dataclass(frozen=True, slots=True)
class Setting:
    """How a photo is taken. `ground`: sRGB levels at the middle; `falloff` towards the corners; `shadow` 0..1."""

    lights: Lights
    ground: tuple[float, float, float]
    falloff: float
    shadow: float
    noise: float
    lens_px: float
    jpeg_quality: int
    fine_chroma: bool


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """The photo, its true matte, and the product's own colours (H, W, 3) where the matte is not zero."""

    rgb: Rgb
    alpha: Plane
    product_rgb: Rgb


def setting_for(rng: Rng, kind: str) -> Setting:
    """Return a setting: `white`, `grey`, `paper` (coloured) or `dark` backdrop, everything else as it happens."""
    side = float(rng.choice([-1, 1]))
    key = (side * rng.uniform(0.35, 0.9), -rng.uniform(0.3, 0.9), rng.uniform(0.5, 1.0))
    second = (-side * rng.uniform(0.6, 1.0), -rng.uniform(0.0, 0.5), rng.uniform(0.2, 0.7))
    lights = Lights(
        _unit(key),
        _unit(second),
        float(rng.uniform(0.25, 0.6)),
        float(rng.uniform(0.45, 0.75)),
        float(rng.uniform(0.1, 0.35)),
        float(rng.uniform(0.28, 0.5)),
    )
    tint = rng.normal(0, 2.5, 3)
    middle = {
        "white": 255.0,
        "grey": rng.uniform(205, 238),
        "paper": rng.uniform(150, 225),
        "dark": rng.uniform(28, 80),
    }[kind]
    ground = np.clip(middle + (rng.normal(0, 16, 3) if kind == "paper" else tint * (kind != "white")), 12, 255)
    return Setting(
        lights,
        (float(ground[0]), float(ground[1]), float(ground[2])),
        0.0 if kind == "white" else float(rng.uniform(0.02, 0.18)),
        float(rng.uniform(0.06, 0.4)) * (rng.random() < 0.8),
        float(rng.choice([0.0, 0.4, 0.8, 1.4, 2.2])),
        float(rng.uniform(0.38, 0.58)),
        int(rng.integers(84, 97)),
        bool(rng.random() < 0.5),
    )


def _unit(vector: tuple[float, float, float]) -> tuple[float, float, float]:
    length = float(np.linalg.norm(vector))
    return (vector[0] / length, vector[1] / length, vector[2] / length)


def shoot(product: Product, canvas: Canvas, setting: Setting, rng: Rng) -> Shot:
    """Return the photo of a product on its backdrop."""
    shape = (canvas.height_px, canvas.width_px)
    ground = _backdrop(shape, setting, rng)
    alpha, light = np.zeros(shape, np.float32), np.zeros((*shape, 3), np.float32)
    seen = np.zeros(shape, np.float32)  # the matte, glass counted as solid
    for part in product.parts:
        rows, columns = _window(part.cover)
        cover = part.cover[rows, columns]
        radiance, opacity = _shaded(part, rows, columns, setting.lights)
        share = (cover * opacity)[..., None]
        light[rows, columns] = light[rows, columns] * (1 - share) + radiance * cover[..., None]
        alpha[rows, columns] = 1 - (1 - alpha[rows, columns]) * (1 - share[..., 0])
        seen[rows, columns] = np.maximum(seen[rows, columns], cover)
    light *= _exposure(light, seen)
    ground = ground * (1 - _shadow(seen, product.lying, setting, canvas)[..., None])
    scene = light + ground * (1 - alpha[..., None])
    rgb = _photographed(scene, setting, rng)
    lens = setting.lens_px
    seen = cv2.GaussianBlur(seen, (0, 0), lens)
    own = light + ground * np.where(seen > 0, np.clip(seen - alpha, 0, 1), 0)[..., None]
    blurred = cv2.GaussianBlur(own, (0, 0), lens) / np.maximum(seen, 1e-3)[..., None]
    matte = np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8)
    matte[matte < 3] = 0
    product_rgb = np.where((matte == 255)[..., None], rgb, _levels(blurred))
    product_rgb[matte == 0] = 0
    return Shot(rgb, matte, np.asarray(product_rgb, np.uint8))


def _exposure(light: Floats, seen: Floats) -> np.float32:
    """Return the factor that keeps the product's lights below clipping: what a photographer sets before the shot.

    Glints may still clip: the brightest 3 % of the product do not count.
    """
    inside = light[seen > 0.9]
    brightest = float(np.percentile(inside.max(axis=1), 97)) if inside.size else 0.0
    return np.float32(min(1.0, _BRIGHTEST / max(brightest, 1e-6)))


def _window(cover: Floats) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(cover.max(axis=1)), np.flatnonzero(cover.max(axis=0))
    if rows.size == 0:
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _shaded(part: Part, rows: slice, columns: slice, lights: Lights) -> tuple[Floats, Floats]:
    """Return (radiance premultiplied by opacity, opacity) of a part's window."""
    n, albedo, finish = part.normal[rows, columns], part.albedo[rows, columns], part.finish
    diffuse = np.full(n.shape[:2], lights.fill, np.float32) * (0.75 + 0.25 * (0.5 - 0.5 * n[..., 1]))
    for direction, strength in ((lights.key, lights.strength), (lights.second, lights.second_strength)):
        facing = n @ np.asarray(direction, np.float32)
        wrap = 0.5 * lights.size
        diffuse += strength * np.clip((facing + wrap) / (1 + wrap), 0, None)
    mirror = np.dstack([2 * n[..., 2] * n[..., 0], 2 * n[..., 2] * n[..., 1], 2 * n[..., 2] ** 2 - 1])
    shine = _environment(mirror, lights, finish.rough)
    grazing = np.clip(1 - n[..., 2], 0, 1) ** 5
    if finish.metal > 0:
        return np.asarray(albedo * (0.15 * diffuse + 0.95 * shine)[..., None], np.float32), np.ones(
            n.shape[:2], np.float32
        )
    fresnel = finish.gloss * (0.05 + 0.6 * grazing)
    if finish.clear > 0:
        rim = np.clip(1 - n[..., 2], 0, 1) ** 1.5
        opacity = np.clip(0.10 + 0.75 * rim, 0, 0.92).astype(np.float32)
        body = albedo * (0.35 + 0.3 * n[..., 0:1] ** 2) * opacity[..., None]
        return np.asarray(body + (fresnel * 1.6 * shine)[..., None], np.float32), opacity
    lit = albedo * diffuse[..., None] * (1 - 0.6 * fresnel[..., None]) + (fresnel * shine)[..., None]
    return np.asarray(lit, np.float32), np.ones(n.shape[:2], np.float32)


def _environment(direction: Floats, lights: Lights, rough: float) -> Floats:
    """Return what a mirror towards `direction` shows: two softboxes with edges as soft as the surface is rough."""
    seen = 0.35 + 0.25 * np.clip(-direction[..., 1], -1, 1)
    seen = seen * np.clip(0.55 + 0.45 * direction[..., 2], 0.1, 1)
    soft = 0.02 + 0.5 * rough
    for towards, strength in ((lights.key, lights.strength), (lights.second, lights.second_strength)):
        near = direction @ np.asarray(towards, np.float32)
        edge = 1 - 0.5 * lights.size
        t = np.clip((near - edge + soft) / (2 * soft), 0, 1)
        seen = seen + 2.2 * strength * t * t * (3 - 2 * t) / (1 + 1.5 * rough)
    return np.asarray(seen, np.float32)


def _backdrop(shape: tuple[int, int], setting: Setting, rng: Rng) -> Floats:
    height, width = shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = width * rng.uniform(0.35, 0.65), height * rng.uniform(0.3, 0.6)
    away = ((x - cx) / width) ** 2 + ((y - cy) / height) ** 2
    level = np.asarray(setting.ground, np.float32) / 255
    ground = _to_linear(level)[None, None, :] * (1 - setting.falloff * 2.2 * away)[..., None]
    if setting.falloff:
        ground = ground * (1 + 0.006 * noise(rng, shape, width / 4, 2))[..., None]
    return np.asarray(ground, np.float32)


def _shadow(cover: Floats, lying: bool, setting: Setting, canvas: Canvas) -> Floats:
    """Return how much light the product takes from the backdrop: a contact shadow and a soft one away from the key."""
    depth, unit = setting.shadow, canvas.unit_px
    if depth == 0:
        return np.zeros_like(cover)
    key = setting.lights.key
    small = cv2.resize(cover, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    if lying:
        move = np.float32([[1, 0, -key[0] * 0.03 * unit / 4], [0, 1, -key[1] * 0.03 * unit / 4]])
        near = cv2.GaussianBlur(cv2.warpAffine(small, move, small.shape[::-1]), (0, 0), max(1.0, 0.012 * unit / 4))
        far = cv2.GaussianBlur(
            cv2.warpAffine(small, 2.5 * move - np.float32([[1.5, 0, 0], [0, 1.5, 0]]), small.shape[::-1]),
            (0, 0),
            0.05 * unit / 4,
        )
        shade = 0.55 * near + 0.45 * far
    else:
        rows = np.flatnonzero(small.max(axis=1) > 0.5)
        foot = float(rows[-1]) if rows.size else 0.0
        squash = np.float32([[1, 0.35 * np.sign(key[0]), -0.35 * np.sign(key[0]) * foot], [0, 0.10, 0.90 * foot]])
        shade = 0.9 * cv2.GaussianBlur(cv2.warpAffine(small, squash, small.shape[::-1]), (0, 0), 0.03 * unit / 4)
        flat = np.float32([[1, 0, 0], [0, 0.04, 0.965 * foot]])
        shade = np.maximum(
            shade, cv2.GaussianBlur(cv2.warpAffine(small, flat, small.shape[::-1]), (0, 0), max(1.0, 0.012 * unit / 4))
        )
    full = cv2.resize(shade, cover.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(full, 0, 1) * depth, np.float32)


def _photographed(scene: Floats, setting: Setting, rng: Rng) -> Rgb:
    seen = cv2.GaussianBlur(scene, (0, 0), setting.lens_px)
    levels = _encode(seen) * 255
    if setting.noise > 0:
        grain = rng.standard_normal(levels.shape).astype(np.float32)
        spread = setting.noise * (0.5 + 0.5 * np.sqrt(np.clip(1 - seen, 0.05, 1)))
        levels = levels + grain * spread * (levels < 254.5)
    return jpeg(
        np.clip(np.rint(levels), 0, 255).astype(np.uint8), setting.jpeg_quality, fine_chroma=setting.fine_chroma
    )


def jpeg(rgb: NDArray[np.uint8], quality: int, *, fine_chroma: bool = False) -> Rgb:
    """Return a picture as it comes back from JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="JPEG", quality=quality, subsampling=0 if fine_chroma else 2)
    return np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB"), dtype=np.uint8)


def _levels(light: Floats) -> Rgb:
    return np.clip(np.rint(_encode(light) * 255), 0, 255).astype(np.uint8)


def _to_linear(level: Floats) -> Floats:
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _encode(light: Floats) -> Floats:
    light = np.clip(light, 0, 1)
    return np.where(
        light <= 0.0031308, light * 12.92, 1.055 * np.power(np.maximum(light, 1e-8), 1 / 2.4) - 0.055
    ).astype(np.float32)
