"""Every way a row can be wrong has one outcome: refused with record, field, code and advice, or taken as said."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from zimage_core.catalogue import CATEGORY_WORDS, read_catalogue
from zimage_core.catalogue.rules import RULES
from zimage_core.domain import Product, Refusal
from zimage_core.errors import CatalogueError

GOOD = {"sku": "GOOD", "name": "good"}


def read(tmp_path: Path, *rows: dict[str, str | None], **options: object) -> tuple[list[Product], list[Refusal]]:
    """Read the rows from a Parquet file (which can hold any character), with one good row after them."""
    names = list(dict.fromkeys(name for row in (*rows, GOOD) for name in row))
    frame = pl.DataFrame(
        [{**dict.fromkeys(names), **row} for row in (*rows, GOOD)], schema=dict.fromkeys(names, pl.String)
    )
    frame.write_parquet(tmp_path / "rows.parquet")
    with read_catalogue(tmp_path / "rows.parquet", **options) as catalogue:  # type: ignore[arg-type]
        found = [product for product in catalogue.products() if product.sku != "GOOD"]
        return found, list(catalogue.refusals())


@pytest.mark.parametrize(
    ("row", "field", "code"),
    [
        ({"sku": None}, "sku", "sku_blank"),
        ({"sku": " \u3000"}, "sku", "sku_blank"),
        ({"sku": "x" * 65}, "sku", "sku_too_long"),
        ({"sku": "a\x00b"}, "sku", "sku_invisible"),
        ({"sku": "a\tb"}, "sku", "sku_invisible"),
        ({"sku": "a\u200bb"}, "sku", "sku_invisible"),
        ({"sku": "a\u202eb"}, "sku", "sku_invisible"),
        ({"sku": "6.9E+12"}, "sku", "sku_scientific"),
        ({"name": None}, "name", "name_blank"),
        ({"name": "\u200b"}, "name", "name_blank"),
        ({"name": "名" * 201}, "name", "text_too_long"),
        ({"name": "长" * 500}, "name", "text_too_long"),
        ({"name": "a\x00"}, "name", "control_character"),
        ({"material": "a\x1bb"}, "material", "control_character"),
        ({"name": "��杯"}, "name", "text_damaged"),
        ({"name": "锟斤拷锟斤拷"}, "name", "text_damaged"),
        ({"selling_points": "点" * 2001}, "selling_points", "text_too_long"),
        ({"price": "N/A"}, "price", "price_unreadable"),
        ({"price": "面议"}, "price", "price_unreadable"),
        ({"price": "59-79"}, "price", "price_unreadable"),
        ({"price": "-5"}, "price", "price_not_positive"),
        ({"price": "0"}, "price", "price_not_positive"),
        ({"price": "¥0.00"}, "price", "price_not_positive"),
        ({"price": "6900000000001"}, "price", "price_too_high"),
        ({"price": "1.299"}, "price", "price_ambiguous"),
        ({"price": "1,299"}, "price", "price_ambiguous"),
        ({"price": "5.9951"}, "price", "price_too_precise"),
        ({"price": "5", "original_price": "4.99"}, "original_price", "original_price_below_price"),
        ({"original_price": "5"}, "original_price", "original_price_without_price"),
        ({"price": "5", "original_price": "call"}, "original_price", "original_price_unreadable"),
        ({"price": "5", "currency": "XYZ"}, "currency", "currency_unknown"),
        ({"price": "$5", "currency": "CNY"}, "currency", "currency_conflict"),
        ({"price": "$5", "original_price": "€9"}, "currency", "currency_conflict"),
        ({"price": "5€", "original_price": "9", "currency": "¥"}, "currency", "currency_conflict"),
    ],
)
def test_a_faulty_row_is_refused_with_its_place_and_advice(
    tmp_path: Path, row: dict[str, str | None], field: str, code: str
) -> None:
    given = {"sku": "S-1", "name": "n", **row}
    found, refusals = read(tmp_path, given)
    assert found == []
    (refusal,) = refusals
    assert (refusal.stage, refusal.record_no, refusal.field, refusal.code) == ("extract", 1, field, code)
    assert refusal.reason.endswith(".")
    assert len(refusal.value or "") <= 80
    assert "\x00" not in f"{refusal.sku}{refusal.value}"


@pytest.mark.parametrize(
    ("price", "price_format", "amount", "currency"),
    [
        ("59.00", "auto", "59.00", "CNY"),
        ("¥1,299.00", "auto", "1299.00", "CNY"),
        ("￥168", "auto", "168.00", "CNY"),
        ("１２９９．５０", "auto", "1299.50", "CNY"),
        ("1.299,00 €", "auto", "1299.00", "EUR"),
        ("$19.99", "auto", "19.99", "USD"),
        ("1 299,00", "auto", "1299.00", "CNY"),
        ("1\u202f299,00 €", "auto", "1299.00", "EUR"),
        ("HK$ 88", "auto", "88.00", "HKD"),
        ("¥59元", "auto", "59.00", "CNY"),
        ("19.99 usd", "auto", "19.99", "USD"),
        ("59.0000", "auto", "59.00", "CNY"),
        ("0.500", "auto", "0.50", "CNY"),
        ("1.299", "comma", "1299.00", "CNY"),
        ("59,90", "comma", "59.90", "CNY"),
        ("1,299", "dot", "1299.00", "CNY"),
        ("1299", "comma", "1299.00", "CNY"),
    ],
)
def test_a_price_is_read_as_written(tmp_path: Path, price: str, price_format: str, amount: str, currency: str) -> None:
    (product,), _ = read(tmp_path, {"sku": "1", "name": "n", "price": price}, price_format=price_format)
    assert (product.price, product.currency) == (Decimal(amount), currency)
    assert str(product.price) == amount


def test_the_other_format_is_refused_where_one_is_declared(tmp_path: Path) -> None:
    row = {"sku": "1", "name": "n", "price": "1,299.00"}
    assert read(tmp_path, row, price_format="comma")[1][0].code == "price_unreadable"
    assert "price_format" in read(tmp_path, {**row, "price": "1.299"})[1][0].reason


@pytest.mark.parametrize(
    ("price", "column", "currency"),
    [
        ("5", None, "EUR"),
        ("5", "cny", "CNY"),
        ("5", "人民币", "CNY"),
        ("¥5", None, "CNY"),
        ("¥5", "JPY", "JPY"),
        ("$5", "HKD", "HKD"),
        ("5円", "¥", "JPY"),
        ("5", " rmb ", "CNY"),
    ],
)
def test_currency_comes_from_column_then_sign_then_default(
    tmp_path: Path, price: str, column: str | None, currency: str
) -> None:
    row = {"sku": "1", "name": "n", "price": price, "currency": column}
    assert read(tmp_path, row, default_currency="EUR")[0][0].currency == currency


def test_a_blank_price_is_no_price_and_an_equal_original_price_is_no_discount(tmp_path: Path) -> None:
    blank, equal = read(
        tmp_path,
        {"sku": "1", "name": "n", "price": " ", "original_price": None},
        {"sku": "2", "name": "n", "price": "5", "original_price": "¥5.00"},
    )[0]
    assert (blank.price, blank.original_price) == (None, None)
    assert (equal.price, equal.original_price) == (Decimal("5.00"), None)


def test_every_fault_of_a_row_is_named_in_one_refusal(tmp_path: Path) -> None:
    (refusal,) = read(tmp_path, {"sku": None, "name": "x" * 300, "price": "N/A"})[1]
    assert refusal.code == "sku_blank"
    assert refusal.reason.count("Also: ") == 2


def test_the_first_usable_row_keeps_a_sku_and_later_ones_name_it(tmp_path: Path) -> None:
    rows = [
        {"sku": "A", "name": "refused, so it keeps nothing", "price": "N/A"},
        {"sku": "A", "name": "kept"},
        {"sku": "B", "name": "b"},
        {"sku": " A ", "name": "again"},
        {"sku": "a", "name": "another SKU"},
        {"sku": "A", "name": "and again"},
    ]
    found, refusals = read(tmp_path, *rows)
    assert [(p.sku, p.name) for p in found] == [("A", "kept"), ("B", "b"), ("a", "another SKU")]
    assert [(r.record_no, r.code) for r in refusals] == [
        (1, "price_unreadable"),
        (4, "duplicate_sku"),
        (6, "duplicate_sku"),
    ]
    assert "already used by record 2" in refusals[1].reason


def test_text_that_looks_dangerous_is_kept_as_it_is(tmp_path: Path) -> None:
    names = ["{{7*7}}", "{% raw %}", "=cmd()", "+1", "@x", "<script>", "${jndi:x}", "'; DROP TABLE x; --", "%s %n"]
    skus = ["../../etc/passwd", "a/b", "..", "C:\\x", "-rf", "名", "{{sku}}", "=1+1", "%00"]
    found, refusals = read(tmp_path, *({"sku": s, "name": n} for s, n in zip(skus, names, strict=True)))
    assert [(p.sku, p.name) for p in found] == list(zip(skus, names, strict=True))
    assert refusals == []


def test_invisible_characters_leave_text_but_joiners_stay(tmp_path: Path) -> None:
    name = "素\u200b白\u202e杯\u00ad \ufeff👩\u200d🎨\U000e0041  a\n b\u3000c"
    (product,), _ = read(tmp_path, {"sku": "1", "name": name})
    assert product.name == "素白杯 👩\u200d🎨 a b c"


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("好握；好洗", ("好握", "好洗")),
        ("a; b;;c", ("a", "b", "c")),
        ("a|b｜c", ("a", "b", "c")),
        ("a\nb\r\n c \n\n", ("a", "b", "c")),
        ("；a；", ("a",)),
        ("；；", ()),
        (None, ()),
        ("轻,薄、透", ("轻,薄、透",)),
        ("a  b；c\u200b", ("a b", "c")),
    ],
)
def test_selling_points_are_parted(tmp_path: Path, text: str | None, points: tuple[str, ...]) -> None:
    (product,), _ = read(tmp_path, {"sku": "1", "name": "n", "selling_points": text})
    assert product.selling_points == points


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("服装", "fashion"), ("女装", "fashion"), ("女装/连衣裙", "fashion"), ("手机数码", "electronics"),
        ("数码", "electronics"), ("电器", "electronics"), ("家居", "home"), ("餐具", "home"), ("灯具", "home"),
        ("美妆", "beauty"), ("护肤", "beauty"), ("食品", "food"), ("零食", "food"), ("Home & Kitchen", "home"),
        ("ELECTRONICS > Phones", "electronics"),
        ("其他", "default"), ("玩具", "default"), (None, "default"),
    ],
)  # fmt: skip
def test_categories_are_normalised(tmp_path: Path, text: str | None, category: str) -> None:
    (product,), _ = read(tmp_path, {"sku": "1", "name": "n", "category": text})
    assert product.category == category


def test_every_word_of_the_category_table_means_its_category(tmp_path: Path) -> None:
    words = [(word, category) for category, words in CATEGORY_WORDS.items() for word in words]
    found, _ = read(tmp_path, *({"sku": str(n), "name": "n", "category": word} for n, (word, _) in enumerate(words)))
    assert [(word, p.category) for (word, _), p in zip(words, found, strict=True)] == words


def test_unknown_categories_are_told(tmp_path: Path) -> None:
    pl.DataFrame({"sku": ["1", "2", "3"], "name": "n", "category": ["玩具", "其他", "玩具"]}).write_parquet(
        tmp_path / "a.parquet"
    )
    with read_catalogue(tmp_path / "a.parquet") as catalogue:
        assert catalogue.notes == ("Categories that are not known count as 'default': '玩具' (2 rows).",)


def test_each_rule_has_its_own_bit_and_a_sentence_with_advice() -> None:
    assert len({(rule.code, rule.field) for rule in RULES}) == len(RULES) <= 64
    assert all(rule.sentence.endswith(".") and ("; " in rule.sentence or ", " in rule.sentence) for rule in RULES)


def test_products_and_frame_are_the_same_rows(tmp_path: Path) -> None:
    rows = 45_000
    frame = pl.DataFrame(
        {"sku": [f"S{n % 40_000}" for n in range(rows)], "name": "n", "price": [str(n) for n in range(rows)]}
    )
    frame.write_parquet(tmp_path / "a.parquet")
    with read_catalogue(tmp_path / "a.parquet") as catalogue:
        assert (catalogue.product_count, catalogue.refused_count) == (40_000, 5_000)
        assert catalogue.frame.select("sku", "record_no").collect().rows() == [
            (p.sku, p.record_no) for p in catalogue.products()
        ]
        codes = [r.code for r in catalogue.refusals()]
    # Row 0 costs nothing and is refused, so the SKU is kept by record 40,001.
    assert codes == ["price_not_positive", *["duplicate_sku"] * 4_999]


def test_a_catalogue_of_faulty_rows_says_what_is_most_often_wrong(tmp_path: Path) -> None:
    pl.DataFrame({"sku": ["1", "2", None], "name": "n", "price": ["a", "b", "5"]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(CatalogueError, match="all 3 were refused, 2 of them because: The price is not a number"):
        read_catalogue(tmp_path / "a.parquet")
