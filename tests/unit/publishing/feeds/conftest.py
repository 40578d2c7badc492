"""Pictures of a release for a feed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zimage_core.domain import SceneName
from zimage_core.publishing.feeds import FeedPictures, feed_pictures
from zimage_core.publishing.manifest import ManifestEntry

BASE = "https://img.example"


def entry(sku: str, scene: SceneName = "packshot", channel: str = "plain", release: int = 1) -> ManifestEntry:
    import hashlib

    sha = hashlib.sha256(f"{sku} {scene} {channel} {release}".encode()).hexdigest()
    return ManifestEntry(
        sku=sku,
        scene=scene,
        channel=channel,
        key=f"img/{sku}/{scene}-{release}.jpg",
        sha256=sha,
        size_bytes=1000,
        width_px=800,
        height_px=800,
        media_type="image/jpeg",
        alt_text=f'{sku}, "{scene}"',
        grade="A",
    )


@pytest.fixture
def pictures() -> Callable[..., FeedPictures]:
    """Make a release's pictures: `sku="packshot lifestyle"`, the number of the release first."""

    def made(release: int = 1, /, **scenes: str) -> FeedPictures:
        entries = [
            entry(sku.replace("_", "-"), scene, release=release)  # type: ignore[arg-type]
            for sku, names in scenes.items()
            for scene in names.split()
        ]
        return feed_pictures(entries, ["plain"], public_url=BASE)

    return made
