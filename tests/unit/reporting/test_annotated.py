"""The annotated picture: what failed is framed where it is, and every sentence can be read beside it."""

from __future__ import annotations

import numpy as np

from zimage_core.domain import Box, Finding, Grade
from zimage_core.imaging.pixels import decode_png
from zimage_core.quality.reading import default_reader, plain
from zimage_core.reporting.annotated import MAX_SIDE_PX, PANEL_PX, TEXT_PX, annotated_png

GREY = np.full((300, 400, 3), 200, np.uint8)
RED, ORANGE = np.array([196, 30, 30]), np.array([214, 120, 0])


def finding(check: str, sentence: str, *, box: Box | None = None, veto: bool = False, passed: bool = False) -> Finding:
    return Finding(check, "measured", sentence, 1.0, "px", 2.0, 0.9 if passed else 0.1, passed, veto, box)


def graded(*findings: Finding) -> Grade:
    return Grade("a1", "f1", "0123456789abcdef", 0.42, "C", findings, ())


def coloured(sheet: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return (np.abs(sheet.astype(int) - colour).max(axis=2) <= 4)[:, : sheet.shape[1] - PANEL_PX]


def test_a_veto_is_framed_red_where_it_is_and_a_lesser_failure_orange():
    veto = finding("price", "Wrong.", box=Box(40, 60, 100, 50), veto=True)
    lesser = finding("cast", "Bluish.", box=Box(250, 200, 80, 60))
    sheet = decode_png(annotated_png(GREY, graded(lesser, veto)))
    rows, columns = np.nonzero(coloured(sheet, RED))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (40, 140, 60, 110)
    rows, columns = np.nonzero(coloured(sheet, ORANGE))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (250, 330, 200, 260)


def test_what_passed_or_has_no_place_leaves_the_picture_as_it_is():
    sheet = decode_png(annotated_png(GREY, graded(finding("a", "Fine.", box=Box(5, 5, 50, 50), passed=True))))
    assert np.array_equal(sheet[:300, :400], GREY)
    sheet = decode_png(annotated_png(GREY, graded(finding("a", "Nowhere."))))
    assert np.array_equal(sheet[:300, :400], GREY)


def test_sentences_in_both_languages_can_be_read_back_from_the_panel():
    sentence = "价格读作 ¥139 应为 ¥199"
    sheet = decode_png(annotated_png(GREY, graded(finding("price", sentence, veto=True))))
    panel = sheet[:, 400:]
    lines = default_reader().find_text(np.ascontiguousarray(panel))
    reading = max(
        (
            default_reader().verify([panel[b.y_px : b.bottom_px, b.x_px : b.right_px]], f"1{sentence}", sure=0.9)
            for b in lines
        ),
        key=lambda one: one.certainty,
    )
    assert plain(reading.read).endswith(plain("¥139 应为 ¥199"))


def test_a_huge_picture_is_shown_smaller_and_its_frames_with_it():
    wide = np.full((1000, 4 * MAX_SIDE_PX, 3), 200, np.uint8)
    box = Box(4 * MAX_SIDE_PX - 400, 0, 1000, 400)
    sheet = decode_png(annotated_png(wide, graded(finding("edge", "Outside.", box=box, veto=True))))
    assert sheet.shape[1] == MAX_SIDE_PX + PANEL_PX
    rows, columns = np.nonzero(coloured(sheet, RED))
    assert (columns.min(), columns.max(), rows.min()) == (MAX_SIDE_PX - 100, MAX_SIDE_PX - 1, 0)


def test_long_sentences_are_wrapped_and_never_run_out_of_the_panel():
    long = "背景不是纯白需要重新抠图" * 12
    short = decode_png(annotated_png(GREY, graded(finding("a", "kurz"))))
    sheet = decode_png(annotated_png(GREY, graded(finding("a", long), finding("b", "word " * 60))))
    assert sheet.shape[0] > short.shape[0]
    assert (sheet[:, -TEXT_PX // 2 :] == np.array([250, 249, 247])).all()


def test_equal_arguments_give_equal_bytes():
    grade = graded(finding("a", "价格 ¥139", box=Box(1, 2, 30, 40)))
    assert annotated_png(GREY, grade) == annotated_png(GREY.copy(), grade)
