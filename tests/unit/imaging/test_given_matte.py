"""A cut-out by a matte from elsewhere: its word on what is product, our care for the colours."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from product_photos import Pixels, alpha_in_photo, before, got, load, overlap, photo_of, refused

from zimage_core.errors import ImageError
from zimage_core.imaging.given_matte import cut_out_by, matte_of

SIDE = 800
BLUE = np.array((40, 90, 200), np.float32)


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["mug", "lamp", "perfume", "cushion"])
def test_the_matte_is_taken_at_its_word_even_before_a_busy_backdrop(name: str) -> None:
    rgb, mask = load(name, SIDE)
    scenery = np.random.default_rng(3).integers(0, 255, (SIDE, SIDE, 3)).astype(np.float32)
    cutout = got(cut_out_by(photo_of(before(rgb, mask, scenery)), mask))
    assert np.array_equal(alpha_in_photo(cutout, mask), mask)
    assert cutout.coverage_ratio == pytest.approx(float(mask.mean() / 255))
    row, column = cutout.y_px, cutout.x_px
    height, width = cutout.rgba.shape[:2]
    framed = np.pad(before(rgb, mask, scenery), ((2, 2), (2, 2), (0, 0)))
    own = framed[row + 2 : row + 2 + height, column + 2 : column + 2 + width]
    opaque = cutout.rgba[..., 3] == 255
    assert np.array_equal(cutout.rgba[..., :3][opaque], own[opaque])
    assert (cutout.rgba[cutout.rgba[..., 3] == 0] == 0).all()


def test_the_old_backdrop_is_taken_out_of_the_edge() -> None:
    """A red disc with a soft edge before blue: pasted on black, its rim must not be blue."""
    disc = np.zeros((400, 400), np.uint8)
    cv2.circle(disc, (200, 200), 120, 255, -1, cv2.LINE_AA)
    matte = np.asarray(cv2.GaussianBlur(disc, (0, 0), 2.0), dtype=np.uint8)
    share = matte[..., None].astype(np.float32) / 255
    red = np.array((200, 40, 30), np.float32)
    photo = np.rint(red * share + BLUE * (1 - share)).astype(np.uint8)
    cutout = got(cut_out_by(photo_of(photo), matte))
    edge = (cutout.rgba[..., 3] > 30) & (cutout.rgba[..., 3] < 225)
    assert edge.sum() > 1500
    off = np.abs(cutout.rgba[..., :3][edge].astype(float) - red)
    assert off.mean() < 6
    assert np.quantile(off, 0.99) < 20
    untouched = np.abs(photo.astype(float) - red)[(matte > 30) & (matte < 225)]
    assert untouched.mean() > 40


@pytest.mark.parametrize(("level", "code"), [(0, "empty"), (120, "empty"), (255, "not_cut"), (252, "not_cut")])
def test_a_matte_that_says_nothing_is_refused(level: int, code: str) -> None:
    rgb, _ = load("mug", 200)
    assert refused(cut_out_by(photo_of(rgb), np.full(rgb.shape[:2], level, np.uint8))).code == code


def test_a_product_too_small_to_show_is_refused() -> None:
    rgb, _ = load("mug", 400)
    matte = np.zeros(rgb.shape[:2], np.uint8)
    matte[100:140, 100:140] = 255
    assert refused(cut_out_by(photo_of(rgb), matte)).code == "too_small"


def test_a_matte_that_is_mostly_half_transparent_is_pointed_out() -> None:
    rgb, mask = load("mug", 400)
    soft = np.where(mask > 127, 180, 0).astype(np.uint8)
    assert any("half transparent" in warning for warning in got(cut_out_by(photo_of(rgb), soft)).warnings)
    assert got(cut_out_by(photo_of(rgb), mask)).warnings == ()


def test_large_photos_are_reduced_with_their_matte() -> None:
    rgb, mask = load("lipstick", 3300)
    cutout = got(cut_out_by(photo_of(rgb), mask))
    assert max(cutout.rgba.shape) <= 3200
    assert "Reduced from 3300 x 3300" in cutout.warnings[0]
    assert cutout.coverage_ratio == pytest.approx(float(mask.mean() / 255), abs=0.001)


@pytest.mark.parametrize("form", ["grey", "RGBA", "grey with alpha", "grey as RGB"])
def test_the_plane_is_read_from_transparency_or_from_grey(form: str) -> None:
    rgb, mask = load("mug", 300)
    plane, colour = Image.fromarray(mask), Image.fromarray(rgb)
    pictures = {
        "grey": plane,
        "RGBA": Image.merge("RGBA", (*colour.split(), plane)),
        "grey with alpha": Image.merge("LA", (Image.new("L", plane.size, 7), plane)),
        "grey as RGB": Image.merge("RGB", (plane, plane, plane)),
    }
    read = matte_of(png(pictures[form]), photo_of(rgb), max_megapixels=10)
    assert np.array_equal(read, mask)
    assert overlap(read, mask) == 1.0


def test_a_matte_that_does_not_fit_its_photo_is_an_error() -> None:
    rgb, _ = load("mug", 300)
    small = png(Image.new("L", (200, 300), 0))
    with pytest.raises(ImageError, match="200 x 300 px but the photo 300 x 300 px"):
        matte_of(small, photo_of(rgb), max_megapixels=10)
    colour: Pixels = np.zeros((300, 300, 3), np.uint8)
    colour[..., 0] = 200
    with pytest.raises(ImageError, match="colour picture without transparency"):
        matte_of(png(Image.fromarray(colour)), photo_of(rgb), max_megapixels=10)
