"""Shopify's product CSV gets its gallery, and nothing else of it changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zimage_core.errors import CatalogueError
from zimage_core.publishing.feeds import FeedPictures, fill_feed

Pictures = Callable[..., FeedPictures]
URL = "https://img.example/img"
HEAD = "Handle,Title,Variant SKU,Image Src,Image Position,Image Alt Text,Variant Image,Status"


def filled(text: str, pictures: FeedPictures) -> str:
    done = fill_feed(text.encode(), pictures, "products.csv")
    again = fill_feed(done.data, pictures, "products.csv")
    assert again.data == done.data, "a second run gives no difference"
    assert again.changes == 0
    assert (done.changes == 0) == (done.data == text.encode())
    return done.data.decode()


def test_the_gallery_and_the_variants_are_filled(pictures: Pictures) -> None:
    assert filled(
        f"{HEAD}\r\n"
        '"mug","White ""mug""",M-S,https://cdn.shopify.com/old.jpg,1,old,,active\r\n'
        "mug,,M-L,,,,https://cdn.shopify.com/l.jpg,\r\n"
        "lamp,Lamp,LAMP,,,,,draft\r\n",
        pictures(M_S="packshot lifestyle", M_L="packshot"),
    ) == (
        f"{HEAD}\r\n"
        f'"mug","White ""mug""",M-S,{URL}/M-S/packshot-1.jpg,1,"M-S, ""packshot""",{URL}/M-S/packshot-1.jpg,active\r\n'
        f'mug,,M-L,{URL}/M-S/lifestyle-1.jpg,2,"M-S, ""lifestyle""",{URL}/M-L/packshot-1.jpg,\r\n'
        f'"mug",,,{URL}/M-L/packshot-1.jpg,3,"M-L, ""packshot""",,\r\n'
        "lamp,Lamp,LAMP,,,,,draft\r\n"
    )


def test_a_row_is_added_to_a_last_line_without_an_end(pictures: Pictures) -> None:
    assert filled("Handle,Title,Image Src\nmug,Mug,", pictures(mug="packshot detail")) == (
        f"Handle,Title,Image Src\nmug,Mug,{URL}/mug/packshot-1.jpg\nmug,,{URL}/mug/detail-1.jpg"
    )


def test_the_newer_names_are_known(pictures: Pictures) -> None:
    text = "Title;URL handle;SKU;Product image URL;Image position;Variant image URL\nMug;mug;M-1;;;\n"
    url = f"{URL}/M-1/packshot-1.jpg"
    assert filled(text, pictures(M_1="packshot")).endswith(f"\nMug;mug;M-1;{url};1;{url}\n")


def test_pictures_that_the_feed_has_in_further_places_stay(pictures: Pictures) -> None:
    text = (
        "Handle,Title,Variant SKU,Image Src,Image Position\n"
        "mug,Mug,M-1,https://cdn.shopify.com/a.jpg,1\n"
        "mug,,,https://cdn.shopify.com/sizes.jpg,2\n"
    )
    assert filled(text, pictures(M_1="packshot")) == text.replace(
        "https://cdn.shopify.com/a.jpg", f"{URL}/M-1/packshot-1.jpg"
    )


def test_the_next_release_takes_the_place_of_the_one_before(pictures: Pictures) -> None:
    text = f"{HEAD}\nmug,Mug,M-1,,,,,active\n"
    first = filled(text, pictures(1, M_1="packshot studio detail"))
    second = filled(first, pictures(2, M_1="packshot"))
    assert second == (
        f'{HEAD}\nmug,Mug,M-1,{URL}/M-1/packshot-2.jpg,1,"M-1, ""packshot""",{URL}/M-1/packshot-2.jpg,active\n'
        'mug,,,,,"",,\nmug,,,,,"",,\n'
    ), "ours of before are taken out of the gallery, the rows stay"
    assert filled(second, pictures(3, M_1="packshot studio")).count(f"{URL}/M-1/") == 3


def test_sizes_that_share_their_pictures_show_them_once(pictures: Pictures) -> None:
    import dataclasses

    shared = pictures(M_S="packshot", M_L="packshot")
    (small,), (large,) = shared.by_sku["M-S"], shared.by_sku["M-L"]
    same = dataclasses.replace(large, sha256=small.sha256)
    both = dataclasses.replace(shared, by_sku={"M-S": (small,), "M-L": (same,)})
    text = "Handle,Title,Variant SKU,Image Src,Variant Image\nmug,Mug,M-S,,\nmug,,M-L,,\n"
    assert filled(text, both).count(small.url) == 3, "once in the gallery, once for each variant"


def test_what_is_not_matched_is_told(pictures: Pictures) -> None:
    text = f"{HEAD}\nmug,Mug,M-1,,,,,\ncup,Cup,C-1,,,,,\nbroken,row\n\n"
    done = fill_feed(text.encode(), pictures(M_1="packshot", X_9="packshot"), "products.csv")
    assert (done.kind, done.filled, done.unknown, done.unused) == ("shopify", ("M-1",), ("C-1",), ("X-9",))
    assert done.notes == ("Record 4 has 2 fields instead of 8.",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Handle,Title,Variant SKU\nmug,Mug,M-1\n", "no column Image Src"),
        ("sku,name\n1,2\n", "no feed that is known"),
        ("", "no feed that is known"),
        ('Handle,Title,Image Src\nmug,"Mug,\n', "never closed"),
    ],
)
def test_a_feed_that_cannot_be_filled_is_refused(pictures: Pictures, text: str, said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        fill_feed(text.encode(), pictures(M_1="packshot"), "products.csv")


def test_bytes_in_no_known_encoding_are_refused(pictures: Pictures) -> None:
    with pytest.raises(CatalogueError, match="save it as UTF-8"):
        fill_feed(b"Handle,Title,Image Src\nmug,\xff\xff,\n", pictures(M_1="packshot"), "products.csv")
