"""A product in a scene: set it down, build what is around it, light it, let it shade and mirror, and paste it last.

The product's own pixels come straight from the photo: nothing here writes where its alpha is 255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Light, Placement, Stage
from zimage_core.engines.base import RenderRequest
from zimage_core.engines.studio import backdrop, floor, interior, tone
from zimage_core.engines.studio.camera import Camera
from zimage_core.engines.studio.look import Look, settle
from zimage_core.engines.studio.material import FINISHES
from zimage_core.imaging import set_down, shadow
from zimage_core.imaging.composite import paste_premultiplied, placed_premultiplied
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.placing import place

Pixels = NDArray[np.uint8]
Light3 = NDArray[np.float32]

_COARSE = 4  # backdrops hold nothing finer than four pixels
_VIGNETTE = np.float32(0.10)


@dataclass(frozen=True, slots=True)
class Set:
    """What every part of a picture shares: its size, its look, where the product stands, its pixels there."""

    width_px: int
    height_px: int
    look: Look
    product: Pixels
    grounds: tuple[shadow.Ground, ...]
    short_side_px: float

    @property
    def coarse(self) -> tuple[int, int]:
        """Height and width of the coarse raster."""
        return max(8, math.ceil(self.height_px / _COARSE)), max(8, math.ceil(self.width_px / _COARSE))


def render_stage(request: RenderRequest, cutout: CutOut) -> tuple[Pixels, Placement, tuple[str, ...]]:
    """Return (rgb, placement, notes) of a stage picture; the same request gives the same bytes."""
    stage = request.scene.stage
    rng = np.random.Generator(np.random.PCG64(request.seed))
    look = settle(stage, request.change, tone.outline_lab(cutout.rgba), rng)
    placement, notes = place(cutout, stage, request.width_px, request.height_px)
    product = placed_premultiplied(cutout, placement, request.width_px, request.height_px)
    grounds = shadow.find_ground(np.ascontiguousarray(product[..., 3]))
    size_px = set_down.short_side_px(cutout, placement)
    scene = Set(request.width_px, request.height_px, look, product, grounds, size_px)
    if stage.backdrop == "surface":
        light = _from_above(scene, rng)
    elif stage.backdrop == "white":
        light = _on_white(scene)
    elif stage.backdrop == "closeup" or (stage.backdrop == "sweep" and look.material == "paper"):
        light = _on_sweep(scene, stage, rng)
    else:
        light = _on_floor(scene, request, rng)
    picture = tone.develop(light * _warmth(look.light), rng)
    return paste_premultiplied(picture, product), placement, notes


def _warmth(light: Light) -> NDArray[np.float32]:
    """Return the colour of the key light: warmth 1 is late sun, -1 open shade."""
    warm = np.float32(light.warmth_ratio)
    return np.array([1.0 + 0.06 * warm, 1.0, 1.0 - 0.12 * warm], dtype=np.float32)


# ---------------------------------------------------------------- the four kinds of set


def _on_white(scene: Set) -> Light3:
    """A white stage: white paper lit to white, with the product's shadow."""
    light = np.ones((scene.height_px, scene.width_px, 3), dtype=np.float32)
    return _shaded(light, scene)


def _on_sweep(scene: Set, stage: Stage, rng: np.random.Generator) -> Light3:
    """Seamless paper from under the product up behind it; behind a closeup far lamps may glow."""
    height, width = scene.coarse
    horizon = set_down.horizon_row(scene.grounds, stage.horizon_ratio, scene.height_px) / scene.height_px
    soft = 0.12 if stage.backdrop == "closeup" else 0.030
    lit = backdrop.sweep_light(scene.look, rng, height, width, horizon)
    upper, lower = tone.light_of(scene.look.wall), tone.light_of(scene.look.floor)
    _, y = backdrop.grid(height, width)
    blend = (1.0 / (1.0 + np.exp(-(y - horizon) / soft)))[..., None].astype(np.float32)
    small = ((upper * (1 - blend) + lower * blend) * lit[..., None]).astype(np.float32)
    if stage.backdrop == "closeup" and scene.look.pattern:
        small = interior.with_lamps(small, scene.look, rng, stage.bokeh_ratio, horizon)
    light = tone.upsampled(small, scene.width_px, scene.height_px)
    return _mirrored(_shaded(light, scene), scene, stage.reflection_ratio)


def _on_floor(scene: Set, request: RenderRequest, rng: np.random.Generator) -> Light3:
    """A table or floor that ends at the horizon, and what is behind it."""
    stage = request.scene.stage
    height, width = scene.coarse
    horizon = set_down.horizon_row(scene.grounds, stage.horizon_ratio, scene.height_px)
    camera = _camera(scene, horizon)
    if stage.backdrop == "sweep":
        lit = backdrop.sweep_light(scene.look, rng, height, width, horizon / scene.height_px)
        behind = tone.light_of(scene.look.wall) * lit[..., None]
        shapes: list[NDArray[np.float64]] = []
        kind = ""
    else:
        behind, shapes, kind = backdrop.wall(
            scene.look, rng, height, width, horizon / scene.height_px, stage.bokeh_ratio
        )
    light = tone.upsampled(behind, scene.width_px, scene.height_px)
    first = max(0, math.floor(horizon) - 8)
    if first >= scene.height_px - 8:
        return light
    own = floor.in_perspective(scene.look, camera, rng, first)
    small = backdrop.floor_light(scene.look, camera, rng, height, width, (shapes, kind))
    lit_floor = tone.upsampled(small, scene.width_px, scene.height_px)[first:, :, None]
    own *= lit_floor
    own = _sheen(own, light, camera, first, FINISHES[scene.look.material].sheen)
    edge = max(0.8, camera.defocus_px(horizon))
    rows = np.arange(first, scene.height_px, dtype=np.float32)[:, None, None]
    cover = 1.0 / (1.0 + np.exp(-(rows - horizon) / np.float32(0.6 * edge)))
    light[first:] += (own - light[first:]) * cover
    shaded = _shaded(light, scene, horizon)
    return _vignetted(_mirrored(shaded, scene, stage.reflection_ratio), scene)


def _from_above(scene: Set, rng: np.random.Generator) -> Light3:
    """A flat lay: a surface from above, light across it, the product's shadow on the far side of the light."""
    light = floor.from_above(scene.look, scene.width_px, scene.height_px, rng)
    height, width = scene.coarse
    lit = backdrop.table_light(scene.look, rng, height, width)
    light = light * tone.upsampled(lit, scene.width_px, scene.height_px)[..., None]
    shade = set_down.shade_on_surface(scene.product, scene.look.light, scene.short_side_px)
    return _vignetted(light * set_down.let_through(shade, scene.product), scene)


# ---------------------------------------------------------------- what the product does to its surroundings


def _camera(scene: Set, horizon: float) -> Camera:
    contact = max((ground.bottom_row_px for ground in scene.grounds), default=0.9 * scene.height_px)
    vanish = horizon - max(0.28 * scene.height_px, 0.6 * (contact - horizon))
    return Camera(scene.width_px, scene.height_px, contact, horizon, vanish)


def _shaded(light: Light3, scene: Set, horizon: float | None = None) -> Light3:
    """Return the light with the product's contact and cast shadow on the floor, and a breath of its colour."""
    shade = set_down.shade_on_floor(scene.product, scene.grounds, scene.look.light, horizon)
    return light * set_down.let_through(shade, scene.product)


def _mirrored(light: Light3, scene: Set, reflection_ratio: float) -> Light3:
    """Return the light with the product's image in the floor, as strong as the scene says and the material allows."""
    strength = max(reflection_ratio, 0.7 * FINISHES[scene.look.material].sheen)
    if strength <= 0.01:
        return light
    return set_down.mirrored_in(light, scene.product, scene.grounds, strength)


def _sheen(own: Light3, light: Light3, camera: Camera, first: int, sheen: float) -> Light3:
    """Return the floor with the backdrop mirrored in it, stronger towards the horizon, where light glances."""
    if sheen <= 0.0:
        return own
    count = own.shape[0]
    source = np.clip(2.0 * camera.horizon_row - np.arange(first, first + count), 0, camera.horizon_row - 1)
    rows = cv2.resize(light, (camera.width_px // 8, camera.height_px // 8), interpolation=cv2.INTER_AREA)
    image = rows[np.clip(np.rint(source / 8).astype(np.intp), 0, rows.shape[0] - 1)]
    image = cv2.resize(cv2.GaussianBlur(image, (0, 0), 2.0, sigmaY=6.0), (camera.width_px, count))
    away = (camera.contact_row - np.arange(first, first + count, dtype=np.float32)) / max(
        1.0, camera.contact_row - camera.horizon_row
    )
    share = np.float32(sheen) * np.clip(0.45 + 0.55 * away, 0.15, 1.0)[:, None, None].astype(np.float32)
    return own * (1.0 - share) + image * share


def _vignetted(light: Light3, scene: Set) -> Light3:
    """Return the light with slightly darker corners, as every lens and every careful retoucher leaves them."""
    height, width = scene.coarse
    x, y = backdrop.grid(height, width)
    lens = 1.0 - _VIGNETTE * np.square(np.square(x) * 0.5 + np.square(2 * y - 1) * 0.5)
    return light * tone.upsampled(lens.astype(np.float32), scene.width_px, scene.height_px)[..., None]
