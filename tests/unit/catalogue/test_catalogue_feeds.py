"""Shopify's product CSV and Google's product data are catalogues as they are exported."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from zimage_core.catalogue import read_catalogue
from zimage_core.catalogue.feed_columns import shop_columns
from zimage_core.domain import Product, Refusal
from zimage_core.errors import CatalogueError

OLD = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Option1 Name,Option1 Value,Variant SKU,Variant Grams,Variant Price,"
    "Variant Compare At Price,Image Src,Image Position,Image Alt Text,Variant Image,Status\n"
)
NEW = (
    "Title,URL handle,Description,Vendor,Type,SKU,Price,Compare-at price,Product image URL,Image position,"
    "Variant image URL\n"
)


def read(path: Path, text: str | bytes) -> tuple[list[Product], list[Refusal]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with read_catalogue(path) as catalogue:
        return list(catalogue.products()), list(catalogue.refusals())


def test_a_shopify_export_gives_its_variants_each_with_what_its_product_says(tmp_path: Path) -> None:
    found, refused = read(
        tmp_path / "products_export.csv",
        OLD
        + 'mug,White mug,"<p>Big,\nround</p>",Acme,Home,sale,Size,S,MUG-S,100,59.00,79.00,'
        + "https://cdn.shopify.com/s/files/1/mug%20front.jpg?v=1,1,Mug,,active\n"
        + "mug,,,,,,,L,MUG-L,120,69.00,,https://cdn.shopify.com/s/files/1/side.jpg,2,,https://cdn.shopify.com/l.jpg,\n"
        + "mug,,,,,,,,,,,,https://cdn.shopify.com/s/files/1/back.jpg,3,Back,,\n"
        + "lamp,Lamp,,Lumen,Home,,Title,Default Title,LAMP-1,,329,,,,,,active\n",
    )
    assert refused == []
    small, large, lamp = found
    assert (small.sku, small.name, small.brand) == ("MUG-S", "White mug", "Acme")
    assert (small.price, small.original_price) == (Decimal("59.00"), Decimal("79.00"))
    assert small.image == "mug%20front.jpg"
    assert (large.sku, large.name, large.brand, large.price) == ("MUG-L", "White mug", "Acme", Decimal("69.00"))
    assert large.image == "l.jpg", "its own, not the gallery picture that happens to stand in its row"
    assert (lamp.sku, lamp.name, lamp.brand, lamp.image) == ("LAMP-1", "Lamp", "Lumen", None)
    assert [product.record_no for product in found] == [2, 3, 5]


def test_the_newer_names_of_shopify_are_known_too(tmp_path: Path) -> None:
    found, refused = read(
        tmp_path / "new.csv",
        NEW
        + "White mug,mug,,Acme,Home,MUG-S,59.00,79.00,https://cdn.shopify.com/a.jpg,1,\n"
        + ",mug,,,,,,,https://cdn.shopify.com/b.jpg,2,\n"
        + ",mug,,,,MUG-L,69.00,,,,\n",
    )
    assert refused == []
    assert [(p.sku, p.name, p.image) for p in found] == [
        ("MUG-S", "White mug", "a.jpg"),
        ("MUG-L", "White mug", "a.jpg"),
    ]


def test_a_product_without_any_sku_goes_by_its_handle(tmp_path: Path) -> None:
    found, _ = read(tmp_path / "a.csv", "Handle,Title,Image Src\nmug,Mug,\nmug,,https://cdn.shopify.com/b.jpg\n")
    assert [(p.sku, p.name) for p in found] == [("mug", "Mug")]


def test_a_broken_row_of_shopify_is_refused_and_its_product_goes_on(tmp_path: Path) -> None:
    found, refused = read(tmp_path / "a.csv", "Handle,Title,Variant SKU\nmug,Mug,MUG-S\nmug,x,y,z,1\nmug,,MUG-L\n")
    assert [(p.sku, p.name) for p in found] == [("MUG-S", "Mug"), ("MUG-L", "Mug")]
    assert [r.code for r in refused] == ["row_ragged"]


def test_variants_know_their_product_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zimage_core.catalogue.delimited.BATCH_ROWS", 1)
    monkeypatch.setattr("zimage_core.catalogue.delimited._BLOCK_BYTES", 4096)
    rows = "".join(f"mug-{n},Mug {n},M-{n}-a\nmug-{n},,M-{n}-b\nmug-{n},,M-{n}-c\n" for n in range(600))
    found, refused = read(tmp_path / "a.csv", "Handle,Title,Variant SKU\n" + rows)
    assert refused == []
    assert [(p.sku, p.name) for p in found] == [(f"M-{n}-{v}", f"Mug {n}") for n in range(600) for v in "abc"]


def test_google_asks_the_sale_price_now(tmp_path: Path) -> None:
    found, refused = read(
        tmp_path / "google.tsv",
        "id\ttitle\tdescription\tlink\timage_link\tavailability\tprice\tsale_price\tbrand\n"
        "M-1\tMug\tA mug\thttps://a.example/1\thttps://a.example/i/m1.jpg\tin_stock\t79.00 USD\t59.00 USD\tAcme\n"
        "M-2\tCup\tA cup\thttps://a.example/2\t\tin_stock\t29.00 USD\t\tAcme\n",
    )
    assert refused == []
    mug, cup = found
    assert (mug.price, mug.original_price, mug.currency) == (Decimal("59.00"), Decimal("79.00"), "USD")
    assert (mug.image, mug.brand) == ("m1.jpg", "Acme")
    assert (cup.price, cup.original_price, cup.image) == (Decimal("29.00"), None, None)


RSS = """<?xml version="1.0" encoding="{encoding}"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<item><g:id>M-1</g:id><title>Plain</title><g:title>杯子 &amp; Mug</g:title><g:price>79.00 CNY</g:price>
<g:sale_price>59.00 CNY</g:sale_price><g:image_link>https://a.example/i/m1.jpg</g:image_link>
<g:additional_image_link>https://a.example/2.jpg</g:additional_image_link></item>
<item><g:id><![CDATA[M-2]]></g:id><title>Cup</title><link>https://a.example/2</link><g:price>29 CNY</g:price></item>
</channel></rss>"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_googles_xml_is_read(tmp_path: Path, encoding: str) -> None:
    found, refused = read(tmp_path / "google.xml", RSS.format(encoding=encoding).encode(encoding))
    assert refused == []
    assert [(p.sku, p.name, p.price, p.record_no) for p in found] == [
        ("M-1", "杯子 & Mug", Decimal("59.00"), 1),
        ("M-2", "Cup", Decimal("29"), 2),
    ]
    assert found[0].image == "m1.jpg"


def test_atom_is_read_by_googles_id(tmp_path: Path) -> None:
    found, _ = read(
        tmp_path / "a.xml",
        '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><entry>'
        "<id>tag:a.example</id><g:id>M-1</g:id><title>Mug</title><g:image_link>https://a.example/1.jpg</g:image_link>"
        "</entry></feed>",
    )
    assert [(p.sku, p.name) for p in found] == [("M-1", "Mug")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><rss><item>&b;</item></rss>', "cannot be read as XML"),
        ('<!DOCTYPE r SYSTEM "file:///etc/passwd"><rss/>', "cannot be read as XML"),
        ("<rss><channel></channel></rss>", "no <item>"),
        ("<rss><item>", "cannot be read as XML"),
        ("", "cannot be read as XML"),
        ("<rss><item><title>x</title></item></rss>", "no column for the sku"),
    ],
)
def test_xml_that_is_no_feed_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(CatalogueError, match=said):
        read_catalogue(path)


@pytest.mark.parametrize(
    "headers",
    [
        ["sku", "name", "price"],
        ["id", "title", "price", "sku", "availability"],
        ["Handle", "Title", "SKU"],
        ["货号", "标题", "主图"],
        ["id", "image link"],
    ],
)
def test_a_catalogue_of_ones_own_is_not_taken_for_a_shops(headers: list[str]) -> None:
    assert shop_columns(headers) is None


def test_what_the_person_says_stands_over_what_a_shop_means(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Handle,Title,Variant SKU,Image Src\nmug,Mug,MUG-1,\n")
    with read_catalogue(path, mapping={"sku": "Handle"}) as catalogue:
        assert [p.sku for p in catalogue.products()] == ["mug"]
