"""The studio as an engine: what it says of itself, pure packshots, refusals with a way out, the same bytes always."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from zimage_core.domain import Change, Light, Mode, Prompt, Scene, Stage
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest, render_checked
from zimage_core.engines.registry import create_engine
from zimage_core.engines.studio import MODES, StudioEngine, create
from zimage_core.errors import ConfigurationError, EngineRefused
from zimage_core.imaging.composite import placed_alpha, visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import read_photo

PRODUCTS = Path(__file__).resolve().parents[3] / "examples" / "products"
NAMES = ("mug", "lamp", "perfume", "phone", "lipstick", "cushion")
WHITE = Stage("white", "none", ("#ffffff",), Light(0, 60), fill_ratio=0.86)
WOOD = Stage(
    "wall", "wood", ("#d8c8b2", "#b48a5f", "#9aa58d"), Light(-55, 38), 0.6, 0.6, bokeh_ratio=0.5, text_room="top"
)
ENGINE = create({})


@cache
def product(name: str) -> CutOut:
    """Half-size cut-outs with the exact masks and the white backdrop unmixed: fast, and independent of `cut_out`."""
    rgb = cv2.resize(read_photo(PRODUCTS / f"{name}.jpg").rgb, (800, 800), interpolation=cv2.INTER_AREA)
    mask = np.asarray(cv2.imread(str(PRODUCTS / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    alpha = cv2.resize(mask, (800, 800), interpolation=cv2.INTER_AREA)
    share = np.maximum(alpha, 8)[..., None].astype(np.float32) / 255
    colour = np.clip((rgb - 255.0 * (1 - share)) / share, 0, 255).astype(np.uint8)
    box = visible_box(np.asarray(alpha, dtype=np.uint8))
    rows, columns = slice(box.y_px - 2, box.bottom_px + 2), slice(box.x_px - 2, box.right_px + 2)
    return CutOut(np.ascontiguousarray(np.dstack([colour, alpha])[rows, columns]), float(alpha.mean() / 255))


def request(
    name: str = "mug",
    stage: Stage = WHITE,
    mode: Mode = "packshot",
    *,
    seed: int = 1,
    size: tuple[int, int] = (512, 512),
    change: Change | None = None,
) -> RenderRequest:
    scene = Scene("studio", "default", mode, stage, "eye_level", "1", "studio.yaml")
    return RenderRequest(
        attempt_id=f"{name}-{seed}",
        sku=name.upper(),
        shot_id="shot",
        number=1,
        mode=mode,
        prompt=Prompt("", "", "en", ()),
        scene=scene,
        change=change or Change(),
        seed=seed,
        width_px=size[0],
        height_px=size[1],
        reference=product(name),
    )


def rendered(given: RenderRequest) -> Rendered:
    (answer,) = ENGINE.render([given])
    assert isinstance(answer, Rendered)
    return answer


def outside_of(answer: Rendered, name: str, reach_px: int = 3) -> NDArray[np.bool_]:
    """Every pixel that is not product nor within `reach_px` of it."""
    assert answer.placement is not None
    height, width = answer.rgb.shape[:2]
    alpha = placed_alpha(product(name), answer.placement, width, height)
    kernel = np.ones((2 * reach_px + 1, 2 * reach_px + 1), dtype=np.uint8)
    return np.asarray(cv2.dilate((alpha > 0).astype(np.uint8), kernel) == 0)


def test_the_registry_creates_the_studio_and_its_fingerprint_is_stable() -> None:
    engine = create_engine("studio")
    assert engine.info.name == "studio"
    assert engine.info.modes == MODES == ("packshot", "stage")
    assert engine.info.fingerprint == StudioEngine.info.fingerprint
    assert engine.info.fingerprint.startswith("studio-")
    assert engine.info.cost_usd_per_image == 0
    engine.close()
    engine.close()


def test_an_option_it_does_not_know_is_a_mistake_of_configuration() -> None:
    with pytest.raises(ConfigurationError, match="no options; remove steps"):
        create({"steps": "9"})


@pytest.mark.parametrize("name", NAMES)
def test_a_packshot_is_pure_white_around_the_product(name: str) -> None:
    answer = rendered(request(name))
    assert (answer.rgb[outside_of(answer, name)] == 255).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(512, 512), (432, 576), (333, 517)])
def test_a_packshot_fills_the_frame_as_the_scene_asks(name: str, size: tuple[int, int]) -> None:
    answer = rendered(request(name, size=size))
    assert answer.placement is not None
    box = visible_box(placed_alpha(product(name), answer.placement, *size))
    assert max(box.width_px / size[0], box.height_px / size[1]) == pytest.approx(0.86, abs=0.01)


def test_an_enlarged_photo_is_noted_for_whoever_reads_the_attempt() -> None:
    assert rendered(request("lamp")).notes == ()
    (note,) = rendered(request("lamp", size=(1024, 1024))).notes
    assert "enlarged 1.2" in note


@pytest.mark.parametrize("mode", ["text", "inpaint"])
def test_a_mode_it_does_not_make_is_refused_with_a_way_out(mode: Mode) -> None:
    (answer,) = ENGINE.render([request(mode=mode)])
    assert isinstance(answer, EngineFailure)
    assert isinstance(answer.error, EngineRefused)
    assert not answer.error.retryable
    assert f"does not make '{mode}' pictures" in answer.error.sentence
    assert "packshot or stage" in answer.error.sentence
    assert answer.error.sku == "MUG"


def test_a_product_without_photo_is_refused_and_its_siblings_are_made() -> None:
    without = dataclasses.replace(request("lamp"), reference=None)
    answers = ENGINE.render([request("mug"), without, request("phone")])
    assert [type(answer) for answer in answers] == [Rendered, EngineFailure, Rendered]
    failure = answers[1]
    assert isinstance(failure, EngineFailure)
    assert "add a photo" in failure.error.sentence
    assert failure.error.engine == "studio"


def test_an_empty_cutout_fails_alone_with_a_sentence() -> None:
    empty = CutOut(np.zeros((50, 50, 4), dtype=np.uint8), 0.0)
    (answer,) = ENGINE.render([dataclasses.replace(request(), reference=empty)])
    assert isinstance(answer, EngineFailure)
    assert "empty" in answer.error.sentence


def test_a_picture_larger_than_its_limit_is_refused() -> None:
    (answer,) = ENGINE.render([request(size=(5000, 512))])
    assert isinstance(answer, EngineFailure)
    assert "4096" in answer.error.sentence


def digests(answers: Sequence[Rendered | EngineFailure]) -> list[str]:
    return [hashlib.sha256(answer.rgb.tobytes()).hexdigest() for answer in answers if isinstance(answer, Rendered)]


def test_pixels_are_the_same_alone_in_a_batch_again_and_from_many_threads() -> None:
    requests = [request(name, WOOD, "stage", seed=seed) for name in ("mug", "lipstick") for seed in (7, 8)]
    batched = digests(ENGINE.render(requests))
    alone = [digests(ENGINE.render([single]))[0] for single in reversed(requests)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda single: digests(create({}).render([single]))[0], requests))
    assert len(set(batched)) == 4
    assert alone[::-1] == batched
    assert threaded == batched


def test_opencv_threads_do_not_change_a_pixel() -> None:
    given = request("perfume", WOOD, "stage", seed=5)
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        many = digests(ENGINE.render([given]))
        cv2.setNumThreads(1)
        one = digests(ENGINE.render([given]))
    finally:
        cv2.setNumThreads(before)
    assert many == one


def test_what_it_renders_passes_the_checks_every_engine_must_pass() -> None:
    requests = [request("mug"), request("phone", WOOD, "stage", size=(333, 517))]
    assert all(isinstance(answer, Rendered) for answer in render_checked(ENGINE, requests))
