"""When a promotion is over, and what takes the place of its prices."""

from __future__ import annotations

import dataclasses
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from zimage_core.errors import ConfigurationError, PromptError, PublishError
from zimage_core.prompting import PromptLibrary
from zimage_core.publishing.expiry import (
    PlainLibrary,
    ends_at,
    is_over,
    plain_manifest,
    plain_promotion,
    writes_something,
    zone_of,
)
from zimage_core.publishing.manifest import ManifestEntry, build_manifest
from zimage_core.settings import load_settings

LIBRARY = PromptLibrary.load(load_settings().prompts_dir)


def entry(sku: str, channel: str, name: str) -> ManifestEntry:
    return ManifestEntry(
        sku, "studio", channel, f"img/{sku}-{channel}-{name}.webp", "0" * 64, 9, 8, 8, "image/webp", "", "A"
    )


@pytest.mark.parametrize(
    ("zone", "over"),
    [
        ("Asia/Shanghai", datetime(2027, 6, 20, 16, 0, tzinfo=UTC)),
        ("America/Los_Angeles", datetime(2027, 6, 21, 7, 0, tzinfo=UTC)),
        ("UTC", datetime(2027, 6, 21, tzinfo=UTC)),
    ],
)
def test_a_promotion_is_over_at_midnight_where_its_customers_live(zone: str, over: datetime) -> None:
    promotion = LIBRARY.promotion("618")
    assert ends_at(promotion, zone_of(zone)) == over
    assert is_over(promotion, over, zone_of(zone))
    assert not is_over(promotion, over - timedelta(seconds=1), zone_of(zone))


@pytest.mark.parametrize("name", ["Mars/Base", "", "../etc/passwd", "/etc/localtime"])
def test_a_zone_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no time zone"):
        zone_of(name)


def test_a_plain_promotion_writes_nothing_and_is_the_same_otherwise() -> None:
    found = LIBRARY.promotion("618")
    plain = PlainLibrary(LIBRARY.files).promotion("618")
    assert plain == plain_promotion(found)
    style = {"badge_zh": found.badge_zh, "badge_en": found.badge_en, "price_style": found.price_style}
    assert dataclasses.replace(plain, **style) == found  # type: ignore[arg-type]
    assert [writes_something(LIBRARY.promotion(slug)) for slug in ("618", "everyday")] == [True, False]
    assert PlainLibrary(LIBRARY.files).fingerprint == LIBRARY.fingerprint


def test_the_plain_set_has_the_places_of_the_live_one_and_no_others() -> None:
    live = build_manifest("618", [entry("A", "shopify", "tagged"), entry("B", "jd", "tagged")])
    plain = [entry(sku, channel, "plain") for sku in "ABC" for channel in ("jd", "shopify")]
    made = plain_manifest(live, plain, public_url="https://cdn.example.cn")
    assert [(e.sku, e.channel, e.key) for e in made.entries] == [
        ("A", "shopify", "img/A-shopify-plain.webp"),
        ("B", "jd", "img/B-jd-plain.webp"),
    ]
    assert made.entries[0].url == "https://cdn.example.cn/img/A-shopify-plain.webp"
    assert made.promotion == "618"


def test_a_file_without_a_plain_one_is_told_unless_it_was_refused() -> None:
    live = build_manifest("618", [entry(f"S{n}", "shopify", "tagged") for n in range(8)])
    plain = [entry("S0", "shopify", "plain")]
    with pytest.raises(PublishError, match=r"7 files of 618 .*: S1 studio for shopify; .* and 2 more"):
        plain_manifest(live, plain)
    refused = [(f"S{n}", "studio", "shopify") for n in range(1, 8)]
    assert [e.sku for e in plain_manifest(live, plain, without=refused).entries] == ["S0"]
    with pytest.raises(PublishError, match="nothing to publish"):
        plain_manifest(live, [], without=[("S0", "studio", "shopify"), *refused])


def test_a_badge_that_is_banned_by_now_can_still_be_taken_down(tmp_path: Path):
    prompts = shutil.copytree(load_settings().prompts_dir, tmp_path / "prompts")
    written = prompts / "promotions" / "618.yaml"
    written.write_text(written.read_text().replace("badge_zh: 618年中大促", "badge_zh: 全网最低价"))
    library = PromptLibrary.load(prompts)
    with pytest.raises(PromptError, match="may not stand there"):
        library.promotion("618")
    assert writes_something(library.promotion_as_written("618"))
    assert not writes_something(PlainLibrary(library.files).promotion("618"))
