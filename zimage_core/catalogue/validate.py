"""Rows of text become typed products or faults: every rule over a whole batch at once, in polars.

Each batch comes with every field as text (`record_no` UInt32, `ragged` and the fields of FIELDS as String, null where
blank or absent). A rule gives a mask; a row's masks become the bits of `faults` (see `rules.RULES`). Work that few rows
need (odd prices, control characters) is done for those rows alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from zimage_core.catalogue.categories import categories_of, means_default
from zimage_core.catalogue.columns import FIELDS
from zimage_core.catalogue.prices import AMOUNT, PRICE_FAULTS, PriceFormat, currency_codes, parse_prices
from zimage_core.catalogue.rules import BY_CODE, SKU_LENGTH, TEXT_LENGTHS

TYPED_SCHEMA: Final = pl.Schema(
    {
        "record_no": pl.UInt32(),
        **dict.fromkeys(FIELDS, pl.String()),
        "price": AMOUNT,
        "original_price": AMOUNT,
        "selling_points": pl.List(pl.String()),
    }
)
_TEXT: Final[dict[str, pl.DataType]] = {"ragged": pl.String(), **dict.fromkeys(FIELDS, pl.String())}
REFUSED_SCHEMA: Final = pl.Schema({"record_no": pl.UInt32(), **_TEXT, "faults": pl.UInt64()})

_CONTROL: Final = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]"
_INVISIBLE: Final = (
    r"[\u{AD}\u{61C}\u{180E}\u{200B}\u{200E}\u{200F}\u{202A}-\u{202E}\u{2060}-\u{206F}\u{FEFF}\u{FFF9}-\u{FFFB}"
    r"\u{E0000}-\u{E007F}]"
)
"""Never drawn: soft hyphen, zero-width space, direction controls, tags (which can hide whole sentences). The zero-width
joiners stay in names: emoji and several scripts need them."""
_DAMAGED: Final = "\ufffd|锟斤拷"
"""U+FFFD, and what becomes of it when UTF-8 is read as GBK."""
_LOOSE_BLANKS: Final = r"[\t\r\n\u{85}\u{A0}\u{2000}-\u{200A}\u{2028}\u{2029}\u{202F}\u{205F}\u{3000}]|  "
_SUSPECT: Final = rf"{_CONTROL}|{_INVISIBLE}|{_DAMAGED}|{_LOOSE_BLANKS}"
_SUSPECT_SKU: Final = (
    rf"{_CONTROL}|{_INVISIBLE}|[\t\r\n\u{{200C}}\u{{200D}}\u{{FE00}}-\u{{FE0F}}\u{{2028}}\u{{2029}}]|{_DAMAGED}"
)
_SCIENTIFIC: Final = r"^[0-9](?:\.[0-9]+)?[eE]\+[0-9]+$"
_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} 00:00:00$"
_POINT_BREAK: Final = r"\s*[；;|｜\n\r][；;|｜\s]*"


@dataclass(frozen=True, slots=True)
class Sifted:
    """One batch, parted: `usable` by TYPED_SCHEMA, `refused` by REFUSED_SCHEMA with the text as it came.

    `unknown_categories` counts the words for a category that no table knows.
    """

    usable: pl.DataFrame
    refused: pl.DataFrame
    unknown_categories: Mapping[str, int]


@dataclass(slots=True)
class _Faults:
    """The masks found so far, by bit; masks without a true row are not kept."""

    masks: list[pl.Series] = field(default_factory=list)

    def add(self, code: str, field_name: str | None, mask: pl.Series) -> None:
        if mask.any():
            bit = 1 << BY_CODE[code, field_name].bit
            self.masks.append(mask.fill_null(value=False).cast(pl.UInt64) * bit)

    def column(self, height: int) -> pl.Series:
        total = pl.zeros(height, pl.UInt64, eager=True)
        for mask in self.masks:
            total = total + mask
        return total


def sift(batch: pl.DataFrame, *, price_format: PriceFormat, default_currency: str) -> Sifted:
    """Return the usable rows of a batch, typed, and the refused ones with their faults.

    Rows whose every field is blank are dropped: they hold no product. Duplicates are found later, over all batches.
    """
    text = batch.select(_text_columns(batch)).filter(~pl.all_horizontal(pl.exclude("record_no").is_null()))
    faults = _Faults()
    faults.add("row_ragged", None, text["ragged"].is_not_null())
    _judge_sku(text["sku"], faults, text["ragged"].is_null())
    typed: dict[str, pl.Series] = {"sku": text["sku"]}
    for name, limit in TEXT_LENGTHS.items():
        typed[name] = _clean(text[name], name, limit, faults)
    faults.add("name_blank", "name", typed["name"].is_null() & text["ragged"].is_null())
    typed["category"] = categories_of(text["category"])
    typed |= _money(text, price_format, default_currency, faults)
    column = faults.column(text.height).alias("faults")
    bad = column != 0
    refused = text.with_columns(column).filter(bad)
    usable = pl.DataFrame([text["record_no"], *(typed[name].alias(name) for name in FIELDS)]).filter(~bad)
    strange = text["category"].filter((typed["category"] == "default") & ~bad).drop_nulls()
    return Sifted(usable.with_columns(_points()), refused, _strange_words(strange))


def _strange_words(words: pl.Series) -> dict[str, int]:
    """Count the words that are not known as "default" either."""
    if words.is_empty():
        return {}
    return {word: rows for word, rows in words.value_counts().iter_rows() if not means_default(word)}


def _text_columns(batch: pl.DataFrame) -> list[pl.Expr]:
    columns: list[pl.Expr] = [pl.col("record_no")]
    for name in ("ragged", *FIELDS):
        if name in batch.columns:
            stripped = pl.col(name).str.strip_chars()
            columns.append(pl.when(stripped != "").then(stripped).alias(name))
        else:
            columns.append(pl.lit(None, dtype=pl.String).alias(name))
    return columns


def _judge_sku(sku: pl.Series, faults: _Faults, whole: pl.Series) -> None:
    faults.add("sku_blank", "sku", sku.is_null() & whole)
    faults.add("sku_too_long", "sku", sku.str.len_chars() > SKU_LENGTH)
    faults.add("sku_invisible", "sku", sku.str.contains(_SUSPECT_SKU))
    faults.add("sku_scientific", "sku", sku.str.contains(_SCIENTIFIC))
    faults.add("sku_date", "sku", sku.str.contains(_DATE))


def _clean(text: pl.Series, name: str, limit: int, faults: _Faults) -> pl.Series:
    """Return the text without invisible characters and with single blanks; selling points keep their line breaks."""
    if text.null_count() == len(text):
        return text
    suspect = text.str.contains(_SUSPECT).fill_null(value=False)
    if suspect.any():
        where = suspect.arg_true()
        odd = text.filter(suspect)
        faults.add("control_character", name, _spread(odd.str.contains(_CONTROL), where, len(text)))
        faults.add("text_damaged", name, _spread(odd.str.contains(_DAMAGED), where, len(text)))
        blanks = r"[^\S\r\n]+" if name == "selling_points" else r"\s+"
        odd = odd.str.replace_all(_INVISIBLE, "").str.replace_all(blanks, " ").str.strip_chars().replace("", None)
        text = text.scatter(where, odd)
    faults.add("text_too_long", name, text.str.len_chars() > limit)
    return text


def _spread(mask: pl.Series, where: pl.Series, height: int) -> pl.Series:
    return pl.repeat(value=False, n=height, dtype=pl.Boolean, eager=True).scatter(where, mask)


def _points() -> pl.Expr:
    """Selling points as a list; no point is empty."""
    parted = pl.col("selling_points").str.replace_all(_POINT_BREAK, "\n").str.strip_chars("\n")
    return parted.fill_null("").str.split("\n").list.filter(pl.element() != "").alias("selling_points")


def _money(
    text: pl.DataFrame, price_format: PriceFormat, default_currency: str, faults: _Faults
) -> dict[str, pl.Series]:
    amounts: dict[str, pl.Series] = {}
    codes = [currency_codes(text["currency"])]
    faults.add("currency_unknown", "currency", codes[0] == "")
    for name in ("price", "original_price"):
        parsed = parse_prices(text[name], price_format)
        if parsed["fault"].null_count() < len(parsed):
            for fault in PRICE_FAULTS:
                faults.add(f"{name}_{fault}", name, parsed["fault"] == fault)
        amounts[name] = parsed["amount"]
        codes.append(parsed["codes"])
    price, original = amounts["price"], amounts["original_price"]
    faults.add(
        "original_price_without_price", "original_price", text["price"].is_null() & text["original_price"].is_not_null()
    )
    faults.add("original_price_below_price", "original_price", original < price)
    worth_striking = (original > price).fill_null(value=False)
    amounts["original_price"] = original.zip_with(worth_striking, pl.Series([None], dtype=AMOUNT))
    currency = _agree(codes, default_currency)
    faults.add("currency_conflict", "currency", (currency == "") & (codes[0] != "").fill_null(value=True))
    return {**amounts, "currency": currency}


def _agree(codes: list[pl.Series], default_currency: str) -> pl.Series:
    """Return the one currency that all given codes allow, "" where there is none, the default where nothing is said.

    Few combinations occur in a batch, so each is settled once.
    """
    said = pl.DataFrame([series.alias(str(place)) for place, series in enumerate(codes)])
    said = said.select(pl.concat_str(pl.all().fill_null("*"), separator="|").alias("said"))
    distinct = said["said"].unique()
    settled = pl.Series([_settle(text, default_currency) for text in distinct], dtype=pl.String)
    return said["said"].replace_strict(distinct, settled, return_dtype=pl.String)


def _settle(said: str, default_currency: str) -> str:
    given = [part.split() for part in said.split("|") if part != "*"]
    if not given:
        return default_currency
    return next((code for code in given[0] if all(code in others for others in given[1:])), "")
