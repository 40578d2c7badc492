"""The same picture again, and what only looks like it."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
from cut_products import NAMES, product
from hypothesis import given, settings
from hypothesis import strategies as st
from product_photos import jpeg

from zimage_core.domain import Placement, Signature
from zimage_core.errors import QualityError
from zimage_core.imaging.composite import paste, place_in
from zimage_core.imaging.cutout import CutOut
from zimage_core.quality.duplicates import (
    NEAR,
    Cells,
    backdrop_distance,
    most_alike_backdrops,
    picture_distance,
    product_distance,
    read_cells,
    repeat_distance,
    signature_of,
)
from zimage_core.quality.near_index import MOST_LOOKED_AT, NearIndex

SIDE_PX = 256


def ground(level: float = 190.0, tint: tuple[float, float, float] = (0, 0, 0), slope: float = 20.0) -> np.ndarray:
    rows = np.linspace(slope, -slope, SIDE_PX)[:, None, None]
    return np.clip(level + rows + np.array(tint), 0, 255).astype(np.uint8) * np.ones((1, SIDE_PX, 1), np.uint8)


def placed(cutout: CutOut, fill: float = 0.6, at: tuple[float, float] = (0.5, 0.55)) -> Placement:
    return place_in(cutout, SIDE_PX, SIDE_PX, fill, at)


def signed(cutout: CutOut, backdrop: np.ndarray | None = None, **where) -> Signature:
    placement = placed(cutout, **where)
    picture = paste(np.ascontiguousarray(ground() if backdrop is None else backdrop), cutout, placement)
    return signature_of("a", picture, cutout, placement)


def products(*signatures: Signature) -> Cells:
    return read_cells([signature.product or "" for signature in signatures])


def pictures(*signatures: Signature) -> Cells:
    return read_cells([signature.picture for signature in signatures])


def apart(one: Signature, other: Signature) -> float:
    return float(product_distance(products(one), products(other))[0])


def changed(cutout: CutOut, change) -> CutOut:
    rgb = change(np.ascontiguousarray(cutout.rgba[..., :3]))
    return CutOut(np.ascontiguousarray(np.dstack([rgb, cutout.rgba[..., 3]])), cutout.coverage_ratio)


def turned(degrees: float):
    def turn(rgb: np.ndarray) -> np.ndarray:
        hsv = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + degrees) % 360
        return np.clip(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255, 0, 255).astype(np.uint8)

    return turn


@pytest.mark.parametrize("name", NAMES)
def test_the_same_photo_is_known_in_any_scene_place_and_size(name: str) -> None:
    dark = ground(60, (8, 0, -8))
    assert apart(signed(product(name)), signed(product(name), dark, fill=0.4, at=(0.4, 0.6))) <= 0.6


@pytest.mark.parametrize("name", NAMES)
def test_the_same_photo_is_known_after_another_delivery(name: str) -> None:
    def delivered(rgb: np.ndarray) -> np.ndarray:
        lighter = 255 * (rgb / 255.0) ** (1 / 1.06)
        return jpeg(np.clip(lighter * 1.03, 0, 255).astype(np.uint8), 60)

    small = cv2.resize(product(name).rgba, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    again = changed(CutOut(small, product(name).coverage_ratio), delivered)
    assert apart(signed(product(name)), signed(again)) <= NEAR


def test_leather_whose_grain_was_smoothed_away_by_jpeg_is_the_same_leather() -> None:
    rng = np.random.default_rng(11)
    grain = cv2.GaussianBlur(rng.normal(0.0, 14.0, (420, 420)).astype(np.float32), (0, 0), 2.0)
    wallet = np.clip(np.array([118.0, 74.0, 48.0]) + 2.0 * grain[..., None], 0, 255).astype(np.uint8)
    sold = CutOut(np.dstack([wallet, np.full((420, 420), 255, np.uint8)]), 1.0)

    def poorer(rgb: np.ndarray) -> np.ndarray:
        smooth = jpeg(cv2.GaussianBlur(rgb, (0, 0), 6.0), 40)
        return np.clip(smooth + np.array([3, -2, -4]), 0, 255).astype(np.uint8)

    assert apart(signed(sold), signed(changed(sold, poorer))) <= NEAR


def test_no_two_products_are_the_same() -> None:
    cells = products(*(signed(product(name)) for name in NAMES))
    for one in range(len(NAMES)):
        others = np.array([n for n in range(len(NAMES)) if n != one])
        assert (product_distance(cells.take(np.full(len(others), one)), cells.take(others)) > 2.0).all()


@pytest.mark.parametrize("name", ["cushion", "lipstick", "phone", "lamp"])
@pytest.mark.parametrize("degrees", [30.0, 120.0])
def test_another_colour_is_another_product(name: str, degrees: float) -> None:
    assert apart(signed(product(name)), signed(changed(product(name), turned(degrees)))) > NEAR


def test_another_print_is_another_product() -> None:
    def printed(rgb: np.ndarray) -> np.ndarray:
        height, width = rgb.shape[:2]
        rgb[height // 3 : height // 2, width // 4 : width // 2] = (40, 60, 160)
        return rgb

    assert apart(signed(product("mug")), signed(changed(product("mug"), printed))) > NEAR


def test_without_its_place_a_product_is_not_described() -> None:
    picture = np.ascontiguousarray(ground())
    assert signature_of("a", picture, product("mug"), None).product is None
    assert signature_of("a", picture, None, None).product is None
    empty = CutOut(np.zeros((8, 8, 4), np.uint8), 0.0)
    assert signature_of("a", picture, empty, Placement(1.0, 0.0, 0.0)).product is None


def test_whole_pictures_are_the_same_after_a_crop_and_jpeg_and_others_are_not() -> None:
    mug, lamp = (paste(np.ascontiguousarray(ground()), product(n), placed(product(n))) for n in ("mug", "lamp"))
    cropped = jpeg(np.ascontiguousarray(mug[5:-5, 5:-5]), 70)
    first, copy, other = (pictures(signature_of("a", rgb, None, None)) for rgb in (mug, cropped, lamp))
    assert picture_distance(first, copy)[0] <= NEAR
    assert picture_distance(first, other)[0] > NEAR


def test_a_repeated_picture_has_product_and_backdrop_where_they_were() -> None:
    mug = product("mug")
    first = pictures(signed(mug))
    assert repeat_distance(first, pictures(signed(mug, ground(191))))[0] <= NEAR
    assert repeat_distance(first, pictures(signed(mug, at=(0.3, 0.55))))[0] > NEAR
    assert repeat_distance(first, pictures(signed(mug, ground(150))))[0] > NEAR
    assert repeat_distance(first, pictures(signed(mug, ground(190, (20, 0, -20)))))[0] > NEAR


def test_a_backdrop_is_compared_around_both_products() -> None:
    mug, lamp = pictures(signed(product("mug"))), pictures(signed(product("lamp")))
    assert backdrop_distance(mug, lamp)[0] <= NEAR
    assert backdrop_distance(mug, pictures(signed(product("lamp"), ground(120))))[0] > NEAR
    huge = CutOut(np.full((64, 64, 4), 255, np.uint8), 1.0)
    full = pictures(signed(huge, fill=1.0, at=(0.5, 0.5)))
    assert np.isinf(backdrop_distance(full, full)[0]), "nothing of the backdrop shows"


def test_the_largest_group_before_one_backdrop_is_found() -> None:
    same = [signed(product(name), ground(180 + n * 0.2)) for n, name in enumerate(NAMES)]
    others = [signed(product(name), ground(90 + 25 * n)) for n, name in enumerate(NAMES[:3])]
    assert most_alike_backdrops(pictures(*others, *same)).tolist() == [3, 4, 5, 6, 7, 8]
    assert most_alike_backdrops(pictures(*others)).tolist() == [0]


def test_a_damaged_signature_is_refused() -> None:
    good = signed(product("mug")).picture
    for text in (good[:-8], "not base64!", ""):
        with pytest.raises(QualityError, match="signature"):
            read_cells([good, text])


def test_an_index_finds_what_comparing_every_pair_finds() -> None:
    rng = np.random.default_rng(3)
    base = products(*(signed(product(name)) for name in NAMES))
    rows = rng.integers(0, len(NAMES), 240)
    planes = base.planes[rows].astype(np.int16)
    planes[..., 0] += rng.integers(-14, 15, (240, 1, 1)).astype(np.int16)
    planes[..., 1:3] += rng.integers(-5, 6, (240, 1, 1, 2)).astype(np.int16)
    planes = np.clip(planes, 0, 255).astype(np.uint8)
    many = Cells(planes, base.fine[rows], base.proportions[rows], base.detail[rows])
    found = {(one, other) for one, other, _ in NearIndex(many).near(many)}
    every = {
        (one, int(other))
        for one in range(240)
        for other in np.flatnonzero(product_distance(many.take(np.full(240, one)), many) <= NEAR)
    }
    assert found == every
    assert 240 < len(every) < 240 * 240 / 2


def test_a_picture_is_looked_at_beside_the_most_alike_of_very_many_and_its_repeat_is_found() -> None:
    rng = np.random.default_rng(4)
    backdrops = [ground(tint=tuple(rng.integers(-6, 7, 3)), slope=float(rng.uniform(5, 30))) for _ in range(30)]
    shown = [
        signed(product(name), backdrop, fill=float(rng.uniform(0.5, 0.7)), at=(float(rng.uniform(0.4, 0.6)), 0.55))
        for backdrop in backdrops
        for name in NAMES
    ]
    many = pictures(*shown)
    assert len(many) > 2 * MOST_LOOKED_AT
    found = {(one, other) for one, other, _ in NearIndex(many, whole=True).near(many)}
    every = {
        (one, int(other))
        for one in range(0, len(many), 7)
        for other in np.flatnonzero(picture_distance(many.take(np.full(len(many), one)), many) <= NEAR)
    }
    looked_at = Counter(one for one, _ in found)
    assert max(looked_at.values()) <= MOST_LOOKED_AT
    assert {(row, row) for row in range(len(many))} <= found
    assert {pair for pair in every if looked_at[pair[0]] < MOST_LOOKED_AT} <= found


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**31))
def test_any_picture_is_like_itself_and_its_distances_are_numbers(width: int, height: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (
        pictures(signature_of("a", rng.integers(0, 256, (height, width, 3), dtype=np.uint8), None, None))
        for _ in range(2)
    )
    assert picture_distance(one, one)[0] <= NEAR
    assert np.isfinite(picture_distance(one, other)).all()
    assert np.allclose(picture_distance(one, other), picture_distance(other, one), rtol=0.35)
