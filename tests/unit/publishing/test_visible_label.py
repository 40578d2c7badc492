"""The label people see: large enough, read by a machine too, and clear of product and texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from zimage_core.domain import Box, Language
from zimage_core.imaging.encode import Format, encode
from zimage_core.imaging.pixels import read_photo
from zimage_core.publishing.visible_label import LABEL_TEXTS, Labelled, draw_visible_label
from zimage_core.quality.reading import default_reader

PRODUCTS = Path(__file__).resolve().parents[3] / "examples" / "products"
LOWER_RIGHT, LOWER_LEFT, UPPER_RIGHT = Box(400, 400, 400, 400), Box(0, 400, 400, 400), Box(400, 0, 400, 400)


def labelled(rgb: NDArray[np.uint8], language: Language = "zh", **given: object) -> Labelled:
    label = draw_visible_label(rgb, language=language, **given)  # type: ignore[arg-type]
    assert label is not None
    return label


def plain(level: int = 255, size: tuple[int, int] = (800, 800)) -> NDArray[np.uint8]:
    return np.full((size[1], size[0], 3), level, np.uint8)


def scenery(side_px: int) -> NDArray[np.uint8]:
    with Image.open(PRODUCTS / "cushion.jpg") as photo:
        middle = photo.convert("RGB").resize((2 * side_px, 2 * side_px))
        return np.asarray(middle.crop((side_px // 2, side_px // 2, side_px * 3 // 2, side_px * 3 // 2)))


@pytest.mark.parametrize("size", [(480, 480), (790, 790), (1080, 1440), (1600, 1200)])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_its_ink_is_at_least_a_twentieth_of_the_short_side(size: tuple[int, int], language: Language) -> None:
    label = labelled(plain(size=size), language)
    assert label.box.height_px >= 0.05 * min(size)
    assert label.box.height_px <= 0.05 * min(size) + 4
    inked = np.argwhere(label.pixels.min(axis=2)[label.plate.y_px :, label.plate.x_px :] > 250)
    assert inked.size, "the letters are white"


@pytest.mark.parametrize("file_format", ["jpeg", "webp", "avif", "png"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_it_is_read_back_from_the_file_by_the_projects_reader(language: Language, file_format: Format) -> None:
    label = labelled(scenery(640), language)
    read = read_photo(encode(label.pixels, file_format, max_bytes=10**7).data).rgb
    box = label.plate
    line = read[box.y_px : box.bottom_px, box.x_px : box.right_px]
    # In a face without serifs a capital I and a small l are one stroke: either reading is the same ink.
    spellings = {LABEL_TEXTS[language], LABEL_TEXTS[language].replace("AI-", "Al-")}
    assert max(default_reader().verify([line], text, sure=0.9).certainty for text in spellings) >= 0.9


@pytest.mark.parametrize("level", [0, 128, 255])
def test_letters_stand_out_from_their_plate_on_any_ground(level: int) -> None:
    label = labelled(plain(level))
    box = label.plate
    inside = label.pixels[box.y_px + 2 : box.bottom_px - 2, box.x_px + 8 : box.right_px - 8].astype(float) / 255
    linear = np.where(inside <= 0.04045, inside / 12.92, ((inside + 0.055) / 1.055) ** 2.4).mean(axis=2)
    assert (linear.max() + 0.05) / (linear.min() + 0.05) >= 4.5, "WCAG 2.2, 1.4.3"


def test_of_alike_corners_the_lower_right_and_else_the_calmest() -> None:
    assert labelled(plain()).plate.overlaps(LOWER_RIGHT)
    busy = plain()
    busy[400:, 400:] = np.random.default_rng(3).integers(0, 256, (400, 400, 3))
    assert labelled(busy).plate.overlaps(LOWER_LEFT)


def test_it_stands_clear_of_the_product_and_of_other_texts() -> None:
    alpha = np.zeros((800, 800), np.uint8)
    alpha[400:, 400:] = 255
    label = labelled(plain(), product_alpha=alpha, taken=(Box(20, 700, 200, 80),))
    assert label.plate.overlaps(UPPER_RIGHT)
    assert (label.pixels[alpha > 0] == 255).all()


def test_where_a_text_takes_every_corner_it_stands_beside_one_at_the_border() -> None:
    texts = (Box(250, 20, 300, 80), Box(250, 700, 300, 80))  # the English words do not fit beside them
    label = labelled(plain(), "en", taken=texts)
    assert not any(label.plate.overlaps(text) for text in texts)
    assert 800 - label.plate.right_px <= 24, "at the right border"
    assert 500 < label.plate.bottom_px <= 700, "and close to its corner"


def test_where_no_corner_is_free_there_is_no_label() -> None:
    alpha = np.zeros((800, 800), np.uint8)
    alpha[:, 760:] = 255
    texts = (Box(0, 0, 30, 400), Box(30, 430, 60, 340))
    assert draw_visible_label(plain(), language="zh", product_alpha=alpha, taken=texts) is None
    assert draw_visible_label(plain(size=(20, 20)), language="en") is None, "the words are wider than the picture"


def test_over_transparency_the_plate_is_opaque() -> None:
    label = labelled(np.zeros((400, 400, 4), np.uint8))
    assert label.pixels[..., 3].max() == 255
    assert (label.pixels[: label.plate.y_px, :, 3] == 0).all()


def test_equal_pictures_get_equal_labels_and_keep_their_own_pixels() -> None:
    given = scenery(320)
    before = given.copy()
    assert np.array_equal(labelled(given).pixels, labelled(given).pixels)
    assert np.array_equal(given, before)
