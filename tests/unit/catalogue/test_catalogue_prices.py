"""The vectorised price rules equal a straightforward reading of the same words, for any text."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zimage_core.catalogue import PRICE_LIMIT, PriceFormat
from zimage_core.catalogue.prices import currency_codes, parse_odd_prices, quick, settle

DIGITS = st.text(alphabet="0123456789", min_size=1, max_size=12)
SIGNS = st.sampled_from(["", "¥", "￥", "$", "€", "US$", "元", "CNY", "usd", "-", "−", " ", "?", "起"])
GROUPS = st.lists(st.tuples(st.sampled_from(",. '\u00a0’"), DIGITS).map("".join), max_size=3).map("".join)
WRITTEN = st.tuples(SIGNS, SIGNS, DIGITS, GROUPS, SIGNS).map("".join)
NUMBERS = st.builds(
    lambda whole, sign, rest: f"{whole}{sign}{rest}",
    st.integers(0, 10**9).map(lambda n: f"{n:,}"),
    st.sampled_from([".", ","]),
    DIGITS,
)


def one_reading(number: str, decimal: str, thousands: str) -> Decimal | None:
    """Read a number the slow way: split off the decimals, then part the groups by the one separator there is."""
    whole, found, decimals = number.partition(decimal)
    if found and not (decimals.isascii() and decimals.isdigit()):
        return None
    if not whole.isdigit():
        separators = {c for c in whole if not c.isdigit()}
        if len(separators) != 1 or not separators <= {thousands, " ", "'"}:
            return None
        first, *groups = whole.split(separators.pop())
        if not 1 <= len(first) <= 3 or first[0] == "0" or any(len(group) != 3 for group in groups):
            return None
    return Decimal("".join(c for c in whole if c.isdigit()) + "." + (decimals or "0"))


def reference(text: str, price_format: PriceFormat) -> tuple[Decimal | None, str | None]:
    """Return amount and fault of one price as the module's documentation says."""
    plain = unicodedata.normalize("NFKC", text).replace("−", "-").replace("–", "-").replace("’", "'").strip().upper()
    found = re.fullmatch(r"(\D*?)(\d(?:[\d .,']*\d)?)(\D*)", plain, re.ASCII)
    if not found:
        return None, "unreadable"
    before, number, after = found[1].replace("-", "", 1).strip(), found[2], found[3].strip()
    said = [currency_codes(sign) for sign in (before, after) if sign]
    if any(not codes for codes in said) or settle(said, "CNY") is None:
        return None, "unreadable"
    readings = {
        value
        for value in (
            one_reading(number, ".", ",") if price_format != "comma" else None,
            one_reading(number, ",", ".") if price_format != "dot" else None,
        )
        if value is not None
    }
    if len(readings) != 1:
        return None, "ambiguous" if readings else "unreadable"
    (amount,) = readings
    if amount != amount.quantize(Decimal("0.01")) if amount < 10**20 else False:
        return None, "too_precise"
    if "-" in found[1] or amount == 0:
        return None, "not_positive"
    return (None, "too_high") if amount > PRICE_LIMIT else (amount, None)


@pytest.mark.parametrize("price_format", ["auto", "dot", "comma"])
@given(st.lists(st.one_of(WRITTEN, NUMBERS, st.text(max_size=8)), min_size=1, max_size=20))
@example(["1.299", "1,299", "1 299", "1.299,00", "1,299.00", "0.500", "1'299", "1 299,000", "01.299", "1.299.000"])
@example(["", "-", "¥", "--5", "-¥-5", "5-", "¥5元", "$5€", "5 5", "1,2,3", "1..2", ".5", "5.", "٣", "５", "²"])
@example(["9" * 30, "0.001", "0,001", "99999999.99", "100000000", "0.00"])
def test_vectorised_equals_reference(price_format: PriceFormat, texts: list[str]) -> None:
    stripped = [text.strip() for text in texts]
    parsed = parse_odd_prices(pl.Series(stripped, dtype=pl.String), price_format)
    for text, amount, fault in zip(stripped, parsed["amount"], parsed["fault"], strict=True):
        assert (amount, fault) == reference(text, price_format), text


@pytest.mark.parametrize("price_format", ["auto", "dot", "comma"])
@given(st.one_of(NUMBERS, WRITTEN))
def test_a_plain_price_means_the_same_as_an_odd_one(price_format: PriceFormat, text: str) -> None:
    if re.fullmatch(quick(price_format), text):
        amount, fault = reference(text, price_format)
        read = Decimal(text.replace(",", "."))
        assert (amount, fault) == ((read, None) if read else (None, "not_positive"))


@given(st.decimals(min_value=Decimal("0.01"), max_value=PRICE_LIMIT, places=2))
def test_a_price_written_in_a_declared_format_is_read_back(amount: Decimal) -> None:
    dot = f"{amount:,}"
    comma = dot.translate(str.maketrans(",.", ".,"))
    for text, price_format in ((dot, "dot"), (comma, "comma"), (f"{dot} USD", "auto"), (f"€ {comma}", "auto")):
        assert parse_odd_prices(pl.Series([text]), price_format)["amount"][0] == amount  # type: ignore[arg-type]


def test_nulls_stay_nulls() -> None:
    parsed = parse_odd_prices(pl.Series([None, "5"], dtype=pl.String), "auto")
    assert parsed.rows() == [(None, None, None), (Decimal("5.00"), None, None)]
