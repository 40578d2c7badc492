"""Prices and currencies as people write them, read without a guess and without a loop over rows.

A number is written in *dot* format (`1,299.00`: the point starts the decimals; commas, blanks or apostrophes may part
the thousands) or in *comma* format (`1.299,00`). With `price_format="auto"` a text is read both ways:

    readable in one way only      that way is taken      `1,299.00`  `1.299,00`  `1 299,00`  `1.299.000`  `0.500`
    both ways, the same number    it is taken            `1299`  `1 299`
    both ways, different numbers  refused as ambiguous   `1.299`  `1,299`  (one separator, then exactly three digits)

Thousands are parted by one kind of separator, in groups of three, and the first group does not start with 0. Two
decimals are kept; a third one that is not zero is refused, never rounded. A currency sign or code may stand before or
after the number, or both if they agree.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal

import polars as pl

PriceFormat = Literal["auto", "dot", "comma"]

PRICE_LIMIT: Final = Decimal("99999999.99")
"""The highest price taken: above every price of a shop, in dong and rupiah too, and below a barcode."""

AMOUNT: Final = pl.Decimal(18, 2)

CURRENCIES: Final = frozenset(
    {
        "AED", "ARS", "AUD", "BDT", "BGN", "BHD", "BRL", "CAD", "CHF", "CLP", "CNY", "COP", "CZK", "DKK", "EGP",
        "EUR", "GBP", "HKD", "HUF", "IDR", "ILS", "INR", "ISK", "JPY", "KES", "KRW", "KWD", "KZT", "LKR", "MAD",
        "MOP", "MXN", "MYR", "NGN", "NOK", "NZD", "OMR", "PEN", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB",
        "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "USD", "UYU", "UZS", "VND", "ZAR",
    }
)  # fmt: skip
"""The ISO 4217 codes that are taken."""

_SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    "¥": ("CNY", "JPY"), "元": ("CNY",), "圆": ("CNY",), "人民币": ("CNY",), "人民币元": ("CNY",),
    "RMB": ("CNY",), "CN¥": ("CNY",), "円": ("JPY",), "日元": ("JPY",), "JP¥": ("JPY",),
    "$": ("USD", "AUD", "CAD", "HKD", "SGD", "NZD", "TWD", "MXN", "CLP", "COP", "ARS"), "US$": ("USD",),
    "美元": ("USD",), "A$": ("AUD",), "AU$": ("AUD",), "C$": ("CAD",), "CA$": ("CAD",), "HK$": ("HKD",),
    "港元": ("HKD",), "港币": ("HKD",), "NT$": ("TWD",), "台币": ("TWD",), "新台币": ("TWD",), "S$": ("SGD",),
    "NZ$": ("NZD",), "MX$": ("MXN",), "R$": ("BRL",), "€": ("EUR",), "欧元": ("EUR",), "£": ("GBP",),
    "英镑": ("GBP",), "₩": ("KRW",), "韩元": ("KRW",), "₽": ("RUB",), "卢布": ("RUB",), "₹": ("INR",),
    "฿": ("THB",), "泰铢": ("THB",), "₫": ("VND",), "越南盾": ("VND",), "₺": ("TRY",), "₱": ("PHP",),
    "₴": ("UAH",), "₪": ("ILS",), "RM": ("MYR",), "RP": ("IDR",), "ZŁ": ("PLN",), "KR": ("SEK", "NOK", "DKK"),
    "FR.": ("CHF",),
}  # fmt: skip
"""Sign → the currencies it can mean; alone it means the first."""

_SINGLE: Final = {**{code: (code,) for code in sorted(CURRENCIES)}, **_SIGNS}


def _marks() -> dict[str, str]:
    """Return every mark, alone or as one before and one after the number, with the codes it can mean."""
    marks = {mark: " ".join(codes) for mark, codes in _SINGLE.items()}
    for before, codes in _SINGLE.items():
        for after, others in _SINGLE.items():
            both = [code for code in codes if code in others]
            if both:
                marks.setdefault(f"{before}\n{after}", " ".join(both))
    return marks


_MARKS: Final = _marks()
_MARK_TABLE: Final = pl.DataFrame({"mark": list(_MARKS), "codes": list(_MARKS.values())})
_WRITTEN: Final = r"^(?P<before>[^0-9]*)(?P<number>[0-9](?:[0-9 .,']*[0-9])?)(?P<after>[^0-9]*)$"


def _grammar(decimal: str, thousands: str) -> str:
    parted = "|".join(rf"(?:{sign}[0-9]{{3}})+" for sign in (thousands, " ", "'"))
    return rf"^(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{parted}))(?:{decimal}[0-9]+)?$"


_DOT: Final = _grammar(r"\.", ",")
_COMMA: Final = _grammar(",", r"\.")
_QUICK: Final[Mapping[PriceFormat, str]] = {
    "auto": r"^[0-9]{1,7}(?:\.[0-9]{1,2})?$",
    "dot": r"^[0-9]{1,7}(?:\.[0-9]{1,2})?$",
    "comma": r"^[0-9]{1,7}(?:,[0-9]{1,2})?$",
}
"""What nearly every price looks like: no sign, no thousands, below the limit. Zero is told apart afterwards."""

PRICE_FAULTS: Final = ("unreadable", "ambiguous", "too_precise", "not_positive", "too_high")


def quick(price_format: PriceFormat) -> str:
    """Return the pattern of the prices that are plain: no sign, no thousands, far below the limit (and perhaps 0)."""
    return _QUICK[price_format]


def parse_odd_prices(texts: pl.Series, price_format: PriceFormat) -> pl.DataFrame:
    """Return one row per text: `amount` Decimal(18, 2), `codes` (the currencies its sign allows), `fault`.

    Any spelling is read, plain ones too. `texts` are stripped; a null gives nulls. `fault` is one of PRICE_FAULTS, null
    where there is an amount.
    """
    number = pl.col("number")
    as_dot = number.str.replace_all("[ ,']", "")
    as_comma = number.str.replace_all("[ .']", "").str.replace(",", ".", literal=True)
    marks = (
        pl.when((pl.col("before") != "") & (pl.col("after") != ""))
        .then(pl.concat_str("before", "after", separator="\n"))
        .otherwise(pl.concat_str("before", "after"))
    )
    return (
        texts.to_frame("text")
        .lazy()
        .with_columns(given=pl.col("text").is_not_null())
        .with_columns(pl.col("text").str.normalize("NFKC").str.replace_all("[−–]", "-").str.replace_all("[’´`]", "'"))
        .with_columns(pl.col("text").str.strip_chars().str.to_uppercase().str.extract_groups(_WRITTEN))
        .unnest("text")
        .with_columns(
            minus=pl.col("before").str.contains("-", literal=True),
            before=pl.col("before").str.replace("-", "", literal=True).str.strip_chars(),
            after=pl.col("after").str.strip_chars(),
        )
        .with_columns(mark=marks)
        .with_columns(
            dot=pl.when(number.str.contains(_DOT) & (price_format != "comma")).then(as_dot),
            comma=pl.when(number.str.contains(_COMMA) & (price_format != "dot")).then(as_comma),
            codes=pl.col("mark").replace_strict(_MARK_TABLE["mark"], _MARK_TABLE["codes"], default=None),
        )
        .with_columns(digits=pl.coalesce("dot", "comma"))
        .with_columns(amount=pl.col("digits").str.replace(r"(\.[0-9]{2})[0-9]+$", "$1").cast(AMOUNT, strict=False))
        .with_columns(fault=_fault())
        .select(pl.when(pl.col("fault").is_null()).then(pl.col("amount")).alias("amount"), "codes", "fault")
        .collect(engine="in-memory")
    )


def _fault() -> pl.Expr:
    unknown_mark = (pl.col("mark") != "") & pl.col("codes").is_null()
    return (
        pl.when(~pl.col("given"))
        .then(pl.lit(None, dtype=pl.String))
        .when(pl.col("digits").is_null() | unknown_mark)
        .then(pl.lit("unreadable"))
        .when((pl.col("dot") != pl.col("comma")).fill_null(value=False))
        .then(pl.lit("ambiguous"))
        .when(pl.col("digits").str.contains(r"\.[0-9]{2,}[1-9]0*$"))
        .then(pl.lit("too_precise"))
        .when(pl.col("minus") | (pl.col("amount") == 0))
        .then(pl.lit("not_positive"))
        .when(pl.col("amount").is_null() | (pl.col("amount") > PRICE_LIMIT))
        .then(pl.lit("too_high"))
    )


@functools.lru_cache(maxsize=8192)
def currency_codes(text: str) -> tuple[str, ...]:
    """Return the codes that the text of a currency column can mean, likeliest first; none where it is not known."""
    return tuple(_MARKS.get(unicodedata.normalize("NFKC", text).strip().upper(), "").split())


def settle(said: Iterable[Sequence[str]], default_currency: str) -> str | None:
    """Return the one currency that all who said something allow, the default where nobody did, None in a conflict."""
    given = [codes for codes in said if codes]
    if not given:
        return default_currency
    return next((code for code in given[0] if all(code in others for others in given[1:])), None)
