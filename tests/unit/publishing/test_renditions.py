"""One picture to one channel file: the channel's rules hold in the decoded bytes, or there is a reason why not."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.certificates import signing_chain
from zimage_core.domain import Box, Channel
from zimage_core.publishing import renditions
from zimage_core.publishing.channels import load_channels
from zimage_core.publishing.credentials import CredentialSigner, open_signer, read_credential
from zimage_core.publishing.frames import frame_of, srcset_channels
from zimage_core.publishing.renditions import (
    RenditionBytes,
    RenditionRefusal,
    make_rendition,
    rendition_id_of,
)
from zimage_core.publishing.seal import SealFacts, expected_seal, read_seal
from zimage_core.publishing.white_ground import fill_ratio, white_background
from zimage_core.settings import PublishSettings

PRODUCTS = Path(__file__).resolve().parents[3] / "examples" / "products"
CHANNELS = load_channels()
FACTS = SealFacts("studio", "1", "packshot", "0123456789abcdef", "素白马克杯，白底商品图", "zh")


def on_white(fill: float, side_px: int = 1024, white: int = 255) -> NDArray[np.uint8]:
    """The lamp cut out exactly, `fill` of the side, in the middle of a square of `white`."""
    with Image.open(PRODUCTS / "lamp.jpg") as photo, Image.open(PRODUCTS / "masks" / "lamp.png") as exact:
        mask = exact.convert("L").point(lambda level: 255 if level > 127 else 0)
        bounds = mask.getbbox()
        product, mask = photo.convert("RGB").crop(bounds), mask.crop(bounds)
    scale = fill * side_px / max(product.size)
    size = (round(product.width * scale), round(product.height * scale))
    canvas = Image.new("RGB", (side_px, side_px), (white, white, white))
    canvas.paste(product.resize(size), ((side_px - size[0]) // 2, (side_px - size[1]) // 2), mask.resize(size))
    return np.asarray(canvas)


def scenery(width_px: int, height_px: int) -> NDArray[np.uint8]:
    with Image.open(PRODUCTS / "cushion.jpg") as photo:
        return np.asarray(photo.convert("RGB").resize((width_px, height_px)))


def lettered(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    drawn = rgb.copy()
    drawn[40:120, 40:360] = (214, 35, 31)
    return drawn


def decoded(made: RenditionBytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(made.data)) as image:
        return np.asarray(image.convert("RGB"))


def made(result: RenditionBytes | RenditionRefusal) -> RenditionBytes:
    assert isinstance(result, RenditionBytes), result
    return result


def refused(result: RenditionBytes | RenditionRefusal) -> RenditionRefusal:
    assert isinstance(result, RenditionRefusal)
    return result


@pytest.mark.parametrize(
    ("channel", "master", "size"),
    [
        ("taobao_main", (1024, 1024), (800, 800)),
        ("tmall_detail", (800, 800), (790, 790)),
        ("shopify", (1024, 1024), (1024, 1024)),
        ("wechat_moments", (1088, 1440), (1080, 1440)),
        ("wechat_moments", (768, 1024), (768, 1024)),
    ],
)
def test_a_channel_gets_its_size_or_the_largest_of_its_shape_that_needs_no_upscaling(
    channel: str, master: tuple[int, int], size: tuple[int, int]
) -> None:
    attempt = scenery(*master)
    file = made(make_rendition(attempt, attempt, CHANNELS[channel], seal=FACTS))
    assert (file.width_px, file.height_px) == size
    assert decoded(file).shape == (size[1], size[0], 3)
    assert file.sha256 == hashlib.sha256(file.data).hexdigest()
    assert read_seal(file.data) == expected_seal(FACTS)


def test_a_master_below_the_smallest_useful_size_is_refused_with_both_sizes() -> None:
    attempt = scenery(640, 640)
    refusal = refused(make_rendition(attempt, attempt, CHANNELS["taobao_main"], seal=FACTS))
    assert refusal.code == "too_small"
    assert "640 x 640 px and is not scaled up; taobao_main needs a short side of at least 700 px" in refusal.reason


def test_a_master_of_another_shape_is_refused_rather_than_cropped_through_its_text() -> None:
    attempt = scenery(1024, 1024)
    refusal = refused(make_rendition(attempt, attempt, CHANNELS["wechat_moments"], seal=FACTS))
    assert refusal.code == "wrong_shape"
    assert "25% of it would be cut away" in refusal.reason


def test_a_channel_that_takes_text_gets_the_finished_picture() -> None:
    attempt = scenery(1024, 1024)
    file = made(make_rendition(attempt, lettered(attempt), CHANNELS["taobao_main"], seal=FACTS))
    assert file.overlay_drawn
    assert np.abs(decoded(file)[40:88, 40:270].astype(int).mean(axis=(0, 1)) - (214, 35, 31)).max() < 4
    assert read_seal(file.data).digital_source_type.endswith("/composite")


def test_a_channel_that_forbids_text_gets_the_bare_attempt() -> None:
    attempt = on_white(0.9)
    file = made(make_rendition(attempt, lettered(attempt), CHANNELS["amazon_main"], seal=FACTS))
    assert not file.overlay_drawn
    assert decoded(file)[40:120, 40:100].min() >= 250
    assert read_seal(file.data).digital_source_type.endswith("/algorithmicallyEnhanced")


def test_an_off_white_background_is_refused_with_the_measured_level() -> None:
    attempt = on_white(0.9, white=246)
    refusal = refused(make_rendition(attempt, attempt, CHANNELS["amazon_main"], seal=FACTS))
    assert refusal.code == "not_white"
    assert "the border's darkest level is 246 (at least 250)" in refusal.reason


def test_a_product_that_is_too_small_in_its_frame_is_refused_with_the_measured_share() -> None:
    attempt = on_white(0.70)
    refusal = refused(make_rendition(attempt, attempt, CHANNELS["amazon_main"], seal=FACTS))
    assert refusal.code == "too_little_fill"
    assert re.search(r"fills (69\.[5-9]|70\.[0-5])% of the frame; amazon_main wants at least 85%", refusal.reason)


@pytest.mark.parametrize("fill", [0.5, 0.7, 0.85, 0.95])
def test_fill_is_measured_within_half_a_percent(fill: float) -> None:
    assert fill_ratio(on_white(fill)) == pytest.approx(fill, abs=0.005)


def test_white_inside_the_product_is_not_background() -> None:
    rgb = np.full((200, 200, 3), 255, np.uint8)
    rgb[50:150, 50:150] = 60
    rgb[70:130, 70:130] = 247  # a white label inside: off white, and none of the background's business
    assert white_background(rgb) == (255.0, 1.0)
    assert fill_ratio(np.full((50, 50, 3), 255, np.uint8)) == 0.0


def test_a_byte_limit_nothing_decent_can_keep_is_a_refusal() -> None:
    attempt = np.random.default_rng(1).integers(0, 256, (800, 800, 3), dtype=np.uint8)
    tight = dataclasses.replace(CHANNELS["taobao_main"], max_bytes=100_000)
    refusal = refused(make_rendition(attempt, attempt, tight, seal=FACTS))
    assert refusal.code == "too_many_bytes"
    assert "the limit is 100000 bytes" in refusal.reason


@pytest.mark.parametrize("file_format", ["jpeg", "webp", "avif", "png"])
def test_the_same_picture_gives_the_same_file_in_every_format(file_format: str) -> None:
    attempt = scenery(720, 720)
    channel = dataclasses.replace(
        CHANNELS["taobao_main"],
        width_px=512,
        height_px=512,
        min_short_side_px=400,
        format=file_format,
        allowed_formats=(),
    )
    one, other = (made(make_rendition(attempt, attempt, channel, seal=FACTS)) for _ in range(2))
    assert one == other
    assert one.extension in {"jpg", "webp", "avif", "png"}


def test_a_file_whose_labels_do_not_read_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = scenery(800, 800)
    monkeypatch.setattr(renditions, "seal_packet", lambda _: b"<x/>")
    refusal = refused(make_rendition(attempt, attempt, CHANNELS["taobao_main"], seal=FACTS))
    assert refusal.code == "label_lost"


def test_shrinking_does_not_alias() -> None:
    rows = np.arange(1600)
    stripes = np.where((rows // 1) % 2 == 0, 0, 255).astype(np.uint8)
    attempt = np.repeat(np.repeat(stripes[None, :, None], 1600, axis=0), 3, axis=2)
    file = made(make_rendition(attempt, attempt, CHANNELS["taobao_main"], seal=FACTS))
    assert decoded(file)[100:-100, 100:-100].std() < 12, "stripes finer than the new pixels become grey, not moire"


def test_the_rendition_id_follows_pixels_rules_and_labels_but_not_the_day_they_were_looked_up() -> None:
    channel: Channel = CHANNELS["taobao_main"]
    base = rendition_id_of("f1", channel, FACTS)
    assert rendition_id_of("f1", dataclasses.replace(channel, source="read again"), FACTS) == base
    assert rendition_id_of("f2", channel, FACTS) != base
    assert rendition_id_of("f1", dataclasses.replace(channel, max_bytes=1), FACTS) != base
    assert rendition_id_of("f1", channel, dataclasses.replace(FACTS, alt_text="x")) != base
    assert rendition_id_of("f1", channel, dataclasses.replace(FACTS, visible_label=True)) != base
    assert rendition_id_of("f1", channel, dataclasses.replace(FACTS, source_type="trained")) != base
    assert rendition_id_of("f1", channel, dataclasses.replace(FACTS, signed_by="es256:undated:00")) != base


# ---------------------------------------------------------------- the label that people see


def test_a_visible_label_stands_in_the_file_clear_of_product_and_texts() -> None:
    attempt = scenery(1024, 1024)
    alpha = np.zeros((1024, 1024), np.uint8)
    alpha[300:1024, 300:1024] = 255  # lower right
    texts = (Box(20, 900, 300, 100),)  # lower left
    facts = dataclasses.replace(FACTS, visible_label=True)
    file = made(
        make_rendition(
            attempt,
            lettered(attempt),
            CHANNELS["taobao_main"],
            seal=facts,
            product_alpha=alpha,
            text_boxes=(*texts, Box(40, 40, 320, 80)),
        )
    )
    assert file.label_box is not None
    assert file.label_box.x_px > 400
    assert file.label_box.bottom_px < 234, "the upper right corner alone is free"
    assert file.label_box.height_px >= 0.05 * 800
    bare = made(make_rendition(attempt, lettered(attempt), CHANNELS["taobao_main"], seal=FACTS))
    assert bare.label_box is None
    box = file.label_box
    changed = np.abs(decoded(file).astype(int) - decoded(bare)).max(axis=2)
    assert changed[box.y_px : box.bottom_px, box.x_px : box.right_px].mean() > 60
    assert np.median(changed[300:]) <= 2


def test_a_file_without_a_free_corner_for_its_label_is_refused() -> None:
    attempt = scenery(1024, 1024)
    full = np.full((1024, 1024), 255, np.uint8)
    facts = dataclasses.replace(FACTS, visible_label=True)
    refusal = refused(make_rendition(attempt, attempt, CHANNELS["taobao_main"], seal=facts, product_alpha=full))
    assert refusal.code == "no_free_corner"
    assert "reach into every corner" in refusal.reason


def test_texts_of_an_overlay_that_is_not_shown_take_no_corner() -> None:
    attempt, facts = on_white(0.86), dataclasses.replace(FACTS, visible_label=True)
    whole = (Box(0, 0, 1024, 1024),)
    file = made(make_rendition(attempt, lettered(attempt), CHANNELS["amazon_main"], seal=facts, text_boxes=whole))
    assert file.label_box is not None, "and the label is neither product nor a stain on the white"


def test_a_label_that_does_not_show_in_the_file_is_a_lost_label(monkeypatch: pytest.MonkeyPatch) -> None:
    attempt, encode = scenery(1024, 1024), renditions.encode

    def without_label(pixels: NDArray[np.uint8], *given: object, **more: object) -> object:
        return encode(np.full_like(pixels, 255), *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(renditions, "encode", without_label)
    facts = dataclasses.replace(FACTS, visible_label=True)
    refusal = refused(make_rendition(attempt, attempt, CHANNELS["taobao_main"], seal=facts))
    assert (refusal.code, refusal.reason) == ("label_lost", "The visible AI label does not show in the file.")


def test_a_file_without_a_label_that_is_required_is_not_published() -> None:
    attempt, channel = scenery(1024, 1024), CHANNELS["taobao_main"]
    facts = dataclasses.replace(FACTS, engine="diffusers", mode="stage")
    both = ("digital_source_type", "aigc")
    made(make_rendition(attempt, attempt, channel, seal=facts, required_labels=both))
    by_formula = refused(make_rendition(attempt, attempt, channel, seal=FACTS, required_labels=both))
    assert by_formula.code == "label_lost"
    assert by_formula.reason == "taobao_main requires the label aigc, which this file does not carry."
    unseen = refused(make_rendition(attempt, attempt, channel, seal=facts, required_labels=(*both, "visible")))
    assert "requires the label visible" in unseen.reason


@pytest.mark.parametrize("file_format", ["jpeg", "webp", "avif", "png"])
def test_a_label_shows_at_the_lowest_quality_of_every_format(file_format: str) -> None:
    rng = np.random.default_rng(11)
    attempt = np.clip(scenery(800, 800).astype(int) + rng.integers(-60, 60, (800, 800, 3)), 0, 255).astype(np.uint8)
    facts = dataclasses.replace(FACTS, visible_label=True)
    free = dataclasses.replace(CHANNELS["taobao_main"], format=file_format, allowed_formats=())
    size = len(made(make_rendition(attempt, attempt, free, seal=facts)).data)
    tight = dataclasses.replace(free, max_bytes=size if file_format == "png" else round(0.62 * size))
    assert made(make_rendition(attempt, attempt, tight, seal=facts)).label_box is not None


# ---------------------------------------------------------------- content credentials


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> CredentialSigner:
    chain, key = signing_chain(tmp_path_factory.mktemp("c2pa"))
    opened = open_signer(PublishSettings(c2pa_certificate=chain, c2pa_key=key))
    assert opened is not None
    return opened


@pytest.mark.parametrize("file_format", ["jpeg", "webp", "avif", "png"])
def test_a_signed_file_carries_all_its_labels_and_shows_the_same_pixels(
    file_format: str, signer: CredentialSigner
) -> None:
    attempt = scenery(800, 800)
    channel = dataclasses.replace(CHANNELS["taobao_main"], format=file_format, allowed_formats=())
    facts = dataclasses.replace(FACTS, engine="diffusers", mode="stage", signed_by=signer.fingerprint)
    signed = made(make_rendition(attempt, attempt, channel, seal=facts, signer=signer))
    assert signed.credential is not None
    assert signed.credential.state == "valid"
    assert read_credential(signed.data, signed.media_type) == signed.credential
    assert read_seal(signed.data) == expected_seal(facts)
    assert dict(read_seal(signed.data).aigc)["Label"] == "1"
    assert np.array_equal(decoded(signed), decoded(made(make_rendition(attempt, attempt, channel, seal=facts))))


def test_the_signature_counts_against_the_channels_limit(signer: CredentialSigner) -> None:
    attempt = scenery(800, 800)
    channel = CHANNELS["taobao_main"]
    unsigned = made(make_rendition(attempt, attempt, channel, seal=FACTS))
    tight = dataclasses.replace(channel, max_bytes=len(unsigned.data) + 100)
    file = made(make_rendition(attempt, attempt, tight, seal=FACTS, signer=signer))
    assert len(file.data) <= tight.max_bytes
    assert file.quality < unsigned.quality


def test_a_file_whose_credential_does_not_hold_is_a_lost_label(
    signer: CredentialSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, sign = scenery(800, 800), CredentialSigner.sign

    def spoiled(self: CredentialSigner, data: bytes, media_type: str, facts: SealFacts) -> bytes:
        signed = bytearray(sign(self, data, media_type, facts))
        signed[-40] ^= 1  # the last scan's pixels
        return bytes(signed)

    monkeypatch.setattr(CredentialSigner, "sign", spoiled)
    refusal = refused(make_rendition(attempt, attempt, CHANNELS["taobao_main"], seal=FACTS, signer=signer))
    assert refusal.code == "label_lost"
    assert "assertion.dataHash.mismatch" in refusal.reason


# ---------------------------------------------------------------- transparency, and further files for the web


@pytest.mark.parametrize("file_format", ["png", "webp", "avif"])
def test_transparency_is_kept_where_the_format_holds_it(file_format: str) -> None:
    alpha = np.zeros((800, 800, 1), np.uint8)
    alpha[200:600, 200:600] = 255
    attempt = np.concatenate([scenery(800, 800), alpha], axis=2)
    channel = dataclasses.replace(CHANNELS["taobao_main"], format=file_format, allowed_formats=(), alpha_allowed=True)
    file = made(make_rendition(attempt, attempt, channel, seal=FACTS))
    with Image.open(io.BytesIO(file.data)) as image:
        kept = np.asarray(image.convert("RGBA"))[..., 3].astype(int)
    assert np.abs(kept - alpha[..., 0]).mean() <= (0.5 if file_format == "avif" else 0.0), "AVIF's alpha is lossy too"


def test_transparency_becomes_white_in_a_jpeg_and_on_a_white_channel() -> None:
    alpha = np.zeros((800, 800, 1), np.uint8)
    alpha[200:600, 200:600] = 255
    attempt = np.concatenate([np.zeros((800, 800, 3), np.uint8), alpha], axis=2)
    file = made(make_rendition(attempt, attempt, CHANNELS["taobao_main"], seal=FACTS))
    assert decoded(file)[:190].min() >= 250
    assert decoded(file)[210:590, 210:590].max() <= 5
    in_png = dataclasses.replace(CHANNELS["taobao_main"], format="png")
    assert decoded(made(make_rendition(attempt, attempt, in_png, seal=FACTS)))[0, 0].tolist() == [255, 255, 255]
    opaque = np.concatenate([scenery(800, 800), np.full((800, 800, 1), 255, np.uint8)], axis=2)
    rgb = np.ascontiguousarray(opaque[..., :3])
    assert (
        made(make_rendition(opaque, opaque, CHANNELS["taobao_main"], seal=FACTS)).data
        == made(make_rendition(rgb, rgb, CHANNELS["taobao_main"], seal=FACTS)).data
    )


def test_a_srcset_is_made_of_channels_each_with_an_id_of_its_own() -> None:
    attempt = scenery(1024, 1024)
    channel = dataclasses.replace(CHANNELS["taobao_main"], allowed_formats=("jpeg", "webp"))
    further = srcset_channels(1024, 1024, channel, widths_px=(480, 800, 1200), formats=("webp", "jpeg"))
    files = [made(make_rendition(attempt, attempt, one, seal=FACTS)) for one in further]
    assert [(f.width_px, f.extension) for f in files] == [(480, "webp"), (480, "jpg"), (800, "webp")]
    assert len({rendition_id_of("f1", one, FACTS) for one in (channel, *further)}) == 4
    assert all(read_seal(f.data) == expected_seal(FACTS) for f in files)
    assert all(f.frame == frame_of(1024, 1024, one) for f, one in zip(files, further, strict=True))
