from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

PLAIN = np.zeros((1024, 1024, 3), np.uint8)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_even_picture_is_blank_and_nothing_else_is_asked(studio, level) -> None:
    grade = studio.grade(spoil=lambda rgb: np.full_like(rgb, level), texts=())
    assert grade.letter == "C"
    assert grade.reasons[0].startswith("The picture is blank")
    asked = [f.check for f in grade.findings if f.state == "measured"]
    assert asked == ["resolution", "aspect", "blank"]


def test_a_nearly_black_frame_with_sensor_noise_is_blank(studio) -> None:
    grain = np.random.default_rng(3).integers(0, 4, PLAIN.shape).astype(np.uint8)
    assert studio.finding("blank", spoil=lambda rgb: grain, texts=()).veto


def test_a_small_product_alone_on_white_is_not_blank(studio) -> None:
    assert studio.finding("blank", name="lamp", scene="packshot", fill_ratio=0.25, texts=()).passed


def test_static_is_vetoed(studio) -> None:
    static = np.random.default_rng(4).integers(0, 256, PLAIN.shape).astype(np.uint8)
    assert studio.finding("noise", spoil=lambda rgb: static, texts=()).veto


def test_coarse_static_as_undecoded_latents_give_does_not_pass(studio) -> None:
    coarse = np.random.default_rng(4).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    blobs = cv2.resize(coarse, (1024, 1024), interpolation=cv2.INTER_NEAREST)
    assert studio.grade(spoil=lambda rgb: blobs, texts=()).letter == "C"


@pytest.mark.parametrize("name", ["mug", "lamp", "phone", "perfume", "lipstick", "cushion"])
def test_photos_are_not_taken_for_noise(studio, name) -> None:
    assert studio.finding("noise", name=name, texts=()).score == 1.0
    assert studio.finding("noise", name=name, scene="packshot", texts=()).score == 1.0


def test_a_smaller_picture_than_promised_is_a_veto(studio) -> None:
    given = dataclasses.replace(studio.shoot(texts=()), width_px=1280, height_px=1280)
    grade = studio.grade(given)
    assert grade.letter == "C"
    assert grade.reasons[0] == "The picture is 1024 x 1024 px, 1280 x 1280 px were promised."


def test_another_shape_than_promised_is_a_veto(studio) -> None:
    given = dataclasses.replace(studio.shoot(texts=()), width_px=768, height_px=1024)
    finding = studio.finding("aspect", given)
    assert finding.veto
    assert finding.sentence == "The picture is 33% wider than promised: 1024 x 1024 px, not 768 x 1024."
    assert studio.grade(given).letter == "C"


def test_a_larger_picture_of_the_same_shape_is_welcome(studio) -> None:
    given = dataclasses.replace(studio.shoot(texts=()), width_px=800, height_px=800)
    assert studio.finding("resolution", given).score == 1.0


@pytest.mark.parametrize("name", ["mug", "lipstick", "perfume", "phone"])
def test_white_glaze_and_the_highlights_of_lacquer_and_glass_are_not_overexposed(studio, name) -> None:
    finding = studio.finding("exposure_clipped", name=name, texts=())
    assert finding.score > 0.95


def test_an_overexposed_product_loses_score_but_is_no_veto(studio) -> None:
    def burn(rgb: np.ndarray) -> np.ndarray:
        return np.clip(rgb.astype(np.float32) * 2.2, 0, 255).astype(np.uint8)

    finding = studio.finding("exposure_clipped", name="mug", spoil=burn, texts=())
    assert not finding.passed
    assert not finding.veto


def test_black_lacquer_is_not_underexposed_but_a_dark_frame_is(studio) -> None:
    assert studio.finding("exposure_dark", name="lipstick", texts=()).score == 1.0
    dark = studio.finding("exposure_dark", name="lipstick", spoil=lambda rgb: (rgb * 0.12).astype(np.uint8), texts=())
    assert not dark.passed
