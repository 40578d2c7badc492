"""The seal: machine-readable labels that say how a picture was made, in one XMP packet, written last and read back.

What goes in, and whose rule it is (looked up 2026-11-21):

    Iptc4xmpExt:DigitalSourceType       IPTC NewsCodes, 2024-10-23; Google Merchant Center asks for it
    Iptc4xmpExt:AISystemUsed, ...VersionUsed   IPTC Photo Metadata 2025.1; only where a trained model made pixels
    TC260:AIGC                          GB 45438-2025 and TC260-PG-20258A (China, in force since 2025-09-01): JSON with
                                        seven fields; Label 1 = is AI-generated. Only where a trained model made pixels
    Iptc4xmpCore:AltTextAccessibility   IPTC Photo Metadata 2021.1
    xmpMM:DocumentID                    the content id, so that a stray file can be traced back to its attempt

No clock, prompt or path goes in: equal facts give equal bytes, and prompts are business data. Ordinary re-saving strips
all of it, so nothing may touch a file after this.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

from zimage_core.domain import Language, Mode
from zimage_core.errors import PublishError
from zimage_core.publishing.xmp import NAMESPACES, alternatives, packet_of, parse_packet, simple_property

EngineKind = Literal["procedural", "trained"]
SourceType = Literal["exact", "trained"]

_SOURCE_TYPE_URI = "http://cv.iptc.org/newscodes/digitalsourcetype/"

# Engines that paint with formulas and hold no trained model. Any engine not named here counts as trained: a label too
# many is an inconvenience, a label too few is a breach.
PROCEDURAL_ENGINES = frozenset({"studio", "fault"})

# IPTC Digital Source Type NewsCodes, version 2024-10-23, by engine kind and mode. Definitions, shortened:
#   algorithmicallyEnhanced               correction by algorithm without changing the main content
#   composite                             composite of several elements, any of which may or may not be generative AI
#   algorithmicMedia                      made purely by an algorithm not based on any sampled training data
#   compositeWithTrainedAlgorithmicMedia  augmentation using a generative model, such as inpainting or outpainting
#   trainedAlgorithmicMedia               created using generative AI
# Not `compositeSynthetic` for the procedural kind: since 2024-09-17 it means "at least one element is generative AI".
_SOURCE_TYPES: dict[tuple[EngineKind, Mode], str] = {
    ("procedural", "packshot"): "algorithmicallyEnhanced",
    ("procedural", "stage"): "composite",
    ("procedural", "inpaint"): "composite",
    ("procedural", "text"): "algorithmicMedia",
    ("trained", "packshot"): "algorithmicallyEnhanced",  # a packshot is the photo on white, whatever engine is at hand
    ("trained", "stage"): "compositeWithTrainedAlgorithmicMedia",
    ("trained", "inpaint"): "compositeWithTrainedAlgorithmicMedia",
    ("trained", "text"): "trainedAlgorithmicMedia",
}

_LANGUAGE_TAGS: dict[Language, str] = {"zh": "zh-CN", "en": "en"}
_PACKET_ID = "W5M0MpCehiHzreSzNTczkc9d"  # fixed by the XMP specification, part 1, 7.3.2


@dataclass(frozen=True, slots=True)
class SealFacts:
    """What is known of a picture's making. `mode` is the mode that really made it (a change may have replaced it).

    `producer` is the organisation or system that answers for AI-made content (GB 45438 ContentProducer); `content_id`
    names the finished pixels; `text_drawn` says whether badge, price or caption were drawn over it, `visible_label`
    whether a label that people see is to be. `source_type` is "trained" for a channel that knows no composites: there
    everything with generated pixels is named trainedAlgorithmicMedia (Google Merchant Center's help asks for that one
    by name). `signed_by` is the fingerprint of the certificate that signs the file (`CredentialSigner.fingerprint`),
    empty where none does: it is not written, but another one makes another file.
    """

    engine: str
    engine_version: str
    mode: Mode
    content_id: str
    alt_text: str
    language: Language
    producer: str = "zimage"
    text_drawn: bool = False
    visible_label: bool = False
    source_type: SourceType = "exact"
    signed_by: str = ""


@dataclass(frozen=True, slots=True)
class Seal:
    """What a file says of itself. `aigc` are the seven TC260 fields by name; empty where no trained model was used."""

    digital_source_type: str
    content_id: str
    alt_text: str
    ai_system: str | None
    ai_system_version: str | None
    aigc: tuple[tuple[str, str], ...]


def engine_kind(engine: str) -> EngineKind:
    """Return whether an engine paints with formulas or with a trained model; unknown engines count as trained."""
    return "procedural" if engine in PROCEDURAL_ENGINES else "trained"


def digital_source_type(engine: str, mode: Mode, *, text_drawn: bool = False, named: SourceType = "exact") -> str:
    """Return the IPTC DigitalSourceType URI for a picture that `engine` made in `mode`.

    A packshot with text drawn over it is a composite of a photo and lettering; the other types already say more.
    """
    name = _SOURCE_TYPES[engine_kind(engine), mode]
    if text_drawn and name == "algorithmicallyEnhanced":
        name = "composite"
    if named == "trained" and name == "compositeWithTrainedAlgorithmicMedia":
        name = "trainedAlgorithmicMedia"
    return _SOURCE_TYPE_URI + name


def expected_seal(facts: SealFacts) -> Seal:
    """Return the seal a file with these facts must carry: what reading it back has to give."""
    made_by_model = engine_kind(facts.engine) == "trained" and facts.mode != "packshot"
    aigc = {
        "Label": "1",
        "ContentProducer": facts.producer,
        "ProduceID": facts.content_id,
        "ReservedCode1": "",
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    }
    return Seal(
        digital_source_type=digital_source_type(
            facts.engine,
            facts.mode,
            text_drawn=facts.text_drawn or facts.visible_label,
            named=facts.source_type,
        ),
        content_id=facts.content_id,
        alt_text=facts.alt_text,
        ai_system=facts.engine if made_by_model else None,
        ai_system_version=facts.engine_version if made_by_model else None,
        aigc=tuple(aigc.items()) if made_by_model else (),
    )


def seal_packet(facts: SealFacts) -> bytes:
    """Return the XMP packet (UTF-8) that `imaging.encode` embeds. Equal facts give equal bytes."""
    seal = expected_seal(facts)
    fields = [("Iptc4xmpExt:DigitalSourceType", seal.digital_source_type), ("xmpMM:DocumentID", seal.content_id)]
    if seal.ai_system is not None and seal.ai_system_version is not None:
        fields += [
            ("Iptc4xmpExt:AISystemUsed", seal.ai_system),
            ("Iptc4xmpExt:AISystemVersionUsed", seal.ai_system_version),
            ("TC260:AIGC", json.dumps(dict(seal.aigc), ensure_ascii=False, separators=(",", ":"))),
        ]
    lines = [f"   <{name}>{escape(text)}</{name}>" for name, text in fields]
    texts = "".join(
        f"<rdf:li xml:lang={quoteattr(tag)}>{escape(seal.alt_text)}</rdf:li>"
        for tag in ("x-default", _LANGUAGE_TAGS[facts.language])
    )
    lines.append(
        f"   <Iptc4xmpCore:AltTextAccessibility><rdf:Alt>{texts}</rdf:Alt></Iptc4xmpCore:AltTextAccessibility>"
    )
    names = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items() if prefix != "rdf")
    packet = [
        f'<?xpacket begin="\ufeff" id="{_PACKET_ID}"?>',
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
        f' <rdf:RDF xmlns:rdf="{NAMESPACES["rdf"]}">',
        f'  <rdf:Description rdf:about="" {names}>',
        *lines,
        "  </rdf:Description>",
        " </rdf:RDF>",
        "</x:xmpmeta>",
        '<?xpacket end="r"?>',
    ]
    return "\n".join(packet).encode("utf-8")


def read_seal(data: bytes) -> Seal:
    """Return the seal of a JPEG, PNG, WebP or AVIF file. The bytes need not be ours: XML tricks are refused.

    Raises PublishError when the file is no picture, carries no packet, or one without a digital source type.
    """
    return seal_of(parse_packet(packet_of(data)))


def seal_of(root: Element) -> Seal:
    """Return what a parsed XMP packet says of the picture's making. Raises PublishError where it says nothing."""
    source_type = simple_property(root, "Iptc4xmpExt", "DigitalSourceType")
    if source_type is None:
        raise PublishError("The picture's XMP packet names no digital source type, so it says nothing of its making.")
    texts = alternatives(root, "Iptc4xmpCore", "AltTextAccessibility")
    return Seal(
        digital_source_type=source_type,
        content_id=simple_property(root, "xmpMM", "DocumentID") or "",
        alt_text=texts[0][1] if texts else "",
        ai_system=simple_property(root, "Iptc4xmpExt", "AISystemUsed"),
        ai_system_version=simple_property(root, "Iptc4xmpExt", "AISystemVersionUsed"),
        aigc=aigc_fields(simple_property(root, "TC260", "AIGC")),
    )


def aigc_fields(text: str | None) -> tuple[tuple[str, str], ...]:
    """Return the fields of a `TC260:AIGC` property by name, none for None. Raises PublishError where it is no JSON."""
    if text is None:
        return ()
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        raise PublishError(f"The TC260 label is not JSON: {error}.") from error
    if not isinstance(fields, dict):
        raise PublishError("The TC260 label is not a JSON object.")
    return tuple((str(name), str(value)) for name, value in fields.items())
