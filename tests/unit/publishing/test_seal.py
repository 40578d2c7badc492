"""The labels: honest, readable from every format, and impossible to fake a reading of."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from defusedxml import ElementTree
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zimage_core.domain import Mode
from zimage_core.errors import PublishError
from zimage_core.imaging.encode import Format, encode
from zimage_core.publishing.seal import SealFacts, digital_source_type, expected_seal, read_seal, seal_packet

RGB = np.full((48, 48, 3), 200, np.uint8)
FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp", "avif")


def facts(engine: str = "diffusers", mode: Mode = "stage", alt: str = "素白马克杯，棚拍图") -> SealFacts:
    return SealFacts(engine, "z-image-turbo@0f1e", mode, "0123456789abcdef", alt, "zh", "诺物 <Nuowu> & Co")


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("made_by", ["diffusers", "studio"])
def test_the_labels_read_back_from_the_bytes_of_every_format(file_format: Format, made_by: str) -> None:
    written = facts(made_by)
    data = encode(RGB, file_format, max_bytes=10**6, xmp=seal_packet(written)).data
    assert read_seal(data) == expected_seal(written)


@pytest.mark.parametrize(
    ("engine", "mode", "term"),
    [
        ("studio", "packshot", "algorithmicallyEnhanced"),
        ("studio", "stage", "composite"),
        ("studio", "text", "algorithmicMedia"),
        ("diffusers", "packshot", "algorithmicallyEnhanced"),
        ("diffusers", "stage", "compositeWithTrainedAlgorithmicMedia"),
        ("dashscope", "inpaint", "compositeWithTrainedAlgorithmicMedia"),
        ("comfyui", "text", "trainedAlgorithmicMedia"),
        ("an engine nobody here knows", "text", "trainedAlgorithmicMedia"),
    ],
)
def test_the_source_type_says_what_made_the_pixels(engine: str, mode: Mode, term: str) -> None:
    assert digital_source_type(engine, mode) == f"http://cv.iptc.org/newscodes/digitalsourcetype/{term}"


def test_lettering_over_a_plain_photo_makes_it_a_composite() -> None:
    assert digital_source_type("studio", "packshot", text_drawn=True).endswith("/composite")
    assert digital_source_type("comfyui", "text", text_drawn=True).endswith("/trainedAlgorithmicMedia")
    seen = SealFacts("studio", "1", "packshot", "c", "alt", "zh", visible_label=True)
    assert expected_seal(seen).digital_source_type.endswith("/composite"), "a visible label is lettering too"


@pytest.mark.parametrize(
    ("engine", "mode", "term"),
    [
        ("diffusers", "stage", "trainedAlgorithmicMedia"),
        ("diffusers", "inpaint", "trainedAlgorithmicMedia"),
        ("diffusers", "packshot", "algorithmicallyEnhanced"),
        ("studio", "stage", "composite"),
    ],
)
def test_a_channel_that_knows_no_composites_gets_the_name_it_asks_for_but_only_where_a_model_painted(
    engine: str, mode: Mode, term: str
) -> None:
    assert digital_source_type(engine, mode, named="trained").endswith(f"/{term}")
    assert expected_seal(SealFacts(engine, "1", mode, "c", "alt", "en", source_type="trained")).digital_source_type == (
        digital_source_type(engine, mode, named="trained")
    )


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_reader_that_is_not_ours_finds_the_labels_where_the_standards_put_them(file_format: Format) -> None:
    written = facts()
    data = encode(RGB, file_format, max_bytes=10**6, xmp=seal_packet(written)).data
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        told = image.getxmp()["xmpmeta"]["RDF"]["Description"]
    assert told["DigitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert json.loads(told["AIGC"])["ContentProducer"] == "诺物 <Nuowu> & Co"
    assert told["AISystemUsed"] == "diffusers"
    assert {entry["text"] for entry in told["AltTextAccessibility"]["Alt"]["li"]} == {written.alt_text}
    packet = data[data.index(b"<?xpacket begin") : data.index(b'<?xpacket end="r"?>')]
    root = ElementTree.fromstring(packet.decode() + '<?xpacket end="r"?>')
    field = root.find(".//{http://www.tc260.org.cn/ns/AIGC/1.0/}AIGC")
    assert json.loads(field.text)["Label"] == "1", "found by its namespace in the plain bytes of the file"


def test_what_a_model_made_carries_the_seven_fields_of_gb_45438() -> None:
    seal = expected_seal(facts())
    assert dict(seal.aigc) == {
        "Label": "1",
        "ContentProducer": "诺物 <Nuowu> & Co",
        "ProduceID": "0123456789abcdef",
        "ReservedCode1": "",
        "ContentPropagator": "",
        "PropagateID": "",
        "ReservedCode2": "",
    }
    assert (seal.ai_system, seal.ai_system_version) == ("diffusers", "z-image-turbo@0f1e")
    assert json.dumps(dict(seal.aigc))


@pytest.mark.parametrize(("engine", "mode"), [("studio", "stage"), ("diffusers", "packshot")])
def test_what_no_model_made_is_not_called_ai(engine: str, mode: Mode) -> None:
    packet = seal_packet(facts(engine, mode)).decode()
    assert "AIGC>" not in packet
    assert "AISystem" not in packet
    assert "rained" not in packet


def test_equal_facts_give_equal_bytes_and_no_prompt_path_or_time() -> None:
    assert seal_packet(facts()) == seal_packet(facts())


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), max_size=125))
def test_any_alternative_text_survives(words: str) -> None:
    data = encode(RGB, "jpeg", max_bytes=10**6, xmp=seal_packet(facts(alt=words))).data
    assert read_seal(data).alt_text == words


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_picture_that_was_saved_again_has_lost_its_labels_and_that_is_said(file_format: Format) -> None:
    data = encode(RGB, file_format, max_bytes=10**6, xmp=seal_packet(facts())).data
    saved = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB").save(saved, file_format.upper())
    with pytest.raises(PublishError, match="carries no XMP packet"):
        read_seal(saved.getvalue())


@pytest.mark.parametrize(
    ("packet", "sentence"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>', "not safe"),
        (b"<x", "not safe, well-formed"),
        (b"<x/>", "names no digital source type"),
    ],
)
def test_a_packet_that_is_not_ours_is_read_with_care(packet: bytes, sentence: str) -> None:
    data = encode(RGB, "jpeg", max_bytes=10**6, xmp=packet).data
    with pytest.raises(PublishError, match=sentence):
        read_seal(data)


def test_a_label_that_is_not_json_is_refused() -> None:
    broken = seal_packet(facts()).replace(b'{"Label"', b'{Label"')
    with pytest.raises(PublishError, match="TC260 label is not JSON"):
        read_seal(encode(RGB, "png", max_bytes=10**6, xmp=broken).data)


def test_bytes_that_are_no_picture_are_refused() -> None:
    with pytest.raises(PublishError, match="not a picture"):
        read_seal(b"GIF89a? no")
