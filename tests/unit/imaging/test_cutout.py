"""Cutting products out of their photos: measured against the exact masks. Nothing lost, nothing brought along."""

from __future__ import annotations

import dataclasses
import io

import cv2
import numpy as np
import pytest
from PIL import Image
from product_photos import (
    NAMES,
    TRUTH,
    Pixels,
    alpha_in_photo,
    before,
    got,
    grounded,
    load,
    overlap,
    photo_of,
    place_in_photo,
    refused,
)

from zimage_core.errors import ImageError
from zimage_core.imaging.cutout import CutOut, cut_out, cutout_from_png, cutout_to_png

SIDE = 800
DARK = np.array((0x20, 0x28, 0x30), np.float32)

# ---------------------------------------------------------------- the photos as they are


@pytest.fixture(scope="module", params=NAMES)
def as_it_is(request: pytest.FixtureRequest) -> tuple[str, Pixels, Pixels, CutOut, Pixels]:
    rgb, mask = load(request.param)
    cutout = got(cut_out(photo_of(rgb)))
    return request.param, rgb, mask, cutout, alpha_in_photo(cutout, mask)


Case = tuple[str, Pixels, Pixels, CutOut, Pixels]


def test_the_outline_is_the_true_one(as_it_is: Case) -> None:
    _, _, mask, _, alpha = as_it_is
    assert overlap(alpha, mask) >= 0.997
    assert np.abs(alpha.astype(float) - mask).mean() <= 0.25


def test_nothing_of_the_backdrop_comes_along_and_nothing_of_the_product_is_bitten_off(as_it_is: Case) -> None:
    _, _, mask, _, alpha = as_it_is
    window = np.ones((5, 5), np.uint8)
    assert int(alpha[cv2.dilate(mask, window) == 0].max()) == 0
    inside = alpha[cv2.erode(mask, window) == 255]
    assert float((inside < 250).mean()) < 2e-4


def test_holes_stay_holes(as_it_is: Case) -> None:
    name, _, mask, _, alpha = as_it_is
    for hole in TRUTH[name]["holes"]:
        left, top, right, bottom = hole["bbox"]
        truth = mask[top:bottom, left:right] < 128
        ours = alpha[top:bottom, left:right] < 128
        assert (truth & ours).sum() / (truth | ours).sum() > 0.99


def test_thin_parts_are_kept(as_it_is: Case) -> None:
    name, _, mask, _, alpha = as_it_is
    if TRUTH[name]["thin_px_under_25"] < 1000:
        return
    solid = (mask > 127).astype(np.uint8)
    ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25))
    thin = (solid > 0) & (cv2.morphologyEx(solid, cv2.MORPH_OPEN, ball) == 0)
    assert thin.sum() > 10_000
    assert (alpha[thin] > 127).mean() > 0.98


def test_every_piece_is_kept_and_no_other(as_it_is: Case) -> None:
    name, _, _, _, alpha = as_it_is
    count, _, stats, _ = cv2.connectedComponentsWithStats((alpha > 127).astype(np.uint8), connectivity=8)
    assert count - 1 == len(TRUTH[name]["pieces_px"])
    for area, true_area in zip(sorted(stats[1:, 4]), sorted(TRUTH[name]["pieces_px"]), strict=True):
        assert abs(area / true_area - 1) < 0.01


def test_the_products_own_pixels_are_untouched_away_from_the_edge(as_it_is: Case) -> None:
    _, rgb, mask, cutout, _ = as_it_is
    row, column = place_in_photo(cutout, mask)
    height, width = cutout.rgba.shape[:2]
    window = (slice(row, row + height), slice(column, column + width))
    inner = cv2.erode(mask, np.ones((11, 11), np.uint8))[window] == 255
    assert np.array_equal(cutout.rgba[..., :3][inner], rgb[window][inner])


def test_no_pale_rim_shows_on_a_dark_backdrop(as_it_is: Case) -> None:
    """Where true alpha is below a third, the pasted pixel must not be brighter than its true mixture allows."""
    _, rgb, mask, cutout, alpha = as_it_is
    rows, columns = np.nonzero(alpha.any(axis=1))[0], np.nonzero(alpha.any(axis=0))[0]
    own = np.zeros((*mask.shape, 3), np.float32)
    own[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = cutout.rgba[2:-2, 2:-2, :3]
    cover = alpha[..., None].astype(np.float32) / 255
    pasted = (own * cover + DARK * (1 - cover)).mean(axis=2)
    inside = cv2.dilate(np.where(mask == 255, rgb.mean(axis=2), 0).astype(np.float32), np.ones((9, 9), np.uint8))
    share = mask.astype(np.float32) / 255
    brightest = inside * share + DARK.mean() * (1 - share)
    rim = (mask > 0) & (mask < 85)
    assert float(np.quantile((pasted - brightest)[rim], 0.95)) < 60
    assert float((pasted - brightest)[rim].mean()) < 12


def test_it_is_trimmed_clean_and_says_how_much_of_the_photo_it_covers(as_it_is: Case) -> None:
    name, _, _, cutout, _ = as_it_is
    alpha = cutout.rgba[..., 3]
    assert cutout.rgba.dtype == np.uint8
    assert alpha[:2].max() == alpha[-2:].max() == alpha[:, :2].max() == alpha[:, -2:].max() == 0
    assert alpha[2].any()
    assert alpha[-3].any()
    assert alpha[:, 2].any()
    assert alpha[:, -3].any()
    assert (cutout.rgba[alpha == 0] == 0).all()
    assert cutout.coverage_ratio == pytest.approx(TRUTH[name]["coverage"], abs=0.002)


def test_the_same_photo_gives_the_same_bytes() -> None:
    rgb, _ = load("lamp", 800)
    first, second = (cutout_to_png(got(cut_out(photo_of(rgb)))) for _ in range(2))
    assert first == second


def test_the_photo_is_not_written_to() -> None:
    rgb, mask = load("mug", 800)
    rgb = before(rgb, mask, grounded(mask, 0.4))
    kept = rgb.copy()
    cut_out(photo_of(rgb))
    assert np.array_equal(rgb, kept)


# ---------------------------------------------------------------- photos that bring their own transparency


def test_a_photo_with_its_own_alpha_is_taken_at_its_word() -> None:
    rgb, mask = load("perfume", SIDE)
    cutout = got(cut_out(photo_of(rgb, mask)))
    assert np.array_equal(alpha_in_photo(cutout, mask), mask)
    assert cutout.warnings == ()
    assert cutout.coverage_ratio == pytest.approx(float(mask.mean() / 255))


def test_alpha_that_is_nowhere_transparent_says_nothing() -> None:
    rgb, mask = load("mug", SIDE)
    with_film = cut_out(photo_of(rgb, np.full(mask.shape, 250, np.uint8)))
    assert np.array_equal(got(with_film).rgba, got(cut_out(photo_of(rgb))).rgba)


def test_a_wholly_transparent_photo_is_empty() -> None:
    rgb, mask = load("mug", SIDE)
    assert refused(cut_out(photo_of(rgb, np.zeros_like(mask)))).code == "empty"


# ---------------------------------------------------------------- for the store


def test_a_cutout_survives_the_store_whole() -> None:
    rgb, _ = load("lamp", SIDE)
    cutout = dataclasses.replace(got(cut_out(photo_of(rgb))), warnings=("The cable is thin; 检查。",))
    again = cutout_from_png(cutout_to_png(cutout))
    assert np.array_equal(again.rgba, cutout.rgba)
    assert (again.coverage_ratio, again.warnings) == (cutout.coverage_ratio, cutout.warnings)


def test_bytes_that_are_not_our_cutout_are_refused() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (8, 8)).save(buffer, "PNG")
    with pytest.raises(ImageError, match="not a cut-out of ours"):
        cutout_from_png(buffer.getvalue())
    with pytest.raises(ImageError, match="not a PNG"):
        cutout_from_png(b"GIF89a")
