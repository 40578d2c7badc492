"""What is about to be published is read back from its bytes: a rule of its channel that they break stops it."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from zimage_core.domain import Channel
from zimage_core.imaging import encode as encode_module
from zimage_core.imaging.encode import Encoded, srgb_profile
from zimage_core.publishing import renditions
from zimage_core.publishing.channels import load_channels
from zimage_core.publishing.frames import srcset_channels
from zimage_core.publishing.lint import broken_rules
from zimage_core.publishing.renditions import RenditionBytes, RenditionRefusal, make_rendition
from zimage_core.publishing.seal import SealFacts
from zimage_core.publishing.xmp import packet_of

CHANNELS = load_channels()
FACTS = SealFacts("studio", "1", "packshot", "0123456789abcdef", "a cushion", "zh")
with Image.open(Path(__file__).resolve().parents[3] / "examples" / "products" / "cushion.jpg") as photo:
    CUSHION = photo.convert("RGB")


def scenery(side_px: int) -> NDArray[np.uint8]:
    return np.asarray(CUSHION.resize((side_px, side_px)))


def made(attempt: NDArray[np.uint8], channel: Channel) -> RenditionBytes:
    file = make_rendition(attempt, attempt, channel, seal=FACTS)
    assert isinstance(file, RenditionBytes), file
    return file


def refused(attempt: NDArray[np.uint8], channel: Channel) -> RenditionRefusal:
    refusal = make_rendition(attempt, attempt, channel, seal=FACTS)
    assert isinstance(refusal, RenditionRefusal)
    return refusal


FOREIGN_ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()


def saved(pixels: NDArray[np.uint8], kind: str = "JPEG", mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("bytes_of", "code"),
    [
        (lambda pixels, data: data + b"\0" * CHANNELS["taobao_main"].max_bytes, "too_many_bytes"),
        (lambda pixels, data: saved(pixels, "PNG"), "unreadable"),
        (lambda pixels, data: saved(pixels[:700]), "unreadable"),
        (lambda pixels, data: data[: len(data) // 2], "unreadable"),
        (lambda pixels, data: saved(pixels, xmp=packet_of(data)), "not_srgb"),
        (lambda pixels, data: saved(pixels, xmp=packet_of(data), icc_profile=FOREIGN_ICC), "not_srgb"),
        (lambda pixels, data: saved(pixels, icc_profile=srgb_profile()), "label_lost"),
        (lambda pixels, data: saved(pixels, mode="CMYK", xmp=packet_of(data), icc_profile=srgb_profile()), None),
    ],
)
def test_bytes_that_are_not_what_was_meant_are_refused_whatever_the_encoder_says(
    bytes_of: Callable[[NDArray[np.uint8], bytes], bytes], code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = scenery(800)

    def encode(pixels: NDArray[np.uint8], *given: Any, **options: Any) -> Encoded:
        right = encode_module.encode(pixels, *given, **options)
        return dataclasses.replace(right, data=bytes_of(pixels, right.data))

    monkeypatch.setattr(renditions, "encode", encode)
    refusal = refused(attempt, CHANNELS["taobao_main"])
    assert code in {None, refusal.code}, refusal


def test_a_frame_is_refused_where_the_channel_takes_none() -> None:
    framed = scenery(1600).copy()
    for side in (framed, framed[::-1], framed.swapaxes(0, 1), framed.swapaxes(0, 1)[::-1]):
        side[:60] = (20, 60, 160)
    refusal = refused(framed, CHANNELS["ebay"])
    assert refusal.code == "framed"
    made(framed, CHANNELS["web"])


@pytest.mark.parametrize("slug", [slug for slug, channel in CHANNELS.items() if channel.srcset_widths_px])
def test_every_file_of_a_srcset_passes_the_rules_of_its_channel(slug: str) -> None:
    channel = CHANNELS[slug]
    attempt = scenery(1600)
    sizes = srcset_channels(1600, 1600, channel, widths_px=channel.srcset_widths_px[:2])
    for size in sizes:
        file = made(attempt, size)
        assert broken_rules(file.data, channel, name=f"x.{file.extension}") == ()
    assert {size.width_px for size in sizes} == {480, 800}
