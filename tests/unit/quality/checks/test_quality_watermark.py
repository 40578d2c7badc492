"""Marks beside a product that was placed are found on plain and on structured ground; plain ground asks no detector."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from zimage_core.quality.checks.watermark import is_a_mark, with_level_contrast
from zimage_core.quality.strokes import where_writing_could_be

SIDE_PX = 1024
NOWHERE = np.zeros((SIDE_PX, SIDE_PX), bool)


def ground(*, grain: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX
    rng = np.random.default_rng(8)
    plane = 190 - 40 * y + 12 * x + rng.normal(0, max(grain, 1e-6), (SIDE_PX, SIDE_PX))
    return np.repeat(np.rint(plane)[..., None], 3, axis=2).astype(np.uint8)


def marked(rgb: np.ndarray, opacity: float, at: tuple[int, int] = (620, 990), text: str = "SAMPLE photo") -> np.ndarray:
    mark = np.zeros(rgb.shape[:2], np.uint8)
    cv2.putText(mark, text, at, cv2.FONT_HERSHEY_SIMPLEX, 1.5, 255, 3, cv2.LINE_AA)
    share = mark[..., None] / 255.0 * opacity
    return np.rint(rgb * (1 - share) + 40 * share).astype(np.uint8)


def grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def with_picture(given, spoil):
    rgb = spoil(given.attempt_rgb)
    return dataclasses.replace(given, attempt_rgb=rgb, finished_rgb=rgb, placed_texts=())


@pytest.mark.parametrize("opacity", [0.2, 0.5, 1.0])
def test_a_mark_beside_a_placed_product_is_found_whatever_its_contrast(studio, opacity) -> None:
    given = studio.shoot("mug")
    assert given.placement is not None
    assert studio.finding("watermark", with_picture(given, lambda rgb: rgb)).value == 0.0
    finding = studio.finding("watermark", with_picture(given, lambda rgb: marked(rgb, opacity)))
    assert not finding.passed
    assert "SAMPLE" in finding.sentence


@pytest.mark.parametrize("opacity", [0.1, 0.3])
def test_a_stage_with_a_mark_could_bear_writing_and_one_with_grain_shadow_and_horizon_could_not(opacity) -> None:
    plain = ground(grain=1.0)
    assert where_writing_could_be(grey(marked(plain, opacity)), NOWHERE) is not None
    stage = plain.astype(np.float32)
    stage[600:] -= 25
    shadow = cv2.GaussianBlur(cv2.circle(np.zeros((SIDE_PX, SIDE_PX), np.float32), (500, 820), 150, 30, -1), (0, 0), 30)
    staged = np.clip(stage - shadow[..., None], 0, 255).astype(np.uint8)
    assert where_writing_could_be(grey(staged), NOWHERE) is None


def test_strokes_where_writing_is_allowed_say_nothing() -> None:
    allowed = NOWHERE.copy()
    allowed[900:, 500:] = True
    assert where_writing_could_be(grey(marked(ground(), 1.0, at=(620, 980))), allowed) is None


def test_only_the_part_with_strokes_need_be_searched_and_it_holds_the_whole_line() -> None:
    box = where_writing_could_be(grey(marked(ground(), 0.3)), NOWHERE)
    assert box is not None
    assert box.x_px < 600
    assert 700 < box.y_px < 950
    assert (box.right_px, box.bottom_px) == (SIDE_PX, SIDE_PX)


def test_a_part_is_levelled_as_the_whole_picture_is() -> None:
    picture = grey(marked(ground(grain=1.0), 0.3))
    whole = with_level_contrast(picture, slice(0, SIDE_PX), slice(0, SIDE_PX))
    rows, columns = slice(820, 1024), slice(500, 1000)
    part = with_level_contrast(picture, rows, columns)
    assert np.abs(part[rows, columns].astype(int) - whole[rows, columns]).max() <= 1
    assert (part[:800] == 128).all()


@pytest.mark.parametrize("opacity", [0.2, 0.5])
def test_a_mark_is_found_where_nobody_knows_where_the_product_stands(studio, opacity) -> None:
    given = dataclasses.replace(studio.shoot("mug"), placement=None, placed=None)
    assert studio.finding("watermark", with_picture(given, lambda rgb: rgb)).value == 0.0
    finding = studio.finding("watermark", with_picture(given, lambda rgb: marked(rgb, opacity)))
    assert not finding.passed
    assert "SAMPLE" in finding.sentence


@pytest.mark.parametrize("shape", [(1, 1), (5, 900), (17, 9)])
def test_small_pictures_are_looked_at_too(shape) -> None:
    assert where_writing_could_be(np.full(shape, 90, np.uint8), np.zeros(shape, bool)) is None


@pytest.mark.parametrize(("text", "mark"), [("oo", False), ("o0", False), ("样图", True), ("PREVIEW", True)])
def test_two_rings_are_no_mark_and_two_chinese_characters_are(text, mark) -> None:
    assert is_a_mark(text) is mark
