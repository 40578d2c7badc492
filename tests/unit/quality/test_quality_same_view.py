"""One view on other noise is the same picture; another print, colour or room is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from cut_products import product

from zimage_core.imaging.composite import paste, place_in
from zimage_core.imaging.cutout import CutOut
from zimage_core.quality.duplicates import NEAR, Cells, picture_distance, read_cells, signature_of
from zimage_core.quality.same_view import same_view_distance

SIDE_PX = 320


def room(seed: int, level: float = 170.0) -> np.ndarray:
    """A room out of focus: soft blobs over a table, another arrangement for every seed."""
    noise = np.random.default_rng(seed).standard_normal((8, 8, 1)).astype(np.float32)
    blobs = cv2.resize(noise, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)[..., None]
    table = np.where(np.arange(SIDE_PX)[:, None, None] > 0.72 * SIDE_PX, -50.0, 0.0)
    soft = cv2.GaussianBlur((level + 22.0 * blobs + table).astype(np.float32), (0, 0), 14.0)[..., None]
    return np.clip(soft + np.array([12.0, 0.0, -14.0]), 0, 255).astype(np.uint8)


def seen(cutout: CutOut, backdrop: np.ndarray, *, crop_px: int = 0) -> Cells:
    picture = paste(np.ascontiguousarray(backdrop), cutout, place_in(cutout, SIDE_PX, SIDE_PX, 0.62, (0.5, 0.55)))
    inner = picture[crop_px : SIDE_PX - crop_px, crop_px : SIDE_PX - crop_px]
    return read_cells([signature_of("a", np.ascontiguousarray(inner), None, None).picture])


def recoloured(cutout: CutOut, order: tuple[int, int, int]) -> CutOut:
    rgba = np.ascontiguousarray(cutout.rgba[..., [*order, 3]])
    return CutOut(rgba, cutout.coverage_ratio)


@pytest.mark.parametrize("name", ["mug", "cushion", "phone"])
@pytest.mark.parametrize("crop_px", [0, 8])
def test_another_seeds_view_of_one_room_is_the_same_picture(name: str, crop_px: int) -> None:
    assert picture_distance(seen(product(name), room(1)), seen(product(name), room(2), crop_px=crop_px))[0] <= NEAR


@pytest.mark.parametrize("name", ["cushion", "lipstick", "phone"])
def test_another_colour_in_that_room_is_not(name: str) -> None:
    other = recoloured(product(name), (2, 0, 1))
    assert picture_distance(seen(product(name), room(1)), seen(other, room(1)))[0] > NEAR
    assert picture_distance(seen(product(name), room(1)), seen(other, room(2)))[0] > NEAR


def test_another_print_or_product_or_room_is_not() -> None:
    printed = product("mug").rgba.copy()
    height, width = printed.shape[:2]
    part = printed[height // 3 : height // 2, width // 4 : width // 2, :3]
    part[...] = np.where((np.arange(part.shape[1]) // 24 % 2)[None, :, None] > 0, 40, 235)
    first = seen(product("mug"), room(1))
    assert picture_distance(first, seen(CutOut(printed, 0.5), room(2)))[0] > NEAR
    assert picture_distance(first, seen(product("perfume"), room(2)))[0] > NEAR
    assert picture_distance(first, seen(product("mug"), room(1, 110.0)))[0] > NEAR


def test_pictures_without_edges_have_no_view_in_common() -> None:
    flat = read_cells([signature_of("a", np.full((64, 64, 3), 128, np.uint8), None, None).picture])
    apart, hue = same_view_distance(flat, flat)
    assert np.isinf(apart).all()
    assert (hue == 0.0).all()
    assert picture_distance(flat, flat)[0] <= NEAR
