"""Google's product data gets its links, as text and as XML, and nothing else of it changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zimage_core.errors import CatalogueError, ConfigurationError
from zimage_core.publishing.channels import load_channels
from zimage_core.publishing.feeds import FeedPictures, fill_feed, require_no_overlay

Pictures = Callable[..., FeedPictures]
URL = "https://img.example/img/M-1"
HEAD = "id\ttitle\timage_link\tadditional_image_link\tlifestyle_image_link\tprice"


def filled(text: str | bytes, pictures: FeedPictures) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    done = fill_feed(data, pictures, "google")
    again = fill_feed(done.data, pictures, "google")
    assert (again.data, again.changes) == (done.data, 0), "a second run gives no difference"
    return done.data.decode()


def test_each_picture_goes_where_google_wants_it(pictures: Pictures) -> None:
    text = f"{HEAD}\nM-1\tMug\thttps://a.example/old.jpg\t\t\t59.00 USD\nM-2\tCup\t\t\t\t9.00 USD\n"
    assert filled(text, pictures(M_1="packshot lifestyle detail")) == (
        f"{HEAD}\nM-1\tMug\t{URL}/packshot-1.jpg\t{URL}/detail-1.jpg\t{URL}/lifestyle-1.jpg\t59.00 USD\n"
        "M-2\tCup\t\t\t\t9.00 USD\n"
    )


def test_without_a_column_for_staged_pictures_they_are_additional(pictures: Pictures) -> None:
    text = "id,title,image link,additional image link\nM-1,Mug,,https://a.example/own.jpg\n"
    assert filled(text, pictures(M_1="lifestyle packshot model_wear")) == (
        f"id,title,image link,additional image link\nM-1,Mug,{URL}/packshot-1.jpg,"
        f'"{URL}/lifestyle-1.jpg,{URL}/model_wear-1.jpg,https://a.example/own.jpg"\n'
    )


def test_a_staged_picture_alone_is_no_main_picture(pictures: Pictures) -> None:
    text = f"{HEAD}\nM-1\tMug\thttps://a.example/old.jpg\t\t\t\n"
    done = fill_feed(text.encode(), pictures(M_1="lifestyle"), "google.tsv")
    assert b"https://a.example/old.jpg" in done.data
    assert "image_link stays" in done.notes[0]


def test_no_more_than_ten_additional_pictures(pictures: Pictures) -> None:
    had = ",".join(f"https://a.example/{n}.jpg" for n in range(12))
    links = filled(f"{HEAD}\nM-1\tMug\t\t{had}\t\t\n", pictures(M_1="packshot detail")).split("\n")[1].split("\t")
    assert links[3].count("https://") == 10
    assert links[3].startswith(f"{URL}/detail-1.jpg,https://a.example/0.jpg")


def test_the_next_release_takes_the_place_of_the_one_before(pictures: Pictures) -> None:
    first = filled(f"{HEAD}\nM-1\tMug\t\thttps://a.example/own.jpg\t\t\n", pictures(1, M_1="packshot detail studio"))
    second = filled(first, pictures(2, M_1="packshot"))
    assert second == f"{HEAD}\nM-1\tMug\t{URL}/packshot-2.jpg\thttps://a.example/own.jpg\t\t\n"


XML = """<?xml version='1.0' encoding='{encoding}'?>
<!-- kept as it is -->
<rss version="2.0"   xmlns:g="http://base.google.com/ns/1.0">
  <channel><title>Shop &amp; Co</title>
    <item>
      <g:id>M-1</g:id>
      <g:title><![CDATA[Mug <big>]]></g:title>{links}
      <g:price >59.00 USD</g:price >
    </item>
    <item><g:id>M-2</g:id><title>杯</title><g:image_link/></item>
  </channel>
</rss>
"""


def xml(links: str = "", encoding: str = "utf-8") -> str:
    return XML.format(links=links, encoding=encoding)


def links(image: str, *additional: str, lifestyle: str | None = None) -> str:
    found = [("image_link", image)] + ([("lifestyle_image_link", lifestyle)] if lifestyle else [])
    found += [("additional_image_link", url) for url in additional]
    return "".join(f"\n      <g:{name}>{url}</g:{name}>" for name, url in found)


def test_links_are_added_to_an_item_that_has_none(pictures: Pictures) -> None:
    done = filled(xml(), pictures(M_1="packshot lifestyle detail"))
    added = links(f"{URL}/packshot-1.jpg", f"{URL}/detail-1.jpg", lifestyle=f"{URL}/lifestyle-1.jpg")
    assert done == xml().replace("<g:id>M-1</g:id>", f"<g:id>M-1</g:id>{added}")


def test_links_that_are_there_are_set_and_those_too_many_removed(pictures: Pictures) -> None:
    before = links("https://a.example/old.jpg?a=1&amp;b=2", f"{URL}/packshot-0.jpg", "https://a.example/own.jpg", "")
    after = links(f"{URL}/packshot-1.jpg", "https://a.example/own.jpg")
    assert filled(xml(before), pictures(M_1="packshot")) == xml(after)


def test_an_empty_element_is_filled(pictures: Pictures) -> None:
    done = filled(xml(), pictures(M_2="packshot"))
    assert done == xml().replace(
        "<g:image_link/>", "<g:image_link>https://img.example/img/M-2/packshot-1.jpg</g:image_link>"
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_xml_stays_in_its_encoding(pictures: Pictures, encoding: str) -> None:
    named = "utf-8" if encoding == "utf-8-sig" else encoding
    release = pictures(M_1="packshot")
    done = fill_feed(xml(encoding=named).encode(encoding), release, "google.xml")
    wanted = fill_feed(xml(encoding=named).encode(), release, "google.xml") if named == "utf-8" else None
    assert done.changes == 1
    assert "杯" in done.data.decode(encoding)
    assert done.data.decode(encoding).encode(encoding) == done.data
    assert wanted is None or done.data == b"\xef\xbb\xbf" + wanted.data
    assert fill_feed(done.data, release, "google.xml").changes == 0


@pytest.mark.parametrize(
    "item",
    [
        '<id xmlns="http://base.google.com/ns/1.0">M-1</id>',
        '<x:id xmlns:x="http://base.google.com/ns/1.0">M-1</x:id>',
    ],
)
def test_a_namespace_that_is_declared_where_it_is_used_is_declared_again(pictures: Pictures, item: str) -> None:
    done = filled(f"<rss><channel><item>{item}</item></channel></rss>", pictures(M_1="packshot"))
    assert done.count(f"{URL}/packshot-1.jpg") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<!DOCTYPE r [<!ENTITY a "aaaa">]><rss><item>&a;</item></rss>', "document type"),
        ("<rss><item><id>1</id></item></rss>", "no <item>"),
        ("<rss><item>", "cannot be read as XML"),
        ('<?xml version="1.0" encoding="klingon"?><rss/>', "klingon"),
    ],
)
def test_xml_that_is_no_feed_is_refused(pictures: Pictures, text: str, said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        fill_feed(text.encode(), pictures(M_1="packshot"), "google.xml")


def test_pictures_that_may_carry_prices_do_not_go_to_google() -> None:
    channels = load_channels()
    loud = next(slug for slug, channel in channels.items() if channel.overlay_allowed)
    plain = next(slug for slug, channel in channels.items() if not channel.overlay_allowed)
    require_no_overlay([plain], channels)
    with pytest.raises(ConfigurationError, match="prices and badges"):
        require_no_overlay([plain, loud], channels)
    with pytest.raises(ConfigurationError, match="no channel 'nowhere'"):
        require_no_overlay(["nowhere"], channels)
