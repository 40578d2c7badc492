"""How headers are compared, and which of them the feeds of shops have."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Shop = Literal["shopify", "google"]

SHOPIFY: Final[Mapping[str, tuple[str, ...]]] = {
    "handle": ("Handle", "URL handle"),
    "sku": ("Variant SKU", "SKU"),
    "name": ("Title",),
    "price": ("Variant Price", "Price"),
    "original_price": ("Variant Compare At Price", "Compare-at price"),
    "brand": ("Vendor",),
    "category": ("Type", "Product Category"),
    "image": ("Image Src", "Product image URL"),
    "position": ("Image Position",),
    "alt": ("Image Alt Text",),
    "variant_image": ("Variant Image", "Variant image URL"),
}
"""https://help.shopify.com/en/manual/products/import-export/using-csv: the older names first, then the newer ones."""

GOOGLE: Final[Mapping[str, tuple[str, ...]]] = {
    "sku": ("id",),
    "name": ("title",),
    "price": ("price",),
    "sale_price": ("sale price",),
    "brand": ("brand",),
    "category": ("product type", "google product category"),
    "color": ("color",),
    "material": ("material",),
    "selling_points": ("product highlight",),
    "image": ("image link",),
    "additional": ("additional image link",),
    "lifestyle": ("lifestyle image link",),
}
"""https://support.google.com/merchants/answer/7052112, with blanks, underscores, or a `g:` before."""

_SIGNS: Final[Mapping[Shop, tuple[str, ...]]] = {
    "shopify": ("Variant SKU", "Variant Price", "Image Src", "Product image URL", "Variant image URL"),
    "google": ("image link", "additional image link", "google product category", "availability", "gtin"),
}


def header_key(header: str) -> str:
    """Return the form in which headers are compared: half width, lower case, letters and digits only."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", header).casefold())


def feed_key(header: str) -> str:
    """Return the form in which headers of feeds are compared: `header_key` without Google's `g:`."""
    return header_key(header.strip().removeprefix("g:"))


@dataclass(frozen=True, slots=True)
class ShopColumns:
    """Whose feed it is, and which of its columns stands for what: the names of SHOPIFY or GOOGLE → headers."""

    shop: Shop
    columns: Mapping[str, str]


def shop_columns(headers: Sequence[str]) -> ShopColumns | None:
    """Return whose feed these headers are of, None where they are no shop's.

    Shopify: a handle, a title and one column that only its exports have. Google: an id, a title and one of its own,
    and no column that is called SKU.
    """
    by_key = {feed_key(header): header for header in reversed(headers)}
    for shop, names, needed in (("shopify", SHOPIFY, ("handle", "name")), ("google", GOOGLE, ("sku", "name"))):
        shop_name: Shop = "shopify" if shop == "shopify" else "google"
        found = {
            name: by_key[feed_key(alias)]
            for name, aliases in names.items()
            for alias in reversed(aliases)
            if feed_key(alias) in by_key
        }
        own_sku = shop == "google" and "sku" in by_key
        signed = any(feed_key(sign) in by_key for sign in _SIGNS[shop_name])
        if all(name in found for name in needed) and signed and not own_sku:
            return ShopColumns(shop_name, found)
    return None
