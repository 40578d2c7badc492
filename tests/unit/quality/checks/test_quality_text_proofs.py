from __future__ import annotations

import dataclasses
from functools import cache

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from zimage_core.domain import Overlay, OverlayText
from zimage_core.imaging.composite import paste_premultiplied
from zimage_core.imaging.fonts import find_font, printed_faces
from zimage_core.imaging.overlay import draw_overlay, paint_overlay
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.reading import default_reader, glyphs

TEXTS = (OverlayText("badge", "限时特惠", "zh"), OverlayText("price", "¥199", "zh"))
SIDE_PX = 640


def overlay_of(*texts: OverlayText) -> Overlay:
    return Overlay(texts, "#a8391f", "#fff8ee", "#a8391f", "sans")


@cache
def ground() -> Rgb:
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX] / SIDE_PX
    return np.dstack([120 + 60 * x, 110 + 60 * y, 150 - 40 * x]).astype(np.uint8)


def drawn(studio, *, spoil=None, price: str = "¥199", quality: int | None = None):
    """A picture with badge and price, its layer handed along; `price` is what was really drawn."""
    attempt = ground()
    layer, texts = paint_overlay(SIDE_PX, SIDE_PX, overlay_of(*TEXTS), product_alpha=None)
    finished = paste_premultiplied(attempt, layer)
    if price != "¥199":
        other = dataclasses.replace(TEXTS[1], text=price)
        finished, _ = draw_overlay(attempt, overlay_of(TEXTS[0], other), product_alpha=None)
    if spoil is not None:
        finished = finished.copy()
        spoil(finished, texts[1].box)
    if quality is not None:
        coded = cv2.imencode(".jpg", finished[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        finished = np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1])
    return dataclasses.replace(
        studio.shoot(texts=()),
        attempt_rgb=attempt,
        finished_rgb=finished,
        placed_texts=texts,
        overlay=layer,
        cutout=None,
        placement=None,
        placed=None,
        width_px=SIDE_PX,
        height_px=SIDE_PX,
    )


def written(text: str, *, size_px: int = 60, turned_deg: float = 0.0, garble: int | None = None) -> Rgb:
    """A picture with a text as a model might draw it; `garble` mirrors one glyph top to bottom."""
    file = find_font("serif", bold=True)
    font = ImageFont.truetype(str(file.path), size_px, index=file.index)
    sheet = Image.new("L", (SIDE_PX, SIDE_PX), 0)
    pen = ImageDraw.Draw(sheet)
    x = 80.0
    for number, character in enumerate(text):
        if number == garble:
            left, top, right, bottom = (int(v) for v in font.getbbox(character, anchor="ls"))
            glyph = Image.new("L", (right - left + 2, bottom - top + 2), 0)
            ImageDraw.Draw(glyph).text((1 - left, 1 - top), character, fill=255, font=font, anchor="ls")
            sheet.paste(glyph.transpose(Image.Transpose.FLIP_TOP_BOTTOM), (round(x) + left, 300 + top))
        else:
            pen.text((x, 300), character, fill=255, font=font, anchor="ls")
        x += font.getlength(character)
    ink = np.asarray(sheet.rotate(turned_deg, Image.Resampling.BICUBIC))[..., None] / 255.0
    return np.rint(ground() * (1 - ink) + np.array([40, 10, 20]) * ink).astype(np.uint8)


def expecting(studio, rgb: Rgb, *texts: str, mode: str = "text"):
    given = studio.shoot(texts=())
    return dataclasses.replace(
        given,
        mode=mode,
        attempt_rgb=rgb,
        finished_rgb=rgb,
        expected_texts=texts,
        cutout=None,
        placement=None,
        placed=None,
        width_px=rgb.shape[1],
        height_px=rgb.shape[0],
    )


def test_the_overlay_is_its_layer_over_the_attempt_to_the_last_bit() -> None:
    layer, texts = paint_overlay(SIDE_PX, SIDE_PX, overlay_of(*TEXTS), product_alpha=None)
    finished, same_texts = draw_overlay(ground(), overlay_of(*TEXTS), product_alpha=None)
    assert np.array_equal(finished, paste_premultiplied(ground(), layer))
    assert texts == same_texts
    assert (layer[..., :3].max(axis=2) <= layer[..., 3]).all(), "colour is multiplied by alpha"
    box = texts[1].box
    assert (layer[box.y_px : box.bottom_px, box.x_px : box.right_px, 3] == 255).all(), "a text stands on opaque ground"


@pytest.mark.parametrize("quality", [None, 95, 80, 60])
def test_texts_as_painted_pass_in_memory_and_after_jpeg(studio, quality) -> None:
    assert studio.finding("text_pixels", drawn(studio, quality=quality)).score == 1.0


@pytest.mark.parametrize("quality", [None, 80])
@pytest.mark.parametrize("price", ["¥139", "¥19", "¥1999", "¥191"])
def test_another_price_than_was_painted_is_a_veto(studio, price, quality) -> None:
    assert studio.finding("text_pixels", drawn(studio, price=price, quality=quality)).veto


@pytest.mark.parametrize("quality", [None, 80])
def test_a_covered_corner_of_a_digit_is_a_veto_and_its_place_is_told(studio, quality) -> None:
    def cover(rgb, box) -> None:
        rgb[box.y_px + 4 : box.y_px + 16, box.right_px - 14 : box.right_px - 2] = (30, 90, 40)

    given = drawn(studio, spoil=cover, quality=quality)
    finding = studio.finding("text_pixels", given)
    assert finding.veto
    box = given.placed_texts[1].box
    assert abs(finding.box.right_px - (box.right_px - 2)) <= 8
    assert abs(finding.box.y_px - (box.y_px + 4)) <= 8


def test_in_memory_two_levels_are_not_rounding(studio) -> None:
    def nudge(rgb, box) -> None:
        rgb[box.y_px, box.x_px] = np.where(rgb[box.y_px, box.x_px] > 127, rgb[box.y_px, box.x_px] - 2, 3)

    assert not studio.finding("text_pixels", drawn(studio, spoil=nudge)).passed


def test_without_a_layer_only_reading_can_tell(studio) -> None:
    given = dataclasses.replace(drawn(studio), overlay=None)
    assert studio.finding("text_pixels", given).state == "not_applicable"


@pytest.mark.parametrize(
    ("text", "turned_deg"), [("限时特惠", 0), ("到手价¥168", 3), ("Summer Sale", -3), ("50% OFF", 0)]
)
def test_an_expected_text_is_found_wherever_it_stands(studio, text, turned_deg) -> None:
    finding = studio.finding("expected_text", expecting(studio, written(text, turned_deg=turned_deg), text))
    assert finding.passed
    assert finding.sentence == f"The picture says '{text}'."
    assert finding.box is not None


@pytest.mark.parametrize(("drawn_text", "meant"), [("¥198", "¥168"), ("¥1688", "¥168"), ("很时特惠", "限时特惠")])
def test_a_wrong_text_is_a_veto_that_names_both(studio, drawn_text, meant) -> None:
    finding = studio.finding("expected_text", expecting(studio, written(drawn_text), meant))
    assert finding.veto
    assert finding.sentence == f"The picture says '{drawn_text}', it should say '{meant}'."


def test_a_text_that_is_nowhere_is_a_veto(studio) -> None:
    finding = studio.finding("expected_text", expecting(studio, ground(), "¥168"))
    assert finding.veto
    assert finding.sentence == "The text '¥168' is nowhere in the picture."


@pytest.mark.parametrize(("text", "garble"), [("限时特惠", 3), ("到手价¥168", 1), ("Summer Sale", 4)])
def test_a_garbled_glyph_is_never_an_a_even_where_the_reader_forgives_it(studio, text, garble) -> None:
    assert not studio.finding("expected_text", expecting(studio, written(text, garble=garble), text)).passed


@pytest.fixture
def only_sans_is_installed(monkeypatch) -> None:
    """No face with serifs can be compared with: what `written` sets then is in a face nobody here has."""
    sans = tuple(face for face in printed_faces() if "Sans" in face.name and "Mono" not in face.name)
    monkeypatch.setattr(glyphs, "printed_faces", lambda: sans)


@pytest.mark.usefixtures("only_sans_is_installed")
@pytest.mark.parametrize("text", ["限时特惠", "到手价¥168", "Summer Sale"])
def test_a_text_is_not_refused_for_its_face_alone(studio, text) -> None:
    assert studio.finding("expected_text", expecting(studio, written(text), text)).passed


@pytest.mark.usefixtures("only_sans_is_installed")
@pytest.mark.parametrize(("text", "garble"), [("限时特惠", 3), ("到手价¥168", 1), ("Summer Sale", 4)])
def test_a_garbled_glyph_is_seen_in_a_face_that_is_not_installed(studio, text, garble) -> None:
    assert not studio.finding("expected_text", expecting(studio, written(text, garble=garble), text)).passed


def test_plain_shapes_are_not_taken_for_text(studio) -> None:
    shapes = np.full((768, 1024, 3), (150, 140, 130), np.uint8)
    cv2.circle(shapes, (300, 380), 200, (200, 60, 60), -1)
    cv2.rectangle(shapes, (600, 200), (900, 520), (30, 60, 160), -1)
    assert default_reader().find_text(shapes), "the detector alone is taken in"
    assert studio.finding("unexpected_text", expecting(studio, shapes)).value == 0.0


def test_text_nobody_asked_for_is_reported_and_read_and_what_was_asked_for_is_not(studio) -> None:
    picture = written("Summer Sale")
    assert "Summer" in studio.finding("unexpected_text", expecting(studio, picture)).sentence
    assert studio.finding("unexpected_text", expecting(studio, picture, "Summer Sale")).value == 0.0


def test_a_faint_mark_repeated_over_the_picture_is_a_watermark(studio) -> None:
    assert studio.finding("watermark", expecting(studio, ground())).passed
    mark = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for x, y in ((30, 120), (330, 120), (130, 330), (400, 330), (30, 540), (330, 540)):
        cv2.putText(mark, "SAMPLE", (x, y), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 255, 3, cv2.LINE_AA)
    share = mark[..., None] / 255.0 * 0.12
    marked = np.rint(ground() * (1 - share) + 255 * share).astype(np.uint8)
    finding = studio.finding("watermark", expecting(studio, marked))
    assert not finding.passed
    assert "watermark" in finding.sentence
