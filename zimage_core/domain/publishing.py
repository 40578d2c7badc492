"""Files for channels, and the releases they make up."""

from __future__ import annotations

from dataclasses import dataclass

from zimage_core.domain.names import SceneName


@dataclass(frozen=True, slots=True)
class Rendition:
    """A sized, encoded, labelled file for one channel."""

    rendition_id: str
    shot_id: str
    attempt_id: str
    sku: str
    scene: SceneName
    channel: str
    object_key: str
    sha256: str
    size_bytes: int
    width_px: int
    height_px: int
    media_type: str
    alt_text: str


@dataclass(frozen=True, slots=True)
class Release:
    """One published set. `manifest_key` lists its files; the pointer of its promotion names at most one release."""

    release_id: str
    promotion: str
    manifest_key: str
    rendition_count: int
