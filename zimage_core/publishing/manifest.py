"""The manifest: the files of one release, by SKU, scene and channel, in bytes that depend on nothing else.

A release is its manifest: `release_id` is the hash of these bytes, so publishing the same pictures again is the same
release. Keys of files hold a hash of their content, so they never change and may be cached for ever.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from zimage_core.domain import GradeLetter, Rendition, SceneName
from zimage_core.errors import PublishError, StorageError
from zimage_core.storage import check_key

FORMAT = "zimage-manifest/1"
_HASH_DIGITS = 16


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class ManifestEntry:
    """One file of a release: where it is, what its bytes hash to, and what a shop page needs to show it."""

    sku: str
    scene: SceneName
    channel: str
    key: str
    sha256: str
    size_bytes: int
    width_px: int
    height_px: int
    media_type: str
    alt_text: str
    grade: GradeLetter

    @classmethod
    def of(cls, rendition: Rendition, grade: GradeLetter) -> ManifestEntry:
        """Return the entry of a rendition whose picture got this grade."""
        return cls(
            sku=rendition.sku,
            scene=rendition.scene,
            channel=rendition.channel,
            key=rendition.object_key,
            sha256=rendition.sha256,
            size_bytes=rendition.size_bytes,
            width_px=rendition.width_px,
            height_px=rendition.height_px,
            media_type=rendition.media_type,
            alt_text=rendition.alt_text,
            grade=grade,
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of one release, sorted by SKU, scene and channel; `data` are the bytes that are stored."""

    promotion: str
    entries: tuple[ManifestEntry, ...]
    data: bytes

    @property
    def release_id(self) -> str:
        """16 hex digits over the bytes."""
        return hashlib.sha256(self.data).hexdigest()[:_HASH_DIGITS]

    @property
    def key(self) -> str:
        """Where the manifest is stored, never to change."""
        return f"releases/{self.promotion}/{self.release_id}.json"


def rendition_key(
    slug: str, scene: SceneName, channel: str, width_px: int, height_px: int, sha256: str, extension: str
) -> str:
    """Return `img/{slug}/{scene}-{channel}-{w}x{h}.{sha16}.{ext}`. Raises StorageError if that is not a key."""
    if "/" in slug:
        raise StorageError(f"The SKU slug {slug!r} holds a slash; make it with catalogue.path_safe.")
    return check_key(f"img/{slug}/{scene}-{channel}-{width_px}x{height_px}.{sha256[:_HASH_DIGITS]}.{extension}")


def build_manifest(promotion: str, entries: Iterable[ManifestEntry]) -> Manifest:
    """Return the manifest of these files, whatever their order.

    Raises PublishError when there is none, when two different files claim one SKU, scene and channel, or when a key or
    the promotion's name cannot be stored.
    """
    places: dict[tuple[str, str, str], ManifestEntry] = {}
    for entry in entries:
        place = (entry.sku, entry.scene, entry.channel)
        if places.setdefault(place, entry) != entry:
            raise PublishError(
                f"Two files claim the scene {entry.scene} for {entry.channel}: {places[place].key} and {entry.key}.",
                sku=entry.sku,
            )
        _storable(entry.key)
    if not places:
        raise PublishError(
            f"There is nothing to publish for {promotion!r}: a release without files would empty the shop."
        )
    if "/" in promotion:
        raise PublishError(f"The promotion's name {promotion!r} holds a slash; it becomes one segment of a path.")
    _storable(f"releases/{promotion}/0.json")
    ordered = tuple(places[place] for place in sorted(places))
    return Manifest(promotion, ordered, _canonical(promotion, ordered))


def parse_manifest(data: bytes) -> Manifest:
    """Return a manifest from its stored bytes. Raises PublishError when they are not one, byte for byte."""
    try:
        raw = json.loads(data)
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise PublishError(f"These bytes are not a manifest of the format {FORMAT}.")
        manifest = build_manifest(str(raw.get("promotion", "")), _ENTRIES.validate_python(raw.get("files")))
    except (json.JSONDecodeError, UnicodeDecodeError, ValidationError) as error:
        raise PublishError(f"These bytes are not a manifest: {error}.") from error
    if manifest.data != data:
        raise PublishError("The manifest is not in its canonical form: somebody else wrote or changed it.")
    return manifest


_ENTRIES = TypeAdapter(tuple[ManifestEntry, ...])


def _canonical(promotion: str, entries: tuple[ManifestEntry, ...]) -> bytes:
    document = {"format": FORMAT, "promotion": promotion, "files": [asdict(entry) for entry in entries]}
    return (json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode("utf-8")


def _storable(key: str) -> None:
    try:
        check_key(key)
    except StorageError as error:
        raise PublishError(error.sentence) from error
