"""Every shipped channel, square or not, gets a picture of its shape: planned, drawn by the studio, made a file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from zimage_core.domain import Change, Channel, EngineInfo, Light, Mode, Prompt, Scene, Stage
from zimage_core.engines.base import Rendered, RenderRequest
from zimage_core.engines.studio import StudioEngine, create
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import read_photo
from zimage_core.planning import targets_for
from zimage_core.publishing.channels import load_channels
from zimage_core.publishing.lint import broken_rules
from zimage_core.publishing.renditions import RenditionBytes, make_rendition
from zimage_core.publishing.seal import SealFacts

PRODUCTS = Path(__file__).resolve().parents[3] / "examples" / "products"
CHANNELS = load_channels()
TRAINED = EngineInfo("diffusers", "f", ("stage", "inpaint", "text"), False, 16, 2048, 8, 1.0, 0.0)
WHITE = Stage("white", "none", ("#ffffff",), Light(0, 60), fill_ratio=0.9)
WOOD = Stage("wall", "wood", ("#d8c8b2", "#b48a5f", "#9aa58d"), Light(-55, 38), 0.6, 0.6, text_room="top")
UPRIGHT = ("tmall_portrait", "wechat_moments", "instagram_portrait", "poster_detail", "poster_social")


@cache
def mug() -> CutOut:
    photo = read_photo(PRODUCTS / "mug.jpg").rgb
    mask = np.asarray(cv2.imread(str(PRODUCTS / "masks" / "mug.png"), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    return CutOut(np.ascontiguousarray(np.dstack([photo, mask])[box]), float(mask.mean() / 255))


def modes_of(channel: Channel) -> list[Mode]:
    modes: list[Mode] = ["packshot"] if "packshot" in channel.scenes else []
    return [*modes, "stage"] if set(channel.scenes) - {"packshot"} else modes


@pytest.mark.parametrize("engine", [StudioEngine.info, TRAINED], ids=lambda engine: engine.name)
@pytest.mark.parametrize("slug", CHANNELS)
def test_what_is_planned_for_a_channel_alone_has_its_shape_and_enough_pixels(slug: str, engine: EngineInfo):
    channel = CHANNELS[slug]
    for mode in modes_of(channel):
        (target,) = targets_for(mode, [channel], engine)
        scale = min(target.width_px / channel.width_px, target.height_px / channel.height_px)
        kept = channel.width_px * channel.height_px * scale**2 / (target.width_px * target.height_px)
        assert kept >= 0.97, f"{mode} {target} loses {1 - kept:.1%}"
        short_px = min(channel.width_px, channel.height_px)
        assert short_px * min(scale, 1) >= channel.min_short_side_px - 1, f"{mode} {target}"


def test_channels_of_different_shapes_do_not_share_a_picture():
    wanted = [CHANNELS[slug] for slug in ("shopify", "instagram_square", *UPRIGHT)]
    sizes = {t.channels: (t.width_px, t.height_px) for t in targets_for("stage", wanted, TRAINED)}
    assert sizes == {
        ("shopify", "instagram_square"): (1024, 1024),
        ("tmall_portrait", "wechat_moments", "poster_detail"): (864, 1152),
        ("instagram_portrait",): (896, 1120),
        ("poster_social",): (768, 1360),
    }


@pytest.mark.parametrize(
    ("slug", "mode"), [*((slug, "stage") for slug in UPRIGHT), ("tmall_portrait", "packshot"), ("jd_main", "packshot")]
)
def test_plan_studio_and_rendition_agree_on_an_upright_channel(slug: str, mode: Mode):
    channel = CHANNELS[slug]
    (target,) = targets_for(mode, [channel], StudioEngine.info)
    stage = WHITE if mode == "packshot" else WOOD
    request = RenderRequest(
        attempt_id="mug-1",
        sku="MUG",
        shot_id="shot",
        number=1,
        mode=mode,
        prompt=Prompt("", "", "en", ()),
        scene=Scene("packshot" if mode == "packshot" else "lifestyle", "default", mode, stage, "", "1", "x.yaml"),
        change=Change(),
        seed=1,
        width_px=target.width_px,
        height_px=target.height_px,
        reference=mug(),
    )
    (drawn,) = create({}).render([request])
    assert isinstance(drawn, Rendered)
    facts = SealFacts("studio", "1", mode, "0123456789abcdef", "a mug", channel.language)
    made = make_rendition(drawn.rgb, drawn.rgb, channel, seal=facts)
    assert isinstance(made, RenditionBytes), made
    assert made.width_px / made.height_px == pytest.approx(channel.width_px / channel.height_px, abs=0.005)
    assert broken_rules(made.data, channel) == ()
