"""Why a row is refused, as data: a code, the field, and a sentence that says what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from zimage_core.catalogue.prices import PRICE_LIMIT

SKU_LENGTH: Final = 64
TEXT_LENGTHS: Final[Mapping[str, int]] = {
    "name": 200,
    "name_en": 200,
    "color": 100,
    "material": 100,
    "selling_points": 2000,
    "brand": 100,
    "image": 500,
    "matte": 500,
}
"""Field → the most characters it may have. 200 for a name is what Amazon allows a title; Taobao allows 60."""

EXCERPT_LENGTH: Final = 80

_NAMES: Final[Mapping[str, str]] = {
    "name_en": "English name",
    "selling_points": "selling points",
    "image": "image path",
    "matte": "matte path",
    "original_price": "original price",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to refuse a row. `bit` is its place in a row's `faults`; a lower one is named first."""

    bit: int
    code: str
    field: str | None
    sentence: str


def _written() -> Iterator[tuple[str, str | None, str]]:
    yield (
        "row_ragged",
        None,
        "The row has more or fewer fields than the header; put quotes around a field that has a separator in it.",
    )
    yield "sku_blank", "sku", "The SKU is blank; give the product its stock-keeping unit."
    yield "sku_too_long", "sku", f"The SKU has more than {SKU_LENGTH} characters; shorten it, or check the column."
    yield (
        "sku_invisible",
        "sku",
        "The SKU holds a control or invisible character, so it would never match your shop's; type it again.",
    )
    yield (
        "sku_scientific",
        "sku",
        "A spreadsheet turned the SKU into a number such as 6.9E+12; format the column as text and enter it again.",
    )
    yield "sku_date", "sku", "A spreadsheet turned the SKU into a date; format the column as text and enter it again."
    yield "name_blank", "name", "The name is blank; give the product a name."
    for field, limit in TEXT_LENGTHS.items():
        name = _NAMES.get(field, field)
        be = "have" if field == "selling_points" else "has"
        hold = "hold" if field == "selling_points" else "holds"
        yield "text_too_long", field, f"The {name} {be} more than {limit} characters; shorten it."
        yield "control_character", field, f"The {name} {hold} a control character (such as NUL); remove it."
        yield (
            "text_damaged",
            field,
            f"The {name} {hold} the signs of text that was decoded wrongly and is lost; export it again as UTF-8.",
        )
    for field in ("price", "original_price"):
        yield from _written_of_price(field, _NAMES.get(field, field))
    yield (
        "original_price_without_price",
        "original_price",
        "There is an original price but no price; write the price, or clear the original price.",
    )
    yield (
        "original_price_below_price",
        "original_price",
        "The original price is below the price, so one of them is wrong; correct it, or clear the original price.",
    )
    yield (
        "currency_unknown",
        "currency",
        "The currency is not one that is known; write its ISO code, such as CNY or USD.",
    )
    yield (
        "currency_conflict",
        "currency",
        "The currency signs of the prices and the currency column disagree; correct the one that is wrong.",
    )
    yield (
        "duplicate_sku",
        "sku",
        "The SKU is already used by record {first}, which is kept; give this row its own, or delete it.",
    )


def _written_of_price(field: str, name: str) -> Iterator[tuple[str, str, str]]:
    yield (
        f"{field}_unreadable",
        field,
        f"The {name} is not a number that can be read; write one, or leave the cell empty.",
    )
    yield (
        f"{field}_ambiguous",
        field,
        f'The {name} can be read in two ways; set price_format="dot" if 1.299 is about one, else "comma".',
    )
    yield f"{field}_too_precise", field, f"The {name} has more than two decimals; round it, because we do not."
    yield f"{field}_not_positive", field, f"The {name} is zero or negative; correct it, or leave the cell empty."
    yield f"{field}_too_high", field, f"The {name} is above {PRICE_LIMIT:,}; check that the column holds the {name}."


RULES: Final = tuple(Rule(bit, code, field, sentence) for bit, (code, field, sentence) in enumerate(_written()))
BY_CODE: Final = {(rule.code, rule.field): rule for rule in RULES}


def rules_of(faults: int) -> Iterator[Rule]:
    """Return the rules whose bits are set in `faults`, the weightiest first."""
    return (rule for rule in RULES if faults >> rule.bit & 1)
