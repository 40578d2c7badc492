"""What any picture file says of itself: labels by name and meaning, content credential, profile, and what is missing.

Nothing is believed: the file may be anybody's. It is decoded once, so that what is damaged is called unreadable; XML
tricks are refused; a credential that is only named by a URL is not fetched.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms

from zimage_core.errors import ConfigurationError, PublishError
from zimage_core.imaging.encode import srgb_profile
from zimage_core.imaging.pixels import read_photo
from zimage_core.publishing.credentials import Credential, read_credential
from zimage_core.publishing.seal import aigc_fields
from zimage_core.publishing.xmp import all_properties, alternatives, packet_of, parse_packet, simple_property

MAX_MEGAPIXELS = 200.0

# IPTC Digital Source Type NewsCodes, version 2024-10-23, shortened.
_SOURCE_TYPES = {
    "trainedAlgorithmicMedia": "made by generative AI",
    "compositeWithTrainedAlgorithmicMedia": "a picture with parts made by generative AI",
    "compositeSynthetic": "a composite with at least one part made by generative AI",
    "composite": "a composite of several elements",
    "algorithmicMedia": "made by a program that was not trained on data",
    "algorithmicallyEnhanced": "corrected by a program, its content unchanged",
    "digitalCapture": "a photo by a digital camera",
    "computationalCapture": "a photo by a camera that computes its pictures from several",
    "digitalCreation": "drawn by a person on a computer",
    "humanEdits": "edited by a person",
    "compositeCapture": "a composite of photos",
    "screenCapture": "a picture of a screen",
}
_GENERATED = frozenset({"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic"})
_MEANINGS = {
    "Iptc4xmpExt:DigitalSourceType": "how the picture came to be (IPTC)",
    "Iptc4xmpExt:AISystemUsed": "the AI that made pixels (IPTC)",
    "Iptc4xmpExt:AISystemVersionUsed": "its version (IPTC)",
    "Iptc4xmpExt:AIPromptInformation": "the words it was given (IPTC)",
    "Iptc4xmpExt:AIPromptWriterName": "who wrote them (IPTC)",
    "Iptc4xmpCore:AltTextAccessibility": "what it shows, for those who cannot see it (IPTC)",
    "Iptc4xmpCore:ExtDescrAccessibility": "the same at length (IPTC)",
    "TC260:AIGC": "AI label of China (GB 45438-2025)",
    "xmpMM:DocumentID": "the content id of the finished picture",
    "xmpMM:InstanceID": "the id of this file",
    "xmp:CreatorTool": "the program that made it",
    "dc:creator": "its author",
    "dc:rights": "whose rights",
    "dc:description": "a description",
    "photoshop:Credit": "whom to credit",
    "dcterms:provenance": "where its content credential lies",
}
_AIGC_MEANINGS = {
    "Label": "is it AI-made",
    "ContentProducer": "who answers for its making",
    "ProduceID": "the maker's number for it",
    "ReservedCode1": "the maker's proof, if any",
    "ContentPropagator": "who spread it; platforms fill this",
    "PropagateID": "the spreader's number for it",
    "ReservedCode2": "the spreader's proof, if any",
}
_AIGC_LABELS = {"1": "it is", "2": "it may be", "3": "it is suspected to be"}
_AIGC_REQUIRED = ("Label", "ContentProducer", "ProduceID")


@dataclass(frozen=True, slots=True)
class Told:
    """One thing a file says: the property's name, its value, and what that means in words."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What one file carries. `missing` are sentences about labels a published picture has and this one has not;
    `problems` are sentences about what it carries but cannot be read or does not hold.

    `profile` describes its ICC profile, None = it has none. `alt_texts` are (language tag, text).
    """

    file: str
    format: str
    media_type: str
    width_px: int
    height_px: int
    size_bytes: int
    sha256: str
    transparent: bool
    profile: str | None
    labels: tuple[Told, ...]
    aigc: tuple[Told, ...]
    alt_texts: tuple[tuple[str, str], ...]
    content_id: str | None
    credential: Credential | None
    missing: tuple[str, ...]
    problems: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON-ready dicts and lists."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Xmp:
    properties: tuple[tuple[str, str], ...] = ()
    source_type: str | None = None
    aigc: tuple[tuple[str, str], ...] = ()
    alt_texts: tuple[tuple[str, str], ...] = ()
    content_id: str | None = None
    there: bool = False


def inspect_file(path: Path) -> Inspection:
    """Return what a JPEG, PNG, WebP, AVIF, TIFF or BMP file carries.

    Raises ImageError when it cannot be read, is damaged, of another format, or above 200 megapixels.
    """
    photo = read_photo(path, max_megapixels=MAX_MEGAPIXELS)
    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        picture_format, size, icc = image.format or "", image.size, image.info.get("icc_profile")
    media_type = Image.MIME.get(picture_format, "application/octet-stream")
    problems: list[str] = []
    xmp = _xmp(data, problems)
    credential = _credential(data, media_type, problems)
    return Inspection(
        file=str(path),
        format=picture_format.lower(),
        media_type=media_type,
        width_px=size[0],
        height_px=size[1],
        size_bytes=len(data),
        sha256=photo.sha256,
        transparent=photo.alpha is not None,
        profile=_profile(icc),
        labels=tuple(Told(name, value, _meaning(name, value)) for name, value in xmp.properties),
        aigc=tuple(Told(name, value, _aigc_meaning(name, value)) for name, value in xmp.aigc),
        alt_texts=xmp.alt_texts,
        content_id=xmp.content_id,
        credential=credential,
        missing=tuple(_missing(xmp, icc is not None, credential)),
        problems=tuple(problems),
    )


def lines_of(told: Inspection) -> tuple[str, ...]:
    """Return what a person reads of an inspection, one line each, the file's name first."""
    shown = "with transparency" if told.transparent else "opaque"
    lines = [
        told.file,
        f"  {told.format}, {told.width_px} x {told.height_px} px, {told.size_bytes} bytes, {shown}",
        f"  sha256 {told.sha256}",
        f"  profile: {told.profile or 'none'}",
    ]
    if told.labels:
        lines.append("  labels (XMP):")
        lines += [f"    {label.name} = {_shortened(label.value)}  [{label.meaning}]" for label in told.labels]
    if told.aigc:
        lines.append("  TC260 AIGC:")
        lines += [f"    {field.name} = {_shortened(field.value) or '-'}  [{field.meaning}]" for field in told.aigc]
    if told.credential is not None:
        lines += _credential_lines(told.credential)
    lines += [f"  missing: {sentence}" for sentence in told.missing]
    lines += [f"  problem: {sentence}" for sentence in told.problems]
    return tuple(lines)


def _credential_lines(credential: Credential) -> list[str]:
    validity = {
        "trusted": "valid, its issuer is trusted",
        "valid": "valid, its issuer is on no trust list here",
        "invalid": f"INVALID: {', '.join(credential.problems) or 'no reason given'}",
    }[credential.state]
    when = credential.signed_at or "undated"
    source_type = _code(credential.digital_source_type)
    return [
        f"  content credential (C2PA): {validity}",
        f"    signed by {credential.signed_by or 'nobody named'} ({credential.algorithm}, {when})",
        f"    made by {credential.generator or 'nothing named'}",
        f"    actions: {', '.join(credential.actions) or 'none'}; {source_type or 'no digital source type'}",
    ]


def _xmp(data: bytes, problems: list[str]) -> _Xmp:
    try:
        packet = packet_of(data)
    except PublishError:
        return _Xmp()  # said among what is missing
    try:
        root = parse_packet(packet)
    except PublishError as error:
        problems.append(error.sentence)
        return _Xmp(there=True)
    aigc: tuple[tuple[str, str], ...] = ()
    try:
        aigc = aigc_fields(simple_property(root, "TC260", "AIGC"))
    except PublishError as error:
        problems.append(error.sentence)
    return _Xmp(
        properties=all_properties(root),
        source_type=simple_property(root, "Iptc4xmpExt", "DigitalSourceType"),
        aigc=aigc,
        alt_texts=alternatives(root, "Iptc4xmpCore", "AltTextAccessibility"),
        content_id=simple_property(root, "xmpMM", "DocumentID"),
        there=True,
    )


def _credential(data: bytes, media_type: str, problems: list[str]) -> Credential | None:
    try:
        credential = read_credential(data, media_type)
    except (PublishError, ConfigurationError) as error:
        problems.append(error.sentence)
        return None
    if credential is not None and credential.state == "invalid":
        problems.append(
            "The content credential does not hold: the file was changed after it was signed, or badly signed."
        )
    return credential


def _missing(xmp: _Xmp, has_profile: bool, credential: Credential | None) -> list[str]:
    sentences = [] if has_profile else ["A colour profile: programs may take the colours for another space."]
    if not xmp.there:
        sentences.append("An XMP packet: the file says nothing of how it was made; saving it again strips it.")
    else:
        if xmp.source_type is None:
            sentences.append("IPTC DigitalSourceType: nothing says whether AI made it.")
        if not any(text for _, text in xmp.alt_texts):
            sentences.append("An alternative text (IPTC AltTextAccessibility).")
        if not xmp.content_id:
            sentences.append("A content id (xmpMM:DocumentID): the file cannot be traced to its making.")
        sentences += _missing_of_generated(xmp)
    if credential is None:
        sentences.append("A content credential (C2PA), which is optional.")
    return sentences


def _missing_of_generated(xmp: _Xmp) -> list[str]:
    """What a picture that says it was made by generative AI should carry beside."""
    if _code(xmp.source_type) not in _GENERATED:
        return []
    sentences = []
    names = {name for name, _ in xmp.properties}
    if "TC260:AIGC" not in names:
        sentences.append("TC260:AIGC, which China asks of AI-made pictures (GB 45438-2025).")
    elif empty := [name for name in _AIGC_REQUIRED if not dict(xmp.aigc).get(name)]:
        sentences.append(f"{', '.join(empty)} in TC260:AIGC.")
    if "Iptc4xmpExt:AISystemUsed" not in names:
        sentences.append("The AI system that made it (IPTC AISystemUsed).")
    return sentences


def _profile(icc: bytes | None) -> str | None:
    if icc is None:
        return None
    if icc == srgb_profile():
        return f"sRGB ({len(icc)} bytes, as zimage embeds it)"
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return f"{ImageCms.getProfileDescription(opened).strip()} ({len(icc)} bytes)"
    except (ImageCms.PyCMSError, OSError, ValueError):
        return f"unreadable ({len(icc)} bytes)"


def _meaning(name: str, value: str) -> str:
    if name == "Iptc4xmpExt:DigitalSourceType":
        return _SOURCE_TYPES.get(_code(value), "a type that is not in IPTC's list of 2024-10-23")
    return _MEANINGS.get(name, "not a label we know")


def _aigc_meaning(name: str, value: str) -> str:
    meaning = _AIGC_MEANINGS.get(name, "not one of the standard's fields")
    return f"{meaning}: {_AIGC_LABELS.get(value, 'a value the standard does not name')}" if name == "Label" else meaning


def _code(source_type: str | None) -> str:
    """Return the last part of a digital source type's URI, http or https alike."""
    return (source_type or "").rpartition("/")[2]


def _shortened(value: str) -> str:
    one_line = " ".join(value.split())
    return one_line if len(one_line) <= 160 else f"{one_line[:157]}..."
