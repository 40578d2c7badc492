"""The seam to any model: what it is asked to draw, what it may paint, and how its picture becomes the one promised."""

from __future__ import annotations

import dataclasses
from typing import get_args

import cv2
import numpy as np
import pytest
from cut_products import NAMES, SCENES, grained, library, product, request_of, stage_of
from numpy.typing import NDArray

from zimage_core.domain import Change, Light, Mode, Placement, Prompt, Stage
from zimage_core.engines.base import Rendered
from zimage_core.engines.drawing import LATENT_PX, drawing_of, finish, repaint_of
from zimage_core.engines.studio import create
from zimage_core.errors import BadImage, EngineRefused
from zimage_core.imaging.composite import paste_premultiplied, placed_premultiplied
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.set_down import set_down

SWEEP = Stage("sweep", "paper", ("#d8c8b2", "#8a6a4a"), Light(-50, 40), fill_ratio=0.6, horizon_ratio=0.6)
WITH_PHOTO: tuple[Mode, ...] = ("stage", "inpaint")
ODD = (500, 333)


def drawn(size: tuple[int, int]) -> NDArray[np.uint8]:
    """What a model might answer: every place different."""
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    return np.stack([rows % 251, columns % 241, (rows + columns) % 239], axis=2).astype(np.uint8)


# ---------------------------------------------------------------- before


@pytest.mark.parametrize("mode", ["text", *WITH_PHOTO])
@pytest.mark.parametrize(("size", "canvas"), [((512, 512), (512, 512)), (ODD, (512, 336)), ((100, 49), (112, 64))])
def test_the_canvas_is_the_request_s_size_rounded_up(
    mode: Mode, size: tuple[int, int], canvas: tuple[int, int]
) -> None:
    drawing = drawing_of(request_of("mug", SWEEP, mode, size=size), 16)
    assert (drawing.width_px, drawing.height_px) == canvas
    for plane in (drawing.base_rgb, drawing.repaint, drawing.product):
        assert plane is None or plane.shape[:2] == canvas[::-1]


def test_each_mode_carries_what_the_model_needs_and_no_more() -> None:
    text, stage, inpaint = (drawing_of(request_of("mug", SWEEP, mode, seed=9), 16) for mode in ("text", *WITH_PHOTO))
    assert (text.base_rgb, text.repaint, text.product, text.placement) == (None, None, None, None)
    assert (stage.base_rgb, stage.repaint) == (None, None)
    assert stage.product is not None
    assert inpaint.base_rgb is not None
    assert inpaint.repaint is not None
    assert {drawing.seed for drawing in (text, stage, inpaint)} == {9}
    assert {drawing.prompt for drawing in (text, stage, inpaint)} == {"An empty table."}
    assert {drawing.negative for drawing in (text, stage, inpaint)} == {"text"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scene", SCENES)
def test_the_product_stands_exactly_where_the_studio_puts_it(name: str, scene: str) -> None:
    request = request_of(name, stage_of(name, scene), size=(333, 416))
    (answer,) = create({}).render([request])
    assert isinstance(answer, Rendered)
    drawing = drawing_of(request, 16)
    assert drawing.placement == answer.placement
    _, placement, _ = finish(request, drawing, drawn((336, 416)))
    assert placement == answer.placement


def test_without_a_photo_only_words_can_be_drawn() -> None:
    for mode in WITH_PHOTO:
        request = dataclasses.replace(request_of("mug", SWEEP, mode), reference=None)
        with pytest.raises(EngineRefused, match=r"MUG has none; add one .* mode text") as refused:
            drawing_of(request, 16)
        assert refused.value.sku == "MUG"
    words = dataclasses.replace(request_of("mug", SWEEP, "text"), reference=None)
    assert drawing_of(words, 16).notes == ()


def test_a_photo_that_is_not_used_is_said() -> None:
    (note,) = drawing_of(request_of("mug", SWEEP, "text"), 16).notes
    assert "photo was not used" in note


def test_a_packshot_and_an_empty_cutout_are_refused_for_good() -> None:
    with pytest.raises(EngineRefused, match="no model draws it"):
        drawing_of(request_of("mug", SWEEP, "packshot"), 16)
    empty = CutOut(np.zeros((50, 50, 4), dtype=np.uint8), 0.0)
    with pytest.raises(EngineRefused, match="empty") as refused:
        drawing_of(request_of("mug", SWEEP, reference=empty), 16)
    assert not refused.value.retryable


def test_an_enlarged_photo_is_said() -> None:
    small = CutOut(np.full((40, 40, 4), 255, dtype=np.uint8), 0.3)
    assert any("enlarged" in note for note in drawing_of(request_of("mug", SWEEP, reference=small), 16).notes)


# ---------------------------------------------------------------- words for a changed backdrop


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("mode", ["text", *WITH_PHOTO])
@pytest.mark.parametrize("backdrop", ["contrast", "plain"])
def test_a_changed_backdrop_is_put_into_words_of_the_prompt_s_language(
    language: str, mode: Mode, backdrop: str
) -> None:
    own = "空的台面。" if language == "zh" else "An empty table."
    prompt = Prompt(own, "", language, ())  # type: ignore[arg-type]
    change = Change(backdrop=backdrop)  # type: ignore[arg-type]
    drawing = drawing_of(request_of("mug", SWEEP, mode, prompt=prompt, change=change), 16)
    assert drawing.prompt.startswith(own)
    added = drawing.prompt.removeprefix(own)
    assert added.isascii() == (language == "en")
    assert added.endswith("。" if language == "zh" else ".")
    assert added.strip("。. ") in drawing.notes[-1]


def test_contrast_means_dark_for_a_light_product_and_pale_for_a_dark_one() -> None:
    def words(name: str) -> str:
        return drawing_of(request_of(name, SWEEP, change=Change(backdrop="contrast")), 16).prompt

    assert "dark" in words("mug")
    assert "pale" in words("phone")
    assert "pale" in words("lipstick")


def test_words_for_an_empty_scene_name_no_product() -> None:
    for name in ("mug", "phone"):
        for backdrop in ("contrast", "plain"):
            change = Change(backdrop=backdrop)  # type: ignore[arg-type]
            for prompt in (Prompt("", "", "zh", ()), Prompt("", "", "en", ())):
                said = drawing_of(request_of(name, SWEEP, prompt=prompt, change=change), 16).prompt.lower()
                assert said
                assert not any(word in said for word in ("商品", "产品", "物体", "product", "object", name))


def test_what_the_prompt_adds_fits_the_prompts_of_every_scene() -> None:
    """It goes to the end, after a sentence mark: no scene's prompt may run into it."""
    for scene in library().scene_names:
        for prompt in (Prompt("台面。", "", "zh", ()), Prompt("A table.", "", "en", ())):
            request = request_of("mug", stage_of("mug", scene), prompt=prompt, change=Change(backdrop="plain"))
            said = drawing_of(request, 16).prompt
            assert said.count("。") == 2 or said.count(". ") == 1


# ---------------------------------------------------------------- what the model is shown, and may paint


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_shown_the_photo_s_own_pixels_on_the_scene_s_colours(name: str) -> None:
    drawing = drawing_of(request_of(name, SWEEP, "inpaint"), 16)
    assert drawing.base_rgb is not None
    assert drawing.product is not None
    opaque, outside = drawing.product[..., 3] == 255, drawing.product[..., 3] == 0
    assert np.array_equal(drawing.base_rgb[opaque], drawing.product[opaque][:, :3])
    assert np.abs(drawing.base_rgb[2, 2].astype(int) - (0xD8, 0xC8, 0xB2)).max() <= 2
    assert np.abs(drawing.base_rgb[-2, 2].astype(int) - (0x8A, 0x6A, 0x4A)).max() <= 4
    assert np.ptp(drawing.base_rgb[outside].astype(int), axis=0).max() < 110


def test_a_changed_ground_is_one_tone_that_sets_the_product_off() -> None:
    def ground(name: str, change: Change) -> NDArray[np.int64]:
        base = drawing_of(request_of(name, SWEEP, "inpaint", change=change), 16).base_rgb
        assert base is not None
        assert np.array_equal(base[1, 1], base[-2, 1])
        return base[1, 1].astype(int)

    contrast = Change(backdrop="contrast")
    assert ground("mug", contrast).max() < 110
    assert ground("phone", contrast).min() > 180
    assert np.abs(ground("mug", Change(backdrop="plain")) - (0xD8, 0xC8, 0xB2)).max() <= 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scene", SCENES)
def test_whole_latents_are_kept_or_painted_and_the_soft_edge_is_always_painted(name: str, scene: str) -> None:
    drawing = drawing_of(request_of(name, stage_of(name, scene), "inpaint"), 16)
    assert drawing.product is not None
    assert drawing.repaint is not None
    alpha, painted = drawing.product[..., 3], drawing.repaint
    assert set(np.unique(painted)) <= {0, 255}
    squares = painted.reshape(512 // LATENT_PX, LATENT_PX, 512 // LATENT_PX, LATENT_PX)
    assert (np.ptp(squares, axis=(1, 3)) == 0).all()
    assert ((painted == 0) & (alpha == 0)).mean() < 0.005  # beside a thin part a few squares hold some ground
    opaque = alpha == 255
    assert (painted[opaque] == 0).mean() > (0.5 if name == "lamp" else 0.75)


def test_a_kept_latent_of_a_thick_product_holds_nothing_but_product() -> None:
    drawing = drawing_of(request_of("cushion", SWEEP, "inpaint", size=(768, 768)), 16)
    assert drawing.product is not None
    assert drawing.repaint is not None
    core = cv2.erode((drawing.product[..., 3] == 255).astype(np.uint8), np.ones((33, 33), np.uint8)) > 0
    assert (drawing.repaint[core] == 0).all()
    assert (drawing.product[..., 3][drawing.repaint == 0] == 255).mean() > 0.999


def test_the_model_is_told_of_an_arm_too_thin_to_fill_a_latent() -> None:
    bar = np.zeros((128, 128, 4), dtype=np.uint8)
    bar[20:116, 57:63] = 255  # six wide, inside one column of latents
    assert (repaint_of(bar)[:, 56:64] == 0).sum() >= 88 * 8
    hair = np.zeros((128, 128, 4), dtype=np.uint8)
    hair[20:116, 57:59] = 255
    assert (repaint_of(hair) == 255).all()


# ---------------------------------------------------------------- after


def test_words_alone_are_only_cut_back_to_the_size_that_was_promised() -> None:
    request = request_of("mug", SWEEP, "text", size=ODD)
    canvas = drawn((512, 336))
    picture, placement, notes = finish(request, drawing_of(request, 16), canvas)
    assert np.array_equal(picture, canvas[1:334, 6:506])
    assert (placement, notes) == (None, ())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", WITH_PHOTO)
@pytest.mark.parametrize("size", [(512, 512), ODD])
def test_the_product_s_own_pixels_are_put_back(name: str, mode: Mode, size: tuple[int, int]) -> None:
    request = request_of(name, SWEEP, mode, size=size)
    drawing = drawing_of(request, 16)
    picture, placement, _ = finish(request, drawing, drawn((drawing.width_px, drawing.height_px)))
    assert picture.shape == (size[1], size[0], 3)
    assert placement is not None
    own = placed_premultiplied(product(name), placement, *size)
    opaque = own[..., 3] == 255
    assert opaque.sum() > 500
    assert np.array_equal(picture[opaque], own[opaque][:, :3])


def test_a_stage_gets_shadows_and_an_inpainted_picture_keeps_the_model_s() -> None:
    model = grained((190, 170, 150), (512, 512))
    stage, inpaint = (request_of("mug", SWEEP, mode) for mode in WITH_PHOTO)
    drawing = drawing_of(stage, 16)
    assert drawing.product is not None
    assert isinstance(drawing.placement, Placement)
    staged, _, _ = finish(stage, drawing, model)
    painted, _, (note,) = finish(inpaint, drawing_of(inpaint, 16), model)
    assert np.array_equal(staged, set_down(model, product("mug"), drawing.placement, SWEEP))
    assert np.array_equal(painted, paste_premultiplied(model, drawing.product))
    assert "own pixels were put back" in note
    outside = drawing.product[..., 3] == 0
    assert np.array_equal(painted[outside], model[outside])
    assert not np.array_equal(staged[outside], model[outside])


def test_a_picture_drawn_at_twice_the_size_is_averaged_down() -> None:
    request = request_of("mug", SWEEP, "text", size=(64, 48))
    once = drawn((64, 48))
    twice = once.repeat(2, axis=0).repeat(2, axis=1)
    picture, _, _ = finish(request, drawing_of(request, 16), twice)
    assert np.array_equal(picture, once)


@pytest.mark.parametrize(
    "answer",
    [
        drawn((64, 64)),
        drawn((128, 48)),
        drawn((96, 72)),
        drawn((64, 48)).astype(np.float32),
        drawn((64, 48))[..., :2],
        None,
    ],
    ids=["another size", "one side doubled", "half as much again", "floats", "two channels", "nothing"],
)
def test_an_answer_of_any_other_size_or_kind_is_a_bad_image(answer: NDArray[np.uint8]) -> None:
    request = request_of("mug", SWEEP, "text", size=(64, 48))
    with pytest.raises(BadImage, match=r"\(48, 64, 3\)") as bad:
        finish(request, drawing_of(request, 16), answer)
    assert bad.value.sku == "MUG"


def test_every_mode_is_either_drawn_or_refused() -> None:
    for mode in get_args(Mode):
        request = request_of("mug", SWEEP, mode)
        if mode == "packshot":
            with pytest.raises(EngineRefused):
                drawing_of(request, 16)
        else:
            assert drawing_of(request, 16).width_px == 512
