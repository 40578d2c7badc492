from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from zimage_core.domain import Box, OverlayText, PlacedText
from zimage_core.quality.checks.text_truth import lines_of, without_strike
from zimage_core.quality.reading import Reading, default_reader
from zimage_core.quality.reading.alignment import Alignment

PRICE = OverlayText("price", "¥139", "zh")
BADGE = OverlayText("badge", "限时特惠", "zh")


def test_a_wrong_price_is_a_veto_and_the_sentence_names_both(studio) -> None:
    grade = studio.grade(texts=(BADGE, PRICE), says={"price": "¥199"})
    assert grade.letter == "C"
    assert grade.reasons[0] == "The price reads '¥139', it should be '¥199'."


@pytest.mark.parametrize(
    ("drawn", "meant"),
    [("¥199", "¥1,99"), ("¥19", "¥199"), ("¥1999", "¥199"), ("$199", "¥199"), ("¥199.00", "¥1990.0"), ("¥268", "¥288")],
)
def test_prices_that_nearly_agree_are_still_wrong(studio, drawn, meant) -> None:
    finding = studio.finding("text_truth", texts=(OverlayText("price", drawn, "zh"),), says={"price": meant})
    assert finding.veto


@pytest.mark.parametrize("drawn", ["限时惠", "很时特惠", "限时特特惠", "限时惠特"])
def test_a_badge_with_a_character_lost_changed_doubled_or_swapped_is_a_veto(studio, drawn) -> None:
    wrong = (OverlayText("badge", drawn, "zh"),)
    assert studio.finding("text_truth", texts=wrong, says={"badge": "限时特惠"}).veto


@pytest.mark.parametrize("text", ["¥59", "￥3,299.00", "$19.99", "到手价 ¥129"])
def test_right_prices_of_every_form_are_accepted(studio, text) -> None:
    finding = studio.finding("text_truth", texts=(OverlayText("price", text, "zh"),))
    assert finding.score > 0.9


def test_both_forms_of_the_yen_sign_are_one_to_a_shopper(studio) -> None:
    drawn = (OverlayText("price", "¥199", "zh"),)
    assert studio.finding("text_truth", texts=drawn, says={"price": "￥199"}).score > 0.9


@pytest.mark.parametrize("text", ["¥79", "¥399", "¥3,699", "¥99.90"])
def test_a_struck_through_old_price_is_read_without_its_bar(studio, text) -> None:
    texts = (PRICE, OverlayText("original_price", text, "zh"))
    assert studio.finding("text_truth", texts=texts).passed
    wrong = studio.finding("text_truth", texts=texts, says={"original_price": text.replace("9", "8")})
    assert not wrong.passed


def test_a_text_in_two_lines_is_read_as_one(studio) -> None:
    long = OverlayText("badge", "全场第二件半价再送运费险，限时三天", "zh")
    given = studio.shoot(texts=(long,))
    (placed,) = given.placed_texts
    assert len(lines_of(given.finished_rgb, placed)) == 2, "the overlay broke it into two lines"
    assert studio.finding("text_truth", given).score > 0.9


def test_characters_of_horizontal_strokes_are_not_taken_for_two_lines(studio) -> None:
    given = studio.shoot(texts=(OverlayText("badge", "二三一", "zh"),))
    assert len(lines_of(given.finished_rgb, given.placed_texts[0])) == 1


def test_a_garbled_badge_is_not_accepted_as_right(studio) -> None:
    given = studio.shoot(texts=(BADGE,))
    box = given.placed_texts[0].box

    def scramble(rgb: np.ndarray) -> np.ndarray:
        spoiled = rgb.copy()
        glyph = spoiled[box.y_px : box.bottom_px, box.x_px : box.x_px + box.height_px]
        glyph[:] = glyph[::-1, ::-1].copy()
        return spoiled

    spoiled = dataclasses.replace(given, finished_rgb=scramble(given.finished_rgb))
    assert not studio.finding("text_truth", spoiled).passed


def test_a_covered_price_is_a_veto(studio) -> None:
    given = studio.shoot(texts=(PRICE,))
    box = given.placed_texts[0].box
    hidden = given.finished_rgb.copy()
    hidden[box.y_px : box.bottom_px, box.x_px : box.right_px] = (168, 57, 31)
    finding = studio.finding("text_truth", dataclasses.replace(given, finished_rgb=hidden))
    assert finding.veto
    assert finding.sentence == "The price cannot be read; it should be '¥139'."


def test_a_text_outside_the_picture_is_a_veto(studio) -> None:
    away = PlacedText("price", "¥139", Box(5000, 10, 80, 40), Box(5000, 0, 90, 60), 0.0)
    given = dataclasses.replace(studio.shoot(texts=()), placed_texts=(away,))
    assert studio.grade(given).letter == "C"


class TwoMinds:
    """A reader whose first look says no and whose second reads what was meant."""

    def __init__(self, second: str | None) -> None:
        self.second = second

    def verify(self, lines, expected, *, sure) -> Reading:
        return Reading("¥139", 0.05)

    def second_opinion(self, line_rgb, language) -> str | None:
        return self.second

    def align(self, line_rgb, expected) -> Alignment:
        return Alignment((0.0,) * len(expected), (0.5,) * len(expected), 0.0)

    def find_text(self, rgb) -> tuple[Box, ...]:
        return ()


@pytest.mark.parametrize(("second", "letter"), [("￥199", "B"), ("¥139", "C"), (None, "C")])
def test_when_two_readers_disagree_a_person_decides(studio, rubric, second, letter) -> None:
    from zimage_core.quality.grade import grade

    given = studio.shoot(texts=(OverlayText("price", "¥199", "zh"),))
    assert grade(given, rubric, reader=TwoMinds(second)).letter == letter


def test_a_caption_that_cannot_be_confirmed_goes_to_a_person_not_to_the_bin(studio) -> None:
    caption = (OverlayText("caption", "大手柄好握", "zh"),)
    grade = studio.grade(texts=caption, says={"caption": "小手柄好握"})
    assert grade.letter == "B"


def test_low_contrast_text_is_reported_with_its_ratio(studio) -> None:
    given = studio.shoot(texts=(PRICE,))
    plate = given.placed_texts[0].plate

    def pale(rgb: np.ndarray) -> np.ndarray:
        faded = rgb.copy()
        part = faded[plate.y_px : plate.bottom_px, plate.x_px : plate.right_px].astype(np.float32)
        faded[plate.y_px : plate.bottom_px, plate.x_px : plate.right_px] = (200 + 0.15 * (part - 128)).astype(np.uint8)
        return faded

    finding = studio.finding("legibility_contrast", dataclasses.replace(given, finished_rgb=pale(given.finished_rgb)))
    assert not finding.passed
    assert "hard to read" in finding.sentence
    assert finding.value < 2.0


def test_the_overlays_own_texts_are_legible(studio) -> None:
    grade = studio.grade(texts=(BADGE, PRICE))
    legible = [f for f in grade.findings if f.check.startswith("legibility")]
    assert [f.score for f in legible] == [1.0, 1.0]


def test_tiny_text_is_reported(studio) -> None:
    tiny = PlacedText("caption", "包邮", Box(100, 100, 26, 11), Box(90, 90, 50, 30), 0.0)
    finding = studio.finding("legibility_height", dataclasses.replace(studio.shoot(texts=()), placed_texts=(tiny,)))
    assert not finding.passed


def test_a_badge_over_the_product_cannot_be_an_a(studio) -> None:
    given = studio.shoot(texts=(BADGE,))
    covering = dataclasses.replace(given.placed_texts[0], covers_product_ratio=0.08)
    grade = studio.grade(dataclasses.replace(given, placed_texts=(covering,)))
    assert grade.letter == "B"
    assert grade.reasons[0] == "The badge covers 8.0% of the product."


def test_unstriking_leaves_text_without_a_bar_as_it_is(studio) -> None:
    given = studio.shoot(texts=(PRICE,))
    (line,) = lines_of(given.finished_rgb, given.placed_texts[0])
    assert np.array_equal(without_strike(line), line)


def test_a_character_the_reader_does_not_know_is_an_error_not_a_pass(studio) -> None:
    given = studio.shoot(texts=(BADGE,))
    unknown = dataclasses.replace(given.placed_texts[0], text="限时特\U00020000")
    grade = studio.grade(dataclasses.replace(given, placed_texts=(unknown,)))
    assert grade.letter == "B"
    assert any(f.state == "error" and f.check == "text_truth" for f in grade.findings)


@pytest.mark.parametrize("size_px", [640, 1600])
def test_reading_does_not_depend_on_the_size_of_the_picture(studio, size_px) -> None:
    given = studio.shoot(texts=(PRICE,))
    placed = given.placed_texts[0]
    scale = size_px / given.width_px
    finished = cv2.resize(given.finished_rgb, (size_px, size_px), interpolation=cv2.INTER_AREA)
    box = Box(*(round(v * scale) for v in dataclasses.astuple(placed.box)))
    lines = lines_of(finished, dataclasses.replace(placed, box=box))
    assert default_reader().verify(lines, "¥139", sure=0.9).certainty > 0.9
