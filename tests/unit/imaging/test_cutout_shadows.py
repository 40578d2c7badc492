"""Shadows and uneven light on the backdrop: removed where they are soft, also inside openings; announced where not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from product_photos import (
    Pixels,
    alpha_in_photo,
    before,
    got,
    jpeg,
    load,
    overlap,
    photo_of,
    refused,
    slope,
)

from zimage_core.imaging.cutout import cut_out, cutout_from_png, cutout_to_png

SIDE = 800
GREY, TEAL, PINK = ((190, 190, 192), (30, 120, 118), (238, 196, 205))


def lying(mask: Pixels, colour: tuple[int, int, int], strength: float, blur_px: float = 10) -> NDArray[np.float32]:
    """A plain backdrop on which the product lies: its soft shadow all around it and in its openings."""
    share = mask.astype(np.float32) / 255
    moved = cv2.warpAffine(share, np.array([[1, 0, 9], [0, 1, 12]], np.float32), mask.shape[::-1])
    shadow = cv2.GaussianBlur(moved, (0, 0), blur_px)
    return np.asarray((1 - strength * shadow)[..., None] * np.array(colour, np.float32), dtype=np.float32)


def spotlit(colour: tuple[int, int, int]) -> NDArray[np.float32]:
    """A backdrop lit by a spot above its middle, half as bright in the corners."""
    y, x = np.mgrid[0 : 1 : SIDE * 1j, 0 : 1 : SIDE * 1j].astype(np.float32)
    light = 1.1 - 0.75 * np.sqrt((x - 0.5) ** 2 + (y - 0.45) ** 2 + 0.02)
    return np.asarray(light[..., None] * np.array(colour, np.float32), dtype=np.float32)


def swept(wall: float, floor: float) -> NDArray[np.float32]:
    """A wall that passes softly into a lighter floor, as paper sweeps do."""
    y = np.linspace(0, 1, SIDE, dtype=np.float32)
    turn = 1 / (1 + np.exp(-(y - 0.68) / 0.035))
    return np.asarray((wall + (floor - wall) * turn)[:, None, None] * np.ones((1, SIDE, 3), np.float32))


@pytest.mark.parametrize("colour", [(255, 255, 255), GREY, TEAL, PINK])
@pytest.mark.parametrize("name", ["lipstick", "cushion", "phone"])
def test_the_soft_shadow_under_a_thing_that_lies_flat_is_removed(name: str, colour: tuple[int, int, int]) -> None:
    rgb, mask = load(name, SIDE)
    cutout = got(cut_out(photo_of(before(rgb, mask, lying(mask, colour, 0.35)))))
    assert overlap(alpha_in_photo(cutout, mask), mask) >= 0.98
    assert "A soft shadow on the ground was removed." in cutout.warnings


@pytest.mark.parametrize("colour", [GREY, TEAL, PINK])
def test_shadow_inside_a_handle_is_backdrop_too(colour: tuple[int, int, int]) -> None:
    rgb, mask = load("mug", SIDE)
    dark = np.asarray(np.rint(rgb * 0.35), dtype=np.uint8)
    light_before = np.full(3, 255 * 0.35, np.float32)
    through = 1 - mask[..., None].astype(np.float32) / 255
    photo = np.clip(np.rint(dark - through * light_before + through * lying(mask, colour, 0.3)), 0, 255)
    alpha = alpha_in_photo(got(cut_out(photo_of(photo.astype(np.uint8)))), mask)
    assert overlap(alpha, mask) >= 0.98
    hole = (mask[250:460, 640:740] < 128) & (cv2.erode(255 - mask, np.ones((9, 9), np.uint8))[250:460, 640:740] > 250)
    assert hole.sum() > 2000
    assert (alpha[250:460, 640:740][hole] < 128).mean() > 0.97


@pytest.mark.parametrize("name", ["lamp", "lipstick", "cushion"])
@pytest.mark.parametrize("light", ["spot", "sweep", "slope"])
def test_uneven_light_is_no_product(name: str, light: str) -> None:
    rgb, mask = load(name, SIDE)
    backdrop = {"spot": spotlit((215, 214, 218)), "sweep": swept(205, 236), "slope": slope(SIDE, 250, 195)}[light]
    cutout = got(cut_out(photo_of(before(rgb, mask, backdrop))))
    assert overlap(alpha_in_photo(cutout, mask), mask) >= 0.98


def test_crumbs_of_a_strong_jpeg_are_not_part_of_the_product() -> None:
    """Orange before blue: colour at half resolution rings 16 px far, up to 8 % as strong as the edge."""
    rgb, mask = load("cushion", SIDE)
    photo = jpeg(before(rgb, mask, np.array((140, 185, 212), np.float32)), 72)
    alpha = alpha_in_photo(got(cut_out(photo_of(photo))), mask)
    beyond = cv2.dilate(mask, np.ones((7, 7), np.uint8)) == 0
    assert (alpha[beyond] > 0).mean() < 1e-3
    assert overlap(alpha, mask) >= 0.99


def test_the_pale_side_of_a_thin_rod_is_as_opaque_as_its_dark_side() -> None:
    """Rods 7 px wide, beige where the light falls and dark brown where not, before pink."""
    photo = np.full((500, 500, 3), (243, 198, 207), np.float32)
    truth = np.zeros((500, 500), np.float32)
    for left in (120, 200, 280, 360):
        photo[80:420, left : left + 4] = (232, 216, 180)
        photo[80:420, left + 4 : left + 7] = (96, 74, 52)
        truth[80:420, left : left + 7] = 255
    photo[60:80, 110:380], truth[60:80, 110:380] = (120, 40, 30), 255
    soft = cv2.GaussianBlur(photo, (0, 0), 0.6)
    alpha = alpha_in_photo(got(cut_out(photo_of(np.rint(soft).astype(np.uint8)))), truth.astype(np.uint8))
    lit = alpha[120:400, 121:123]
    assert np.median(lit) > 220


def shadowed_hard(rgb: Pixels, mask: Pixels, strength: float) -> Pixels:
    share = (mask.astype(np.float32) / 255)[..., None]
    moved = cv2.warpAffine(share[..., 0], np.array([[1, 0, 70], [0, 1, 30]], np.float32), mask.shape[::-1])
    shadow = cv2.GaussianBlur(moved, (0, 0), 1.2)[..., None]
    return np.clip(np.rint(rgb * (1 - strength * shadow * (1 - share))), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("strength", [0.35, 0.55])
@pytest.mark.parametrize("name", ["lipstick", "phone"])
def test_a_shadow_with_a_sharp_rim_is_refused(name: str, strength: float) -> None:
    rgb, mask = load(name, SIDE)
    failure = refused(cut_out(photo_of(shadowed_hard(before(rgb, mask, np.full(3, 236, np.float32)), mask, strength))))
    assert failure.code == "hard_shadow"


def test_a_clear_glass_is_announced() -> None:
    """Glass shows its backdrop a little darker, with a dark line around it."""
    body = np.zeros((700, 700), np.uint8)
    cv2.fillPoly(body, [np.array([(220, 120), (480, 120), (450, 600), (250, 600)])], 255, cv2.LINE_AA)
    share = (body.astype(np.float32) / 255)[..., None]
    inner = cv2.GaussianBlur((cv2.erode(body, np.ones((9, 9), np.uint8)) / 255.0).astype(np.float32), (0, 0), 1.0)
    backdrop = np.full((700, 700, 3), (205, 206, 208), np.float32)
    glass = backdrop * (0.55 + 0.39 * inner[..., None])
    photo = np.rint(backdrop * (1 - share) + glass * share).astype(np.uint8)
    answer = cut_out(photo_of(photo))
    if hasattr(answer, "warnings"):
        assert any("clear glass" in warning for warning in got(answer).warnings)
    else:
        assert refused(answer).code in {"white_on_white", "busy_background"}


def test_a_pair_is_one_product_and_four_things_are_asked_about() -> None:
    rgb, _ = load("lipstick", 400)
    four = np.tile(rgb, (2, 2, 1))
    assert not any("separate things" in warning for warning in got(cut_out(photo_of(rgb))).warnings)
    assert any("8 separate things" in warning for warning in got(cut_out(photo_of(four))).warnings)


def test_it_knows_where_it_lay_in_the_photo() -> None:
    rgb, _ = load("lamp", SIDE)
    cutout = cutout_from_png(cutout_to_png(got(cut_out(photo_of(rgb)))))
    framed = np.pad(rgb, ((2, 2), (2, 2), (0, 0)))
    height, width = cutout.rgba.shape[:2]
    own = framed[cutout.y_px + 2 : cutout.y_px + 2 + height, cutout.x_px + 2 : cutout.x_px + 2 + width]
    inside = cv2.erode(cutout.rgba[..., 3], np.ones((11, 11), np.uint8)) == 255
    assert inside.sum() > 10_000
    assert np.array_equal(cutout.rgba[..., :3][inside], own[inside])
