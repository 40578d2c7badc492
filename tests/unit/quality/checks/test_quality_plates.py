"""Plates are told from photographs by their paint, in PNG and after JPEG."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from zimage_core.quality.plates import painted_plates

SIDE = 768


def ground() -> np.ndarray:
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    rng = np.random.default_rng(3)
    return np.clip(120 + 60 * x - 30 * y + rng.normal(0, 1.0, (SIDE, SIDE)), 0, 255).astype(np.uint8)


def with_badge(grey: np.ndarray, colour: tuple[int, int, int] = (90, 90, 90)) -> np.ndarray:
    made = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    cv2.rectangle(made, (41, 53), (330, 160), colour, -1)
    cv2.putText(made, "-30 %", (90, 125), cv2.FONT_HERSHEY_DUPLEX, 1.6, (250, 250, 250), 3, cv2.LINE_AA)
    return made


@pytest.mark.parametrize("quality", [None, 95, 80])
def test_a_badge_is_found_with_all_its_lettering(quality) -> None:
    made = with_badge(ground())
    if quality is not None:
        made = cv2.imdecode(cv2.imencode(".jpg", made, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)
    (box,) = painted_plates(made)
    assert (box.x_px, box.y_px) <= (48, 56)
    assert box.right_px >= 324
    assert box.bottom_px >= 152
    assert box.width_px * box.height_px < 1.5 * 290 * 108


@pytest.mark.parametrize("name", ["mug", "lamp", "phone", "perfume", "lipstick", "cushion"])
def test_little_of_a_photo_is_taken_for_paint(photo, name) -> None:
    rgb = photo(name)
    covered = sum(box.width_px * box.height_px for box in painted_plates(rgb))
    assert covered < 0.1 * rgb.shape[0] * rgb.shape[1]


def test_a_red_badge_is_found_above_a_blue_product_that_is_as_light() -> None:
    rng = np.random.default_rng(5)
    made = with_badge(np.full((SIDE, SIDE), 255, np.uint8), (212, 0, 42))
    made[240:700, 100:600] = np.array((30, 75, 150)) + rng.integers(-8, 9, (460, 500, 1))
    made[240:700, 100:600] = cv2.GaussianBlur(made[240:700, 100:600], (0, 0), 5.0)
    (box,) = [box for box in painted_plates(made) if box.y_px < 160]
    assert (box.width_px, box.height_px) >= (280, 100)


def test_a_backdrop_of_one_colour_is_no_plate() -> None:
    grey = np.full((SIDE, SIDE), 215, np.uint8)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    ball = np.hypot(x - 384, y - 384) < 150
    grey[ball] = (40 + 0.3 * x[ball]).astype(np.uint8)
    assert painted_plates(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)) == ()


@pytest.mark.parametrize("shape", [(1, 1), (7, 900), (8, 8), (9, 17)])
def test_small_pictures_have_no_plates(shape) -> None:
    assert painted_plates(np.full((*shape, 3), 90, np.uint8)) == ()
