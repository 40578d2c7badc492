"""Rows of text become typed products or faults: every rule over a whole batch at once, in polars.

Each batch comes with every field as text (`record_no` UInt32, `ragged` and the fields of FIELDS as String, null where
blank or absent). A rule gives a mask; a row's masks become the bits of `faults` (see `rules.RULES`). Work that few rows
need (odd prices, control characters) is done for those rows alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from zimage_core.catalogue.categories import known_category
from zimage_core.catalogue.columns import FIELDS, MONEY_FIELDS
from zimage_core.catalogue.prices import (
    AMOUNT,
    PRICE_FAULTS,
    PriceFormat,
    currency_codes,
    parse_odd_prices,
    quick,
    settle,
)
from zimage_core.catalogue.rules import BY_CODE, SKU_LENGTH, TEXT_LENGTHS

TYPED_SCHEMA: Final = pl.Schema(
    {
        "record_no": pl.UInt32(),
        **dict.fromkeys(FIELDS, pl.String()),
        "price": AMOUNT,
        "original_price": AMOUNT,
        "selling_points": pl.List(pl.String()),
        "value": pl.Float64(),
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
_SUSPECT: Final = rf"^\s|\s$|{_CONTROL}|{_INVISIBLE}|{_DAMAGED}|{_LOOSE_BLANKS}"
_SUSPECT_SKU: Final = (
    rf"{_CONTROL}|{_INVISIBLE}|[\t\r\n\u{{200C}}\u{{200D}}\u{{FE00}}-\u{{FE0F}}\u{{2028}}\u{{2029}}]|{_DAMAGED}"
)
_SCIENTIFIC: Final = r"^[0-9](?:\.[0-9]+)?[eE]\+[0-9]+$"
_DATE: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} 00:00:00$"
_ODD_SKU: Final = rf"{_SUSPECT_SKU}|{_SCIENTIFIC}|{_DATE}"
_POINT_BREAK: Final = r"\s*[；;|｜\n\r][；;|｜\s]*"
_GROUPED: Final = r"^-?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?$"
_ODD_POINTS: Final = rf"{_SUSPECT}|[;|｜]|；[；\s]|\s；|^；|；$"
"""Selling points that are more than texts with one `；` between them; cleaning brings them into that form."""


_NO_TEXT: Final = pl.lit(None, dtype=pl.String)
_NO_BITS: Final = pl.lit(0, dtype=pl.UInt64)


@dataclass(frozen=True, slots=True)
class Sifted:
    """One batch, parted: `usable` by TYPED_SCHEMA, `refused` by REFUSED_SCHEMA with the text as it came.

    `unknown_categories` counts the words for a category that no table knows; `unreadable_values` the usable rows whose
    value is no number: it only orders the work, so the product is taken as if none were given.
    """

    usable: pl.DataFrame
    refused: pl.DataFrame
    unknown_categories: Mapping[str, int]
    unreadable_values: int = 0


def sift(batch: pl.DataFrame, *, price_format: PriceFormat, default_currency: str) -> Sifted:
    """Return the usable rows of a batch, typed, and the refused ones with their faults.

    Rows whose every field is blank are dropped: they hold no product. Duplicates are found later, over all batches.

    Three steps, because small operations cost more than the rows: one query strips and marks what is odd, the odd
    values are worked on by themselves, one query types and judges every row.
    """
    text = _texts(batch, price_format)
    odd = _OddValues(text)
    odd.sku()
    for name in TEXT_LENGTHS:
        odd.clean(name)
    for name in MONEY_FIELDS:
        odd.price(name, price_format)
    odd.settle_currency(default_currency)
    judged = _judge(text, odd, default_currency)
    bad = (judged["faults"] != 0) & ~judged["blank"]
    refused = text.select(*REFUSED_SCHEMA.names()[:-1]).with_columns(judged["faults"]).filter(bad)
    usable = judged.filter(judged["faults"] == 0)
    unknown = usable["unknown_category"].drop_nulls().value_counts()
    unreadable = int(usable["unreadable_value"].sum())
    return Sifted(usable.select(TYPED_SCHEMA.names()), refused, dict(unknown.iter_rows()), unreadable)


def _texts(batch: pl.DataFrame, price_format: PriceFormat) -> pl.DataFrame:
    """Return record_no, ragged and every field, null where blank or absent; and masks `?field` of the odd.

    Blanks around a value are taken off here, but for the long texts, where they make it odd (half the cost).
    """
    given = [name for name in ("ragged", *FIELDS) if name in batch.columns]
    absent = [_NO_TEXT.alias(name) for name in ("ragged", *FIELDS) if name not in batch.columns]
    plain = quick(price_format)
    odd = {name: pl.col(name).str.contains(_SUSPECT) for name in TEXT_LENGTHS}
    odd["selling_points"] = pl.col("selling_points").str.contains(_ODD_POINTS)
    odd["sku"] = pl.col("sku").str.contains(_ODD_SKU)
    odd |= {name: ~pl.col(name).str.contains(plain) for name in MONEY_FIELDS}
    return (
        batch.lazy()
        .select(
            "record_no", *(pl.col(name) if name in TEXT_LENGTHS else pl.col(name).str.strip_chars() for name in given)
        )
        .with_columns(*(pl.when(pl.col(name) != "").then(pl.col(name)) for name in given), *absent)
        .with_columns(*(mask.fill_null(value=False).alias(f"?{name}") for name, mask in odd.items()))
        .collect(engine="in-memory")
    )


class _OddValues:
    """The values of a batch that need more than a look: what they become, and the faults among them.

    `columns` replaces columns of the text: cleaned fields; prices as plain decimal text (null where they are at fault);
    `currency` where a sign in a price has a say; `odd_faults`, the bits found on the way.
    """

    def __init__(self, text: pl.DataFrame) -> None:
        self._text = text
        self._signs: dict[str, pl.Series] = {}
        self._bits = np.zeros(text.height, np.uint64)
        self.columns: dict[str, pl.Series] = {}

    def sku(self) -> None:
        """Tell why an odd SKU is odd; it is a key, so nothing is taken out of it."""
        where, values = self._odd("sku")
        for code, pattern in (("invisible", _SUSPECT_SKU), ("scientific", _SCIENTIFIC), ("date", _DATE)):
            self._fault(f"sku_{code}", "sku", values.str.contains(pattern), where)

    def clean(self, name: str) -> None:
        """Take invisible characters and loose blanks out of a field; part selling points by one `；` each."""
        where, values = self._odd(name)
        if not len(where):
            return
        self._fault("control_character", name, values.str.contains(_CONTROL), where)
        self._fault("text_damaged", name, values.str.contains(_DAMAGED), where)
        values = values.str.replace_all(_INVISIBLE, "")
        if name == "selling_points":
            values = values.str.replace_all(_POINT_BREAK, "；").str.strip_chars("；")
        values = values.str.replace_all(r"\s+", " ").str.strip_chars().replace("", None)
        self.columns[name] = self._text[name].scatter(where, values)

    def price(self, name: str, price_format: PriceFormat) -> None:
        """Read the prices that are not plain; keep what their signs say of the currency."""
        plain = self._text[name]
        if price_format == "comma":
            plain = self.columns[name] = plain.str.replace(",", ".", literal=True)
        where, values = self._odd(name)
        if not len(where):
            return
        parsed = parse_odd_prices(values, price_format)
        for fault in PRICE_FAULTS:
            self._fault(f"{name}_{fault}", name, parsed["fault"] == fault, where)
        self.columns[name] = plain.scatter(where, parsed["amount"].cast(pl.String))
        if parsed["codes"].null_count() < len(where):
            self._signs[name] = (
                pl.select(pl.repeat(_NO_TEXT, self._text.height)).to_series().scatter(where, parsed["codes"])
            )

    def settle_currency(self, default_currency: str) -> None:
        """Where a price has a sign, find the currency on which column and signs agree; each combination once."""
        if not self._signs:
            return
        signs = pl.DataFrame([series.alias(name) for name, series in self._signs.items()])
        signed = signs.select(~pl.all_horizontal(pl.all().is_null())).to_series()
        where = signed.arg_true()
        said = signs.with_columns(self._text["currency"]).filter(signed)
        combinations = said.unique()
        settled = [_settled(row, default_currency) for row in combinations.iter_rows(named=True)]
        agreed = said.join(
            combinations.with_columns(pl.Series("agreed", settled, dtype=pl.String)),
            on=said.columns,
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )["agreed"]
        self._fault("currency_conflict", "currency", agreed.is_null(), where)
        self.columns["currency"] = self._text["currency"].scatter(where, agreed)

    def faults(self) -> pl.Series:
        """Return the bits found so far, one value per row."""
        return pl.Series("odd_faults", self._bits)

    def _odd(self, name: str) -> tuple[pl.Series, pl.Series]:
        mask = self._text[f"?{name}"]
        return mask.arg_true(), self._text[name].filter(mask) if mask.any() else self._text[name].clear()

    def _fault(self, code: str, name: str, mask: pl.Series, where: pl.Series) -> None:
        # NumPy here: a hundred of these a batch cost more in polars' query set-up than in work
        if mask.any():
            hit = mask.fill_null(value=False) if mask.null_count() else mask
            self._bits[where.to_numpy()[hit.to_numpy()]] |= np.uint64(1 << BY_CODE[code, name].bit)


def _settled(said: Mapping[str, str | None], default_currency: str) -> str | None:
    """Return the agreed currency of one combination; a currency column that is not known is no conflict."""
    column = currency_codes(said["currency"] or "")
    if said["currency"] and not column:
        return said["currency"]
    return settle([column, *((said[name] or "").split() for name in MONEY_FIELDS if name in said)], default_currency)


def _judge(text: pl.DataFrame, odd: _OddValues, default_currency: str) -> pl.DataFrame:
    """Return every row typed, with its `faults`, its category where it is not known, and whether its value is none."""
    known_words = _table(text["category"], known_category)
    first_codes = _table(
        odd.columns.get("currency", text["currency"]), lambda word: next(iter(currency_codes(word)), None)
    )
    price, original = (pl.col(name).cast(AMOUNT, strict=False) for name in MONEY_FIELDS)
    category = pl.col("category").replace_strict(*known_words, default=None, return_dtype=pl.String)
    currency = pl.col("currency").replace_strict(*first_codes, default=None, return_dtype=pl.String)
    plain_value = pl.when(pl.col("value").str.contains(_GROUPED)).then(pl.col("value").str.replace_all(",", ""))
    number = plain_value.otherwise(pl.col("value")).cast(pl.Float64, strict=False)
    value = pl.when(number.is_finite()).then(number)
    return (
        text.lazy()
        .select("record_no", "ragged", *FIELDS, *(pl.col(name).alias(f"{name}_given") for name in MONEY_FIELDS))
        .with_columns(*(series.alias(name) for name, series in odd.columns.items()), odd.faults())
        .with_columns(
            blank=pl.all_horizontal(pl.col("ragged", *FIELDS).is_null()),
            category=category.fill_null("default"),
            unknown_category=pl.when(category.is_null()).then("category"),
            value=value,
            unreadable_value=value.is_null() & pl.col("value").is_not_null(),
            price=price,
            original_price=original,
            currency=pl.when(pl.col("currency").is_null()).then(pl.lit(default_currency)).otherwise(currency),
        )
        .with_columns(faults=_faults() | pl.col("odd_faults"))
        .with_columns(
            selling_points=pl.col("selling_points").str.split("；").fill_null([]),
            original_price=pl.when(pl.col("original_price") > pl.col("price")).then("original_price"),
        )
        .collect(engine="in-memory")
    )


def _table(texts: pl.Series, meaning: Callable[[str], str | None]) -> tuple[list[str], pl.Series]:
    """Return the distinct texts and what each means: few in any batch, so plain Python asks for each once."""
    distinct = texts.unique().drop_nulls().to_list()
    return distinct, pl.Series([meaning(word) for word in distinct], dtype=pl.String)


def _faults() -> pl.Expr:
    """Return the bits of every rule that one look at the row decides."""
    whole = pl.col("ragged").is_null()
    sku, price, original = pl.col("sku"), pl.col("price"), pl.col("original_price")
    price_given = pl.col("price_given").is_not_null()
    masks: dict[tuple[str, str | None], pl.Expr] = {
        ("row_ragged", None): ~whole,
        ("sku_blank", "sku"): sku.is_null() & whole,
        ("sku_too_long", "sku"): sku.str.len_chars() > SKU_LENGTH,
        ("name_blank", "name"): pl.col("name").is_null() & whole,
        **{("text_too_long", name): pl.col(name).str.len_chars() > limit for name, limit in TEXT_LENGTHS.items()},
        ("price_not_positive", "price"): price == 0,
        ("original_price_not_positive", "original_price"): original == 0,
        ("original_price_without_price", "original_price"): ~price_given & pl.col("original_price_given").is_not_null(),
        ("original_price_below_price", "original_price"): (original < price) & (original > 0),
        ("currency_unknown", "currency"): pl.col("currency").is_null(),
    }
    bits = [
        pl.when(mask.fill_null(value=False)).then(pl.lit(1 << BY_CODE[key].bit, dtype=pl.UInt64)).otherwise(_NO_BITS)
        for key, mask in masks.items()
    ]
    return pl.sum_horizontal(bits)
