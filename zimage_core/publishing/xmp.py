"""XMP packets in picture files: taken out of the bytes, parsed with care, and asked for a property by name.

JPEG, WebP, AVIF and TIFF hold the packet in a place of their own that Pillow knows; PNG holds it in an iTXt chunk,
which may follow the pixels. The bytes need not be ours: XML tricks (entities, DTDs) are refused.
"""

from __future__ import annotations

import io
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree
from PIL import Image

from zimage_core.errors import PublishError
from zimage_core.imaging.encode import PNG_XMP_KEYWORD

NAMESPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "TC260": "http://www.tc260.org.cn/ns/AIGC/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
}
_FOREIGN = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "dcterms": "http://purl.org/dc/terms/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
}
"""What other programs write and a person may want to see."""
_XML_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"


def packet_of(data: bytes) -> bytes:
    """Return the XMP packet of a picture file. Raises PublishError when it is no picture or carries none."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()  # PNG text may follow the pixels
            packet = image.info.get("xmp") or image.info.get(PNG_XMP_KEYWORD)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PublishError(f"The bytes are not a picture that can be read back: {error}.") from error
    if not packet:
        raise PublishError("The picture carries no XMP packet, so its labels are gone.")
    return packet.encode("utf-8") if isinstance(packet, str) else bytes(packet).rstrip(b"\0")


def parse_packet(packet: bytes) -> Element:
    """Return the packet's root element. Raises PublishError when it is not safe, well-formed XML."""
    try:
        root: Element = ElementTree.fromstring(packet)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise PublishError(f"The XMP packet of the picture is not safe, well-formed XML: {error}.") from error
    return root


def simple_property(root: Element, prefix: str, name: str) -> str | None:
    """Return the text of a simple property, written as an element or as an attribute; None where it is not there."""
    tag = f"{{{NAMESPACES[prefix]}}}{name}"
    for description in root.iter(_rdf("Description")):
        if description.get(tag) is not None:  # RDF lets a simple property stand as an attribute
            return description.get(tag)
        found = description.find(tag)
        if found is not None:
            return found.text or ""
    return None


def alternatives(root: Element, prefix: str, name: str) -> tuple[tuple[str, str], ...]:
    """Return (language tag, text) of a property given in several languages, in the packet's order."""
    entries: list[tuple[str, str]] = []
    for element in root.iter(f"{{{NAMESPACES[prefix]}}}{name}"):
        entries += [(entry.get(_XML_LANGUAGE, ""), entry.text or "") for entry in element.iter(_rdf("li"))]
    return tuple(entries)


def all_properties(root: Element) -> tuple[tuple[str, str], ...]:
    """Return every property of the packet as (`prefix:Name`, text), lists joined by a semicolon, in the packet's order.

    A namespace that is not known here is written out as `{uri}Name`.
    """
    found: list[tuple[str, str]] = []
    for description in root.iter(_rdf("Description")):
        found += [(_short(tag), text) for tag, text in description.attrib.items() if tag != _rdf("about")]
        for child in description:
            texts = [text for text in (part.strip() for part in child.itertext()) if text]
            found.append((_short(child.tag), "; ".join(dict.fromkeys(texts))))
    return tuple(dict.fromkeys(found))


def _rdf(name: str) -> str:
    return f"{{{NAMESPACES['rdf']}}}{name}"


def _short(tag: str) -> str:
    for prefix, uri in (*NAMESPACES.items(), *_FOREIGN.items()):
        if tag.startswith(f"{{{uri}}}"):
            return f"{prefix}:{tag.rpartition('}')[2]}"
    return tag
