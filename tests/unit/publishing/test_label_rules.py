"""What files say of their making: missing, untrue, unknown or broken labels, channel by channel."""

from __future__ import annotations

import dataclasses
import io
from datetime import date

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from zimage_core.imaging.encode import Format, encode
from zimage_core.publishing.channels import STRENGTHS, load_channels
from zimage_core.publishing.lint import broken_rules
from zimage_core.publishing.seal import SealFacts, seal_packet

CHANNELS = load_channels()
TODAY = date(2026, 11, 21)
PICTURE = np.full((64, 64, 3), (120, 60, 40), np.uint8)
AI = SealFacts("diffusers", "1", "inpaint", "0123456789abcdef", "a mug in a kitchen", "en")
GENERATED = SealFacts("diffusers", "1", "text", "0123456789abcdef", "a mug in a kitchen", "en")
COMPOSITE = SealFacts("studio", "1", "stage", "0123456789abcdef", "a mug on a table", "en")
PHOTO = SealFacts("studio", "1", "packshot", "0123456789abcdef", "a mug", "en")


def file_with(packet: bytes | None, file_format: Format = "jpeg") -> bytes:
    return encode(PICTURE, file_format, max_bytes=20_000_000, xmp=packet).data


def label_codes(data: bytes, channel: str, **known) -> list[str]:
    return [rule.code for rule in broken_rules(data, CHANNELS[channel], **known) if rule.code.startswith("label_")]


@pytest.mark.parametrize("file_format", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("channel", ["taobao_main", "wechat_moments", "shopify", "amazon_secondary", "ebay"])
def test_our_own_labels_are_right_in_every_format(channel: str, file_format: Format):
    assert label_codes(file_with(seal_packet(AI), file_format), channel, making="ai_composite") == []
    assert label_codes(file_with(seal_packet(COMPOSITE), file_format), channel, making="composite") == []
    assert label_codes(file_with(seal_packet(AI), file_format), channel) == []


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("making", ["ai_composite", "generated", "synthetic_person"])
def test_what_ai_made_must_say_so(channel: str, making):
    data = file_with(None)
    assert label_codes(data, channel, making=making) == ["label_missing"]
    assert label_codes(data, channel) == label_codes(data, channel, making="photo") == []


def test_labels_that_are_not_the_truth():
    assert label_codes(file_with(seal_packet(PHOTO)), "taobao_main", making="generated") == ["label_untrue"]
    assert label_codes(file_with(seal_packet(AI)), "taobao_main", making="photo") == ["label_untrue"]
    assert label_codes(file_with(seal_packet(PHOTO)), "taobao_main", making="photo") == []


def test_google_knows_no_composites():
    assert label_codes(file_with(seal_packet(AI)), "google_merchant") == ["label_unknown"]
    assert label_codes(file_with(seal_packet(GENERATED)), "google_merchant", making="generated") == []
    assert label_codes(file_with(seal_packet(COMPOSITE)), "google_merchant") == []


def changed(facts: SealFacts, was: str, becomes: str) -> bytes:
    packet = seal_packet(facts).decode()
    assert was in packet
    return file_with(packet.replace(was, becomes, 1).encode())


@pytest.mark.parametrize(
    ("was", "becomes", "expected"),
    [
        ("digitalsourcetype/composite", "digitalsourcetype/collage", ["label_unknown"]),
        ("http://cv.iptc.org/newscodes/digitalsourcetype/", "https://example.org/", ["label_unknown"]),
        ("compositeWithTrainedAlgorithmicMedia", "digitalCapture", ["label_untrue"]),
        ('"ProduceID":"0123456789abcdef"', '"ProduceID":""', ["label_not_whole"]),
        ('"ReservedCode1":"",', "", ["label_not_whole"]),
        ('"Label":"1"', '"Label":"9"', ["label_not_whole"]),
        ('"Label":"1"', '"Label":"2"', []),
        ("TC260:AIGC>", "TC260:Other>", ["label_missing"]),
    ],
)
def test_a_label_that_is_broken_or_contradicts_another(was: str, becomes: str, expected: list[str]):
    packet = seal_packet(AI).decode()
    assert was in packet
    data = file_with(packet.replace(was, becomes).encode())
    assert label_codes(data, "taobao_main") == expected


def test_the_aigc_field_is_asked_for_in_china_alone():
    packet = seal_packet(AI).decode().replace("TC260:AIGC>", "TC260:Other>").encode()
    assert label_codes(file_with(packet), "shopify") == []


@pytest.mark.parametrize(("chunk", "program"), [("parameters", "Stable Diffusion"), ("workflow", "ComfyUI")])
def test_a_generators_own_traces_without_a_label(chunk: str, program: str):
    text = PngImagePlugin.PngInfo()
    text.add_text(chunk, "a mug in a kitchen, Steps: 8, Seed: 1")
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "PNG", pnginfo=text)
    (rule,) = (r for r in broken_rules(buffer.getvalue(), CHANNELS["shopify"]) if r.code.startswith("label_"))
    assert rule.code == "label_missing"
    assert program in rule.sentence
    assert rule.source == CHANNELS["shopify"].source_of("ai")
    assert label_codes(buffer.getvalue(), "shopify", making="photo") == [], "somebody vouches for it"


@pytest.mark.parametrize(
    ("facts", "channel", "expected"),
    [
        (GENERATED, "etsy", ["not_allowed"]),
        (AI, "etsy", ["not_allowed"]),
        (AI, "jd_main", ["not_allowed"]),
        (AI, "taobao_main", []),
        (GENERATED, "taobao_main", ["not_allowed"]),
        (COMPOSITE, "etsy", []),
        (PHOTO, "etsy", []),
        (AI, "shopify", []),
    ],
)
def test_what_a_channel_does_not_take_at_all_is_said_with_its_rule(facts: SealFacts, channel: str, expected: list[str]):
    data = file_with(seal_packet(facts))
    broken = [r for r in broken_rules(data, CHANNELS[channel], on=TODAY) if r.code.startswith(("label_", "not_all"))]
    assert [rule.code for rule in broken] == expected
    assert all("rule " in rule.source and rule.source.startswith(STRENGTHS) for rule in broken)
    assert label_codes(data, channel) == [], "without a day, the channel's own wishes alone"


def test_the_law_of_a_market_wants_labels_that_the_channel_does_not_name():
    own = dataclasses.replace(CHANNELS["shopify"], market="cn")
    packet = seal_packet(AI).decode().replace("TC260:AIGC>", "TC260:Other>").encode()
    (rule,) = (r for r in broken_rules(file_with(packet), own, on=TODAY) if r.code.startswith("label_"))
    assert rule.code == "label_missing"
    assert not [r for r in broken_rules(file_with(packet), own, on=date(2025, 8, 31)) if r.code.startswith("label_")]
    (rule,) = (r for r in broken_rules(file_with(None), own, making="generated", on=TODAY) if r.code[:5] == "label")
    assert rule.limit == "digital_source_type, aigc"


def test_a_making_that_is_not_taken_is_said_of_a_file_without_labels_too():
    codes = [r.code for r in broken_rules(file_with(None), CHANNELS["etsy"], making="drawn", on=TODAY)]
    assert "not_allowed" in codes


def test_a_packet_that_is_no_xml_says_nothing():
    data = file_with(b"<x:xmpmeta <<<")
    assert label_codes(data, "shopify") == []
    (rule,) = (r for r in broken_rules(data, CHANNELS["shopify"], making="generated") if r.code.startswith("label_"))
    assert "not safe, well-formed XML" in rule.sentence
