"""Channel rules are data with sources; a wrong rule is named before anything is planned by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from zimage_core.errors import ConfigurationError
from zimage_core.publishing.channels import load_channels

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


def test_the_shipped_channels_are_the_promised_five() -> None:
    channels = load_channels()
    assert list(channels) == ["taobao_main", "tmall_detail", "amazon_main", "shopify", "wechat_moments"]
    for slug, channel in channels.items():
        assert channel.slug == slug
        assert channel.min_short_side_px <= min(channel.width_px, channel.height_px)
    amazon = channels["amazon_main"]
    assert (amazon.background, amazon.min_fill_ratio, amazon.overlay_allowed) == ("white", 0.85, False)
    assert amazon.scenes == ("packshot",)


def test_every_shipped_channel_says_how_sure_it_is_and_since_when() -> None:
    for channel in load_channels().values():
        assert channel.verified_on.year >= 2026
        strengths = ("official", "third party", "unverified", "our decision")
        assert all(any(strength in part for strength in strengths) for part in channel.source.split("; ")[:1])


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
