"""Overexposed photos lose white rims and clear glass in a white backdrop: what is left of the product is announced."""

from __future__ import annotations

import cv2
import numpy as np

from zimage_core.imaging.cutout import CutOut, cut_out
from zimage_core.imaging.lost_parts import strip_ratio
from zimage_core.imaging.pixels import Photo, Rgb


def white() -> Rgb:
    return np.full((600, 600, 3), 255, np.uint8)


def warnings_of(rgb: Rgb) -> str:
    made = cut_out(Photo(rgb, None, ""))
    assert isinstance(made, CutOut)
    return " ".join(made.warnings)


def test_a_bowl_whose_white_rim_was_lost_is_announced() -> None:
    photo = white()
    cv2.ellipse(photo, (300, 330), (200, 150), 0, 0, 180, (60, 70, 120), -1)
    cv2.ellipse(photo, (300, 322), (200, 60), 0, 0, 360, (255, 255, 255), -1)
    cv2.ellipse(photo, (300, 320), (196, 52), 0, 0, 360, (40, 50, 90), -1)
    assert "narrow strip of backdrop" in warnings_of(photo)


def test_what_remains_of_an_overexposed_glass_is_announced() -> None:
    photo = white()
    photo[250:500, 220:380] = (255, 170, 220)
    assert "burnt out" in warnings_of(photo)


def test_vivid_colours_and_things_side_by_side_are_as_they_should_be() -> None:
    photo = white()
    photo[250:500, 120:280] = (255, 10, 0)
    photo[200:500, 340:460] = (40, 50, 90)
    assert "burnt out" not in warnings_of(photo)
    assert "strip" not in warnings_of(photo)


def test_a_pale_product_before_grey_is_not_burnt_out() -> None:
    photo = np.full((600, 600, 3), 150, np.uint8)
    photo[200:500, 200:400] = (255, 220, 230)
    assert "burnt out" not in warnings_of(photo)


def test_one_piece_has_no_strip_and_two_halves_have() -> None:
    mask = np.zeros((400, 400), np.uint8)
    mask[100:300, 100:300] = 1
    assert strip_ratio(mask) == 0.0
    mask[197:200] = 0
    assert 0.2 < strip_ratio(mask) < 0.5
