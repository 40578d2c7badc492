"""Shadows say where a product stands: on the side away from the light, dark where it touches, soft where it is high."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from zimage_core.domain import Light
from zimage_core.imaging.composite import visible_box
from zimage_core.imaging.shadow import Ground, cast_shadow, contact_shadow, find_ground, flat_shadow, reflection

MASKS = Path(__file__).resolve().parents[3] / "examples" / "products" / "masks"
SIDE = 512
Pixels = NDArray[np.uint8]


def standing(name: str) -> Pixels:
    mask = cv2.imread(str(MASKS / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    box = visible_box(np.asarray(mask, dtype=np.uint8))
    trimmed = mask[box.y_px : box.bottom_px, box.x_px : box.right_px]
    scale = 300 / max(trimmed.shape)
    small = cv2.resize(trimmed, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    alpha = np.zeros((SIDE, SIDE), dtype=np.uint8)
    top, left = 430 - small.shape[0], (SIDE - small.shape[1]) // 2
    alpha[top : top + small.shape[0], left : left + small.shape[1]] = small
    return alpha


def columns_of(ground: Ground) -> NDArray[np.intp]:
    return ground.left_px + np.arange(ground.width_px)


def centre_of(shade: NDArray[np.float32]) -> tuple[float, float]:
    rows, columns = np.mgrid[: shade.shape[0], : shade.shape[1]]
    return float((columns * shade).sum() / shade.sum()), float((rows * shade).sum() / shade.sum())


def centre_of_floor_shade(name: str, light: Light) -> tuple[float, float]:
    alpha = standing(name)
    return centre_of(cast_shadow(alpha, find_ground(alpha), light))


def test_two_pieces_stand_each_on_its_own_ground() -> None:
    grounds = find_ground(standing("lipstick"))
    assert len(grounds) == 2
    bottoms = sorted(ground.bottom_row_px for ground in grounds)
    assert bottoms[1] == pytest.approx(430, abs=2)
    assert bottoms[0] < bottoms[1] - 2  # the cap stands further back


def test_a_handle_hangs_and_a_foot_touches() -> None:
    alpha = standing("mug")
    (ground,) = find_ground(alpha)
    foot, handle = ground.touch_ratio[: ground.width_px // 2].max(), ground.touch_ratio[-25:].max()
    assert foot == pytest.approx(1.0, abs=0.01)
    assert handle < 0.01


def test_a_cable_on_the_table_touches_it_and_a_lamp_head_does_not() -> None:
    (ground,) = find_ground(standing("lamp"))
    assert ground.touch_ratio[: ground.width_px // 4].mean() > 0.5
    assert ground.touch_ratio[-30:].max() == 0.0


def test_nothing_stands_where_there_is_nothing() -> None:
    alpha = np.zeros((40, 40), dtype=np.uint8)
    assert find_ground(alpha) == ()
    assert not contact_shadow(alpha, ()).any()
    assert not cast_shadow(alpha, (), Light(-45, 45)).any()


@pytest.mark.parametrize("name", ["mug", "perfume", "lipstick", "lamp"])
def test_the_shadow_falls_on_the_side_opposite_the_light(name: str) -> None:
    from_left, _ = centre_of_floor_shade(name, Light(-60, 40))
    from_right, _ = centre_of_floor_shade(name, Light(60, 40))
    frontal, _ = centre_of_floor_shade(name, Light(0, 40))
    assert from_left > frontal + 15
    assert from_right < frontal - 15


def test_light_from_behind_throws_the_shadow_towards_the_camera() -> None:
    _, from_front = centre_of_floor_shade("perfume", Light(30, 40))
    _, from_behind = centre_of_floor_shade("perfume", Light(150, 40))
    assert from_behind > from_front + 20


def test_a_lower_sun_makes_a_longer_shadow() -> None:
    low, high = (centre_of_floor_shade("perfume", Light(-70, elevation))[0] for elevation in (25, 65))
    assert low > high + 30


def test_a_soft_light_makes_a_softer_and_weaker_shadow() -> None:
    alpha = standing("perfume")
    grounds = find_ground(alpha)
    hard, soft = (cast_shadow(alpha, grounds, Light(-60, 40, softness)) for softness in (0.1, 0.9))
    assert np.abs(np.diff(hard, axis=1)).max() > 2 * np.abs(np.diff(soft, axis=1)).max()
    assert hard.max() > soft.max()


@pytest.mark.parametrize("name", ["mug", "lamp", "perfume", "phone", "lipstick", "cushion"])
def test_the_contact_shadow_touches_the_base_of_every_piece_and_dies_away(name: str) -> None:
    alpha = standing(name)
    grounds = find_ground(alpha)
    shade = contact_shadow(alpha, grounds)
    for ground in grounds:
        resting = ground.touch_ratio > 0.9
        rows, columns = np.ceil(ground.base_row_px[resting]).astype(int), columns_of(ground)[resting]
        at_base = float(np.median(shade[rows, columns]))
        below = float(np.median(shade[np.minimum(rows + 60, SIDE - 1), columns]))
        assert at_base > 0.25
        assert below < 0.35 * at_base
    assert shade[:100].max() < 0.01


def test_shades_are_shares_of_light() -> None:
    alpha = standing("cushion")
    grounds = find_ground(alpha)
    light = Light(-50, 30, 0.2)
    for shade in (contact_shadow(alpha, grounds), cast_shadow(alpha, grounds, light), flat_shadow(alpha, light, 40.0)):
        assert shade.dtype == np.float32
        assert shade.min() >= 0.0
        assert shade.max() < 1.0


def test_a_flat_lay_shadow_falls_down_and_away_from_the_light() -> None:
    alpha = standing("phone")
    x, y = centre_of(alpha.astype(np.float32))
    outside = alpha == 0
    for azimuth, sign in ((-50.0, 1.0), (50.0, -1.0)):
        shade_x, shade_y = centre_of(flat_shadow(alpha, Light(azimuth, 50), 30.0) * outside)
        assert sign * (shade_x - x) > 5
        assert shade_y > y + 5


def test_a_reflection_begins_at_the_foot_and_fades() -> None:
    alpha = standing("perfume")
    product = np.dstack([np.minimum(alpha, 200)] * 3 + [alpha])
    grounds = find_ground(alpha)
    image = reflection(product, grounds)
    column = int(columns_of(grounds[0])[grounds[0].width_px // 2])
    base = int(grounds[0].base_row_px[grounds[0].width_px // 2])
    assert image[: base - 40, column].max() < 0.01
    assert image[base + 4, column, 3] > 0.6
    assert image[base + 4, column, 3] > 1.4 * image[base + 60, column, 3]
