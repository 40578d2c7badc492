"""What a product does to the floor it stands on, and a product set down in a picture that was drawn without it.

Light here is the square of the sRGB code (gamma 2.0): shades and reflections multiply and add as in the world to within
what the eye can tell. The product's own pixels come last, straight from the photo: nothing here writes where its alpha
is 255.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Light, Placement, Stage
from zimage_core.imaging import shadow
from zimage_core.imaging.composite import paste_premultiplied, placed_premultiplied, visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Rgb, Rgba

Light3 = NDArray[np.float32]

GLOSS_REFLECTION: Final = 0.21
"""Least share of the product's image that a floor the scene calls glossy gives back: what the studio's gloss does."""
_BOUNCE = np.float32(0.10)  # share of the product's colour that the floor beside its foot sends back
_SKY_TINT = np.array([1.0, 0.985, 0.955], dtype=np.float32)  # shadows are lit by a cooler sky: less blue is lost
_THICKNESS_RATIO = 0.14  # how far a product seen from above stands out of its surface, of its shorter side
_HORIZON_FADE_RATIO = 0.03  # rows, of the height, over which a shade ends towards the horizon
_LEAST_BEHIND_RATIO = 0.05  # floor behind the product that a picture with a horizon has at least


def set_down(
    picture_rgb: Rgb, cutout: CutOut, placement: Placement, stage: Stage, *, placed: Rgba | None = None
) -> Rgb:
    """Return a picture drawn without the product, (H, W, 3) uint8, with the product standing (or lying) in it.

    The product shades the floor around its foot and away from the stage's light, is faintly mirrored where the stage
    says so, and is pasted last: where its placed alpha is 255 the result is exactly `placed_premultiplied`. Where it
    neither is nor shades, the picture is untouched. `placed` may hold `placed_premultiplied(cutout, placement, W, H)`
    where the caller has it: it saves 40 ms. Raises ImageError when the product is empty or outside the picture.
    """
    height_px, width_px = picture_rgb.shape[:2]
    product = placed_premultiplied(cutout, placement, width_px, height_px) if placed is None else placed
    grounds = shadow.find_ground(np.ascontiguousarray(product[..., 3]))
    if stage.backdrop == "surface":
        shade = shade_on_surface(product, stage.light, short_side_px(cutout, placement))
    else:
        horizon = horizon_row(grounds, stage.horizon_ratio, height_px) if _has_horizon(stage) else None
        shade = shade_on_floor(product, grounds, stage.light, horizon)
    light = np.square(picture_rgb * np.float32(1.0 / 255.0))
    light *= let_through(shade, product)
    strength = max(stage.reflection_ratio, GLOSS_REFLECTION if stage.floor == "gloss" else 0.0)
    if strength > 0.01 and stage.backdrop != "surface":
        light = mirrored_in(light, product, grounds, strength)
    return paste_premultiplied(_as_codes(light), product)


def short_side_px(cutout: CutOut, placement: Placement) -> float:
    """Return the shorter side of the placed product's visible box. Raises ImageError when the cut-out is empty."""
    box = visible_box(cutout.rgba[..., 3])
    return placement.scale * min(box.width_px, box.height_px)


def horizon_row(grounds: tuple[shadow.Ground, ...], horizon_ratio: float, height_px: int) -> float:
    """Return the row where the floor ends: as the scene says, but always behind where the product stands."""
    wanted = horizon_ratio * height_px
    if not grounds:
        return wanted
    highest = min(float(np.min(ground.base_row_px - ground.depth_px)) for ground in grounds)
    return min(wanted, highest - _LEAST_BEHIND_RATIO * height_px)


def shade_on_floor(
    product: Rgba, grounds: tuple[shadow.Ground, ...], light: Light, horizon: float | None
) -> shadow.Shade:
    """Return the shade of a standing product, (H, W) float32, 0 = all light arrives: contact and cast shadow.

    `horizon` is the row where the floor ends and with it the shade; None where the floor bends up into the backdrop.
    """
    alpha = np.ascontiguousarray(product[..., 3])
    contact = shadow.contact_shadow(alpha, grounds)
    cast = shadow.cast_shadow(alpha, grounds, light)
    shade = 1.0 - (1.0 - contact) * (1.0 - cast)
    if horizon is not None:
        rows = np.arange(alpha.shape[0], dtype=np.float32)[:, None]
        shade = shade * np.clip((rows - horizon) / np.float32(_HORIZON_FADE_RATIO * alpha.shape[0]), 0.0, 1.0)
    return np.asarray(shade, dtype=np.float32)


def shade_on_surface(product: Rgba, light: Light, short_side_px: float) -> shadow.Shade:
    """Return the shade of a product that lies on a surface seen from above, (H, W) float32."""
    return shadow.flat_shadow(np.ascontiguousarray(product[..., 3]), light, _THICKNESS_RATIO * short_side_px)


def let_through(shade: shadow.Shade, product: Rgba) -> Light3:
    """Return what a shade lets through, (H, W, 3): shadows are lit by a cooler sky, and by the product's own colours.

    `product` is premultiplied, (H, W, 4); its colours spill on the floor around it very softly and very weakly.
    """
    small = cv2.resize(product, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255.0)
    spread = cv2.GaussianBlur(np.square(small[..., :3]), (0, 0), 3.0) * _BOUNCE
    bounce = cv2.resize(spread, (shade.shape[1], shade.shape[0]), interpolation=cv2.INTER_CUBIC)
    through = 1.0 - shade[..., None] * _SKY_TINT
    return np.asarray(through.astype(np.float32) + shade[..., None] * bounce, dtype=np.float32)


def mirrored_in(light: Light3, product: Rgba, grounds: tuple[shadow.Ground, ...], strength: float) -> Light3:
    """Return the light with the product's image in the floor, `strength` (0..1) at its foot, fading from there."""
    image = shadow.reflection(product, grounds)
    through = 1.0 - np.float32(strength) * image[..., 3:]
    return light * through + np.square(image[..., :3]) * np.float32(strength)


def _has_horizon(stage: Stage) -> bool:
    """Return whether the floor ends at an edge: paper bends up seamlessly, and a closeup's ground is out of focus."""
    return stage.backdrop == "wall" or (stage.backdrop == "sweep" and stage.floor not in ("paper", "none"))


def _as_codes(light: Light3) -> Rgb:
    """Return light as 8-bit codes, dithered: a shade over an even tone would show its steps.

    Interleaved gradient noise (Jimenez 2014, "Next generation post processing in Call of Duty") is a fixed function of
    row and column; codes that are whole already, those that no shade touched, stay as they were.
    """
    rows = np.arange(light.shape[0], dtype=np.float32)[:, None]
    columns = np.arange(light.shape[1], dtype=np.float32)[None, :]
    threshold = np.mod(52.9829189 * np.mod(0.06711056 * columns + 0.00583715 * rows, 1.0), 1.0)
    codes = cv2.sqrt(np.maximum(light, np.float32(0.0))) * np.float32(255.0)
    codes += (0.01 + 0.98 * threshold[..., None]).astype(np.float32)
    return np.asarray(np.minimum(codes, np.float32(255.0)), dtype=np.uint8)
