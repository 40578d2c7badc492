"""Where a product meets the ground, and the shadows and reflection that follow from there.

Everything is computed from the alpha of the placed product and a `domain.Light`; nothing is drawn. A shade is a float32
(H, W) array: 0 = all light arrives, 1 = none does. Shades are soft, so they are computed on a smaller raster.

Geometry. The camera looks down a little, so a metre of floor towards the horizon takes `pitch_ratio` times the rows
that a metre to the side takes columns (0.2 = 11.5 degrees; a mug's rim or a lamp's foot shows it as an ellipse).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.domain import Light

Pixels = NDArray[np.uint8]
Shade = NDArray[np.float32]

PITCH_RATIO = 0.2
_SOLID_ALPHA = 128
_LEAST_PIECE_RATIO = 0.004  # smaller specks of alpha are dust, not pieces that stand by themselves
_GROUND_REACH_RATIO = (
    0.2  # a column whose lowest pixel is this share of the width above the lowest one hangs in the air
)
_THIN_RATIO = 0.035  # a lowest run this thin lies on the ground (a cable), whatever its row
_LOWEST_SUN_DEG = 20.0  # longer shadows than this sun's leave the picture
_OCCLUSION = ((0.005, 0.66), (0.03, 0.52), (0.11, 0.52))  # blur as a share of the piece's width, strength
_BANDS = 7  # heights that get a penumbra of their own; those between are mixed
_FRONT_RATIO = 0.2  # the front of a foot is round: its card stands this share of the depth behind the line of contact
_SLICES = 7  # cards that stand for the thickness of a piece
_COARSEST = 8  # a wide blur is made on a raster up to this many times coarser
_WORK_SIDE_PX = 288  # raster of the cast shadow; its penumbra is wider than a pixel of it


@dataclass(frozen=True, slots=True)
class Ground:
    """Where one piece of the product stands, per column of the picture from `left_px` on; arrays of equal length.

    `base_row_px`: the row of the floor under the column. `depth_px`: rows of floor that the piece covers there.
    `touch_ratio`: 1 = the column rests on the floor, 0 = it hangs over it.
    """

    left_px: int
    base_row_px: NDArray[np.float32]
    depth_px: NDArray[np.float32]
    touch_ratio: NDArray[np.float32]
    mask: NDArray[np.bool_]

    @property
    def width_px(self) -> int:
        """Columns that the piece spans."""
        return int(self.base_row_px.size)

    @property
    def bottom_row_px(self) -> float:
        """Lowest row at which the piece stands."""
        return float(self.base_row_px.max())


def find_ground(alpha: Pixels, pitch_ratio: float = PITCH_RATIO) -> tuple[Ground, ...]:
    """Return where each separate piece of the placed product stands, from its (H, W) alpha; () for an empty alpha.

    A column touches the ground when its lowest pixel is near the piece's lowest ones (within an ellipse of the piece's
    own width seen at `pitch_ratio`) or when what is lowest there is thin and near. Columns that hang (a handle, a
    lamp's head) take the ground of their neighbours that touch.
    """
    solid = (alpha >= _SOLID_ALPHA).astype(np.uint8)
    count, marks, boxes, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    if count < 2:
        return ()
    labels, stats = np.asarray(marks, dtype=np.int32), np.asarray(boxes, dtype=np.int32)
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = [index + 1 for index in range(count - 1) if areas[index] >= _LEAST_PIECE_RATIO * areas.max()]
    return tuple(_ground_of(alpha, labels, stats[label], label, pitch_ratio) for label in order)


def _ground_of(
    alpha: Pixels, labels: NDArray[np.int32], stat: NDArray[np.int32], label: int, pitch_ratio: float
) -> Ground:
    left, top, width, height = (int(stat[i]) for i in range(4))
    mask = labels[top : top + height, left : left + width] == label
    lowest = height - 1 - np.argmax(mask[::-1], axis=0)
    run = np.argmin(np.vstack([mask[::-1], np.zeros((1, width), dtype=bool)])[_from(lowest, height)], axis=0)
    lift = (lowest.max() - lowest).astype(np.float32)
    thin = run <= max(2.0, _THIN_RATIO * max(width, height))
    near = lift <= min(_GROUND_REACH_RATIO * width, 0.35 * height)
    columns = np.flatnonzero(near)
    # a round foot of the touching width shows an arc this high; above it a column is the bulge of the body
    arc = max(2.0, 0.5 * pitch_ratio * float(columns.size))
    touch = np.where(thin & near, 1.0, np.exp(-np.square(lift / arc))) * near
    # the edge lies inside the next pixel, as far down as it is covered; without that the line of contact has teeth
    below = np.minimum(lowest + top + 1, alpha.shape[0] - 1)
    edge = lowest + top + 1 + alpha[below, np.arange(left, left + width)] / 255.0
    base = np.interp(np.arange(width), columns, edge[columns])
    depth = np.minimum(2.0 * arc, run).astype(np.float32)
    depth = np.interp(np.arange(width), columns, depth[columns]).astype(np.float32)
    full = np.zeros(labels.shape, dtype=bool)
    full[top : top + height, left : left + width] = mask
    return Ground(left, base.astype(np.float32), depth, touch.astype(np.float32), full)


def _from(lowest: NDArray[np.int64], height: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Index a flipped mask so that every column begins at its own lowest pixel (past the end: `height`)."""
    rows = np.arange(height + 1)[:, None] + (height - 1 - lowest)[None, :]
    return np.minimum(rows, height), np.broadcast_to(np.arange(lowest.size)[None, :], rows.shape)


def contact_shadow(alpha: Pixels, grounds: tuple[Ground, ...], pitch_ratio: float = PITCH_RATIO) -> Shade:
    """Return how much of the sky the product hides from the floor around its foot: dark and tight, then wide and faint.

    Three Gaussians, flattened by the pitch, of 0.5 %, 3 % and 11 % of each piece's width: the look of ambient occlusion
    without tracing it. Where the outline rises between two places that touch (a cushion on its corners), the floor
    under the arch is shaded too.
    """
    height, width = alpha.shape
    light = np.ones((height, width), dtype=np.float32)
    for ground in grounds:
        size = math.sqrt(ground.width_px * max(float(ground.touch_ratio.sum()), 0.05 * ground.width_px))
        foot = _foot_mask(ground, (height, width))
        for sigma_ratio, strength in _OCCLUSION:
            sigma = max(0.8, sigma_ratio * size)
            light *= 1.0 - strength * _flat_blur(foot, sigma, max(0.6, sigma * max(0.4, 3.0 * pitch_ratio)))
    return 1.0 - light


def _foot_mask(ground: Ground, shape: tuple[int, int]) -> Shade:
    """Return the floor that the piece covers, as far as it touches, as an (H, W) mask 0..1."""
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    depth = np.maximum(ground.depth_px, 1.5)
    # half a pixel below the lowest row the floor begins
    inside = np.clip(ground.base_row_px - rows, 0, 1) * np.clip(rows - (ground.base_row_px - depth) + 1, 0, 1)
    chord = _chord(ground)
    arch = np.clip(rows - ground.base_row_px + 1.5, 0, 1) * np.clip(chord - rows, 0, 1)
    arch *= np.clip((chord - ground.base_row_px) / 3.0 - 0.5, 0, 1)
    mask = np.zeros(shape, dtype=np.float32)
    columns = slice(ground.left_px, ground.left_px + ground.width_px)
    mask[:, columns] = np.maximum(inside * ground.touch_ratio, arch * np.float32(0.8))
    return mask


def _bodied(ground: Ground) -> NDArray[np.bool_]:
    """Return which columns stand on a body and not on a cable or a strap that lies on the floor."""
    return np.asarray(ground.depth_px > max(2.0, _THIN_RATIO * ground.width_px))


def _chord(ground: Ground) -> NDArray[np.float32]:
    """Return per column the row of a tight string under each body: the lower convex hull of what touches there."""
    bodied = _bodied(ground)
    row = ground.base_row_px.copy()
    ends = np.flatnonzero(np.diff(np.concatenate([[False], bodied, [False]]).astype(np.int8)))
    for first, last in zip(ends[::2], ends[1::2], strict=True):
        columns = first + np.flatnonzero(ground.touch_ratio[first:last] > 0.3)
        if columns.size < 3 or columns[-1] - columns[0] < 0.15 * ground.width_px:
            continue
        hull = cv2.convexHull(np.stack([columns, ground.base_row_px[columns]], axis=1).astype(np.float32))
        points = hull.reshape(-1, 2)
        ends_x, ends_row = columns[[0, -1]], ground.base_row_px[columns[[0, -1]]]
        under = points[points[:, 1] >= np.interp(points[:, 0], ends_x, ends_row) - 1e-3]
        under = under[np.argsort(under[:, 0], kind="stable")]
        span = np.arange(columns[0], columns[-1] + 1)
        row[span] = np.maximum(row[span], np.interp(span, under[:, 0], under[:, 1]))
    return row.astype(np.float32)


def _flat_blur(mask: Shade, sigma_x: float, sigma_y: float) -> Shade:
    """Blur by a Gaussian; a wide one on a raster as coarse as it allows, since it has nothing finer to show."""
    step = max(1, min(_COARSEST, int(min(sigma_x / 2.5, sigma_y * 1.2))))
    height, width = mask.shape
    size = (max(2, width // step), max(2, height // step))
    small = mask if step == 1 else cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(small, (0, 0), sigma_x / step, sigmaY=sigma_y / step, borderType=cv2.BORDER_REPLICATE)
    full = soft if step == 1 else cv2.resize(soft, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(full, 0.0, 1.0), dtype=np.float32)


def cast_shadow(alpha: Pixels, grounds: tuple[Ground, ...], light: Light, pitch_ratio: float = PITCH_RATIO) -> Shade:
    """Return the shadow that the product throws on the floor, away from the light, softer with every row of height.

    Each piece is taken as a card in the middle of its foot, as thick as the foot: a point at height h falls
    h * cot(elevation) away from the light (flattened by the pitch), and the penumbra's width is h * the light's
    apparent size. The strength falls with height and softness, as a large source fills its own shadow.
    """
    height, width = alpha.shape
    step = max(1.0, max(height, width) / _WORK_SIDE_PX)
    shape = (max(2, round(height / step)), max(2, round(width / step)))
    reach = 1.0 / math.tan(math.radians(min(max(light.elevation_deg, _LOWEST_SUN_DEG), 89.0)))
    azimuth = math.radians(light.azimuth_deg)
    fall = (-math.sin(azimuth) * reach, math.cos(azimuth) * reach * pitch_ratio)
    open_light = np.ones(shape, dtype=np.float32)
    for ground in grounds:
        nearness, size = _fallen(ground, fall, step, shape)
        open_light *= 1.0 - _penumbra(nearness, size / step, light.softness_ratio, pitch_ratio)
    strength = np.float32(0.74 - 0.34 * light.softness_ratio)
    full = cv2.resize(strength * (1.0 - open_light), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(full, 0.0, 1.0), dtype=np.float32)


def _fallen(ground: Ground, fall: tuple[float, float], step: float, shape: tuple[int, int]) -> tuple[Shade, float]:
    """Return (nearness, height of the piece in px): per floor pixel of the work raster 1 - h / height of the lowest
    part of the piece that shades it, 0 where none does.
    """
    stride = max(1, int(step))
    rows, columns = np.nonzero(ground.mask[::stride, ::stride])
    rows, columns = rows * stride, columns * stride
    base = ground.base_row_px[columns - ground.left_px]
    depth = ground.depth_px[columns - ground.left_px]
    lift = np.maximum(base - rows, 0.0)
    size = float(lift.max()) + 1.0
    order = np.argsort(-lift, kind="stable")  # lower parts are written last and stay
    base, depth, lift, columns = base[order], depth[order], lift[order], columns[order]
    nearness = np.zeros(shape, dtype=np.float32)
    x = np.rint((columns + fall[0] * lift) / step).astype(np.intp)
    for slice_ratio in np.linspace(1.0, _FRONT_RATIO, _SLICES):
        y = np.floor((base - depth * slice_ratio - fall[1] * lift) / step - 0.5).astype(np.intp)
        inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
        layer = np.zeros(shape, dtype=np.float32)
        layer[y[inside], x[inside]] = 1.0 - lift[inside] / np.float32(size)
        np.maximum(nearness, layer, out=nearness)
    closed = cv2.morphologyEx(nearness, cv2.MORPH_CLOSE, np.ones((5, 3), dtype=np.uint8))
    return np.asarray(closed, dtype=np.float32), size


def _penumbra(nearness: Shade, size: float, softness: float, pitch_ratio: float) -> Shade:
    """Return the shade of a fallen piece, each height blurred by its own penumbra; heights mix without a seam."""
    shade = np.zeros_like(nearness)
    covered = (nearness > 0.0).astype(np.float32)
    for band in range(_BANDS):
        middle = band / (_BANDS - 1)
        share = np.clip(1.0 - np.abs((1.0 - nearness) - middle) * (_BANDS - 1), 0.0, 1.0) * covered
        sigma = max(0.6, (middle + 0.03) * size * (0.015 + 0.15 * softness))
        flat = max(0.6, sigma * max(0.4, 2.4 * pitch_ratio))
        fade = np.float32(1.0 - (0.35 + 0.4 * softness) * middle)
        shade += fade * cv2.GaussianBlur(share, (0, 0), sigma, sigmaY=flat, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(shade, 0.0, 1.0), dtype=np.float32)


def flat_shadow(alpha: Pixels, light: Light, thickness_px: float) -> Shade:
    """Return the shade around a product that lies on a surface seen from above.

    The light stands at the picture's upper side, as the eye expects, on the side that its azimuth says: the shadow
    falls below and to the other side, at least 0.8 and at most 2 times `thickness_px` long (cot of the elevation).
    """
    height, width = alpha.shape
    solid = alpha.astype(np.float32) / np.float32(255.0)
    reach = min(2.0, max(0.8, 1.0 / math.tan(math.radians(min(max(light.elevation_deg, _LOWEST_SUN_DEG), 89.0)))))
    aside = -math.sin(math.radians(light.azimuth_deg)) * reach
    down = max(0.45, abs(math.cos(math.radians(light.azimuth_deg)))) * reach
    open_light = np.ones((height, width), dtype=np.float32)
    # first the dark line where the product rests, then its shadow drawn out step by step
    for part, blur, strength in (
        (0.06, 0.05, 0.40),
        (0.18, 0.16, 0.26),
        (0.45, 0.15 + 0.25 * light.softness_ratio, 0.24),
        (0.75, 0.20 + 0.40 * light.softness_ratio, 0.20),
        (1.05, 0.25 + 0.55 * light.softness_ratio, 0.16),
    ):
        length = thickness_px * part
        shift = np.array([[1, 0, aside * length], [0, 1, down * length]], dtype=np.float32)
        moved = np.asarray(cv2.warpAffine(solid, shift, (width, height), flags=cv2.INTER_LINEAR), dtype=np.float32)
        sigma = max(0.8, thickness_px * part * blur / max(part, 0.3))
        open_light *= 1.0 - np.float32(strength * (1.15 - 0.3 * light.softness_ratio)) * _flat_blur(moved, sigma, sigma)
    return (1.0 - open_light).astype(np.float32)


def reflection(premultiplied: Pixels, grounds: tuple[Ground, ...], fade_ratio: float = 0.35) -> NDArray[np.float32]:
    """Return the product mirrored in a glossy floor: (H, W, 4) float32, premultiplied, 0..1, nothing above its foot.

    Every column is mirrored at its own ground row, so round feet meet their image all along the arc; the image loses
    strength (to 1/e over `fade_ratio` of the product's height) and sharpness with its distance from there.
    """
    height, width = premultiplied.shape[:2]
    whole = np.zeros((height, width, 4), dtype=np.float32)
    if not grounds:
        return whole
    # nothing is mirrored above the highest foot, but for the reach of the blur
    first = max(0, math.floor(min(float(ground.base_row_px.min()) for ground in grounds) - 0.03 * height))
    mirrored = whole[first:]
    rows = np.arange(first, height, dtype=np.float32)[:, None]
    for ground in grounds:
        columns = slice(ground.left_px, ground.left_px + ground.width_px)
        size = float(np.ptp(np.flatnonzero(ground.mask.any(axis=1)))) + 1.0
        below = rows - ground.base_row_px[None, :]
        map_y = ground.base_row_px[None, :] - below - 1.0
        map_x = np.broadcast_to(np.arange(ground.width_px, dtype=np.float32)[None, :], map_y.shape)
        own = premultiplied[:, columns] * ground.mask[:, columns, None].astype(np.uint8)
        image = cv2.remap(own, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT).astype(np.float32)
        strength = np.where(below > -0.5, np.exp(-np.maximum(below, 0) / (fade_ratio * size)), 0.0) / 255.0
        image *= strength.astype(np.float32)[..., None]
        mirrored[:, columns] += image * (1.0 - mirrored[:, columns, 3:])
    near = cv2.GaussianBlur(mirrored, (0, 0), max(0.5, 0.0015 * height))
    half = cv2.resize(mirrored, ((width + 1) // 2, (mirrored.shape[0] + 1) // 2), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(half, (0, 0), max(0.6, 0.003 * height), sigmaY=max(0.6, 0.0045 * height))
    mirrored[:] = 0.45 * near + 0.55 * cv2.resize(soft, (width, mirrored.shape[0]), interpolation=cv2.INTER_LINEAR)
    return whole
