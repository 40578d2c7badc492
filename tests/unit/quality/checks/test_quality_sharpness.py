from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest

Rgb = np.ndarray


def gauss(sigma: float) -> Callable[[Rgb], Rgb]:
    return lambda rgb: cv2.GaussianBlur(rgb, (0, 0), sigma)


def motion(length_px: int) -> Callable[[Rgb], Rgb]:
    kernel = np.zeros((length_px, length_px), np.float32)
    kernel[length_px // 2] = 1.0 / length_px
    return lambda rgb: cv2.filter2D(rgb, -1, kernel)


def noisy(rgb: Rgb, sigma: float) -> Rgb:
    return np.clip(rgb + np.random.default_rng(1).normal(0, sigma, rgb.shape), 0, 255).astype(np.uint8)


def enlarged(factor: int) -> Callable[[Rgb], Rgb]:
    def spoil(rgb: Rgb) -> Rgb:
        side = rgb.shape[0]
        small = cv2.resize(rgb, (side // factor, side // factor), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)

    return spoil


def laplacian_variance(rgb: Rgb) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


@pytest.mark.parametrize("name", ["mug", "lamp", "phone", "perfume", "lipstick", "cushion"])
def test_blur_is_vetoed_on_every_photo_that_is_accepted_when_sharp(studio, name) -> None:
    assert studio.finding("sharpness", name=name, texts=()).score > 0.9
    for sigma in (2.0, 3.0):
        blurred = studio.grade(name=name, spoil=gauss(sigma), texts=())
        assert blurred.letter == "C"
        assert next(f for f in blurred.findings if f.check == "sharpness").veto


def test_noise_does_not_make_a_blurred_product_sharp(studio) -> None:
    def trap(rgb: Rgb) -> Rgb:
        return noisy(gauss(2.0)(rgb), 10.0)

    given = studio.shoot("phone", spoil=trap, texts=())
    clean = studio.shoot("mug", texts=())
    assert laplacian_variance(given.attempt_rgb) > laplacian_variance(clean.attempt_rgb), "the energy measure is fooled"
    assert studio.finding("sharpness", given).veto


def test_noise_does_not_make_a_sharp_product_blurred(studio) -> None:
    assert studio.finding("sharpness", name="phone", spoil=lambda rgb: noisy(rgb, 6.0), texts=()).passed


@pytest.mark.parametrize("name", ["lamp", "phone", "lipstick", "cushion"])
def test_motion_blur_is_found_though_edges_along_it_stay_crisp(studio, name) -> None:
    assert not studio.finding("sharpness", name=name, spoil=motion(15), texts=()).passed


@pytest.mark.parametrize("name", ["mug", "lamp", "perfume", "lipstick", "cushion"])
def test_an_enlarged_picture_fails(studio, name) -> None:
    assert not studio.finding("sharpness", name=name, spoil=enlarged(3), texts=()).passed


def test_a_crisp_badge_does_not_sharpen_a_blurred_picture(studio) -> None:
    given = studio.shoot("lipstick", spoil=gauss(2.5))
    before, after = laplacian_variance(given.attempt_rgb), laplacian_variance(given.finished_rgb)
    assert after > 5 * before, "the energy measure is fooled by the badge"
    assert studio.finding("sharpness", given).veto


def test_a_badge_baked_into_the_attempt_is_left_out_too(studio) -> None:
    given = studio.shoot("lipstick", spoil=gauss(2.5))
    baked = dataclasses.replace(given, attempt_rgb=given.finished_rgb)
    assert studio.finding("sharpness", baked).veto


def test_a_crisp_backdrop_does_not_sharpen_a_soft_product(studio, cut, photo) -> None:
    soft = cut("phone", cv2.GaussianBlur(photo("phone"), (0, 0), 5.0))
    assert studio.finding("sharpness", name="phone", cutout=soft, texts=()).veto


@pytest.mark.parametrize("name", ["mug", "lamp"])
def test_a_crisp_cut_does_not_sharpen_a_blurred_photo(studio, cut, photo, name) -> None:
    # the mask is exact, so the outline is crisp against the backdrop; only the inside tells
    soft = cut(name, cv2.GaussianBlur(photo(name), (0, 0), 5.0))
    assert not studio.finding("sharpness", name=name, cutout=soft, texts=()).passed


def test_the_sentence_says_how_wide_the_edges_are_and_where_it_is_softest(studio) -> None:
    finding = studio.finding("sharpness", name="phone", spoil=gauss(3.0), texts=())
    assert finding.sentence.startswith("The product is blurred: its edges are ")
    assert finding.unit == "1/px"
    assert finding.box is not None


def test_a_product_without_a_single_edge_cannot_be_called_sharp(studio) -> None:
    def even(rgb: Rgb) -> Rgb:
        return np.broadcast_to(np.linspace(90, 200, rgb.shape[0])[:, None, None], rgb.shape).astype(np.uint8)

    flat = studio.finding("sharpness", name="mug", spoil=even, texts=())
    assert flat.veto
    assert "no edge" in flat.sentence


# ---------------------------------------------------------------- where nobody knows what stands where


def unknown(given):
    """The same picture as a file from elsewhere: neither cut-out, nor placement, nor texts are known."""
    rgb = given.finished_rgb
    return dataclasses.replace(
        given, attempt_rgb=rgb, cutout=None, placement=None, placed=None, placed_texts=(), mode="text"
    )


@pytest.mark.parametrize("name", ["mug", "lamp", "phone", "perfume", "lipstick", "cushion"])
def test_sharp_and_blurred_are_told_apart_where_the_product_is_unknown(studio, name) -> None:
    sharp, soft = (unknown(studio.shoot(name, spoil=spoil, texts=())) for spoil in (None, gauss(2.0)))
    assert studio.finding("sharpness", sharp).score > 0.9
    assert studio.finding("sharpness", soft).veto


@pytest.mark.parametrize("name", ["lamp", "lipstick", "cushion"])
def test_a_crisp_badge_that_nobody_knows_of_does_not_sharpen_a_blurred_picture(studio, name) -> None:
    given = unknown(studio.shoot(name, spoil=gauss(2.5)))
    assert laplacian_variance(given.attempt_rgb) > 50, "the badge is crisp"
    assert not studio.finding("sharpness", given).passed


def test_a_badge_that_nobody_knows_of_does_not_blur_a_sharp_picture(studio) -> None:
    assert studio.finding("sharpness", unknown(studio.shoot("cushion"))).score > 0.9


@pytest.mark.parametrize("sigma", [2.0, 4.0])
def test_a_known_badge_that_is_all_one_sees_before_the_backdrop_leaves_a_blurred_glass_to_be_judged(
    studio, sigma
) -> None:
    """Clear glass before grey is hardly seen; the badge, whose place is known, is what stands out from the backdrop."""

    def glass(rgb: Rgb) -> Rgb:
        made = np.full_like(rgb, 186)
        cv2.rectangle(made, (330, 250), (690, 900), (193, 194, 192), 14)
        return gauss(sigma)(cv2.rectangle(made, (400, 300), (480, 860), (205, 203, 208), -1))

    shot = studio.shoot("mug", spoil=glass)
    given = dataclasses.replace(unknown(shot), placed_texts=shot.placed_texts)
    finding = studio.finding("sharpness", given)
    assert finding.state == "measured"
    assert not finding.passed


@pytest.mark.parametrize("sides", [(1, 1), (1, 700), (40, 25), (200, 129)])
def test_pictures_of_any_size_are_judged_or_said_to_have_no_edge(studio, sides) -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (*sides, 3)).astype(np.uint8)
    finding = studio.finding("sharpness", dataclasses.replace(unknown(studio.shoot(texts=())), attempt_rgb=rgb))
    assert finding.state == "measured"
    assert 0.0 <= finding.score <= 1.0


def test_the_box_is_where_the_product_is_softest(studio) -> None:
    def half(rgb: Rgb) -> Rgb:
        soft = cv2.GaussianBlur(rgb, (0, 0), 2.2)
        soft[512:] = cv2.GaussianBlur(rgb, (0, 0), 5.0)[512:]
        return soft

    finding = studio.finding("sharpness", name="cushion", spoil=half, texts=())
    assert not finding.passed
    assert finding.box is not None
    assert finding.box.y_px >= 512 - 128


def test_a_pale_smooth_product_is_judged_by_its_faint_edges(studio) -> None:
    def pale(rgb: Rgb) -> Rgb:
        return np.rint(200 + 0.07 * (rgb.astype(np.float32) - 128)).astype(np.uint8)

    assert studio.finding("sharpness", name="lamp", spoil=pale, texts=()).passed
    assert studio.finding("sharpness", name="lamp", spoil=lambda rgb: gauss(2.5)(pale(rgb)), texts=()).veto
