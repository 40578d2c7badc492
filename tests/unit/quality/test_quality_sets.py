"""The picture sets that grading is measured by: their labels must be true, or every figure drawn from them is not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.quality_sets import damage, fidelity_set, glyphs, photo_set, planted_set, sharpness_set, text_set
from benchmarks.quality_sets.figures import auc, auc_interval, wilson
from zimage_core.imaging.overlay import draw_overlay
from zimage_core.quality.reading import plain


@pytest.fixture(scope="module")
def bottle() -> photo_set.ProductPhoto:
    return photo_set.modelled("A", 12)


def test_a_photo_is_the_same_every_time_and_another_for_every_seed_and_number(bottle):
    again = photo_set.modelled.__wrapped__("A", 12)
    assert np.array_equal(again.rgb, bottle.rgb)
    assert np.array_equal(again.alpha, bottle.alpha)
    assert not np.array_equal(photo_set.modelled("B", 12).rgb, bottle.rgb)


def test_the_matte_says_where_the_product_is(bottle):
    """Outside of it there is nothing but backdrop and shadow, and the whole product is inside the frame."""
    ring = np.concatenate([bottle.alpha[0], bottle.alpha[-1], bottle.alpha[:, 0], bottle.alpha[:, -1]])
    assert ring.max() == 0
    inside, outside = bottle.rgb[bottle.alpha == 255].astype(float), bottle.rgb[bottle.alpha == 0].astype(float)
    assert np.abs(np.median(inside, axis=0) - np.median(outside, axis=0)).max() > 30
    share = bottle.alpha[..., None] / 255.0
    over_backdrop = bottle.product_rgb * share + np.median(outside, axis=0) * (1 - share)
    edge = (bottle.alpha > 40) & (bottle.alpha < 215)
    assert np.abs(over_backdrop - bottle.rgb)[edge].mean() < 25


def test_example_photos_carry_their_exact_masks():
    mug = photo_set.example("mug")
    assert mug.alpha.shape == mug.rgb.shape[:2]
    assert {"hole", "white_on_white"} <= mug.traits
    assert float((mug.alpha > 127).mean()) == pytest.approx(0.4943, abs=0.002)


def test_blurred_versions_are_blurred_and_sharp_ones_are_not(bottle):
    """Told without the check that is measured: the steepest slope of a picture falls by blur, hardly by JPEG."""
    steepest = {}
    for case in itertools.islice(sharpness_set.versions(bottle), 17):
        slope = np.abs(np.diff(case.rgb[..., 1].astype(int), axis=1))
        steepest[case.variant] = float(np.percentile(slope, 99.8))
        assert case.sharp == (case.variant in sharpness_set.SHARP)
    assert steepest["jpeg_85"] > 0.8 * steepest["as_is"]
    for variant in ("gauss_2", "gauss_3", "gauss_5", "disc_3", "disc_5"):
        assert steepest[variant] < 0.7 * steepest["as_is"], variant


@pytest.mark.parametrize("how", ["lookalike", "digit", "missing", "doubled", "swapped"])
def test_a_misspelt_text_never_reads_as_the_right_one(how: str):
    rng = np.random.default_rng(3)
    for text in (*glyphs.BADGES_ZH, *glyphs.BADGES_EN, *glyphs.PRICES):
        assert plain(glyphs.misspelt(rng, text, how)) != plain(text)


def test_a_garbled_glyph_differs_from_the_glyph_by_a_fifth_of_its_ink():
    rng = np.random.default_rng(4)
    for text, latin in (("限时特惠", False), ("¥1,299", False), ("SALE 50", True)):
        ink, cells = glyphs.inked(text, 0, 96, latin)
        made, how = glyphs.garbled(rng, ink, cells)
        least = min(float((ink[:, left:right] > 127).sum()) for left, right in cells)
        assert float(((made > 127) != (ink > 127)).sum()) >= 0.2 * least, how


def test_right_texts_are_those_of_the_overlay_and_wrong_ones_differ_in_the_picture():
    for number in (0, 1, 3, 11, 13):
        case = text_set.text_case("A", "code", number)
        assert case.overlay is not None
        should, _ = draw_overlay(case.plain_rgb, case.overlay, product_alpha=case.product_alpha, text_room="top")
        changed = float((np.abs(should.astype(int) - case.rgb).max(axis=2) > 40).sum())
        assert case.right == (changed == 0), case.fault
        if not case.right:
            assert changed > 20, case.fault
            assert case.fault in {"garbled", "covered"} or case.drawn != case.expected


def test_model_drawn_texts_say_what_was_drawn():
    for number in (1, 11, 15):
        case = text_set.text_case("A", "model", number)
        assert (list(map(plain, case.drawn)) != list(map(plain, case.expected))) == (case.fault != "garbled")
        assert not np.array_equal(case.rgb, case.plain_rgb)


def test_every_planted_defect_changes_the_picture_that_is_graded():
    cases = list(itertools.islice(planted_set.cases_of("A", 8), 10))
    good = {case.scene: case.given for case in cases if case.good}
    assert set(good) == {"packshot", "studio", "lifestyle", "detail", "flat_lay"}
    for case in cases:
        if not case.good:
            apart = np.abs(case.given.finished_rgb.astype(int) - good[case.scene].finished_rgb).max(axis=2)
            assert (apart > 12).sum() > 100, case.defect
    assert {case.defect for case in cases} >= {"blank", "blur_2.5"}


def test_faithful_changes_keep_the_product_and_others_do_not():
    changed = ("lab_12", "other_product")
    asked = fidelity_set.cases_of("A", 8, ("same", *changed))
    cases = {case.change: case.given for case in asked if case.placement_known}
    for change in changed:
        given = cases[change]
        assert given.placed is not None
        inside = given.placed[..., 3] == 255
        apart = np.abs(given.attempt_rgb.astype(int) - given.placed[..., :3])[inside].mean()
        same = cases["same"]
        assert same.placed is not None
        kept = np.abs(same.attempt_rgb.astype(int) - same.placed[..., :3])[same.placed[..., 3] == 255].mean()
        assert apart > 3 > kept, change


def test_damage_keeps_size_and_type():
    rgb = np.random.default_rng(1).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    for made in (damage.blurred(rgb, 2), damage.defocused(rgb, 3), damage.moved(rgb, 9, 30), damage.banded(rgb, 14)):
        assert made.shape == rgb.shape
        assert made.dtype == np.uint8


def test_figures_are_those_of_the_textbook():
    assert wilson(0, 100) == pytest.approx((0.0, 0.0370), abs=1e-3)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert auc(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == pytest.approx(0.875)
    value, low, high = auc_interval([("a", 3.0), ("b", 2.0)], [("a", 1.0), ("b", 2.5)])
    assert low <= value <= high
    assert value == pytest.approx(0.75)
