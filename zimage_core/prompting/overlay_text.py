"""What is written over a picture: the badge and the price, exactly as the catalogue has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from zimage_core.domain import Brand, Language, Overlay, OverlayText, Product, Promotion


@dataclass(frozen=True, slots=True)
class CurrencyStyle:
    """How a currency is written before its amount; `decimals` always stand, `trims_zeros` drops them when all zero."""

    symbol: str
    decimals: int = 2
    trims_zeros: bool = False


CURRENCIES: Mapping[str, CurrencyStyle] = {
    "CNY": CurrencyStyle("¥", trims_zeros=True),
    "USD": CurrencyStyle("$"),
    "EUR": CurrencyStyle("€"),
    "GBP": CurrencyStyle("£"),
    "HKD": CurrencyStyle("HK$"),
    "TWD": CurrencyStyle("NT$", trims_zeros=True),
    "JPY": CurrencyStyle("JP¥", decimals=0),  # CLDR's sign where a bare ¥ would be read as yuan
    "KRW": CurrencyStyle("₩", decimals=0),
    "SGD": CurrencyStyle("S$"),
    "AUD": CurrencyStyle("A$"),
    "CAD": CurrencyStyle("C$"),
}
"""Shop habit in each market: ¥59 but $20.00. A code that is not here is written out: 1,299.00 CHF."""


def format_price(amount: Decimal, currency: str) -> str:
    """Return the amount as it stands in a picture: ¥59, ¥12.50, ¥1,299, $19.99, €1,299.00, 1,299.00 CHF.

    Exact: digits are grouped and padded, never rounded; an amount with more decimals than usual shows them all.
    """
    style = CURRENCIES.get(currency.upper())
    decimals = style.decimals if style else 2
    whole, _, fraction = f"{amount:,f}".partition(".")
    fraction = fraction.rstrip("0").ljust(decimals, "0")
    if style and style.trims_zeros and not fraction.strip("0"):
        fraction = ""
    number = f"{whole}.{fraction}" if fraction else whole
    return f"{style.symbol}{number}" if style else f"{number} {currency.upper()}"


def overlay_for(
    product: Product, promotion: Promotion, brand: Brand, *, language: Language, layout: int = 0
) -> Overlay:
    """Return what to draw: the promotion's badge, the price with its label as one text, the old price.

    A product without a price gets no price text. The old price is shown only when it is higher: struck through beside
    a lower or equal one it would promise a saving that is not there.
    """
    zh = language == "zh"
    style = promotion.price_style
    texts: list[OverlayText] = []
    badge = promotion.badge_zh if zh else promotion.badge_en
    if badge:
        texts.append(OverlayText("badge", badge, language))
    if style.show and product.price is not None:
        label = style.label_zh if zh else style.label_en
        price = format_price(product.price, product.currency)
        texts.append(OverlayText("price", f"{label} {price}".strip(), language))
        if style.show_original and product.original_price is not None and product.original_price > product.price:
            texts.append(
                OverlayText("original_price", format_price(product.original_price, product.currency), language)
            )
    return Overlay(
        texts=tuple(texts),
        badge_color=brand.badge_color,
        badge_text_color=brand.badge_text_color,
        price_color=brand.price_color,
        font=brand.font,
        layout=layout,
    )
