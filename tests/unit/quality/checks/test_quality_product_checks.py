from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from zimage_core.domain import Box, OverlayText

CHECKS = ("fidelity_structure", "fidelity_colour")


def hue_shifted(rgb: np.ndarray, degrees: float) -> np.ndarray:
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + round(degrees / 2)) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def warped(rgb: np.ndarray, by_px: float) -> np.ndarray:
    y, x = np.mgrid[0 : rgb.shape[0], 0 : rgb.shape[1]].astype(np.float32)
    shift = np.float32(by_px) * np.sin(y / 40).astype(np.float32)
    return cv2.remap(rgb, x + shift, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("name", ["mug", "lamp", "phone", "perfume", "lipstick", "cushion"])
def test_the_products_own_pixels_prove_themselves(studio, name) -> None:
    grade = studio.grade(name=name, texts=())
    assert [f.score for f in grade.findings if f.check in CHECKS] == [1.0, 1.0]


@pytest.mark.parametrize("name", ["phone", "lipstick", "cushion"])
def test_another_colour_is_found_though_the_structure_is_kept(studio, name) -> None:
    given = studio.shoot(name, spoil=lambda rgb: hue_shifted(rgb, 40), texts=())
    assert studio.finding("fidelity_colour", given).veto
    assert studio.finding("fidelity_structure", given).passed


@pytest.mark.parametrize("name", ["phone", "perfume", "lipstick", "cushion"])
def test_a_warped_product_is_not_the_product(studio, name) -> None:
    finding = studio.finding("fidelity_structure", name=name, spoil=lambda rgb: warped(rgb, 6.0), texts=())
    assert not finding.passed
    assert finding.box is not None


@pytest.mark.parametrize(("name", "other"), [("perfume", "lipstick"), ("mug", "cushion"), ("phone", "perfume")])
def test_another_product_is_a_veto(studio, cut, name, other) -> None:
    grade = studio.grade(name=name, shown=cut(other), texts=())
    assert grade.letter == "C"
    assert "fidelity_structure" in {f.check for f in grade.findings if f.veto}


def test_a_repainted_label_is_found_where_it_is(studio) -> None:
    given = studio.shoot("mug", texts=())
    box = Box(360, 470, 330, 120)  # NUOWU and the line under it

    def repaint(rgb: np.ndarray) -> np.ndarray:
        painted = rgb.copy()
        label = painted[box.y_px : box.bottom_px, box.x_px : box.right_px]
        label[:] = label[:, ::-1].copy()
        return painted

    finding = studio.finding("fidelity_structure", dataclasses.replace(given, attempt_rgb=repaint(given.attempt_rgb)))
    assert not finding.passed
    assert finding.box is not None
    assert finding.box.overlaps(box)


def test_encoder_noise_and_camera_grain_are_not_another_product(studio) -> None:
    def grain(rgb: np.ndarray) -> np.ndarray:
        return np.clip(rgb + np.random.default_rng(2).normal(0, 2.0, rgb.shape), 0, 255).astype(np.uint8)

    grade = studio.grade(name="cushion", spoil=grain, texts=())
    assert all(f.score > 0.9 for f in grade.findings if f.check in CHECKS)


def test_a_white_mug_melts_into_a_near_white_backdrop_and_stands_out_from_a_dark_one(studio) -> None:
    light = studio.finding("separation", name="mug", color=(226, 225, 221), texts=())
    dark = studio.finding("separation", name="mug", color=(96, 88, 82), texts=())
    assert not light.passed
    assert "melts into the backdrop" in light.sentence
    assert dark.score == 1.0


def test_separation_is_not_asked_of_packshots(studio) -> None:
    assert studio.finding("separation", name="mug", scene="packshot", texts=()).state == "not_applicable"


def test_white_of_250_instead_of_255_is_not_pure(studio) -> None:
    def grey(rgb: np.ndarray) -> np.ndarray:
        return np.where((rgb == 255).all(axis=2, keepdims=True), np.uint8(250), rgb)

    finding = studio.finding("background_purity", name="lamp", scene="packshot", spoil=grey, texts=())
    assert not finding.passed
    assert finding.sentence == "Only 0.0% of the border is pure white (255); the darkest is 250."


def test_a_grey_smear_beside_the_product_is_not_pure_though_the_border_is(studio) -> None:
    def smear(rgb: np.ndarray) -> np.ndarray:
        smeared = rgb.copy()
        smeared[150:320, 60:300] = 235
        return smeared

    finding = studio.finding("background_purity", name="lamp", scene="packshot", spoil=smear, texts=())
    assert not finding.passed
    assert "of the background is white" in finding.sentence


@pytest.mark.parametrize(("fill_ratio", "word"), [(0.4, "small"), (0.99, "large")])
def test_a_product_too_small_or_too_large_for_the_scene_is_named(studio, fill_ratio, word) -> None:
    finding = studio.finding(
        "fill", name="perfume", scene="packshot", fill_ratio=fill_ratio, wanted_fill_ratio=0.8, texts=()
    )
    assert not finding.passed
    assert finding.sentence.endswith(f"too {word}.")


def test_a_product_cut_by_the_frame_is_named_but_not_in_a_detail_scene(studio) -> None:
    cut = studio.finding("cropping", name="lamp", fill_ratio=0.9, centre=(0.7, 0.5), texts=())
    assert not cut.passed
    assert cut.sentence.startswith("The product is cut off at the right")
    detail = studio.finding("cropping", name="lamp", scene="detail", fill_ratio=1.3, texts=())
    assert detail.state == "not_applicable"


def test_plates_in_the_brands_colours_pass_and_others_do_not(studio) -> None:
    assert studio.finding("brand_colours").score == 1.0
    off = studio.finding("brand_colours", plate="#2255cc")
    assert not off.passed
    assert "not in the brand's colours" in off.sentence


def test_a_product_of_any_colour_does_not_count_for_the_brand(studio) -> None:
    # the cushion is nearly the brand's red; a blue badge on it is off all the same
    assert not studio.finding("brand_colours", name="cushion", plate="#2255cc").passed


def test_without_texts_or_palette_brand_colours_are_not_asked(studio) -> None:
    assert studio.finding("brand_colours", texts=()).state == "not_applicable"
    given = dataclasses.replace(studio.shoot(), palette=())
    assert studio.finding("brand_colours", given).state == "not_applicable"


def painted(studio, spoil) -> object:
    given = studio.shoot("mug", spoil=spoil, texts=(OverlayText("badge", "新品", "zh"),))
    return dataclasses.replace(given, mode="inpaint")


def test_text_an_engine_wrote_by_itself_is_found_and_the_products_own_print_is_allowed(studio) -> None:
    def watermark(rgb: np.ndarray) -> np.ndarray:
        marked = rgb.copy()
        cv2.putText(marked, "SAMPLE STOCK", (60, 960), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (250, 250, 250), 4, cv2.LINE_AA)
        return marked

    clean = studio.finding("unexpected_text", painted(studio, None))
    assert clean.score == 1.0, "NUOWU on the mug and the badge are expected"
    marked = studio.finding("unexpected_text", painted(studio, watermark))
    assert not marked.passed
    assert marked.box is not None
    assert marked.box.overlaps(Box(60, 900, 500, 80))


def test_the_costly_search_for_text_is_left_out_where_no_model_draws(studio) -> None:
    assert studio.finding("unexpected_text").state == "not_applicable"
