"""The door: any feed that is known becomes the same feed with the release's pictures in it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Final

from zimage_core.catalogue.feed_columns import shop_columns
from zimage_core.errors import CatalogueError
from zimage_core.publishing.feeds.delimited_text import DelimitedText, Edits, decoded
from zimage_core.publishing.feeds.filled import FeedKind, Filled
from zimage_core.publishing.feeds.google import GoogleTextFeed
from zimage_core.publishing.feeds.google_xml import GoogleXmlFeed
from zimage_core.publishing.feeds.pictures import FeedPictures
from zimage_core.publishing.feeds.shopify import ShopifyFeed

_DECLARED: Final = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")


def kind_of_feed(data: bytes, name: str) -> FeedKind:
    """Return what feed this is, by its contents. Raises CatalogueError for one that is not known."""
    if _is_xml(data):
        return "google_xml"
    text, _ = decoded(data, name)
    found = shop_columns(DelimitedText(text, name).headers)
    if found is None:
        raise CatalogueError(
            f"{name} is no feed that is known: neither Shopify's product CSV (Handle, Title, Image Src) nor Google's "
            "product data (id, title, image_link; or XML)."
        )
    return "shopify" if found.shop == "shopify" else "google_text"


def fill_feed(data: bytes, pictures: FeedPictures, name: str) -> Filled:
    """Return the feed with the pictures in it. Every byte that is not a picture's stays what it is.

    Filling what was filled changes nothing. Raises CatalogueError for a feed that is not known, is damaged, or has no
    place for pictures.
    """
    kind = kind_of_feed(data, name)
    if kind == "google_xml":
        return _fill_xml(data, pictures, name)
    text, encoding = decoded(data, name)
    delimited, edits = DelimitedText(text, name), Edits()
    feed = ShopifyFeed(delimited, pictures, name) if kind == "shopify" else GoogleTextFeed(delimited, pictures, name)
    feed.fill(edits)
    new = edits.applied(text).encode(encoding)
    return _filled(kind, new, len(edits), feed.known, pictures, feed.notes)


def _fill_xml(data: bytes, pictures: FeedPictures, name: str) -> Filled:
    encoding = _xml_encoding(data)
    try:
        text = data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        raise CatalogueError(f"{name} says that it is {encoding}, but it is not; save it as UTF-8.") from None
    if text.encode(encoding) != data:
        raise CatalogueError(f"{name} could not be written again byte for byte as {encoding}; save it as UTF-8.")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    feed = GoogleXmlFeed(text.removeprefix(mark).encode(), pictures, name)
    new, changes = feed.filled()
    return _filled("google_xml", (mark + new.decode()).encode(encoding), changes, feed.known, pictures, feed.notes)


def _filled(
    kind: FeedKind, data: bytes, changes: int, known: Iterable[str], pictures: FeedPictures, notes: list[str]
) -> Filled:
    skus = dict.fromkeys(known)
    return Filled(
        kind,
        data,
        changes,
        filled=tuple(sku for sku in skus if sku in pictures.by_sku),
        unknown=tuple(sku for sku in skus if sku not in pictures.by_sku),
        unused=tuple(sku for sku in pictures.by_sku if sku not in skus),
        notes=tuple(notes),
    )


def _is_xml(data: bytes) -> bool:
    head = data[:200].replace(b"\x00", b"")
    for mark in (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        head = head.removeprefix(mark)
    return head.lstrip().startswith(b"<")


def _xml_encoding(data: bytes) -> str:
    """Return the encoding of an XML text by its mark, else by its declaration, else UTF-8 (XML 1.0, appendix F)."""
    if data.startswith((codecs.BOM_UTF16_LE, b"<\x00")):
        return "utf-16-le"
    if data.startswith((codecs.BOM_UTF16_BE, b"\x00<")):
        return "utf-16-be"
    declared = _DECLARED.match(data[:500].removeprefix(codecs.BOM_UTF8))
    return "utf-8" if data.startswith(codecs.BOM_UTF8) or declared is None else declared[1].decode()
