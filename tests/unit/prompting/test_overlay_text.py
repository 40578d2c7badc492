import dataclasses
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_core.domain import OverlayText, PriceStyle, Product
from zimage_core.prompting import PromptLibrary, format_price, overlay_for


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("59", "CNY", "¥59"),
        ("59.00", "CNY", "¥59"),
        ("12.50", "CNY", "¥12.50"),
        ("12.5", "CNY", "¥12.50"),
        ("1299.00", "CNY", "¥1,299"),
        ("1E+3", "CNY", "¥1,000"),
        ("100", "CNY", "¥100"),
        ("0.50", "CNY", "¥0.50"),
        ("1234567.89", "CNY", "¥1,234,567.89"),
        ("19.99", "USD", "$19.99"),
        ("20", "USD", "$20.00"),
        ("1299", "EUR", "€1,299.00"),
        ("8.5", "GBP", "£8.50"),
        ("1299", "JPY", "JP¥1,299"),
        ("1299", "CHF", "1,299.00 CHF"),
        ("5", "cny", "¥5"),
        ("12.505", "CNY", "¥12.505"),
    ],
)
def test_a_price_is_written_as_the_market_writes_it(amount: str, currency: str, text: str):
    assert format_price(Decimal(amount), currency) == text


@given(st.decimals(0, 10**9, places=2), st.sampled_from(["CNY", "USD", "JPY", "CHF"]))
def test_a_price_read_back_is_the_price_of_the_catalogue(amount: Decimal, currency: str):
    digits = "".join(c for c in format_price(amount, currency) if c in "0123456789.")
    assert Decimal(digits) == amount


def test_a_promotion_writes_badge_price_and_old_price(library: PromptLibrary, mug: Product):
    promotion, brand = library.promotion("618"), library.brand("nuowu")
    zh = overlay_for(mug, promotion, brand, language="zh", layout=2)
    assert zh.texts == (
        OverlayText("badge", "618年中大促", "zh"),
        OverlayText("price", "到手价 ¥59", "zh"),
        OverlayText("original_price", "¥79", "zh"),
    )
    assert (zh.layout, zh.badge_color, zh.font) == (2, brand.badge_color, "sans")
    en = overlay_for(dataclasses.replace(mug, currency="USD"), promotion, brand, language="en")
    assert [t.text for t in en.texts] == ["618 SALE", "Now $59.00", "$79.00"]


def test_nothing_is_written_that_the_catalogue_does_not_back(library: PromptLibrary, mug: Product):
    promotion, brand = library.promotion("618"), library.brand("nuowu")

    def roles(product: Product) -> list[str]:
        return [t.role for t in overlay_for(product, promotion, brand, language="zh").texts]

    assert roles(dataclasses.replace(mug, price=None)) == ["badge"]
    assert roles(dataclasses.replace(mug, original_price=None)) == ["badge", "price"]
    assert roles(dataclasses.replace(mug, original_price=Decimal("59"))) == ["badge", "price"]
    assert roles(dataclasses.replace(mug, original_price=Decimal("49"))) == ["badge", "price"]


def test_everyday_pictures_stay_bare(library: PromptLibrary, mug: Product):
    assert overlay_for(mug, library.promotion("everyday"), library.brand("nuowu"), language="zh").texts == ()


def test_a_price_without_label_stands_alone(library: PromptLibrary, mug: Product):
    promotion = dataclasses.replace(library.promotion("618"), price_style=PriceStyle(), badge_zh="")
    texts = overlay_for(mug, promotion, library.brand("nuowu"), language="zh").texts
    assert texts == (OverlayText("price", "¥59", "zh"),)
