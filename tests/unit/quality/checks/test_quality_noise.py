"""Noise is told from pictures: what decoders make of noise, alone and behind a real product, against fine textures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from cut_products import NAMES, SCENES, product, request_of, stage_of
from numpy.typing import NDArray

from zimage_core.domain import Change, Finding
from zimage_core.engines.base import Rendered
from zimage_core.engines.drawing import drawing_of, finish
from zimage_core.engines.studio import create
from zimage_core.quality.checks.noise import SQUARE_PX, noise_level
from zimage_core.quality.rasters import halved

Pixels = NDArray[np.uint8]
Judge = Callable[..., Finding]
SIDE = 512


@pytest.fixture(scope="session")
def decoded(tiny_checkpoint: Path) -> Callable[[int, int, int], Pixels]:
    """What the real pipeline makes of weights that know nothing: (width_px, height_px, seed) -> picture."""
    import torch
    from diffusers import ZImagePipeline
    from transformers.utils import logging

    logging.disable_progress_bar()
    pipeline = ZImagePipeline.from_pretrained(tiny_checkpoint)
    pipeline.set_progress_bar_config(disable=True)

    @cache
    def draw(width_px: int, height_px: int, seed: int) -> Pixels:
        generator = torch.Generator("cpu").manual_seed(seed)
        asked = {"num_inference_steps": 8, "guidance_scale": 0.0, "generator": generator, "output_type": "np"}
        made = pipeline(prompt=["an empty table"], width=width_px, height=height_px, **asked).images[0]
        return (made * 255).round().astype(np.uint8)

    return draw


@pytest.fixture
def judge(studio) -> Judge:
    """The check's finding on a picture, with the product where it was placed or with no product known."""

    def finding(rgb: Pixels, name: str | None = None, placement=None, scene: str = "studio") -> Finding:
        given = dataclasses.replace(
            studio.shoot("lipstick", scene=scene, texts=()),
            attempt_rgb=rgb,
            finished_rgb=rgb,
            cutout=None if name is None else product(name),
            placement=placement,
            placed=None,
            mode="text" if name is None else "stage",
            width_px=rgb.shape[1],
            height_px=rgb.shape[0],
        )
        return studio.finding("noise", given)

    return finding


def level(rgb: Pixels) -> float:
    return noise_level(
        rgb, halved(halved(rgb)), np.ones((rgb.shape[0] // SQUARE_PX, rgb.shape[1] // SQUARE_PX), dtype=np.bool_)
    )


def enlarged(rgb: Pixels, times: float) -> Pixels:
    return np.asarray(cv2.resize(rgb, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


# ---------------------------------------------------------------- what is noise


@pytest.mark.parametrize(("width_px", "height_px", "seed"), [(256, 256, 0), (512, 512, 1), (384, 640, 2)])
def test_a_picture_drawn_by_random_weights_is_a_veto(decoded, judge, width_px, height_px, seed) -> None:
    finding = judge(decoded(width_px, height_px, seed))
    assert finding.veto
    assert finding.score == 0.0
    assert finding.sentence.startswith("The picture is noise")


@pytest.mark.parametrize("times", [4 / 3, 2.0])
def test_noise_that_was_drawn_smaller_and_enlarged_is_a_veto_too(decoded, judge, times) -> None:
    assert judge(enlarged(decoded(SIDE, SIDE, 1), times)).veto


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scene", SCENES)
def test_a_real_product_set_down_in_noise_does_not_save_it(decoded, judge, name, scene) -> None:
    request = request_of(name, stage_of(name, scene), size=(SIDE, SIDE))
    picture, placement, _ = finish(request, drawing_of(request, 16), decoded(SIDE, SIDE, 1))
    finding = judge(picture, name, placement)
    if finding.state == "not_applicable":  # a closeup that fills the frame: none of the noise is left to see
        assert scene == "detail"
        return
    assert finding.veto
    assert "around the product is noise" in finding.sentence


def test_such_a_picture_is_a_c_for_the_noise_and_nothing_else_is_asked(decoded, studio) -> None:
    request = request_of("mug", stage_of("mug", "lifestyle"), size=(SIDE, SIDE))
    picture, placement, _ = finish(request, drawing_of(request, 16), decoded(SIDE, SIDE, 1))
    given = dataclasses.replace(
        studio.shoot("mug", texts=()),
        attempt_rgb=picture,
        finished_rgb=picture,
        cutout=product("mug"),
        placement=placement,
        placed=None,
        width_px=SIDE,
        height_px=SIDE,
    )
    grade = studio.grade(given)
    assert grade.letter == "C"
    assert grade.reasons[0].startswith("What is around the product is noise")
    assert [f.check for f in grade.findings if f.state == "measured"] == ["resolution", "aspect", "blank", "noise"]


@pytest.mark.parametrize("kind", ["static", "grey static", "squares", "blobs"])
def test_other_noise_is_a_veto_whatever_its_grain(judge, kind) -> None:
    rng = np.random.default_rng(4)
    static = rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    coarse = rng.integers(0, 256, (SIDE // 8, SIDE // 8, 3)).astype(np.uint8)
    made = {
        "static": static,
        "grey static": np.repeat(static[..., :1], 3, axis=2),
        "squares": np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST), dtype=np.uint8),
        "blobs": enlarged(coarse, 8),
    }
    assert judge(made[kind]).veto


# ---------------------------------------------------------------- what is not


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("change", [Change(), Change(backdrop="contrast")], ids=["as planned", "contrast"])
def test_no_stage_of_the_studio_is_taken_for_noise(judge, name, scene, change) -> None:
    request = request_of(name, stage_of(name, scene), size=(SIDE, SIDE), seed=len(name), change=change)
    (answer,) = create({}).render([request])
    assert isinstance(answer, Rendered)
    assert level(answer.rgb) < 1.0
    finding = judge(answer.rgb, name, answer.placement)
    assert finding.state == "not_applicable" or finding.score == 1.0


def weave(period_px: float, colors: tuple[tuple[int, int, int], tuple[int, int, int]]) -> Pixels:
    """A check of two colours, turned by 20 degrees, with the softness of a lens."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] * (2 * np.pi / period_px)
    u, v = 0.94 * x + 0.34 * y, 0.94 * y - 0.34 * x
    share = cv2.GaussianBlur((np.sin(u) * np.sin(v) > 0).astype(np.float32), (0, 0), 0.8)[..., None]
    return (np.array(colors[0]) * share + np.array(colors[1]) * (1 - share)).astype(np.uint8)


def pile(luma_levels: float, chroma_levels: float) -> Pixels:
    """A carpet: every tuft of another lightness, and of a slightly different colour."""
    rng = np.random.default_rng(5)

    def tufts(channels: int) -> NDArray[np.float32]:
        made = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE, channels)).astype(np.float32), (0, 0), 2.0)
        return np.asarray(made.reshape(SIDE, SIDE, channels) / made.std(), dtype=np.float32)

    shades = np.array([140, 120, 100]) + luma_levels * tufts(1) + chroma_levels * tufts(3)
    return np.clip(shades, 0, 255).astype(np.uint8)


TEXTURES = {
    "houndstooth": lambda: weave(20, ((20, 20, 24), (240, 238, 232))),
    "fine houndstooth": lambda: weave(12, ((20, 20, 24), (240, 238, 232))),
    "gingham": lambda: weave(24, ((200, 40, 40), (250, 246, 240))),
    "carpet": lambda: pile(25, 4),
    "grain of ISO 3200": lambda: np.clip(np.random.default_rng(1).normal(140, 12, (SIDE, SIDE, 3)), 0, 255).astype(
        "u1"
    ),
    "white": lambda: np.full((SIDE, SIDE, 3), 255, np.uint8),
    "black": lambda: np.zeros((SIDE, SIDE, 3), np.uint8),
    "a gradient": lambda: np.broadcast_to(np.linspace(90, 240, SIDE)[:, None, None], (SIDE, SIDE, 3)).astype(np.uint8),
}


@pytest.mark.parametrize("kind", TEXTURES)
def test_fine_textures_grain_and_even_grounds_are_not_noise(judge, kind) -> None:
    finding = judge(TEXTURES[kind]())
    assert finding.score == 1.0
    assert finding.passed


@pytest.mark.parametrize("name", ["cushion", "cushion_soft", "lipstick_blurred", "mug_overexposed", "phone"])
def test_example_photos_good_or_bad_are_not_noise(judge, photo, name) -> None:
    assert judge(photo(name)).score == 1.0


def test_confetti_on_a_plain_ground_is_not_noise(judge) -> None:
    rng = np.random.default_rng(2)
    ground = np.full((SIDE, SIDE, 3), 250, np.uint8)
    for _ in range(600):
        centre = tuple(int(v) for v in rng.integers(0, SIDE, 2))
        cv2.circle(ground, centre, int(rng.integers(3, 9)), tuple(int(v) for v in rng.integers(0, 256, 3)), -1)
    assert judge(ground).score == 1.0


def test_a_little_noise_costs_score_before_it_is_a_veto(decoded, judge) -> None:
    calm = np.full((SIDE, SIDE, 3), 150, np.uint8)
    noise = decoded(SIDE, SIDE, 1)
    scores = [judge(cv2.addWeighted(noise, share, calm, 1 - share, 0)).score for share in (0.1, 0.3, 0.35, 0.6)]
    assert scores[0] == 1.0
    assert scores == sorted(scores, reverse=True)
    assert 0.3 < scores[1] < 1.0
    assert scores[-1] == 0.0


def test_a_picture_too_small_to_say_is_not_judged(judge) -> None:
    assert judge(np.full((60, 60, 3), 90, np.uint8)).state == "not_applicable"
