"""Exposure, colour cast, grain, banding and blocks: planted by known amounts, quiet on good pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
import pytest

Rgb = np.ndarray
NAMES = ("mug", "lamp", "phone", "perfume", "lipstick", "cushion")
TONE_CHECKS = (
    "exposure_clipped", "exposure_dark", "exposure_shift", "colour_cast", "grain", "banding", "blockiness", "aspect",
)  # fmt: skip


def times(*gains: float) -> Callable[[Rgb], Rgb]:
    return lambda rgb: np.clip(np.rint(rgb * np.array(gains)), 0, 255).astype(np.uint8)


def grainy(sigma: float) -> Callable[[Rgb], Rgb]:
    return lambda rgb: np.clip(rgb + np.random.default_rng(1).normal(0, sigma, rgb.shape), 0, 255).astype(np.uint8)


def jpeg(quality: int) -> Callable[[Rgb], Rgb]:
    return lambda rgb: cv2.imdecode(cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)


def posterised(step: int) -> Callable[[Rgb], Rgb]:
    return lambda rgb: np.clip(np.rint(cv2.GaussianBlur(rgb, (0, 0), 2.0) / step) * step, 0, 255).astype(np.uint8)


def foreign(given, scene=None):
    """The same picture with nothing known of the product."""
    return dataclasses.replace(
        given, cutout=None, placement=None, placed=None, placed_texts=(), mode="text", scene=scene or given.scene
    )


# ---------------------------------------------------------------- good pictures


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scene", ["studio", "packshot"])
@pytest.mark.parametrize("check", TONE_CHECKS)
def test_nothing_is_said_against_good_pictures(studio, name, scene, check) -> None:
    given = studio.shoot(name, scene=scene, texts=())
    for picture in (given, foreign(given)):
        finding = studio.finding(check, picture)
        assert finding.state == "not_applicable" or finding.score > 0.95, finding.sentence


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_usual_quality_keeps_its_score(studio, name) -> None:
    given = studio.shoot(name, spoil=jpeg(80), texts=())
    for check in ("blockiness", "banding", "grain", "colour_cast", "exposure_shift"):
        assert studio.finding(check, given).score > 0.9, check


# ---------------------------------------------------------------- exposure


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gain", [1.3, 1.6, 1.9])
def test_overexposure_is_caught_on_every_product(studio, name, gain) -> None:
    given = studio.shoot(name, spoil=times(gain), texts=())
    found = [studio.finding(check, given) for check in ("exposure_clipped", "exposure_shift")]
    assert not all(finding.passed for finding in found)


@pytest.mark.parametrize("name", NAMES)
def test_underexposure_is_caught_beside_the_photo(studio, name) -> None:
    finding = studio.finding("exposure_shift", name=name, spoil=times(0.5), texts=())
    assert not finding.passed
    assert "stops darker than on its photo" in finding.sentence


@pytest.mark.parametrize("name", ["mug", "perfume", "cushion"])
def test_lost_highlights_are_found_without_photo_or_place(studio, name) -> None:
    given = foreign(studio.shoot(name, spoil=times(1.6), texts=()))
    assert not studio.finding("exposure_clipped", given).passed


def test_a_little_other_light_is_no_fault(studio) -> None:
    for gain in (0.9, 1.1):
        assert studio.finding("exposure_shift", name="lipstick", spoil=times(gain), texts=()).score > 0.9


def test_tones_that_lead_up_to_white_are_not_lost(studio) -> None:
    from zimage_core.quality.checks.exposure import lost_in_white

    even = np.zeros(256)
    even[200:256] = 1 / 56
    cut = np.zeros(256)
    cut[100:253], cut[255] = 0.7 / 153, 0.3
    assert lost_in_white(even, 253) == pytest.approx(0.0, abs=1e-9)
    assert 0.28 < lost_in_white(cut, 253) < 0.3


def test_a_wholly_white_file_has_nothing_to_judge(studio) -> None:
    given = foreign(studio.shoot(texts=()))
    finding = studio.finding(
        "exposure_clipped", dataclasses.replace(given, attempt_rgb=np.full_like(given.attempt_rgb, 255))
    )
    assert finding.state == "not_applicable"


# ---------------------------------------------------------------- colour cast


@pytest.mark.parametrize(("gains", "hue"), [((1.0, 0.93, 0.78), "yellow"), ((0.8, 0.94, 1.0), "blue")])
def test_a_cast_is_told_by_the_photo(studio, gains, hue) -> None:
    finding = studio.finding("colour_cast", name="mug", spoil=times(*gains), texts=())
    assert not finding.passed
    assert hue in finding.sentence or "orange" in finding.sentence or "cyan" in finding.sentence


def test_a_cast_is_told_by_a_white_backdrop(studio) -> None:
    warm = foreign(studio.shoot("lipstick", scene="packshot", spoil=times(1.0, 0.93, 0.78), texts=()))
    assert not studio.finding("colour_cast", warm).passed
    assert studio.finding("colour_cast", foreign(studio.shoot("lipstick", scene="packshot", texts=()))).score == 1.0


def test_a_coloured_set_is_no_cast(studio) -> None:
    given = foreign(studio.shoot("lipstick", color=(236, 180, 186), texts=()))
    assert studio.finding("colour_cast", given).state == "not_applicable"


# ---------------------------------------------------------------- grain, bands, blocks


def test_grain_costs_more_the_stronger_it_is(studio) -> None:
    scores = [studio.finding("grain", name="phone", spoil=grainy(s), texts=()).score for s in (2, 5, 12, 25)]
    assert scores[:2] == [1.0, 1.0]
    assert scores == sorted(scores, reverse=True)
    assert scores[2] < 0.6
    assert scores[3] < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_posterised_tones_are_bands(studio, name) -> None:
    finding = studio.finding("banding", name=name, spoil=posterised(14), texts=())
    assert not finding.passed
    assert finding.box is not None


def test_the_steps_of_eight_bits_are_no_bands(studio) -> None:
    ramp = np.broadcast_to(np.linspace(60, 200, 1024)[:, None, None], (1024, 1024, 3)).astype(np.uint8)
    assert studio.finding("banding", spoil=lambda rgb: ramp, texts=()).score == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_strong_compression_is_seen_as_blocks_or_bands(studio, name) -> None:
    given = studio.shoot(name, spoil=jpeg(12), texts=())
    assert not all(studio.finding(check, given).passed for check in ("blockiness", "banding"))


@pytest.mark.parametrize("period_px", [4, 6, 7, 8, 9, 12])
def test_a_check_pattern_is_not_taken_for_blocks(studio, period_px) -> None:
    y, x = np.mgrid[3:1027, 5:1029]
    board = 110 + 60 * ((x // period_px + y // period_px) % 2)
    cloth = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    assert studio.finding("blockiness", foreign(studio.shoot(spoil=lambda rgb: cloth, texts=()))).score == 1.0


@pytest.mark.parametrize("sides", [(1, 1), (3, 400), (33, 31), (70, 64)])
@pytest.mark.parametrize("check", [*TONE_CHECKS, "blank", "resolution"])
def test_pictures_of_any_size_have_a_defined_answer(studio, sides, check) -> None:
    rgb = np.random.default_rng(5).integers(0, 256, (*sides, 3)).astype(np.uint8)
    given = dataclasses.replace(foreign(studio.shoot(texts=())), attempt_rgb=rgb, finished_rgb=rgb)
    finding = studio.finding(check, given)
    assert finding.state in {"measured", "not_applicable"}, finding.sentence


@pytest.mark.parametrize("color", [(200, 40, 60), (128, 128, 128), (0, 0, 0)])
def test_an_even_picture_with_grain_is_blank(studio, color) -> None:
    grain = np.random.default_rng(6).normal(0, 3, (1024, 1024, 3))
    even = np.clip(np.array(color) + grain, 0, 255).astype(np.uint8)
    assert studio.finding("blank", spoil=lambda rgb: even, texts=()).veto


def test_colours_of_one_lightness_are_a_picture(studio) -> None:
    two = np.zeros((1024, 1024, 3), np.uint8)
    two[:, :512], two[:, 512:] = (150, 100, 100), (77, 137, 100)
    assert studio.finding("blank", spoil=lambda rgb: two, texts=()).passed
