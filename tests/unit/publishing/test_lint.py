"""Any file against a channel: real files, one for each rule that can be broken, and those that break none."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw

from zimage_core.domain import Channel
from zimage_core.publishing.borders import frame_width_px
from zimage_core.publishing.channels import STRENGTHS, load_channels
from zimage_core.publishing.lint import BrokenRule, broken_rules
from zimage_core.publishing.renditions import RenditionBytes, make_rendition
from zimage_core.publishing.seal import SealFacts

PRODUCTS = Path(__file__).resolve().parents[3] / "examples" / "products"
CHANNELS = load_channels()
AMAZON, SHOPIFY, EBAY = CHANNELS["amazon_main"], CHANNELS["shopify"], CHANNELS["ebay"]
FORMATS = ("jpeg", "png", "webp", "avif", "gif", "tiff", "bmp")


def packshot(side_px: int = 1200, fill: float = 0.9, ground: int = 255) -> Image.Image:
    """A dark disc with a light on it, on white."""
    canvas = Image.new("RGB", (side_px, side_px), (ground,) * 3)
    edge = side_px * (1 - fill) / 2
    draw = ImageDraw.Draw(canvas)
    draw.ellipse((edge, edge, side_px - edge, side_px - edge), fill=(120, 40, 60))
    draw.ellipse((side_px * 0.4, side_px * 0.3, side_px * 0.5, side_px * 0.4), fill=(220, 160, 170))
    return canvas


def scenery(width_px: int, height_px: int) -> Image.Image:
    with Image.open(PRODUCTS / "cushion.jpg") as photo:
        return photo.convert("RGB").resize((width_px, height_px))


def saved(image: Image.Image, file_format: str = "jpeg", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format.upper(), **options)
    return buffer.getvalue()


def codes(data: bytes, channel: Channel, **known) -> list[str]:
    return [rule.code for rule in broken_rules(data, channel, **known)]


def only(data: bytes, channel: Channel, **known) -> BrokenRule:
    broken = broken_rules(data, channel, **known)
    assert len(broken) == 1, broken
    return broken[0]


def taking_all(channel: Channel, **changes) -> Channel:
    return dataclasses.replace(channel, allowed_formats=FORMATS, **changes)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_that_keeps_all_rules_breaks_none_in_any_format(file_format: str):
    assert codes(saved(packshot(), file_format), taking_all(AMAZON)) == []


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_format_that_the_channel_does_not_take(file_format: str):
    expected = [] if file_format in {"jpeg", "png", "tiff", "gif"} else ["wrong_format"]
    assert codes(saved(packshot(), file_format), AMAZON) == expected


def test_a_broken_rule_says_value_limit_source_and_day():
    rule = only(saved(packshot(), "webp"), AMAZON)
    assert rule.sentence == "It is a webp file; amazon_main takes jpeg, png, tiff, gif."
    assert (rule.value, rule.limit) == ("webp", "jpeg, png, tiff, gif")
    assert rule.source == AMAZON.source_of("allowed_formats")
    assert rule.source.startswith(STRENGTHS)
    assert rule.verified_on == AMAZON.verified_on


def test_a_name_that_does_not_tell_the_format():
    data = saved(packshot(), "png")
    assert codes(data, AMAZON, name="mug.PNG") == codes(data, AMAZON, name="mug") == []
    rule = only(data, AMAZON, name="mug.jpg")
    assert (rule.code, rule.value, rule.limit) == ("wrong_extension", ".jpg", ".png")


def test_too_many_bytes():
    data = saved(packshot())
    rule = only(data, dataclasses.replace(AMAZON, max_bytes=len(data) - 1))
    assert (rule.code, rule.value, rule.limit) == ("too_many_bytes", f"{len(data)} bytes", f"{len(data) - 1} bytes")
    assert codes(data, dataclasses.replace(AMAZON, max_bytes=len(data))) == []


@pytest.mark.parametrize(
    ("channel", "size", "expected"),
    [
        ("amazon_main", (1000, 1000), []),
        ("amazon_main", (999, 999), ["too_small"]),
        ("amazon_secondary", (1000, 700), []),
        ("ebay", (500, 400), []),
        ("ebay", (499, 499), ["too_small"]),
        ("taobao_main", (800, 800), []),
        ("taobao_main", (699, 699), ["too_small"]),
        ("taobao_main", (800, 1000), ["wrong_shape"]),
        ("taobao_main", (800, 803), []),
        ("instagram_square", (1080, 1080), []),
        ("instagram_square", (1080, 1350), ["wrong_shape"]),
        ("instagram_portrait", (1080, 1350), []),
        ("instagram_portrait", (1600, 2000), ["too_large"]),
        ("tmall_portrait", (750, 1000), []),
        ("tmall_detail", (790, 1600), []),
        ("tmall_detail", (790, 2800), ["wrong_shape"]),
        ("poster_social", (1080, 1920), []),
        ("google_merchant", (499, 499), ["too_small"]),
    ],
)
def test_size_and_shape(channel: str, size: tuple[int, int], expected: list[str]):
    picture = packshot(size[0]) if CHANNELS[channel].background == "white" else scenery(*size)
    assert codes(saved(picture), CHANNELS[channel]) == expected


def test_a_long_side_is_what_counts_where_the_channel_says_so():
    assert "long side of at least 1000 px" in only(saved(scenery(999, 999)), CHANNELS["amazon_secondary"]).sentence
    assert "short side of at least 700 px" in only(saved(scenery(690, 690)), CHANNELS["taobao_main"]).sentence


def test_cmyk_and_foreign_colours():
    assert codes(saved(packshot().convert("CMYK")), AMAZON)[0] == "wrong_colour_mode"
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert codes(saved(packshot(), icc_profile=lab), AMAZON) == []
    warm = bytearray(lab)
    red = warm.index(b"rXYZ")
    offset = int.from_bytes(warm[red + 4 : red + 8])
    warm[offset + 8 : offset + 12] = (0x8000).to_bytes(4)
    rule = broken_rules(saved(packshot(), icc_profile=bytes(warm)), SHOPIFY)[0]
    assert (rule.code, rule.limit) == ("not_srgb", "sRGB")
    assert [r.code for r in broken_rules(saved(packshot(), "webp", icc_profile=b"nonsense"), SHOPIFY)] == ["not_srgb"]


def test_grey_and_palette_pictures_are_colours_too():
    assert codes(saved(packshot().convert("L"), "png"), AMAZON) == []
    assert codes(saved(packshot().convert("P"), "png"), AMAZON) == []


@pytest.mark.parametrize("file_format", ["png", "webp", "avif", "tiff"])
def test_transparency_breaks_a_rule_unless_the_channel_shows_it(file_format: str):
    clear = packshot().convert("RGBA")
    clear.putalpha(packshot().convert("L").point(lambda level: 0 if level > 250 else 255))
    data = saved(clear, file_format)
    rule = only(data, taking_all(AMAZON))
    assert rule.code == "transparent"
    assert "transparency" in rule.source
    assert codes(data, taking_all(SHOPIFY)) == []
    opaque = packshot().convert("RGBA")
    assert codes(saved(opaque, file_format), taking_all(AMAZON)) == []


@pytest.mark.parametrize("file_format", ["gif", "webp", "png", "avif", "tiff"])
def test_more_than_one_frame(file_format: str):
    second = packshot(fill=0.86)
    data = saved(packshot(), file_format, save_all=True, append_images=[second])
    assert codes(data, taking_all(AMAZON)) == ["animated"]


def test_a_phones_several_pictures_in_one_jpeg_are_one_picture():
    data = saved(packshot(), "mpo", save_all=True, append_images=[packshot(400)])
    assert codes(data, AMAZON) == []


def test_a_picture_that_lies_on_its_side():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert codes(saved(packshot(), exif=exif), AMAZON) == ["turned"]
    lying = saved(scenery(1350, 1080), exif=exif)
    assert codes(lying, CHANNELS["instagram_portrait"]) == ["turned"], "its shape is judged upright"


@pytest.mark.parametrize(("ground", "expected"), [(255, []), (253, []), (246, ["not_white"]), (200, ["not_white"])])
@pytest.mark.parametrize("channel", ["amazon_main", "walmart_main", "jd_main", "pinduoduo_main", "taobao_white"])
def test_the_ground_must_be_white(channel: str, ground: int, expected: list[str]):
    data = saved(packshot(1600, ground=ground), quality=95)
    assert codes(data, CHANNELS[channel]) == expected


@pytest.mark.parametrize(
    ("fill", "expected"), [(1.0, []), (0.97, []), (0.95, []), (0.86, []), (0.8, ["too_little_fill"])]
)
def test_the_product_must_fill_the_frame(fill: float, expected: list[str]):
    assert codes(saved(packshot(fill=fill)), AMAZON) == expected


def test_a_product_may_reach_the_edge_but_nothing_else_may():
    tall = packshot()
    ImageDraw.Draw(tall).rectangle((450, 0, 750, 1199), fill=(90, 90, 120))
    assert codes(saved(tall), AMAZON) == []
    strip = packshot(fill=0.86)
    ImageDraw.Draw(strip).rectangle((0, 0, 1199, 6), fill=(225, 225, 225))
    assert codes(saved(strip), AMAZON) == ["not_white"]
    corner = packshot(fill=0.86)
    ImageDraw.Draw(corner).polygon([(0, 0), (90, 0), (0, 90)], fill=(120, 120, 120))
    assert codes(saved(corner), AMAZON) == ["not_white"]
    wall = Image.new("RGB", (1200, 1200), (235, 235, 238))
    wall.paste((255, 255, 255), (0, 0, 1200, 300))
    assert "not_white" in codes(saved(wall), AMAZON)


@pytest.mark.parametrize("colour", [(0, 0, 0), (200, 20, 30), (128, 128, 128)])
@pytest.mark.parametrize("width_px", [3, 8, 20, 60])
@pytest.mark.parametrize("quality", [70, 92])
def test_a_frame_is_found_where_it_is_forbidden(colour: tuple[int, int, int], width_px: int, quality: int):
    framed = scenery(600, 520)
    ImageDraw.Draw(framed).rectangle((0, 0, 599, 519), outline=colour, width=width_px)
    data = saved(framed, quality=quality)
    assert codes(data, EBAY) == ["framed"]
    assert codes(data, dataclasses.replace(EBAY, border_allowed=True)) == []


def test_pictures_without_a_frame_have_none():
    for name in ("lamp", "cushion", "lipstick", "mug", "perfume", "phone"):
        with Image.open(PRODUCTS / f"{name}.jpg") as image:
            assert frame_width_px(np.asarray(image.convert("RGB"))) == 0, name
    plain = np.full((600, 600, 3), 90, np.uint8)
    assert frame_width_px(plain) == 0
    on_grey = Image.new("RGB", (900, 900), (180, 180, 180))
    on_grey.paste((20, 30, 40), (80, 200, 820, 899))  # touches one side
    assert frame_width_px(np.asarray(on_grey)) == 0
    assert frame_width_px(np.asarray(packshot())) == 0


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(120, 500),
    height=st.integers(120, 500),
    frame=st.integers(2, 10),
    colour=st.tuples(*[st.integers(0, 200)] * 3),
    seed=st.integers(0, 2**16),
)
def test_any_frame_is_measured_and_nothing_without_one_is_called_so(width, height, frame, colour, seed):
    inside = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert frame_width_px(inside) == 0
    framed: NDArray[np.uint8] = np.full((height, width, 3), colour, np.uint8)
    framed[frame:-frame, frame:-frame] = inside[frame:-frame, frame:-frame]
    assert frame_width_px(framed) == frame


def hostile() -> dict[str, bytes]:
    whole = saved(packshot())
    bomb = bytearray(saved(Image.new("1", (64, 64)), "png"))
    bomb[16:24] = (60_000).to_bytes(4) * 2
    return {
        "empty": b"",
        "text": b"not a picture",
        "cut": whole[: len(whole) // 3],
        "bomb": bytes(bomb),
        "cut gif": saved(packshot(), "gif")[:300],
        "too many pixels": saved(Image.new("1", (12_000, 12_000)), "png"),
    }


@pytest.mark.parametrize("name", hostile())
def test_what_cannot_be_read_is_one_broken_rule(name: str):
    rule = only(hostile()[name], AMAZON)
    assert rule.code == "unreadable"
    assert rule.sentence.endswith(".")


@settings(max_examples=150, deadline=None)
@given(
    file_format=st.sampled_from(FORMATS),
    at=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    keep=st.floats(0.3, 1),
)
def test_no_bytes_however_damaged_raise_anything(file_format: str, at: float, byte: int, keep: float):
    data = bytearray(SMALL[file_format])
    data[int(at * len(data))] = byte
    answer = broken_rules(bytes(data[: int(keep * len(data)) + 1]), AMAZON)
    assert all(rule.source.startswith(STRENGTHS) for rule in answer)


SMALL = {name: saved(packshot(64), name) for name in FORMATS}


@pytest.mark.parametrize("slug", CHANNELS)
def test_what_is_made_for_a_channel_passes_its_own_rules(slug: str):
    """The renditions that we publish, made from a master of the channel's shape."""
    channel = CHANNELS[slug]
    if channel.background == "white":
        master = np.asarray(packshot(1600))
    else:
        scale = (1024 * 1024 / (channel.width_px * channel.height_px)) ** 0.5
        master = np.asarray(scenery(round(channel.width_px * scale), round(channel.height_px * scale)))
    facts = SealFacts("studio", "1", "stage", "0123456789abcdef", "a cushion", channel.language)
    made = make_rendition(master, master, channel, seal=facts)
    assert isinstance(made, RenditionBytes), made
    assert broken_rules(made.data, channel, name=f"x.{made.extension}", making="composite") == ()
