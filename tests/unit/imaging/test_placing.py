"""Where a product goes: on its feet, below the horizon, off the text room, as large as the scene says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from cut_products import NAMES, product

from zimage_core.domain import Box, Light, Stage
from zimage_core.errors import ImageError
from zimage_core.imaging.composite import placed_alpha, visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.packshot import packshot
from zimage_core.imaging.placing import place

STANDING = Stage("wall", "wood", ("#d8c8b2",), Light(-40, 45), fill_ratio=0.6, horizon_ratio=0.6)
LYING = dataclasses.replace(STANDING, backdrop="surface")
CLOSE = dataclasses.replace(STANDING, backdrop="closeup", fill_ratio=1.35)
WHITE = Stage("white", "none", ("#ffffff",), Light(0, 60), fill_ratio=0.86)


def box_of(name: str, stage: Stage, width_px: int = 480, height_px: int = 640) -> Box:
    cutout = product(name)
    placement, _ = place(cutout, stage, width_px, height_px)
    return visible_box(placed_alpha(cutout, placement, width_px, height_px))


@pytest.mark.parametrize("name", NAMES)
def test_a_standing_product_has_floor_in_front_of_the_horizon_and_air_around_it(name: str) -> None:
    box = box_of(name, STANDING)
    assert box.bottom_px >= (0.6 + 0.09) * 640
    assert min(box.x_px, box.y_px, 480 - box.right_px, 640 - box.bottom_px) >= 0.03 * 480
    assert max(box.width_px / 480, box.height_px / 640) == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_a_lying_product_is_in_the_middle(name: str) -> None:
    box = box_of(name, LYING)
    assert box.x_px + box.width_px / 2 == pytest.approx(240, abs=1.5)
    assert box.y_px + box.height_px / 2 == pytest.approx(320, abs=1.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_closeup_is_cut_by_the_frame_and_still_full_of_product(name: str) -> None:
    cutout = product(name)
    placement, _ = place(cutout, CLOSE, 480, 480)
    box = visible_box(placed_alpha(cutout, placement, 480, 480))
    whole = visible_box(cutout.rgba[..., 3])
    assert placement.scale * max(whole.width_px, whole.height_px) > 480
    assert max(box.width_px, box.height_px) >= 0.97 * 480


def test_text_room_at_the_left_sends_the_product_to_the_right() -> None:
    left = box_of("perfume", dataclasses.replace(STANDING, text_room="left"))
    none = box_of("perfume", STANDING)
    assert left.x_px > none.x_px + 20
    assert left.right_px <= 480 * 0.97


def test_enlarging_a_photo_is_said() -> None:
    small = CutOut(np.full((60, 40, 4), 255, dtype=np.uint8), 0.3)
    _, (note,) = place(small, STANDING, 480, 640)
    assert "enlarged 6.4" in note
    assert place(product("mug"), STANDING, 480, 640)[1] == ()


def test_nothing_cannot_be_placed() -> None:
    with pytest.raises(ImageError, match="empty"):
        place(CutOut(np.zeros((60, 40, 4), dtype=np.uint8), 0.0), STANDING, 480, 640)


@pytest.mark.parametrize("name", NAMES)
def test_a_packshot_is_the_product_centred_on_pure_white(name: str) -> None:
    cutout = product(name)
    rgb, placement, notes = packshot(cutout, WHITE, 480, 640)
    alpha = placed_alpha(cutout, placement, 480, 640)
    box = visible_box(alpha)
    assert rgb.shape == (640, 480, 3)
    assert (rgb[alpha == 0] == 255).all()
    assert rgb[alpha == 255].std() > 10
    assert max(box.width_px / 480, box.height_px / 640) == pytest.approx(0.86, abs=0.01)
    assert box.x_px + box.width_px / 2 == pytest.approx(240, abs=1.5)
    assert notes == ()
