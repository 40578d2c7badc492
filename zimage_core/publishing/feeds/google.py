"""Google's product data: which picture goes into which attribute, and the feed as text (TSV, CSV)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from zimage_core.catalogue.feed_columns import GOOGLE
from zimage_core.errors import CatalogueError
from zimage_core.publishing.feeds.delimited_text import DelimitedText, Edits
from zimage_core.publishing.feeds.pictures import LIFESTYLE, FeedPicture, FeedPictures

MAX_ADDITIONAL: Final = 10
"""https://support.google.com/merchants/answer/6324370"""


@dataclass(frozen=True, slots=True)
class GoogleLinks:
    """The attributes of one item; None leaves what the feed has."""

    image: str | None
    lifestyle: str | None
    additional: tuple[str, ...]


def google_links(
    pictures: Sequence[FeedPicture], had_additional: Sequence[str], ours: FeedPictures, *, lifestyle: bool
) -> GoogleLinks:
    """Return where each picture goes: the first that is no staged scene on `image_link`, a staged one on
    `lifestyle_image_link` where the feed has it (`lifestyle`), the others behind them.

    Additional links that the feed had and that are not ours stay, behind ours, as far as ten allow.
    """
    image = next((one for one in pictures if one.scene not in LIFESTYLE), None)
    staged = next((one for one in pictures if one.scene in LIFESTYLE), None) if lifestyle else None
    rest = [one.url for one in pictures if one not in (image, staged)]
    kept = [url for url in had_additional if url and not ours.is_ours(url) and url not in rest]
    return GoogleLinks(
        None if image is None else image.url,
        None if staged is None else staged.url,
        tuple((rest + kept)[:MAX_ADDITIONAL]),
    )


class GoogleTextFeed:
    """One feed being filled; `known` are the SKUs it has, `notes` what was left as it was."""

    def __init__(self, feed: DelimitedText, pictures: FeedPictures, name: str) -> None:
        self.feed = feed
        self.pictures = pictures
        self.known: dict[str, None] = {}
        self.notes: list[str] = []
        found = {field: feed.column(*names) for field, names in GOOGLE.items()}
        if found["sku"] is None or found["image"] is None:
            raise CatalogueError(f"{name} has no column {'id' if found['sku'] is None else 'image_link'}; add it.")
        self._sku, self._image = found["sku"], found["image"]
        self._lifestyle, self._additional = found["lifestyle"], found["additional"]

    def fill(self, edits: Edits) -> None:
        """Say which cells change."""
        for number, row in enumerate(self.feed.rows(), 2):
            if len(row) != len(self.feed.headers):
                if len(row) > 1 or self.feed.value(row[0]).strip():
                    self.notes.append(f"Record {number} has {len(row)} fields instead of {len(self.feed.headers)}.")
                continue
            sku = self.feed.value(row[self._sku]).strip()
            pictures = self.pictures.by_sku.get(sku, ())
            if sku:
                self.known[sku] = None
            if not pictures:
                continue
            had = () if self._additional is None else split_links(self.feed.value(row[self._additional]))
            links = google_links(pictures, had, self.pictures, lifestyle=self._lifestyle is not None)
            if links.image is None:
                self.notes.append(f"{sku} has staged pictures only, so image_link stays as it is.")
            else:
                self.feed.set_cell(edits, row[self._image], links.image)
            if self._lifestyle is not None and links.lifestyle is not None:
                self.feed.set_cell(edits, row[self._lifestyle], links.lifestyle)
            if self._additional is not None and tuple(had) != links.additional:
                self.feed.set_cell(edits, row[self._additional], ",".join(links.additional))


def split_links(text: str) -> tuple[str, ...]:
    """Return the links of a cell: parted by commas, which a link itself has to hold as %2C."""
    return tuple(link.strip() for link in text.split(",") if link.strip())
