"""Placing a cut-out: as large as asked, without halos, and the same pixels again for whoever keeps the placement."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from zimage_core.domain import Placement
from zimage_core.errors import ImageError
from zimage_core.imaging.composite import (
    paste,
    place_in,
    placed_alpha,
    placed_premultiplied,
    placed_rgba,
    visible_box,
)
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import read_photo

PRODUCTS = Path(__file__).resolve().parents[3] / "examples" / "products"
NAMES = ("mug", "lamp", "perfume", "phone", "lipstick", "cushion")
Pixels = NDArray[np.uint8]


def product(name: str) -> CutOut:
    rgb = read_photo(PRODUCTS / f"{name}.jpg").rgb
    alpha = np.asarray(cv2.imread(str(PRODUCTS / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    box = visible_box(alpha)
    rows, columns = slice(box.y_px - 2, box.bottom_px + 2), slice(box.x_px - 2, box.right_px + 2)
    return CutOut(np.ascontiguousarray(np.dstack([rgb, alpha])[rows, columns]), float(alpha.mean() / 255))


def disc(inside: tuple[int, int, int], outside: tuple[int, int, int], side: int = 200) -> CutOut:
    alpha = np.zeros((side, side), dtype=np.uint8)
    cv2.circle(alpha, (side // 2, side // 2), side // 2 - 4, 255, -1, lineType=cv2.LINE_AA)
    rgba = np.dstack([np.where(alpha[..., None] > 0, inside, outside).astype(np.uint8), alpha])
    return CutOut(np.ascontiguousarray(rgba), 0.7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (432, 576), (333, 517)])
def test_a_placed_product_fills_what_was_asked_within_one_percent(name: str, width: int, height: int) -> None:
    cutout = product(name)
    box = visible_box(placed_alpha(cutout, place_in(cutout, width, height, 0.85), width, height))
    fill = max(box.width_px / width, box.height_px / height)
    assert fill == pytest.approx(0.85, abs=0.01)
    assert box.x_px + box.width_px / 2 == pytest.approx(width / 2, abs=1.5)
    assert box.y_px + box.height_px / 2 == pytest.approx(height / 2, abs=1.5)


def test_a_baseline_says_where_the_lowest_row_stands() -> None:
    cutout = product("lipstick")
    alpha = placed_alpha(cutout, place_in(cutout, 600, 600, 0.5, (0.4, 0.5), baseline_ratio=0.9), 600, 600)
    assert visible_box(alpha).bottom_px == pytest.approx(540, abs=1)


def test_a_placement_makes_the_very_same_pixels_again() -> None:
    cutout = product("perfume")
    placement = Placement(0.437, 12.34, -7.9)
    first, again = (placed_rgba(cutout, placement, 500, 640) for _ in range(2))
    assert np.array_equal(first, again)
    assert np.array_equal(first[..., 3], placed_alpha(cutout, placement, 500, 640))


def test_at_scale_one_on_whole_pixels_the_photo_is_untouched() -> None:
    cutout = product("cushion")
    height, width = cutout.rgba.shape[:2]
    placed = placed_rgba(cutout, Placement(1.0, 10.0, 20.0), width + 30, height + 40)
    window = placed[20 : 20 + height, 10 : 10 + width]
    opaque = cutout.rgba[..., 3] == 255
    assert np.array_equal(window[opaque], cutout.rgba[opaque])


def test_what_is_opaque_is_pasted_and_what_is_empty_is_left_alone() -> None:
    cutout = product("mug")
    backdrop = np.random.default_rng(3).integers(0, 256, (480, 480, 3), dtype=np.uint8)
    placement = place_in(cutout, 480, 480, 0.7)
    placed, picture = placed_rgba(cutout, placement, 480, 480), paste(backdrop, cutout, placement)
    opaque, empty = placed[..., 3] == 255, placed[..., 3] == 0
    assert opaque.sum() > 50_000
    assert np.array_equal(picture[opaque], placed[opaque][:, :3])
    assert np.array_equal(picture[empty], backdrop[empty])


def test_the_hole_of_a_handle_shows_the_backdrop() -> None:
    cutout = product("mug")
    green = np.full((400, 400, 3), (20, 160, 60), dtype=np.uint8)
    placement = place_in(cutout, 400, 400, 0.8)
    picture = paste(green, cutout, placement)
    # the hole's middle, measured on the photo and kept in truth.json, moved into the cut-out by its trimming
    x = (1238 - (160 - 2)) * placement.scale + placement.x_px
    y = (660 - (165 - 2)) * placement.scale + placement.y_px
    assert picture[round(y), round(x)].tolist() == [20, 160, 60]


def test_colour_hidden_under_transparency_never_leaks_into_an_edge() -> None:
    picture = paste(
        np.full((90, 90, 3), 200, dtype=np.uint8), disc((200, 30, 30), (0, 255, 0)), Placement(0.37, 6.3, 5.8)
    )
    greenish = picture[..., 1].astype(int) - picture[..., 0].astype(int)
    assert greenish.max() <= 1


def test_a_thing_of_the_backdrop_s_colour_vanishes_without_a_ring() -> None:
    same = (180, 170, 160)
    picture = paste(np.full((90, 90, 3), same, dtype=np.uint8), disc(same, (0, 0, 0)), Placement(0.41, 2.2, 3.7))
    assert np.abs(picture.astype(int) - np.array(same)).max() <= 2


def test_image_px_is_scale_times_cutout_px_plus_offset() -> None:
    half = np.zeros((100, 100, 4), dtype=np.uint8)
    half[:, 60:] = (255, 255, 255, 255)
    alpha = placed_alpha(CutOut(half, 0.4), Placement(0.5, 10.25, 0.0), 80, 50)
    # the edge at 60 lands at 0.5 * 60 + 10.25 = 40.25: pixel 40 is covered by three quarters
    assert alpha[25, 39] < 30
    assert alpha[25, 40] == pytest.approx(191, abs=25)
    assert alpha[25, 42] >= 250


@given(
    scale=st.floats(0.1, 2.0),
    x_px=st.floats(-60.0, 60.0),
    y_px=st.floats(-60.0, 60.0),
)
def test_premultiplied_colour_never_exceeds_alpha_wherever_the_product_lands(
    scale: float, x_px: float, y_px: float
) -> None:
    cutout = disc((255, 255, 255), (255, 255, 255), side=80)
    try:
        placed = placed_premultiplied(cutout, Placement(scale, x_px, y_px), 64, 48)
    except ImageError:
        assert x_px + scale * 80 <= 0 or y_px + scale * 80 <= 0 or x_px >= 63 or y_px >= 47
        return
    assert placed.shape == (48, 64, 4)
    assert (placed[..., :3] <= placed[..., 3:]).all()


def test_a_placement_outside_the_picture_is_an_error_not_an_empty_picture() -> None:
    with pytest.raises(ImageError, match="outside a picture of 50 x 50"):
        placed_alpha(disc((0, 0, 0), (0, 0, 0)), Placement(0.2, 60.0, 0.0), 50, 50)


def test_an_empty_cutout_cannot_be_placed() -> None:
    with pytest.raises(ImageError, match="empty"):
        place_in(CutOut(np.zeros((20, 20, 4), dtype=np.uint8), 0.0), 100, 100, 0.8)
