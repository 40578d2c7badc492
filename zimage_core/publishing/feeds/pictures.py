"""The pictures of a release that go into a feed: by SKU, in the order in which a shop shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zimage_core.domain import Channel, SceneName
from zimage_core.errors import ConfigurationError
from zimage_core.publishing.manifest import ManifestEntry, public_file_url

ORDER: Final[tuple[SceneName, ...]] = ("packshot", "studio", "detail", "flat_lay", "lifestyle", "model_wear")
LIFESTYLE: Final[frozenset[SceneName]] = frozenset({"lifestyle", "model_wear"})
MAX_ALT_CHARS: Final = 512
"""Shopify's limit for alt text: https://help.shopify.com/en/manual/products/import-export/using-csv."""


@dataclass(frozen=True, slots=True)
class FeedPicture:
    """One picture of a SKU: where it is, what it shows in words, its scene, and the hash of its bytes."""

    url: str
    alt: str
    scene: SceneName
    sha256: str


@dataclass(frozen=True, slots=True)
class FeedPictures:
    """A release's pictures by SKU, the one to show first first; `ours`: how each URL of ours begins, old or new."""

    by_sku: Mapping[str, tuple[FeedPicture, ...]]
    ours: str

    def is_ours(self, url: str) -> bool:
        """Tell whether a URL in a feed is one that we wrote, for whatever release."""
        return url.strip().startswith(self.ours)


def feed_pictures(
    entries: Sequence[ManifestEntry], channels: Sequence[str], *, public_url: str | None, key_prefix: str = "img/"
) -> FeedPictures:
    """Return the pictures of these channels, by channel in the order given, then by scene (`ORDER`).

    Raises ConfigurationError without a public address, and when the release has no picture for these channels.
    """
    if public_url is None:
        raise ConfigurationError("A feed needs ZIMAGE_PUBLISH_PUBLIC_URL: it names pictures by their public address.")
    ranked = sorted(
        (entry for entry in entries if entry.channel in channels),
        key=lambda entry: (entry.sku, channels.index(entry.channel), ORDER.index(entry.scene)),
    )
    if not ranked:
        known = ", ".join(sorted({entry.channel for entry in entries})) or "none"
        raise ConfigurationError(
            f"The release has no picture for {' or '.join(channels) or 'no channel'}; it has those for {known}."
        )
    by_sku: dict[str, list[FeedPicture]] = {}
    for entry in ranked:
        url, alt = public_file_url(public_url, entry.key), entry.alt_text[:MAX_ALT_CHARS]
        by_sku.setdefault(entry.sku, []).append(FeedPicture(url, alt, entry.scene, entry.sha256))
    ours = public_file_url(public_url, key_prefix)
    return FeedPictures({sku: tuple(found) for sku, found in by_sku.items()}, ours)


def require_no_overlay(names: Sequence[str], channels: Mapping[str, Channel]) -> None:
    """Raise ConfigurationError for a channel whose pictures may carry prices and badges, which Google takes nowhere.

    https://support.google.com/merchants/answer/6324350: no promotional text on image_link, nor on additional images.
    """
    for name in names:
        if name not in channels:
            raise ConfigurationError(f"There is no channel '{name}'; the channels are {', '.join(sorted(channels))}.")
        if channels[name].overlay_allowed:
            plain = ", ".join(sorted(slug for slug, one in channels.items() if not one.overlay_allowed))
            raise ConfigurationError(
                f"Pictures for {name} may carry prices and badges, which Google takes on none; use one of {plain}."
            )
