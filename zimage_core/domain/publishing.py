"""Files for channels, and the releases they make up."""

from __future__ import annotations

from dataclasses import dataclass

from zimage_core.domain.names import SceneName


@dataclass(frozen=True, slots=True)
class Labels:
    """What a file says of its making: the IPTC DigitalSourceType (a URI), whether the TC260 AIGC label is in it, and
    whether an AI label is drawn where people see it.
    """

    digital_source_type: str
    ai_generated: bool
    visible: bool = False


@dataclass(frozen=True, slots=True)
class SizedFile:
    """The same picture in another size, for a web page's `srcset`. The rendition's own file is not among them."""

    object_key: str
    sha256: str
    size_bytes: int
    width_px: int
    height_px: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Rendition:
    """A sized, encoded, labelled file for one channel. `labels` is None where it was made before they were kept."""

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
    labels: Labels | None = None
    srcset: tuple[SizedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """One published set. `manifest_key` lists its files; the pointer of its promotion names at most one release."""

    release_id: str
    promotion: str
    manifest_key: str
    rendition_count: int
