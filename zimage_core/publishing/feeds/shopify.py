"""Shopify's product CSV: the gallery of each product, its alt texts, and the picture of each variant.

A product is the rows of one handle. Its pictures (those of all its SKUs, in the order of its rows) take the first
places of the gallery, a row each and none twice (the sizes of a product often share their pictures). Where there are
more pictures than rows, rows with nothing but handle and picture are added behind the product's last. A picture that
the feed had in a further place stays there, unless we wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zimage_core.catalogue.feed_columns import SHOPIFY
from zimage_core.errors import CatalogueError
from zimage_core.publishing.feeds.delimited_text import DelimitedText, Edits, Span
from zimage_core.publishing.feeds.pictures import FeedPicture, FeedPictures

Row = Sequence[Span]


@dataclass(frozen=True, slots=True)
class _Columns:
    handle: int
    image: int
    sku: int | None
    position: int | None
    alt: int | None
    variant_image: int | None


class ShopifyFeed:
    """One feed being filled; `known` are the SKUs it has, `notes` what was left as it was."""

    def __init__(self, feed: DelimitedText, pictures: FeedPictures, name: str) -> None:
        self.feed = feed
        self.pictures = pictures
        self.columns = _columns(feed, name)
        self.known: dict[str, None] = {}
        self.notes: list[str] = []

    def fill(self, edits: Edits) -> None:
        """Say which cells change and which rows are added."""
        for handle, rows in self._products().items():
            skus = self._skus(rows) or [handle]
            self.known.update(dict.fromkeys(skus))
            gallery: dict[str, FeedPicture] = {}
            for picture in (one for sku in skus for one in self.pictures.by_sku.get(sku, ())):
                gallery.setdefault(picture.sha256, picture)
            if gallery:
                self._fill_variants(edits, rows, gallery)
                self._fill_gallery(edits, rows, list(gallery.values()))

    def _products(self) -> dict[str, list[Row]]:
        """Return the whole rows of each handle; a row without one belongs to the product above it."""
        products: dict[str, list[Row]] = {}
        handle = ""
        for number, row in enumerate(self.feed.rows(), 2):
            if len(row) != len(self.feed.headers):
                if len(row) > 1 or self.feed.value(row[0]).strip():
                    self.notes.append(f"Record {number} has {len(row)} fields instead of {len(self.feed.headers)}.")
                continue
            handle = self._said(row, self.columns.handle) or handle
            if handle:
                products.setdefault(handle, []).append(row)
        return products

    def _skus(self, rows: Sequence[Row]) -> list[str]:
        said = (self._said(row, self.columns.sku) for row in rows)
        return list(dict.fromkeys(sku for sku in said if sku))

    def _fill_gallery(self, edits: Edits, rows: Sequence[Row], gallery: Sequence[FeedPicture]) -> None:
        columns = self.columns
        for place, (row, picture) in enumerate(zip(rows, gallery, strict=False), 1):
            self._set(edits, row, columns.image, picture.url)
            self._set(edits, row, columns.position, str(place))
            self._set(edits, row, columns.alt, picture.alt)
        for row in rows[len(gallery) :]:
            if self.pictures.is_ours(self._said(row, columns.image)):
                for column in (columns.image, columns.position, columns.alt):
                    self._set(edits, row, column, "")
        for place, picture in enumerate(gallery[len(rows) :], len(rows) + 1):
            end = rows[-1][-1][1]
            edits.replace((end, end), self.feed.line_end + self._added_row(rows[0], place, picture))

    def _added_row(self, first: Row, place: int, picture: FeedPicture) -> str:
        """Return a row with nothing but the handle, as it is written in the product's first row, and a picture."""
        start, end = first[self.columns.handle]
        cells = [""] * len(self.feed.headers)
        for column, value in (
            (self.columns.image, picture.url),
            (self.columns.position, str(place)),
            (self.columns.alt, picture.alt),
        ):
            if column is not None:
                cells[column] = self.feed.cell(value)
        cells[self.columns.handle] = self.feed.text[start:end]
        return self.feed.separator.join(cells)

    def _fill_variants(self, edits: Edits, rows: Sequence[Row], gallery: Mapping[str, FeedPicture]) -> None:
        for row in rows:
            found = self.pictures.by_sku.get(self._said(row, self.columns.sku))
            if found:
                self._set(edits, row, self.columns.variant_image, gallery[found[0].sha256].url)

    def _said(self, row: Row, column: int | None) -> str:
        return "" if column is None else self.feed.value(row[column]).strip()

    def _set(self, edits: Edits, row: Row, column: int | None, value: str) -> None:
        if column is not None:
            self.feed.set_cell(edits, row[column], value)


def _columns(feed: DelimitedText, name: str) -> _Columns:
    found = {field: feed.column(*names) for field, names in SHOPIFY.items()}
    handle, image = found["handle"], found["image"]
    if handle is None or image is None:
        raise CatalogueError(
            f"{name} has no column {' or '.join(SHOPIFY['image' if handle is not None else 'handle'])}, so there is no "
            "place for pictures; export the products with it, or add it."
        )
    return _Columns(handle, image, found["sku"], found["position"], found["alt"], found["variant_image"])
