"""Expiry: when a promotion is over, the same pictures without badge and price take the place of those with them.

The plain set is made of the same accepted attempts; only the overlay is left out. It is released like any other, so it
is checked, noted and can be rolled back from. Making it early and holding it costs nothing but disk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from zimage_core.domain import PriceStyle, Promotion
from zimage_core.errors import ConfigurationError, PublishError
from zimage_core.prompting import PromptLibrary
from zimage_core.publishing.manifest import Manifest, ManifestEntry, build_manifest

_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class PlainLibrary(PromptLibrary):
    """A library in which no promotion writes anything over a picture."""

    def promotion(self, slug: str) -> Promotion:
        """Return the promotion without badge and price, which may be banned by now."""
        return plain_promotion(self.promotion_as_written(slug))


def plain_promotion(promotion: Promotion) -> Promotion:
    """Return a promotion that writes nothing over pictures, and is the same otherwise."""
    return dataclasses.replace(promotion, badge_zh="", badge_en="", price_style=PriceStyle(show=False))


def writes_something(promotion: Promotion) -> bool:
    """Tell whether a promotion writes anything over pictures that has to come down when it ends."""
    return plain_promotion(promotion) != promotion


def ends_at(promotion: Promotion, zone: ZoneInfo | None = None) -> datetime:
    """Return the moment at which a promotion is over: midnight after its last day, where its customers live."""
    return datetime.combine(promotion.ends + timedelta(days=1), time(), zone or zone_of(promotion.time_zone))


def is_over(promotion: Promotion, now: datetime, zone: ZoneInfo | None = None) -> bool:
    """Tell whether a promotion is over at this moment, which must know its time zone; `zone` None = its own."""
    return now >= ends_at(promotion, zone)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its IANA name, as in Asia/Shanghai. Raises ConfigurationError for a name nobody knows."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigurationError(f"There is no time zone {name!r}; an example is Asia/Shanghai.") from error


def plain_manifest(
    live: Manifest,
    plain: Iterable[ManifestEntry],
    *,
    without: Iterable[tuple[str, str, str]] = (),
    public_url: str | None = None,
) -> Manifest:
    """Return the manifest that takes the place of a live one: its SKUs, scenes and channels, in their plain files.

    `plain` may hold more; what is not live now does not go live by expiring. `without` are the
    (SKU, scene, channel) whose plain file was refused: there the file goes and none comes, because an old price is
    worse than no picture.

    Raises PublishError naming files of the live release that have no plain one.
    """
    wanted = {(entry.sku, entry.scene, entry.channel) for entry in live.entries}
    entries = [entry for entry in plain if (entry.sku, entry.scene, entry.channel) in wanted]
    missing = sorted(wanted - {(entry.sku, entry.scene, entry.channel) for entry in entries} - set(without))
    if missing:
        named = "; ".join(f"{sku} {scene} for {channel}" for sku, scene, channel in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise PublishError(
            f"{len(missing)} files of {live.promotion} have no plain one, so its prices would stay: {named}{more}."
        )
    return build_manifest(live.promotion, entries, public_url=public_url)
