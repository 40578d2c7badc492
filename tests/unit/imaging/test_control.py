"""Control pictures: the product's edges with its whole outline, and a depth in which it stands on its floor."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from cut_products import NAMES, SCENES, product, stage_of
from numpy.typing import NDArray

from zimage_core.domain import Light, Stage
from zimage_core.imaging.composite import placed_premultiplied, visible_box
from zimage_core.imaging.control import canny_control, control_picture, depth_control
from zimage_core.imaging.placing import place

SIDE = 384
SWEEP = Stage("sweep", "paper", ("#d8c8b2",), Light(-50, 40), fill_ratio=0.6, horizon_ratio=0.6)


def placed(name: str, stage: Stage = SWEEP) -> NDArray[np.uint8]:
    return placed_premultiplied(product(name), place(product(name), stage, SIDE, SIDE)[0], SIDE, SIDE)


@pytest.mark.parametrize("name", NAMES)
def test_edges_are_black_and_white_and_nowhere_but_on_the_product(name: str) -> None:
    own = placed(name)
    edges = canny_control(own)
    assert edges.shape == (SIDE, SIDE, 3)
    assert set(np.unique(edges)) == {0, 255}
    near = cv2.dilate(own[..., 3], np.ones((5, 5), np.uint8)) > 0
    assert not edges[~near].any()
    assert np.array_equal(edges[..., 0], edges[..., 2])


@pytest.mark.parametrize("name", NAMES)
def test_the_outline_is_closed(name: str) -> None:
    """Paint poured in from outside must not reach the inside of the product."""
    own = placed(name)
    wall = np.pad(canny_control(own)[..., 0], 1)
    flood = wall.copy()
    cv2.floodFill(flood, np.zeros((SIDE + 4, SIDE + 4), np.uint8), (0, 0), 99)
    inside = cv2.erode((own[..., 3] == 255).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    assert inside.sum() > 100
    assert not (flood[1:-1, 1:-1][inside] == 99).any()


def test_a_product_as_grey_as_its_ground_keeps_its_outline() -> None:
    grey = np.zeros((64, 64, 4), dtype=np.uint8)
    grey[16:48, 16:48] = (128, 128, 128, 255)
    edges = canny_control(grey)[..., 0] > 0
    assert edges.any(axis=1).sum() >= 32
    assert edges.any(axis=0).sum() >= 32
    assert not edges[20:44, 20:44].any()


def test_print_on_the_product_is_among_the_edges() -> None:
    own = placed("mug")
    inside = cv2.erode((own[..., 3] == 255).astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
    assert (canny_control(own)[..., 0][inside] > 0).sum() > 100


@pytest.mark.parametrize("name", NAMES)
def test_the_floor_comes_nearer_towards_the_viewer_and_the_wall_does_not(name: str) -> None:
    own = placed(name)
    box = visible_box(np.ascontiguousarray(own[..., 3]))
    column = depth_control(own, SWEEP)[:, 2, 0].astype(int)
    assert (np.diff(column) >= 0).all()
    assert np.ptp(column[: SIDE // 3]) <= 2
    assert column[-1] - column[0] > 150
    assert column[-1] > column[box.bottom_px - 8] > column[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_product_s_outline_is_as_near_as_the_floor_it_stands_on_and_its_middle_is_nearer(name: str) -> None:
    own = placed(name)
    depth = depth_control(own, SWEEP)[..., 0].astype(int)
    solid = (own[..., 3] == 255).astype(np.uint8)
    box = visible_box(np.ascontiguousarray(own[..., 3]))
    floor = depth[min(SIDE - 1, box.bottom_px), 2]
    rim = depth[(solid - cv2.erode(solid, np.ones((3, 3), np.uint8))) > 0]
    deep = cv2.distanceTransform(solid, cv2.DIST_L2, 5)
    assert abs(int(np.percentile(rim, 20)) - floor) <= 18
    assert depth[np.unravel_index(int(deep.argmax()), deep.shape)] >= np.median(rim) + 15
    assert depth[solid > 0].min() > depth[0, 0]


def test_seen_from_above_the_product_lies_on_an_even_ground() -> None:
    flat = dataclasses.replace(SWEEP, backdrop="surface")
    own = placed("phone", flat)
    depth = depth_control(own, flat)[..., 0]
    ground = depth[own[..., 3] == 0]
    assert np.ptp(ground) == 0
    assert depth[own[..., 3] == 255].min() > ground[0] + 30


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("kind", ["canny", "depth"])
def test_every_scene_has_control_pictures_of_any_size_and_always_the_same(scene: str, kind: str) -> None:
    stage = stage_of("lamp", scene)
    own = placed("lamp", stage)
    half = control_picture(kind, own, stage, SIDE // 2, SIDE // 2)  # type: ignore[arg-type]
    assert half.shape == (SIDE // 2, SIDE // 2, 3)
    assert half.dtype == np.uint8
    assert half.std() > 1
    assert np.array_equal(half, control_picture(kind, own, stage, SIDE // 2, SIDE // 2))  # type: ignore[arg-type]


def test_without_a_product_there_are_no_edges_and_an_empty_floor() -> None:
    nothing = np.zeros((96, 96, 4), dtype=np.uint8)
    assert not canny_control(nothing).any()
    depth = depth_control(nothing, SWEEP)[..., 0].astype(int)
    assert (depth == depth[:, :1]).all()
    assert depth[-1, 0] > depth[0, 0] + 150
