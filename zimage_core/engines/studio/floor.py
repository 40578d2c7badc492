"""Floors and table tops: a texture laid in perspective, or seen from straight above, in its colours."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.engines.studio import tone
from zimage_core.engines.studio.camera import Camera, defocused
from zimage_core.engines.studio.look import Look
from zimage_core.engines.studio.material import FINISHES, Material, Texture, ramp, texture
from zimage_core.engines.studio.tile import CHIP_COLORS
from zimage_core.imaging.shadow import PITCH_RATIO

Light3 = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def resolution(width_px: int, height_px: int) -> int:
    """Return the texture resolution (columns per unit) for a picture: the power of two nearest to its longer side."""
    return int(min(2048, max(256, 2 ** round(math.log2(max(width_px, height_px))))))


def in_perspective(look: Look, camera: Camera, rng: np.random.Generator, first_row: int) -> Light3:
    """Return the floor's own colour as light, rows from `first_row` down, out of focus with distance."""
    made = texture(look.material, look.variant, resolution(camera.width_px, camera.height_px), PITCH_RATIO)
    rows, columns = made.tone.shape
    ratio = made.unit_px / max(camera.width_px, camera.height_px)
    most_deg = 3.0 if look.material == "tiles" else 7.0
    turn = math.radians(rng.uniform(-most_deg, most_deg))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    shift = rng.uniform(-0.15, 0.15) * made.unit_px
    # ground (x, z) -> texture (column, row); near rows of the floor are the texture's last
    lay = np.array([[ratio * mirror, 0, columns / 2 + shift], [0, -ratio * PITCH_RATIO, rows * 0.78], [0, 0, 1]])
    rotate = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
    below = np.array([[1, 0, 0], [0, 1, first_row], [0, 0, 1]], dtype=np.float64)
    to_texture = lay @ rotate @ camera.to_ground() @ below
    size = (camera.width_px, camera.height_px - first_row)
    return defocused(_colored(*_sampled(made, look, to_texture, size), look), camera, first_row)


def from_above(look: Look, width_px: int, height_px: int, rng: np.random.Generator) -> Light3:
    """Return the surface seen from straight above, filling the picture."""
    made = texture(look.material, look.variant, resolution(width_px, height_px), 1.0)
    ratio = made.unit_px / max(width_px, height_px)
    turn = math.radians(90.0 * int(rng.integers(4)) + rng.uniform(-6.0, 6.0))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    middle = made.tone.shape[0] / 2 + rng.uniform(-0.18, 0.18, 2) * made.unit_px
    c, s = math.cos(turn) * ratio, math.sin(turn) * ratio
    lay = np.array([[c * mirror, -s, middle[0]], [s * mirror, c, middle[1]], [0, 0, 1]])
    centred = np.array([[1, 0, -width_px / 2], [0, 1, -height_px / 2], [0, 0, 1]])
    colored = _colored(*_sampled(made, look, lay @ centred, (width_px, height_px)), look)
    return np.asarray(cv2.GaussianBlur(colored, (0, 0), 0.6), dtype=np.float32)


def _sampled(
    made: Texture, look: Look, to_texture: NDArray[np.float64], size: tuple[int, int]
) -> tuple[Pixels, Pixels]:
    """Return (tone, accent) of a texture seen through a homography from picture to texture."""
    smooth = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    # the numbers of terrazzo's chips are names, not amounts: no number lies between two of them
    exact = cv2.WARP_INVERSE_MAP | (cv2.INTER_NEAREST if look.material == "terrazzo" else cv2.INTER_LINEAR)
    tones = cv2.warpPerspective(made.tone, to_texture, size, flags=smooth, borderMode=cv2.BORDER_REFLECT_101)
    accent = cv2.warpPerspective(made.accent, to_texture, size, flags=exact, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(tones, dtype=np.uint8), np.asarray(accent, dtype=np.uint8)


def _colored(codes: Pixels, accent: Pixels, look: Look) -> Light3:
    finish = FINISHES[look.material]
    colored = np.take(ramp(look.floor, finish), codes.ravel(), axis=0).reshape(*codes.shape, 3)
    if not accent.any():
        return colored
    if look.material == "terrazzo":
        chips = np.stack([np.zeros(3, dtype=np.float32), *_chip_colors(look)])
        shade = 0.80 + codes.astype(np.float32)[..., None] / np.float32(128.0) * 0.2
        return np.where(
            accent[..., None] > 0, np.take(chips, accent.ravel(), axis=0).reshape(colored.shape) * shade, colored
        )
    target = tone.light_of(_accent_color(look))
    share = accent.astype(np.float32)[..., None] * np.float32(1.0 / 255.0)
    return colored + (target - colored) * share


def _accent_color(look: Look) -> str:
    """Return what the material's accent is: the dark of a seam, the grey of a vein, the dust in a cleft."""
    lab = tone.lab_of(look.floor)
    lightness = float(lab[0])
    wanted: dict[Material, tuple[float, float]] = {
        "wood": (lightness * 0.42, 0.9),
        "marble": (lightness * 0.60, 0.5),
        "slate": (min(90.0, lightness + 24.0), 0.4),
        "limestone": (lightness * 0.72, 1.0),
        "tiles": (min(93.0, lightness + 9.0) if lightness < 70 else lightness - 12.0, 0.5),
    }
    target, chroma = wanted.get(look.material, (lightness, 1.0))
    return tone.with_lightness(look.floor, target, chroma)


def _chip_colors(look: Look) -> list[NDArray[np.float32]]:
    """Return the light of terrazzo's kinds of chips: lighter, darker, and the scene's accents, quietened."""
    lightness = float(tone.lab_of(look.floor)[0])
    accents = [tone.mixed(look.floor, color, 0.55) for color in (look.accents * CHIP_COLORS)[:2]]
    chips = [
        tone.with_lightness(look.floor, min(96.0, lightness + 12.0), 0.6),
        tone.with_lightness(look.floor, max(12.0, lightness - 22.0), 0.7),
        *accents,
    ]
    return [tone.light_of(color) for color in chips]
