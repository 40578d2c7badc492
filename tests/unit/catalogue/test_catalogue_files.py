"""Any file operations may hand us becomes the same products, or one sentence that says what to do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from zimage_core.catalogue import read_catalogue
from zimage_core.domain import Product
from zimage_core.errors import CatalogueError

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
TEXT = '货号,商品名称,价格,卖点\nA-1,素白马克杯,59.00,好握；好洗\nA-2,"台灯,\n折臂",329,\n'


def products(path: Path, **options: object) -> list[Product]:
    with read_catalogue(path, **options) as catalogue:  # type: ignore[arg-type]
        return list(catalogue.products())


def refused(source: str | Path, **options: object) -> str:
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(source, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_file(content: str | bytes, name: str = "shop.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def test_the_example_catalogue_gives_typed_products_in_order() -> None:
    with read_catalogue(EXAMPLES / "catalogue.csv") as catalogue:
        found = list(catalogue.products())
        assert catalogue.product_count == len(found)
        assert catalogue.refused_count == len(list(catalogue.refusals()))
        assert catalogue.fingerprint == hashlib.sha256((EXAMPLES / "catalogue.csv").read_bytes()).hexdigest()
    mug = found[0]
    assert (mug.sku, mug.record_no, mug.category, mug.price, mug.currency) == (
        "MUG-0101",
        2,
        "home",
        Decimal("59.00"),
        "CNY",
    )
    assert mug.selling_points == ("亮釉细腻不挂渍", "大手柄好握", "可入微波炉和洗碗机")
    assert [product.record_no for product in found] == sorted(product.record_no for product in found)


@pytest.mark.parametrize(
    ("encoding", "bom"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("gb18030", b""),
        ("gbk", b""),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
    ],
)
def test_every_encoding_gives_the_same_products(write: Callable[..., Path], encoding: str, bom: bytes) -> None:
    assert products(write(bom + TEXT.encode(encoding))) == [
        Product("A-1", "素白马克杯", 2, price=Decimal("59.00"), selling_points=("好握", "好洗")),
        Product("A-2", "台灯, 折臂", 3, price=Decimal("329.00")),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_separator_and_line_end_are_found(write: Callable[..., Path], separator: str, line_end: str) -> None:
    lines = [separator.join(row) for row in (("SKU", "Title", "Price"), ("1", "Mug", "5"), ("2", "Lamp", "6"))]
    assert [product.name for product in products(write(line_end.join(lines) + line_end))] == ["Mug", "Lamp"]


def test_excels_separator_line_and_blank_lines_are_stepped_over_but_counted(write: Callable[..., Path]) -> None:
    found = products(write("\nsep=;\nsku;name\n\n1;Mug\n;\n2;Lamp\n"))
    assert [(product.name, product.record_no) for product in found] == [("Mug", 5), ("Lamp", 7)]


def test_a_gb18030_character_outside_gbk_is_read(write: Callable[..., Path]) -> None:
    assert products(write("货号,名称\n1,德国 für 马克杯\n".encode("gb18030")))[0].name == "德国 für 马克杯"


def test_stray_quotes_are_text_and_doubled_quotes_one(write: Callable[..., Path]) -> None:
    found = products(write('sku,name\n1,5" screen\n2,"say ""hi"""\n3,6" cup\n'))
    assert [product.name for product in found] == ['5" screen', 'say "hi"', '6" cup']


def test_rows_of_another_width_are_refused_by_themselves(write: Callable[..., Path]) -> None:
    with read_catalogue(write("sku,name,price\n1,Mug,5\n2,Mug, large,6\n3,Lam\np,7\n4,Cup,8\n")) as catalogue:
        assert [product.sku for product in catalogue.products()] == ["1", "4"]
        assert [(r.record_no, r.code, r.value) for r in catalogue.refusals()] == [
            (3, "row_ragged", "2,Mug, large,6"),
            (4, "row_ragged", "3,Lam"),
            (5, "row_ragged", "p,7"),
        ]


def test_record_numbers_survive_many_blocks_of_ragged_and_blank_rows(write: Callable[..., Path]) -> None:
    def line(number: int) -> str:
        if number % 7 == 0:
            return ""
        return f"ragged-{number}" if number % 11 == 0 else f"{number},{'名' * 40}"

    lines = ["sku,name", *map(line, range(2, 60_002))]
    with read_catalogue(write("\n".join(lines))) as catalogue:
        assert all(product.sku == str(product.record_no) for product in catalogue.products())
        refusals = list(catalogue.refusals())
        assert [r.record_no for r in refusals] == [n for n in range(2, 60_002) if n % 11 == 0 and n % 7]
        assert all(r.value == f"ragged-{r.record_no}" for r in refusals)


def test_headers_match_whatever_their_case_width_and_punctuation(write: Callable[..., Path]) -> None:
    found = products(write("ＳＫＵ, Product_Name ,「英文名」,Original-Price,PRICE\n1,杯,Mug,9,5\n"))
    assert found == [Product("1", "杯", 2, name_en="Mug", price=Decimal("5.00"), original_price=Decimal("9.00"))]


def test_a_mapping_goes_before_the_aliases(write: Callable[..., Path]) -> None:
    path = write("sku,name,内部名,零售\n1,a,b,5\n")
    found = products(path, mapping={"name": "内部名", "price": "零售"})
    assert (found[0].name, found[0].price) == ("b", Decimal("5.00"))
    assert "'nope'" in refused(path, mapping={"name": "nope"})
    assert "the field 'titel'" in refused(path, mapping={"titel": "name"})


def test_an_earlier_alias_wins_with_a_note_but_never_for_a_price(write: Callable[..., Path]) -> None:
    with read_catalogue(write("款号,商品编码,name,库存\nS,A,x,9\n")) as catalogue:
        assert next(catalogue.products()).sku == "A"
        assert any("'款号' could also be it" in note for note in catalogue.notes)
        assert any("'库存'" in note for note in catalogue.notes)
    assert "mapping={'price': '价格'}" in refused(write("sku,name,售价,价格\n1,a,5,6\n"))


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("", "a.csv", "a.csv is empty"),
        ("\ufeff\n \n", "a.csv", "a.csv is empty"),
        ("sku,name\n", "a.csv", "has a header but no rows"),
        ("sku,name", "a.csv", "has a header but no rows"),
        ("sku,price\n1,5\n", "a.csv", "no column for the name"),
        ("1,Mug\n2,Lamp\n", "a.csv", "does not look like a header"),
        ("sku,name,SKU \n1,a,2\n", "a.csv", "same header more than once ('sku', 'SKU ')"),
        ("sku,name\n,a\n,b\n", "a.csv", "no usable row: all 2 were refused, 2 of them because: The SKU is blank"),
        ('sku,name\n1,a\n2,"b\n3,c\n', "a.csv", "starts on line 3 is never closed"),
        ('sku,name,x\n1,"a\n2,b,c\n', "a.csv", "starts on line 2 is never closed"),
        ("x", "a.docx", "of a kind that is not read (.docx)"),
        ("not a workbook", "a.xlsx", "is not an .xlsx workbook"),
        ("not parquet", "a.parquet", "cannot be read as Parquet"),
        (b"sku,name\n1,\xff\xfe\xfa\n", "a.csv", "neither UTF-8 (byte 11 is wrong) nor GB18030 (byte 11"),
        ("sku,name\n1,crème brûlée\n".encode("latin-1"), "a.csv", "not UTF-8 (byte 13"),
        ("sku,name\n1,馬克杯與檯燈還有靠墊\n".encode("big5"), "a.csv", "not UTF-8 (byte 11"),
        (b"\xef\xbb\xbfsku,name\n1,\xff\n", "a.csv", "byte 14 is wrong"),
        ("sku,name\n1,a\n".encode("utf-32"), "a.csv", "is UTF-32"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_sentence(
    write: Callable[..., Path], content: str | bytes, name: str, said: str
) -> None:
    assert said in refused(write(content, name))


def test_missing_columns_are_told_with_what_was_looked_for_and_found(write: Callable[..., Path]) -> None:
    said = refused(write("sku,Preis\n1,5\n"))
    assert "商品名称" in said
    assert "Found: 'sku', 'Preis'" in said
    assert "mapping={'name': '<column>'}" in said


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ("nowhere.csv", {}, "There is no catalogue file"),
        ("https://shop.example/a.csv", {}, "not read over https"),
        ("nowhere.csv", {"table": "t"}, "the catalogue is a file"),
        ("nowhere.csv", {"price_format": "german"}, "auto, dot or comma"),
        ("nowhere.csv", {"default_currency": "RMB"}, "'RMB' is not an ISO code"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(source: str, options: dict[str, object], said: str) -> None:
    assert said in refused(source, **options)


def test_nothing_is_left_behind(write: Callable[..., Path], tmp_path: Path) -> None:
    work = tmp_path / "work"
    with read_catalogue(write(TEXT.encode("gb18030")), work_dir=work) as catalogue:
        assert len(list(catalogue.products())) == 2
    assert list(work.iterdir()) == []
    refused(write("sku,name\n,\n,x\n"), work_dir=work)
    assert list(work.iterdir()) == []
    forgotten = read_catalogue(write(TEXT), work_dir=work)
    del forgotten
    assert list(work.iterdir()) == []


# ---------------------------------------------------------------- Excel


def workbook(path: Path, rows: list[list[object]], *, first_row: int = 0, sheet: str = "商品") -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        book.add_worksheet("说明") if sheet == "second" else None
        page = book.add_worksheet(sheet)
        for place, row in enumerate(rows):
            page.write_row(first_row + place, 0, row)
    return path


def test_a_sheet_keeps_leading_zeros_whole_numbers_and_row_numbers(tmp_path: Path) -> None:
    rows = [
        ["货号", "名称", "价格"],
        ["00012", "杯", 59],
        ["", "", ""],
        [6900000000001, "灯", 329.5],
        [12, "垫", "1,299.00"],
    ]
    found = products(workbook(tmp_path / "a.xlsx", rows, first_row=2))
    assert [(p.sku, p.record_no, p.price) for p in found] == [
        ("00012", 4, Decimal("59.00")),
        ("6900000000001", 6, Decimal("329.50")),
        ("12", 7, Decimal("1299.00")),
    ]


def test_a_sheet_is_chosen_by_name(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["sku", "name"], ["1", "Mug"]], sheet="second")
    assert products(path, sheet="second")[0].name == "Mug"
    assert "its sheets are '说明', 'second'" in refused(path, sheet="third")
    assert "sheet '说明', is empty" in refused(path)


def test_skus_that_a_spreadsheet_spoilt_are_refused(tmp_path: Path) -> None:
    with xlsxwriter.Workbook(str(tmp_path / "a.xlsx")) as book:
        page = book.add_worksheet()
        page.write_row(0, 0, ["sku", "name"])
        page.write_row(1, 0, ["6.9E+12", "a"])
        page.write_datetime(2, 0, date(2026, 1, 2), book.add_format({"num_format": "m-d"}))
        page.write(2, 1, "b")
        page.write_row(3, 0, ["1E5", "c"])
    with read_catalogue(tmp_path / "a.xlsx") as catalogue:
        assert [(r.record_no, r.code) for r in catalogue.refusals()] == [(2, "sku_scientific"), (3, "sku_date")]
        assert [p.sku for p in catalogue.products()] == ["1E5"]


# ---------------------------------------------------------------- Parquet


def test_typed_parquet_columns_become_the_same_text(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "sku": [101, 102, 103],
            "name": ["a", "b", "c"],
            "price": pl.Series(["1.299", "59.000", "7.500"]).cast(pl.Decimal(12, 3)),
            "原价": [99.5, None, 1299.125],
            "selling_points": [["x", "y"], [], None],
            "category": pl.Series(["食品", "零食", None], dtype=pl.Categorical),
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    with read_catalogue(tmp_path / "a.parquet") as catalogue:
        assert list(catalogue.products()) == [Product("102", "b", 2, category="food", price=Decimal("59.00"))]
        assert [(r.sku, r.code) for r in catalogue.refusals()] == [
            ("101", "price_too_precise"),
            ("103", "original_price_too_precise"),
        ]
    assert [p.price for p in products(tmp_path / "a.parquet", price_format="comma")] == [Decimal("59.00")]


def test_a_parquet_column_that_is_no_text_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"sku": ["1"], "name": [{"zh": "杯"}]}).write_parquet(tmp_path / "a.parquet")
    assert "the column 'name' for the name holds Struct" in refused(tmp_path / "a.parquet")
