"""Marks beside a product that was placed are found on plain and on structured ground; plain ground asks no detector."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from zimage_core.quality.checks.watermark import is_a_mark
from zimage_core.quality.strokes import could_bear_writing

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
    assert could_bear_writing(marked(plain, opacity), NOWHERE)
    stage = plain.astype(np.float32)
    stage[600:] -= 25
    shadow = cv2.GaussianBlur(cv2.circle(np.zeros((SIDE_PX, SIDE_PX), np.float32), (500, 820), 150, 30, -1), (0, 0), 30)
    staged = np.clip(stage - shadow[..., None], 0, 255).astype(np.uint8)
    assert not could_bear_writing(staged, NOWHERE)


def test_strokes_where_writing_is_allowed_say_nothing() -> None:
    allowed = NOWHERE.copy()
    allowed[900:, 500:] = True
    assert not could_bear_writing(marked(ground(), 1.0, at=(620, 980)), allowed)


@pytest.mark.parametrize("shape", [(1, 1), (5, 900), (17, 9)])
def test_small_pictures_are_looked_at_too(shape) -> None:
    assert not could_bear_writing(np.full((*shape, 3), 90, np.uint8), np.zeros(shape, bool))


@pytest.mark.parametrize(("text", "mark"), [("oo", False), ("o0", False), ("样图", True), ("PREVIEW", True)])
def test_two_rings_are_no_mark_and_two_chinese_characters_are(text, mark) -> None:
    assert is_a_mark(text) is mark
