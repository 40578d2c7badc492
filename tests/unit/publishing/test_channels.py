"""Channel rules are data with sources; a wrong rule is named before anything is planned by it."""

from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path

import pytest

from zimage_core.domain import content_id
from zimage_core.errors import ConfigurationError
from zimage_core.publishing.channels import STRENGTHS, channel_named, known_channels, load_channels

GOOD = """
shop:
  width_px: 800
  height_px: 800
  min_short_side_px: 700
  format: jpeg
  max_bytes: 1000000
  scenes: [packshot]
  background: white
  min_fill_ratio: 0.8
  overlay_allowed: false
  language: en
  verified_on: 2026-11-21
  sources: {size: "our decision"}
"""


SHIPPED = load_channels()


def test_the_shipped_channels_are_those_of_the_promise() -> None:
    asked = {
        "taobao_main", "tmall_main", "tmall_detail", "jd_main", "pinduoduo_main", "amazon_main", "amazon_secondary",
        "google_merchant", "shopify", "walmart_main", "ebay", "instagram_square", "instagram_portrait",
        "wechat_moments", "poster_main", "poster_detail", "poster_social",
    }  # fmt: skip
    assert asked <= set(SHIPPED)
    amazon = SHIPPED["amazon_main"]
    assert (amazon.background, amazon.min_fill_ratio, amazon.overlay_allowed) == ("white", 0.85, False)
    assert amazon.scenes == ("packshot",)
    square, upright = SHIPPED["instagram_square"], SHIPPED["instagram_portrait"]
    assert (square.width_px, square.height_px) == (1080, 1080)
    assert upright.width_px / upright.height_px == 4 / 5


# sha256 over the rules that decide a file, as they were when the first releases were made with these five channels.
IDS_BEFORE = {
    "taobao_main": "0479e1d64371d0f3",
    "tmall_detail": "0fb0c927375044d5",
    "amazon_main": "ba366f0c2a0262a6",
    "shopify": "5bb1494c8c1fdb2d",
    "wechat_moments": "65eb99a46e8a1e43",
}


@pytest.mark.parametrize("slug", IDS_BEFORE)
def test_what_decides_a_file_of_the_first_five_channels_is_what_it_was(slug: str) -> None:
    channel = SHIPPED[slug]
    assert content_id(channel.drawing_rules) == IDS_BEFORE[slug]
    looked_up = dataclasses.replace(channel, source="again", sources=(), verified_on=date(2030, 1, 1), market="eu")
    assert content_id(looked_up.drawing_rules) == IDS_BEFORE[slug]
    assert content_id(dataclasses.replace(channel, max_bytes=99_999).drawing_rules) != IDS_BEFORE[slug]


@pytest.mark.parametrize("slug", SHIPPED)
def test_every_shipped_channel_says_how_sure_it_is_of_what_and_since_when(slug: str) -> None:
    channel = SHIPPED[slug]
    assert channel.verified_on.year >= 2026
    assert all(text.startswith(STRENGTHS) for _, text in channel.sources)
    said = {"size", "max_bytes", "ai"}
    said |= {"background"} if channel.background == "white" else set()
    said |= {"min_fill_ratio"} if channel.min_fill_ratio else set()
    said |= {"overlay_allowed"} if not channel.overlay_allowed else set()
    said |= {"border_allowed"} if not channel.border_allowed else set()
    said |= {"watermark_allowed"} if not channel.watermark_allowed else set()
    said |= {"aspects"} if channel.aspects else set()
    assert said <= set(dict(channel.sources))
    assert channel.source_of("size") in channel.source


@pytest.mark.parametrize("slug", SHIPPED)
def test_a_shipped_channel_takes_the_very_files_that_are_made_for_it(slug: str) -> None:
    channel = SHIPPED[slug]
    assert channel.format in (channel.allowed_formats or (channel.format,))
    assert max(channel.width_px, channel.height_px) <= channel.max_side_px
    assert channel.min_short_side_px <= min(channel.width_px, channel.height_px)


def test_a_good_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "channels.yaml"
    path.write_text(GOOD, encoding="utf-8")
    assert load_channels(path)["shop"].source == "size: our decision"


@pytest.mark.parametrize(
    ("was", "becomes", "sentence"),
    [
        ("format: jpeg", "format: bmp", r"shop\.format"),
        ("[packshot]", "[packshoot]", r"shop\.scenes\.0"),
        ("width_px: 800", "width: 800", r"shop\.width_px: Field required"),
        ("min_short_side_px: 700", "min_short_side_px: 900", "larger than the picture's own short side"),
        ("background: white", "background: any", "min_fill_ratio can only be measured on a white background"),
        ("{size:", "{sise:", "names rules that do not exist: sise"),
        ("shop:", "'../shop':", "channel name '../shop' may hold"),
        ("shop:", "shop: [", "is not YAML"),
        ('"our decision"', '"a friend said so"', "the source of size must begin with one of: official"),
        ("language: en", "language: en\n  allowed_formats: [png]", "does not name jpeg"),
        ("language: en", "language: en\n  max_side_px: 799", "is not within min_long_side_px and max_side_px"),
        ("language: en", "language: en\n  aspects: [0.5, 0.8]", "is not within aspects"),
        ("language: en", "language: en\n  market: mars", r"shop\.market"),
        ("language: en", "language: en\n  ai: {labels: [visible]}", "a visible AI label is wanted where overlay_allo"),
        ("  width_px: 800", "  like: nowhere\n  width_px: 800", "shop is like 'nowhere', which is no channel"),
    ],
)
def test_a_wrong_rule_is_named(tmp_path: Path, was: str, becomes: str, sentence: str) -> None:
    path = tmp_path / "channels.yaml"
    path.write_text(GOOD.replace(was, becomes, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=sentence):
        load_channels(path)


def test_an_empty_or_missing_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="the file: "):
        load_channels(tmp_path / "empty.yaml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_channels(tmp_path / "none.yaml")


OWN = """
amazon_main:
  like: amazon_main
  max_bytes: 500_000
our_app:
  like: taobao_main
  width_px: 900
  height_px: 900
  sources: {size: "official: the app team, 2026-10"}
our_app_small:
  like: our_app
  width_px: 720
  height_px: 720
"""


def test_a_channel_of_ones_own_is_beside_the_shipped_ones_and_wins_over_its_namesake(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN, encoding="utf-8")
    known = known_channels(path)
    assert list(known)[: len(SHIPPED)] == list(SHIPPED)
    assert known["amazon_main"].max_bytes == 500_000
    assert known["amazon_main"].min_fill_ratio == SHIPPED["amazon_main"].min_fill_ratio
    assert known["ebay"] == SHIPPED["ebay"]
    assert known_channels() == SHIPPED
    assert channel_named("our_app", path).width_px == 900
    with pytest.raises(ConfigurationError, match="There is no channel 'our_app'; known: taobao_main"):
        channel_named("our_app")


def test_a_rule_that_differs_does_not_borrow_the_source_of_the_rule_it_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN, encoding="utf-8")
    own = load_channels(path)
    assert own["amazon_main"].source_of("max_bytes") == "our decision"
    assert own["amazon_main"].source_of("background") == SHIPPED["amazon_main"].source_of("background")
    assert own["our_app"].source_of("size") == "official: the app team, 2026-10"
    assert own["our_app_small"].source_of("size") == "our decision"
    assert (own["our_app_small"].max_bytes, own["our_app_small"].market) == (3_000_000, "cn")


def test_bytes_that_are_no_text_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"shop: \xff\xfe")
    with pytest.raises(ConfigurationError, match=r"mine\.yaml is not UTF-8 text"):
        load_channels(path)


def test_the_guide_names_every_shipped_channel() -> None:
    guide = (Path(__file__).resolve().parents[3] / "docs" / "channels.md").read_text(encoding="utf-8")
    assert [slug for slug in SHIPPED if f"\n| `{slug}` |" not in guide] == []
