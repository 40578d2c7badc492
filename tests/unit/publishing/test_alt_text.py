"""What a person who cannot see the picture is told."""

from __future__ import annotations

from decimal import Decimal

from zimage_core.domain import Product
from zimage_core.publishing.alt_text import MAX_CHARACTERS, alt_text

MUG = Product(
    sku="MUG-0101",
    name="素白釉面马克杯 350ml",
    record_no=2,
    name_en="Glazed white mug 350 ml",
    color="白色",
    material="陶瓷",
    price=Decimal(59),
)


def test_chinese_names_colour_material_and_setting() -> None:
    assert alt_text(MUG, "packshot", "zh") == "素白釉面马克杯 350ml，白色，陶瓷，白底商品图"


def test_english_uses_the_english_name_and_no_chinese_words() -> None:
    assert alt_text(MUG, "packshot", "en") == "Glazed white mug 350 ml on a white background"


def test_what_the_name_says_already_is_not_said_twice() -> None:
    lamp = Product(sku="L", name="折臂台灯 鼠尾草绿", record_no=1, color="鼠尾草绿")
    assert alt_text(lamp, "studio", "zh") == "折臂台灯 鼠尾草绿，棚拍图"


def test_a_price_never_gets_in_because_it_changes() -> None:
    assert "59" not in alt_text(MUG, "lifestyle", "zh").replace("350", "")


def test_a_long_name_is_cut_so_that_the_setting_is_still_heard() -> None:
    text = alt_text(Product(sku="L", name="长" * 300, record_no=1, color="红"), "detail", "zh")
    assert len(text) <= MAX_CHARACTERS
    assert text.endswith("…，细节特写")


def test_control_characters_of_a_bad_catalogue_do_not_reach_the_file() -> None:
    assert alt_text(Product(sku="L", name="A\x0bB\x00\n C", record_no=1), "studio", "en") == "A B C in a studio setting"
