"""`zimage feed fill`: a release's pictures in the shop's file, replaced whole, and what did not match is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli_feeds import app
from tasks.order import ProductionOrder
from tasks.runtime import opened_rooms, rooms
from zimage_core.errors import CatalogueError, ConfigurationError, ZImageError
from zimage_core.publishing.channels import load_channels
from zimage_core.publishing.manifest import Manifest, ManifestEntry, build_manifest
from zimage_core.publishing.release import publish_release

PICTURE = b"picture"
PLAIN = next(slug for slug, channel in sorted(load_channels().items()) if not channel.overlay_allowed)
LOUD = next(slug for slug, channel in sorted(load_channels().items()) if channel.overlay_allowed)
FEED = "Handle,Title,Variant SKU,Image Src\r\nmug,Mug,M-1,\r\ncup,Cup,C-1,\r\n"
FILLED = FEED.replace("M-1,", "M-1,https://img.example/img/m.jpg")


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZIMAGE_PUBLISH_PUBLIC_URL", "https://img.example/")
    (tmp_path / "shop.csv").write_bytes(FEED.encode())
    (tmp_path / "google.tsv").write_bytes(b"id\ttitle\timage_link\nM-1\tMug\t\n")
    (tmp_path / "release.json").write_bytes(manifest().data)
    with opened_rooms():
        yield


def manifest() -> Manifest:
    import hashlib

    sha = hashlib.sha256(PICTURE).hexdigest()
    return build_manifest(
        "618",
        [
            ManifestEntry(sku, "packshot", channel, "img/m.jpg", sha, len(PICTURE), 800, 800, "image/jpeg", "Mug", "A")
            for sku in ("M-1", "X-9")
            for channel in (PLAIN, LOUD)
        ],
    )


def fill(*words: str) -> str:
    result = CliRunner().invoke(app, ["fill", *words], catch_exceptions=True)
    if isinstance(result.exception, ZImageError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_feed_is_filled_in_place_and_once() -> None:
    said = fill("shop.csv", "--manifest", "release.json", "--channel", PLAIN, "--out", "shop.csv")
    assert Path("shop.csv").read_bytes() == FILLED.encode()
    assert said.splitlines() == [
        "No picture for C-1.",
        "Not in the feed: X-9.",
        "shop.csv: pictures of 1 SKUs, 1 changes.",
    ]
    before = Path("shop.csv").stat().st_ino
    assert "0 changes" in fill("shop.csv", "--manifest", "release.json", "-c", PLAIN, "--out", "shop.csv")
    assert Path("shop.csv").stat().st_ino == before, "nothing is written where nothing changes"
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == [
        "google.tsv",
        "release.json",
        "shop.csv",
    ]


def test_the_live_release_of_a_promotion_is_taken() -> None:
    store = rooms(ProductionOrder(catalogue="-")).cdn
    store.put("img/m.jpg", PICTURE, content_type="image/jpeg")
    publish_release(store, manifest())
    fill("shop.csv", "--promotion", "618", "--channel", PLAIN, "--out", "filled.csv")
    assert Path("filled.csv").read_bytes() == FILLED.encode()
    assert Path("shop.csv").read_bytes() == FEED.encode()


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["shop.csv", "-c", PLAIN], ConfigurationError, "--manifest FILE, or --promotion"),
        (["shop.csv", "-c", "nowhere", "--manifest", "release.json"], ConfigurationError, "no picture for nowhere"),
        (["google.tsv", "-c", LOUD, "--manifest", "release.json"], ConfigurationError, "prices and badges"),
        (["shop.csv", "-c", PLAIN, "-p", "everyday"], ConfigurationError, "Nothing of everyday is live"),
        (["missing.csv", "-c", PLAIN, "--manifest", "release.json"], CatalogueError, "cannot be read"),
        (["release.json", "-c", PLAIN, "--manifest", "release.json"], CatalogueError, "no feed that is known"),
    ],
)
def test_what_cannot_be_done_is_said(words: list[str], error: type[ZImageError], said: str) -> None:
    with pytest.raises(error, match=said):
        fill(*words, "--out", "out.csv")
    assert not Path("out.csv").exists()


def test_a_channel_of_ones_own_is_judged_by_its_own_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("own.yaml").write_text(
        f"{PLAIN}: {{like: {LOUD}}}\n{LOUD}: {{like: {LOUD}, overlay_allowed: false, ai: {{}}}}\n"
    )
    monkeypatch.setenv("ZIMAGE_CHANNELS", "own.yaml")
    with pytest.raises(ConfigurationError, match="prices and badges"):
        fill("google.tsv", "-c", PLAIN, "--manifest", "release.json", "--out", "out.tsv")
    fill("google.tsv", "-c", LOUD, "--manifest", "release.json", "--out", "out.tsv")
    assert Path("out.tsv").read_text().endswith("\thttps://img.example/img/m.jpg\n")
