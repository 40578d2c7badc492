from __future__ import annotations

import dataclasses
from functools import cache

import cv2
import numpy as np
import pytest

from zimage_core.domain import Placement
from zimage_core.imaging.composite import paste, visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.quality.alignment import likeness_of, refine, shown_of
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.reading import default_reader
from zimage_core.quality.search import find
from zimage_core.quality.whereabouts import before_a_plain_backdrop

SIDE_PX = 1024
PRODUCTS = ("mug", "lamp", "phone", "perfume", "lipstick", "cushion")


def grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def off_px(cutout: CutOut, one: Placement, other: Placement) -> float:
    """How far the corner that is furthest astray lies from where it should, in pixels of the picture."""
    box = visible_box(cutout.rgba[..., 3])
    corners = [(x, y) for x in (box.x_px, box.right_px) for y in (box.y_px, box.bottom_px)]
    scale = one.scale - other.scale
    return max(
        float(np.hypot(scale * x + one.x_px - other.x_px, scale * y + one.y_px - other.y_px)) for x, y in corners
    )


def moved(placement: Placement, share: float, zoom: float = 1.0) -> Placement:
    return Placement(placement.scale * zoom, placement.x_px + share * SIDE_PX, placement.y_px - 0.5 * share * SIDE_PX)


def relit(rgb: np.ndarray, gain: float, warmth: float) -> np.ndarray:
    lit = rgb * np.array([gain * (1 + warmth), gain, gain * (1 - warmth)])
    return np.clip(lit, 0, 255).astype(np.uint8)


def jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


@cache
def clutter(seed: int) -> np.ndarray:
    """A room full of things: coloured boxes over blotches."""
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(70, 200, (24, 24, 3)).astype(np.uint8), (SIDE_PX, SIDE_PX))
    for _ in range(14):
        x, y, w, h = (int(v) for v in rng.integers(20, 300, 4) * (3, 3, 1, 1))
        cv2.rectangle(picture, (x, y), (x + w, y + h), tuple(int(v) for v in rng.integers(20, 240, 3)), -1)
    return cv2.GaussianBlur(picture, (0, 0), 2.0)


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_moved_scaled_and_relit_is_found_again_to_a_pixel(studio, name) -> None:
    given = studio.shoot(name, texts=())
    picture = jpeg(relit(given.attempt_rgb, 1.1, 0.03), 85)
    wrong = moved(given.placement, 0.015, 1.02)
    found = refine(grey(picture), likeness_of(shown_of(given.cutout)), wrong)
    assert off_px(given.cutout, wrong, given.placement) > 15
    assert off_px(given.cutout, found.placement, given.placement) < 1.7
    assert found.similarity > 0.9


@pytest.mark.parametrize("name", ["phone", "perfume", "cushion"])
def test_a_product_is_found_in_a_cluttered_picture_of_which_nothing_is_known(studio, name) -> None:
    given = studio.shoot(name, texts=())
    picture = paste(clutter(3), given.cutout, given.placement)
    found = find(picture, grey(picture), likeness_of(shown_of(given.cutout)))
    assert found is not None
    assert off_px(given.cutout, found.placement, given.placement) < 2.0


@pytest.mark.parametrize(("name", "wanted"), [("mug", "cushion"), ("lamp", "phone"), ("perfume", "lamp")])
def test_nothing_like_it_is_said_where_another_product_stands(studio, name, wanted) -> None:
    given = dataclasses.replace(studio.shoot(name, texts=()), cutout=studio.shoot(wanted).cutout, placement=None)
    given = dataclasses.replace(given, placed=None)
    finding = studio.finding("fidelity_structure", given)
    assert finding.veto
    assert not finding.passed


def unknown(given, **what):
    return dataclasses.replace(given, placement=None, placed=None, **what)


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_faithful_product_passes_though_nobody_says_where_it_stands(studio, name) -> None:
    given = studio.shoot(name, texts=(), spoil=lambda rgb: jpeg(relit(rgb, 0.92, -0.02), 85))
    for check in ("fidelity_structure", "fidelity_colour"):
        assert studio.finding(check, unknown(given)).passed, check


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize(("share", "zoom"), [(0.01, 1.0), (0.02, 1.0), (0.0, 1.02), (0.0, 0.98)])
def test_a_product_that_stands_a_little_aside_of_its_placement_is_still_itself(studio, name, share, zoom) -> None:
    given = studio.shoot(name, texts=())
    given = dataclasses.replace(given, placement=moved(given.placement, share, zoom), placed=None)
    for check in ("fidelity_structure", "fidelity_colour"):
        assert studio.finding(check, given).passed, check


@pytest.mark.parametrize("gain", [0.85, 0.93, 1.08, 1.15])
@pytest.mark.parametrize("name", ["lamp", "phone", "cushion"])
def test_another_light_is_not_another_product(studio, name, gain) -> None:
    given = studio.shoot(name, texts=(), spoil=lambda rgb: relit(rgb, gain, 0.02))
    for check in ("fidelity_structure", "fidelity_colour"):
        assert studio.finding(check, given).passed, check


@pytest.mark.parametrize("name", ["phone", "lipstick", "cushion"])
@pytest.mark.parametrize("degrees", [-20, 20])
def test_a_hue_turned_by_20_degrees_is_found_and_named(studio, name, degrees) -> None:
    def turned(rgb: np.ndarray) -> np.ndarray:
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + degrees // 2) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

    given = studio.shoot(name, texts=(), spoil=turned)
    for known in (given, unknown(given)):
        finding = studio.finding("fidelity_colour", known)
        assert not finding.passed
        assert "colour is off" in finding.sentence
    assert studio.finding("fidelity_structure", given).passed


def test_a_smoothed_product_has_lost_its_texture(studio) -> None:
    given = studio.shoot("cushion", texts=(), spoil=lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 5.0))
    finding = studio.finding("fidelity_structure", given)
    assert not finding.passed
    assert "lost its texture" in finding.sentence


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_silhouette_before_a_plain_backdrop_is_that_of_the_product(studio, name) -> None:
    given = studio.shoot(name, texts=())
    seen = before_a_plain_backdrop(given.attempt_rgb)
    assert seen.alpha is not None, seen.reason
    true = given.placed[..., 3] >= 128
    shown = seen.alpha >= 128
    assert (true & shown).sum() / (true | shown).sum() > (0.9 if name == "lamp" else 0.95), "a lamp is all thin parts"


def test_before_a_busy_backdrop_no_silhouette_is_given_and_the_reason_is_said(studio) -> None:
    given = studio.shoot("mug", texts=())
    busy = paste(clutter(5), given.cutout, given.placement)
    evidence = Evidence(unknown(given, attempt_rgb=busy, finished_rgb=busy, cutout=None), default_reader())
    assert evidence.product_alpha is None
    assert evidence.product_unknown == "The backdrop is not plain, so the product cannot be told from it."


def test_a_found_product_is_judged_like_a_placed_one(studio) -> None:
    given = studio.shoot("perfume", scene="packshot", texts=())
    for check in ("fill", "centring", "exposure_dark", "background_purity"):
        placed, found = studio.finding(check, given), studio.finding(check, unknown(given, cutout=None))
        assert found.state == "measured", check
        assert abs(found.score - placed.score) < 0.1, check
