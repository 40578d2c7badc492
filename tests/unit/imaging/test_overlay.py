"""Overlay text is exact, readable, whole, and keeps off the product. Real photos, real texts."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from zimage_core.domain import Box, Language, Overlay, OverlayRole, OverlayText, PlacedText
from zimage_core.errors import ConfigurationError
from zimage_core.imaging.overlay import MIN_TEXT_RATIO, draw_overlay
from zimage_core.imaging.overlay_layout import LAYOUT_COUNT, SAFE_MARGIN_RATIO
from zimage_core.imaging.overlay_paint import contrast, parse_color, readable_on
from zimage_core.imaging.overlay_text import break_points, fit_text

PRODUCTS = Path(__file__).resolve().parents[3] / "examples" / "products"
LAYOUTS = range(LAYOUT_COUNT)


def text(role: OverlayRole, words: str, language: Language = "zh") -> OverlayText:
    return OverlayText(role, words, language)


MAIN = (text("badge", "618年中大促"), text("price", "到手价 ¥59"), text("original_price", "¥99"))
FRIDAY = (
    text("badge", "BLACK FRIDAY", "en"),
    text("price", "Now $19.99", "en"),
    text("caption", "Glazed white mug 350 ml", "en"),
)
LONG = (
    text("badge", "2026年双十一全球狂欢节限时特惠满300减50"),
    text("price", "到手价 ¥12,999.00"),
    text("original_price", "¥18,888.00"),
    text("caption", "诺物 X1 智能手机 8GB+256GB 深海蓝 后置三摄 120Hz 护眼屏 正反面双图展示"),
)


def overlay(texts: tuple[OverlayText, ...], layout: int = 0, **colors: str) -> Overlay:
    chosen = {"badge_color": "#e02d2d", "badge_text_color": "#ffffff", "price_color": "#d6231f", **colors}
    return Overlay(texts, font="sans", layout=layout, **chosen)


def picture(name: str, side_px: int, fill: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A photo and its exact mask, the product `fill` of the side, in the middle of a grey square."""
    with Image.open(PRODUCTS / f"{name}.jpg") as photo, Image.open(PRODUCTS / "masks" / f"{name}.png") as exact:
        mask = exact.convert("L")
        bounds = mask.getbbox()
        product, mask = photo.convert("RGB").crop(bounds), mask.crop(bounds)
    scale = fill * side_px / max(product.size)
    size = (round(product.width * scale), round(product.height * scale))
    corner = ((side_px - size[0]) // 2, (side_px - size[1]) // 2)
    canvas, alpha = Image.new("RGB", (side_px, side_px), (225, 222, 216)), Image.new("L", (side_px, side_px))
    canvas.paste(product.resize(size), corner, mask.resize(size))
    alpha.paste(mask.resize(size), corner)
    return np.asarray(canvas), np.asarray(alpha)


def grey(width_px: int = 800, height_px: int = 800) -> NDArray[np.uint8]:
    return np.full((height_px, width_px, 3), 128, np.uint8)


def cut(rgb: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    return rgb[box.y_px : box.bottom_px, box.x_px : box.right_px]


def outside_plates(shape: tuple[int, ...], placed: tuple[PlacedText, ...]) -> NDArray[np.bool_]:
    free = np.ones(shape[:2], bool)
    for p in placed:
        free[p.plate.y_px : p.plate.bottom_px, p.plate.x_px : p.plate.right_px] = False
    return free


@pytest.mark.parametrize("texts", [MAIN, FRIDAY, LONG], ids=["618", "black friday", "long"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_text_is_placed_once_whole_and_legible(texts: tuple[OverlayText, ...], layout: int) -> None:
    drawn, placed = draw_overlay(grey(), overlay(texts, layout), product_alpha=None)
    assert [(p.role, p.text) for p in placed] == [(t.role, t.text) for t in texts]
    margin = round(SAFE_MARGIN_RATIO * 800)
    for p in placed:
        assert margin <= p.box.x_px
        assert margin <= p.box.y_px
        assert p.box.right_px <= 800 - margin
        assert p.box.bottom_px <= 800 - margin
        assert p.box.height_px >= 0.6 * MIN_TEXT_RATIO * 800  # digits are 0.73 of the em
    for one, other in itertools.combinations(placed, 2):
        assert not one.box.overlaps(other.box)
    assert drawn.shape == (800, 800, 3)


@pytest.mark.parametrize("texts", [MAIN, FRIDAY, LONG], ids=["618", "black friday", "long"])
def test_all_that_is_painted_lies_inside_the_plates(texts: tuple[OverlayText, ...]) -> None:
    rgb = grey()
    drawn, placed = draw_overlay(rgb, overlay(texts), product_alpha=None)
    assert np.array_equal(drawn[outside_plates(rgb.shape, placed)], rgb[outside_plates(rgb.shape, placed)])
    assert rgb.min() == rgb.max() == 128, "the picture that was handed in is not written to"


def test_the_box_hugs_the_ink() -> None:
    drawn, placed = draw_overlay(grey(), overlay((text("price", "到手价 ¥59"),)), product_alpha=None)
    box = placed[0].box
    plate = np.array(parse_color("#d6231f"))
    ink = np.abs(drawn.astype(int) - plate).max(axis=2) > 40
    card = ink[box.y_px - 8 : box.bottom_px + 8, box.x_px - 8 : box.right_px + 8]  # well inside the plate
    rows, columns = np.flatnonzero(card.any(axis=1)), np.flatnonzero(card.any(axis=0))
    assert (rows[0], columns[0]) == (pytest.approx(8, abs=1), pytest.approx(8, abs=1))
    assert rows[-1] - rows[0] + 1 == pytest.approx(box.height_px, abs=2)
    assert columns[-1] - columns[0] + 1 == pytest.approx(box.width_px, abs=2)


def test_the_same_overlay_gives_the_same_bytes() -> None:
    rgb, alpha = picture("mug", 640, 0.7)
    one = draw_overlay(rgb, overlay(LONG), product_alpha=alpha)
    other = draw_overlay(rgb.copy(), overlay(LONG), product_alpha=alpha.copy())
    assert np.array_equal(one[0], other[0])
    assert one[1] == other[1]


@pytest.mark.parametrize("name", ["mug", "lamp", "lipstick", "perfume", "phone", "cushion"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_product_that_leaves_room_is_never_covered(name: str, layout: int) -> None:
    rgb, alpha = picture(name, 1024, 0.70)
    drawn, placed = draw_overlay(rgb, overlay(MAIN, layout), product_alpha=alpha)
    assert [p.covers_product_ratio for p in placed] == [0.0, 0.0, 0.0]
    heart = (alpha == 255) & outside_plates(rgb.shape, placed)
    assert np.array_equal(drawn[heart], rgb[heart])


def test_text_gets_smaller_before_it_covers_the_product() -> None:
    sizes = []
    for fill in (0.60, 0.86):
        rgb, alpha = picture("cushion", 1024, fill)
        _, placed = draw_overlay(rgb, overlay(MAIN), product_alpha=alpha)
        sizes.append(placed[1].box.height_px)
        assert placed[1].covers_product_ratio < 0.002
    assert sizes[1] < sizes[0]


def test_a_product_that_fills_the_picture_is_covered_at_its_rim_and_that_is_reported() -> None:
    rgb = grey()
    alpha = np.full((800, 800), 255, np.uint8)
    _, placed = draw_overlay(rgb, overlay(MAIN), product_alpha=alpha)
    for p in placed:
        assert 0.0 < p.covers_product_ratio < 0.08
        assert p.box.bottom_px < 250 or p.box.y_px > 550, "never across the middle"


def test_each_layout_is_another_picture() -> None:
    pictures = {draw_overlay(grey(), overlay(MAIN, n), product_alpha=None)[0].tobytes() for n in LAYOUTS}
    assert len(pictures) == LAYOUT_COUNT
    again = draw_overlay(grey(), overlay(MAIN, LAYOUT_COUNT), product_alpha=None)[0]
    assert again.tobytes() in pictures, "layouts go round: any number is allowed"


@pytest.mark.parametrize(("room", "axis", "below"), [("top", 1, True), ("bottom", 1, False), ("left", 0, True)])
def test_the_empty_side_of_a_scene_is_used(room: str, axis: int, below: bool) -> None:
    _, placed = draw_overlay(grey(), overlay(MAIN[:2]), product_alpha=None, text_room=room)  # type: ignore[arg-type]
    for p in placed:
        middle = (p.box.x_px + p.box.width_px / 2, p.box.y_px + p.box.height_px / 2)[axis]
        assert (middle < 400) is below


@pytest.mark.parametrize("plate", ["#f4c542", "#e36b83", "#7a7a7a", "#ffffff", "#00a86b", "#101010", "#777777"])
def test_text_stays_readable_whatever_colours_the_brand_asks_for(plate: str) -> None:
    asked = overlay(FRIDAY, badge_color=plate, badge_text_color=plate, price_color=plate)
    drawn, placed = draw_overlay(grey(), asked, product_alpha=None)
    for p in placed:
        levels = cut(drawn, p.box).reshape(-1, 3)
        colors = {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(levels, axis=0)}
        own = plate if p.role != "caption" else "#ffffff"
        assert max(contrast(own, color) for color in colors) >= 4.5


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 0xFFFFFF), st.integers(0, 0xFFFFFF))
def test_some_readable_colour_exists_for_every_plate(plate: int, wanted: int) -> None:
    chosen = readable_on(f"#{plate:06x}", f"#{wanted:06x}")
    assert contrast(f"#{plate:06x}", chosen) >= 4.5
    if contrast(f"#{plate:06x}", f"#{wanted:06x}") >= 4.5:
        assert chosen == f"#{wanted:06x}"


def test_contrast_is_the_one_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=0.001)  # the well-known near miss


def test_a_long_text_breaks_into_two_lines_before_it_becomes_tiny() -> None:
    block = fit_text(
        "限时特惠全场满三百减五十", "sans", bold=True, max_width_px=300, ideal_px=40, min_px=24, max_lines=2
    )
    assert block is not None
    assert len(block.lines) == 2
    assert block.size_px == 40
    assert block.width_px <= 300
    assert "".join(block.lines) == "限时特惠全场满三百减五十"


def test_lines_break_where_a_reader_would_break_them() -> None:
    assert break_points("618大促") == (4,), "a number stays with what it counts"
    assert break_points("满300减50") == ()
    assert break_points("好，坏") == (2,), "a comma never opens a line"
    assert break_points("（好）") == ()
    assert break_points("BLACK FRIDAY") == (6,)
    assert break_points("¥59.00") == ()


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ((text("price", "到手价仅需 ¥1,234,567,890.00 起，先到先得售完即止"),), "price '到手价.*does not fit into one"),
        ((text("badge", "大促" * 60),), "badge '大促.*does not fit into two lines.*3% of the short side"),
        ((text("badge", "新品🎉"),), "holds '🎉', which the font cannot draw"),
        ((text("badge", "一行\n两行"),), "a line break"),
        ((text("badge", "  "),), "empty text"),
        ((text("badge", "一"), text("badge", "二")), "one text per role"),
    ],
)  # fmt: skip
def test_text_that_cannot_be_drawn_is_refused_by_name(texts: tuple[OverlayText, ...], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        draw_overlay(grey(), overlay(texts), product_alpha=None)


def test_a_colour_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'red' is not a colour"):
        draw_overlay(grey(), overlay(MAIN, badge_color="red"), product_alpha=None)


def test_alpha_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="alpha is"):
        draw_overlay(grey(), overlay(MAIN), product_alpha=np.zeros((10, 10), np.uint8))


def test_no_texts_means_an_untouched_copy() -> None:
    rgb = grey()
    drawn, placed = draw_overlay(rgb, overlay(()), product_alpha=None)
    assert placed == ()
    assert np.array_equal(drawn, rgb)
    assert drawn is not rgb


@settings(max_examples=25, deadline=None)
@given(
    st.text("大促618年中到手价abcXYZ 0123456789,.!%", min_size=1, max_size=30),
    st.integers(320, 900),
    st.integers(320, 900),
)
def test_whatever_is_drawn_is_inside_the_picture(words: str, width_px: int, height_px: int) -> None:
    try:
        _, placed = draw_overlay(grey(width_px, height_px), overlay((text("badge", words),)), product_alpha=None)
    except ConfigurationError:
        return
    box = placed[0].box
    assert box.x_px >= 0
    assert box.y_px >= 0
    assert box.right_px <= width_px
    assert box.bottom_px <= height_px
