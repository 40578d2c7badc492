"""The manifest: the files of one release, by SKU, scene and channel, in bytes that depend on nothing else.

A release is its manifest: `release_id` is the hash of these bytes, so publishing the same pictures again is the same
release. Keys of files hold a hash of their content, so they never change and may be cached for ever.

Format `zimage-manifest/2` is described by `manifest.schema.json` (JSON Schema 2020-12). Manifests of
`zimage-manifest/1`, which knew neither URLs, labels nor srcset, are read, and gone back to, but not written any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from zimage_core.domain import GradeLetter, Rendition, SceneName
from zimage_core.errors import PublishError, StorageError
from zimage_core.storage import check_key

FORMAT: Final = "zimage-manifest/2"
MAX_MANIFEST_BYTES: Final = 256 * 2**20
"""About 200,000 files; larger bytes are not looked into."""
_HASH_DIGITS = 16
_OLD_FIELDS: Final = frozenset(
    ("sku", "scene", "channel", "key", "sha256", "size_bytes", "width_px", "height_px", "media_type", "alt_text")
) | {"grade"}

_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
_Text = Annotated[str, StringConstraints(max_length=10_000)]
_Count = Annotated[int, Field(ge=1, le=2**53 - 1)]
_STRICT: Final = ConfigDict(extra="forbid")


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class FileLabels:
    """What a file says of its making; see `domain.Labels`."""

    digital_source_type: _Name
    ai_generated: bool
    visible: bool


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class SrcsetEntry:
    """The same picture in another size. `url` is None where no public address is configured."""

    key: _Name
    sha256: _Sha256
    size_bytes: _Count
    width_px: _Count
    height_px: _Count
    media_type: _Name
    url: _Name | None = None


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class ManifestEntry:
    """One file of a release: where it is, what its bytes hash to, and what a shop page needs to show it.

    `labels` is None for files of releases made before labels were listed; `srcset` are the same picture's other sizes.
    """

    sku: _Name
    scene: SceneName
    channel: _Slug
    key: _Name
    sha256: _Sha256
    size_bytes: _Count
    width_px: _Count
    height_px: _Count
    media_type: _Name
    alt_text: _Text
    grade: GradeLetter
    url: _Name | None = None
    labels: FileLabels | None = None
    srcset: tuple[SrcsetEntry, ...] = ()

    @classmethod
    def of(cls, rendition: Rendition, grade: GradeLetter) -> ManifestEntry:
        """Return the entry of a rendition whose picture got this grade. Raises PublishError for one it cannot list."""
        try:
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
                labels=None if rendition.labels is None else FileLabels(**asdict(rendition.labels)),
                srcset=tuple(
                    SrcsetEntry(f.object_key, f.sha256, f.size_bytes, f.width_px, f.height_px, f.media_type)
                    for f in rendition.srcset
                ),
            )
        except ValidationError as error:
            raise PublishError(
                f"{rendition.object_key} cannot be listed: {_first(error)}.", sku=rendition.sku
            ) from None

    def files(self) -> tuple[ManifestEntry | SrcsetEntry, ...]:
        """Return the file itself and its other sizes."""
        return (self, *self.srcset)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of one release, sorted by SKU, scene and channel; `data` are the bytes that are stored.

    With a `channel` it is the part of a release that this channel shows, and may be empty.
    """

    promotion: str
    entries: tuple[ManifestEntry, ...]
    data: bytes
    channel: str | None = None

    @property
    def release_id(self) -> str:
        """16 hex digits over the bytes."""
        return hashlib.sha256(self.data).hexdigest()[:_HASH_DIGITS]

    @property
    def key(self) -> str:
        """Where the manifest is stored, never to change."""
        folder = f"releases/{self.promotion}" + ("" if self.channel is None else f"/channels/{self.channel}")
        return f"{folder}/{self.release_id}.json"

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that have files here, sorted."""
        return tuple(sorted({entry.channel for entry in self.entries}))

    def files(self) -> dict[str, ManifestEntry | SrcsetEntry]:
        """Return every file by its key: renditions and their other sizes."""
        return {file.key: file for entry in self.entries for file in entry.files()}


def rendition_key(
    slug: str, scene: SceneName, channel: str, width_px: int, height_px: int, sha256: str, extension: str
) -> str:
    """Return `img/{slug}/{scene}-{channel}-{w}x{h}.{sha16}.{ext}`. Raises StorageError if that is not a key."""
    if "/" in slug:
        raise StorageError(f"The SKU slug {slug!r} holds a slash; make it with catalogue.path_safe.")
    return check_key(f"img/{slug}/{scene}-{channel}-{width_px}x{height_px}.{sha256[:_HASH_DIGITS]}.{extension}")


def public_file_url(public_url: str, key: str) -> str:
    """Return where readers find a key over HTTP. Raises PublishError when `public_url` is no plain http(s) address."""
    try:
        parts = urlsplit(public_url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        plain = False
    if not plain or not public_url.isprintable() or {*public_url} & {*"?# "}:
        raise PublishError("The public URL is no http or https address of a folder; see ZIMAGE_PUBLISH_PUBLIC_URL.")
    return f"{public_url.rstrip('/')}/{quote(key)}"


def build_manifest(promotion: str, entries: Iterable[ManifestEntry], *, public_url: str | None = None) -> Manifest:
    """Return the manifest of these files, whatever their order; with `public_url` every file gets its own URL.

    Raises PublishError when there is none, when two different files claim one SKU, scene and channel, or when a key, a
    URL or the promotion's name cannot be stored.
    """
    manifest = _build(promotion, (_located(entry, public_url) for entry in entries), None)
    if not manifest.entries:
        raise PublishError(
            f"There is nothing to publish for {promotion!r}: a release without files would empty the shop."
        )
    return manifest


def channel_manifest(manifest: Manifest, channel: str) -> Manifest:
    """Return the part of a release that one channel shows; without files where the release has none for it."""
    return _build(manifest.promotion, (entry for entry in manifest.entries if entry.channel == channel), channel)


def empty_part_key(promotion: str, channel: str) -> str:
    """Return where the part of a channel is stored for which a promotion has no files."""
    return _build(promotion, (), channel).key


def parse_manifest(data: bytes) -> Manifest:
    """Return a manifest from its stored bytes, which need not be ours.

    Raises PublishError, and nothing else, when they are not one, byte for byte; more than 256 MiB are not looked into.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise PublishError(f"These bytes are not a manifest: {len(data):,} of them are too many.")
    try:
        read = _DOCUMENT.validate_json(data, strict=True)
    except ValidationError as error:
        raise PublishError(
            f"These bytes are not a manifest of the format {FORMAT} or older: {_first(error)}."
        ) from None
    channel = read.channel if isinstance(read, _Document) else None
    manifest = _build(read.promotion, read.files, channel, read.format)
    if manifest.data != data:
        raise PublishError("The manifest is not in its canonical form: somebody else wrote or changed it.")
    if not manifest.entries and channel is None:
        raise PublishError("These bytes are not a manifest: it lists no files.")
    return manifest


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema of what is written now; `manifest.schema.json` beside this module holds the same."""
    schema = TypeAdapter(_Document).json_schema(ref_template="#/$defs/{model}", mode="serialization")
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FORMAT}
    return schema | about


# ---------------------------------------------------------------- the stored form


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class _OldDocument:
    format: Literal["zimage-manifest/1"]
    promotion: _Name
    files: tuple[ManifestEntry, ...]


@checked_dataclass(frozen=True, slots=True, config=_STRICT)
class _Document:
    """The files of one release of a promotion, or of its part for one channel."""

    format: Literal["zimage-manifest/2"]
    promotion: _Name
    channel: _Slug | None
    files: tuple[ManifestEntry, ...]


_DOCUMENT: TypeAdapter[_OldDocument | _Document] = TypeAdapter(
    Annotated[_OldDocument | _Document, Field(discriminator="format")]
)


def _build(promotion: str, entries: Iterable[ManifestEntry], channel: str | None, form: str = FORMAT) -> Manifest:
    places: dict[tuple[str, str, str], ManifestEntry] = {}
    if "/" in promotion:
        raise PublishError(f"The promotion's name {promotion!r} holds a slash; it becomes one segment of a path.")
    _storable(f"releases/{promotion}/0.json")
    for entry in entries:
        place = (entry.sku, entry.scene, entry.channel)
        if places.setdefault(place, entry) != entry:
            raise PublishError(
                f"Two files claim the scene {entry.scene} for {entry.channel}: {places[place].key} and {entry.key}.",
                sku=entry.sku,
            )
        if channel not in (None, entry.channel):
            raise PublishError(f"A file for {entry.channel} stands in the manifest of {channel}.", sku=entry.sku)
        for file in entry.files():
            _storable(file.key)
            _check_url(file)
    ordered = tuple(places[place] for place in sorted(places))
    return Manifest(promotion, ordered, _canonical(form, promotion, channel, ordered), channel)


def _canonical(form: str, promotion: str, channel: str | None, entries: tuple[ManifestEntry, ...]) -> bytes:
    files = [asdict(entry) for entry in entries]
    document: dict[str, object] = {"format": form, "promotion": promotion, "channel": channel, "files": files}
    if form != FORMAT:
        del document["channel"]
        document["files"] = [{name: file[name] for name in file if name in _OLD_FIELDS} for file in files]
    try:
        return (json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1) + "\n").encode("utf-8")
    except UnicodeEncodeError as error:
        raise PublishError(f"A text of the release holds half a surrogate pair: {error.reason}.") from error


def _located(entry: ManifestEntry, public_url: str | None) -> ManifestEntry:
    if public_url is None:
        return entry
    sizes = tuple(replace(size, url=public_file_url(public_url, size.key)) for size in entry.srcset)
    return replace(entry, url=public_file_url(public_url, entry.key), srcset=sizes)


def _check_url(file: ManifestEntry | SrcsetEntry) -> None:
    if file.url is None:
        return
    start = file.url.removesuffix("/" + quote(file.key))
    if start == file.url or public_file_url(start, file.key) != file.url:
        raise PublishError(f"The URL listed for {file.key} does not lead to that key.")


def _storable(key: str) -> None:
    try:
        check_key(key)
    except StorageError as error:
        raise PublishError(error.sentence) from error


def _first(error: ValidationError) -> str:
    """Return the first things that are wrong, without the values: they may be anything, and any number."""
    wrong = [f"{'.'.join(map(str, e['loc'])) or 'the whole'}: {e['msg']}" for e in error.errors(include_input=False)]
    return "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
