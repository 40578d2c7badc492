from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from zimage_core.errors import QualityError
from zimage_core.imaging.fonts import find_font
from zimage_core.quality.reading import PaddleReader, closeness, default_reader, models, plain, same_text

SAME = [("￥199", "¥199"), ("New Arrival", "NEW ARRIVAL"), ("双11 限时", "双11限时"), ("１２", "12")]


def line(text: str, size_px: int = 56) -> np.ndarray:
    file = find_font("sans", bold=True)
    font = ImageFont.truetype(str(file.path), size_px, index=file.index)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("RGB", (int(right - left) + 16, int(bottom - top) + 12), (168, 57, 31))
    ImageDraw.Draw(image).text((8 - left, 6 - top), text, font=font, fill=(255, 248, 238))
    return np.asarray(image)


def test_reading_needs_no_network(monkeypatch) -> None:
    def refuse(*args, **kwargs):
        raise AssertionError("something asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert PaddleReader().verify((line("¥199"),), "¥199", sure=0.9).certainty > 0.9


def test_one_session_serves_all_threads_and_all_get_the_same_answer(monkeypatch) -> None:
    opened: list[str] = []
    real = models.open_session

    def counted(models_dir, kind):
        opened.append(kind)
        return real(models_dir, kind)

    monkeypatch.setattr(models, "open_session", counted)
    reader = PaddleReader()
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda _: reader.verify((line("限时特惠"),), "限时特惠", sure=0.9), range(8)))
    assert opened == ["rec"]
    assert len(set(read)) == 1


def test_a_sure_line_is_looked_at_once_and_pressed_together(monkeypatch) -> None:
    """The model's cost goes with the width it is shown."""
    shown_px: list[int] = []
    real = models.Models.run

    def counted(self, kind, rgb):
        shown_px.append(rgb.shape[1])
        return real(self, kind, rgb)

    monkeypatch.setattr(models.Models, "run", counted)
    sure, reader = line("限时特惠"), default_reader()
    assert reader.verify((sure,), "限时特惠", sure=0.9).certainty > 0.9
    assert len(shown_px) == 1
    assert shown_px[0] < 0.6 * 48 * sure.shape[1] / sure.shape[0]
    assert reader.verify((sure,), "很时特惠", sure=0.9).certainty < 0.3
    assert len(shown_px) == 5


def test_the_process_has_one_reader() -> None:
    assert default_reader() is default_reader()


def test_missing_models_are_said_in_a_sentence(tmp_path) -> None:
    with pytest.raises(QualityError, match="holds no PP-OCR rec model"):
        PaddleReader(tmp_path).verify((line("¥1"),), "¥1", sure=0.9)


def test_a_text_longer_than_the_line_can_hold_is_not_there() -> None:
    narrow = line("¥1")
    assert default_reader().verify((narrow,), "¥1" * 60, sure=0.9).certainty == 0.0


def test_a_repeated_character_must_be_seen_as_often_as_it_is_meant() -> None:
    reader = default_reader()
    assert reader.verify((line("¥8888"),), "¥8888", sure=0.9).certainty > 0.9
    assert reader.verify((line("¥8888"),), "¥888", sure=0.9).certainty < 0.1
    assert reader.verify((line("¥888"),), "¥8888", sure=0.9).certainty < 0.1


def test_an_empty_patch_reads_as_nothing() -> None:
    reading = default_reader().verify((np.full((48, 160, 3), 200, np.uint8),), "¥59", sure=0.9)
    assert reading.read == ""
    assert reading.certainty < 0.01


def test_the_second_reader_is_another_program() -> None:
    assert default_reader().second_opinion(line("NEW 25"), "en") in {"NEW 25", None}, "None: tesseract is not installed"


def test_text_is_found_where_it_stands_and_not_where_it_does_not() -> None:
    canvas = np.full((600, 800, 3), 210, np.uint8)
    assert default_reader().find_text(canvas) == ()
    words = line("SAMPLE", 60)
    canvas[400 : 400 + words.shape[0], 100 : 100 + words.shape[1]] = words
    boxes = default_reader().find_text(canvas)
    assert len(boxes) == 1
    assert abs(boxes[0].y_px - 400) < 40
    assert abs(boxes[0].x_px - 100) < 40


@pytest.mark.parametrize(("left", "right"), SAME)
def test_what_a_shopper_reads_as_the_same_is_the_same(left, right) -> None:
    assert same_text(left, right)


@given(st.text(max_size=20))
def test_the_plain_form_is_stable(text) -> None:
    assert plain(plain(text)) == plain(text)
    assert closeness(text, text) == 1.0
