"""Stage pictures: the product's own pixels in a scene that sets it off, lit from where the scene says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from zimage_core.domain import Change, Light, Prompt, Scene, Stage
from zimage_core.engines.base import Rendered, RenderRequest
from zimage_core.engines.studio import create
from zimage_core.imaging.composite import placed_alpha, placed_rgba, visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import read_photo

PRODUCTS = Path(__file__).resolve().parents[3] / "examples" / "products"
NAMES = ("mug", "lamp", "perfume", "phone", "lipstick", "cushion")
PALETTE = ("#e6e0d7", "#e6e0d7", "#b9a07c", "#8a9a94")
LEFT = Light(-50, 40, 0.5)
SWEEP = Stage("sweep", "paper", PALETTE, LEFT, 0.6, 0.62)
STAGES = {
    "sweep": SWEEP,
    "white": Stage("white", "none", ("#ffffff",), LEFT, 0.6),
    "gloss": Stage("sweep", "gloss", PALETTE, LEFT, 0.6, 0.62, reflection_ratio=0.2),
    "wood": Stage("wall", "wood", ("#d8c8b2", "#b48a5f", "#9aa58d"), LEFT, 0.6, 0.6, bokeh_ratio=0.4),
    "marble": Stage("wall", "stone", ("#dfe3e2", "#efece8"), LEFT, 0.6, 0.6),
    "slate": Stage("wall", "stone", ("#6b7f88", "#3a3e44"), Light(130, 40), 0.6, 0.6, bokeh_ratio=0.2),
    "linen": Stage("wall", "fabric", PALETTE, LEFT, 0.6, 0.6),
    "tile": Stage("wall", "tile", PALETTE, LEFT, 0.6, 0.6),
    "flat wood": Stage("surface", "wood", ("#c9a47a", "#c9a47a"), LEFT, 0.64, 0.0),
    "flat linen": Stage("surface", "fabric", PALETTE, LEFT, 0.64, 0.0),
    "flat tile": Stage("surface", "tile", PALETTE, LEFT, 0.64, 0.0),
    "closeup": Stage("closeup", "none", PALETTE, LEFT, 1.35, 0.5, bokeh_ratio=0.3),
}
SIZES = ((512, 512), (432, 576), (333, 517))
ENGINE = create({})


@cache
def product(name: str) -> CutOut:
    """The cut-out by the exact mask, white backdrop unmixed: independent of how well `cut_out` does."""
    rgb = read_photo(PRODUCTS / f"{name}.jpg").rgb
    alpha = np.asarray(cv2.imread(str(PRODUCTS / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    share = np.maximum(alpha, 8)[..., None].astype(np.float32) / 255
    colour = np.clip((rgb - 255.0 * (1 - share)) / share, 0, 255).astype(np.uint8)
    box = visible_box(alpha)
    rows, columns = slice(box.y_px - 2, box.bottom_px + 2), slice(box.x_px - 2, box.right_px + 2)
    return CutOut(np.ascontiguousarray(np.dstack([colour, alpha])[rows, columns]), float(alpha.mean() / 255))


def odd_cutout(width: int, height: int, alpha: int = 255) -> CutOut:
    rgba = np.full((height, width, 4), (120, 90, 60, alpha), dtype=np.uint8)
    return CutOut(rgba, 0.1)


ODD = {
    "a dot": odd_cutout(5, 5),
    "a thread": odd_cutout(4, 300),
    "a ruler": odd_cutout(400, 6),
    "a veil": odd_cutout(90, 90, alpha=85),
}


def staged(
    name: str, stage: Stage, *, seed: int = 1, size: tuple[int, int] = (512, 512), change: Change | None = None
) -> Rendered:
    scene = Scene("studio", "default", "stage", stage, "eye_level", "1", "studio.yaml")
    prompt = Prompt("", "", "en", ())
    given = RenderRequest(
        "id",
        name,
        "shot",
        1,
        "stage",
        prompt,
        scene,
        change or Change(),
        seed,
        *size,
        reference=ODD.get(name) or product(name),
    )
    (answer,) = ENGINE.render([given])
    assert isinstance(answer, Rendered)
    return answer


def placed(name: str, answer: Rendered) -> NDArray[np.uint8]:
    assert answer.placement is not None
    height, width = answer.rgb.shape[:2]
    return placed_rgba(product(name), answer.placement, width, height)


def lightness(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    codes = rgb.astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(codes, cv2.COLOR_RGB2Lab)[..., 0], dtype=np.float32)


@pytest.mark.parametrize("index", range(len(STAGES)), ids=list(STAGES))
@pytest.mark.parametrize("turn", range(3))
def test_every_stage_renders_at_every_size_and_keeps_the_photo_s_pixels(index: int, turn: int) -> None:
    kind, name = list(STAGES)[index], NAMES[(index + turn) % len(NAMES)]
    size = SIZES[turn]
    answer = staged(name, STAGES[kind], size=size)
    assert answer.rgb.shape == (size[1], size[0], 3)
    own = placed(name, answer)
    opaque = own[..., 3] == 255
    assert opaque.sum() > 0.02 * opaque.size
    assert np.array_equal(answer.rgb[opaque], own[opaque][:, :3])
    around = own[..., 3] == 0
    assert answer.rgb[around].std() > 0.4  # something was drawn there


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", ["white", "gloss", "tile", "flat wood", "closeup"])
def test_products_that_are_hardly_there_make_pictures_too(kind: str, name: str) -> None:
    assert staged(name, STAGES[kind], size=(97, 64)).rgb.shape == (64, 97, 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_standing_product_is_whole_below_the_horizon_and_as_large_as_asked(name: str) -> None:
    answer = staged(name, STAGES["marble"])
    box = visible_box(placed(name, answer)[..., 3])
    assert max(box.width_px, box.height_px) / 512 == pytest.approx(0.6, abs=0.01)
    assert box.x_px > 10
    assert box.y_px > 10
    assert box.right_px < 502
    assert 0.7 * 512 <= box.bottom_px < 502


@pytest.mark.parametrize(("room", "axis", "sign"), [("top", 1, 1), ("bottom", 1, -1), ("left", 0, 1), ("right", 0, -1)])
def test_the_product_leaves_room_for_text_where_the_scene_says(room: str, axis: int, sign: int) -> None:
    def centre(text_room: str) -> tuple[float, float]:
        stage = Stage("sweep", "paper", PALETTE, LEFT, 0.55, 0.5, text_room=text_room)  # type: ignore[arg-type]
        box = visible_box(placed("perfume", staged("perfume", stage))[..., 3])
        assert min(box.x_px, box.y_px, 512 - box.right_px, 512 - box.bottom_px) >= 0.03 * 512
        return box.x_px + box.width_px / 2, box.y_px + box.height_px / 2

    assert sign * (centre(room)[axis] - centre("none")[axis]) > 0.02 * 512


@pytest.mark.parametrize("name", ["mug", "perfume", "lipstick"])
def test_the_shadow_darkens_the_floor_on_the_side_away_from_the_light(name: str) -> None:
    def shift(azimuth: float) -> float:
        light = Light(azimuth, 38, 0.4)
        with_light = staged(name, Stage("sweep", "paper", PALETTE, light, 0.5, 0.6))
        alpha = placed(name, with_light)[..., 3]
        box = visible_box(alpha)
        floor = slice(int(0.68 * 512), box.bottom_px)
        # against the mirror image of the empty corner rows, what is left is the product's doing
        tone = lightness(with_light.rgb)[floor]
        left = tone[:, max(0, box.x_px - 60) : box.x_px - 6].mean()
        right = tone[:, box.right_px + 6 : box.right_px + 60].mean()
        return float(right - left)

    assert shift(-60) < shift(60) - 3


@pytest.mark.parametrize("name", NAMES)
def test_the_floor_is_darkest_where_the_product_touches_it(name: str) -> None:
    answer = staged(name, SWEEP)
    alpha = placed(name, answer)[..., 3]
    tone = lightness(answer.rgb)
    lowest = 511 - np.argmax((alpha >= 128)[::-1], axis=0)
    present = (alpha >= 128).any(axis=0)
    resting = np.flatnonzero(present & (lowest >= lowest[present].max() - 3))
    rows = lowest[resting]
    clear = alpha[np.minimum(rows + 2, 511), resting] == 0
    at_base = tone[np.minimum(rows + 2, 511), resting][clear].mean()
    away = tone[np.minimum(rows + 40, 511), resting][clear].mean()
    assert at_base < away - 8


def test_the_hole_of_the_handle_shows_the_scene_behind() -> None:
    answer = staged("mug", STAGES["wood"], size=(800, 800))
    assert answer.placement is not None
    scale, x_px, y_px = answer.placement.scale, answer.placement.x_px, answer.placement.y_px
    x, y = scale * (1238 - 158) + x_px, scale * (660 - 163) + y_px
    alpha = placed_alpha(product("mug"), answer.placement, 800, 800)
    assert alpha[round(y), round(x)] == 0
    seen = answer.rgb[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4].reshape(-1, 3).mean(axis=0)
    assert np.ptp(seen) > 12  # the room's colour; the photo's white backdrop has none


@pytest.mark.parametrize("kind", ["sweep", "wood", "linen", "flat wood", "closeup"])
def test_seeds_differ_to_the_eye_and_keep_the_palette(kind: str) -> None:
    pictures = [staged("perfume", STAGES[kind], seed=seed).rgb for seed in (1, 2, 3)]
    around = placed("perfume", staged("perfume", STAGES[kind]))[..., 3] == 0
    tones = [cv2.blur(picture, (9, 9))[around].astype(np.float32) for picture in pictures]
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(tones[first] - tones[second]).mean() > 0.6
        assert np.abs(tones[first].mean(axis=0) - tones[second].mean(axis=0)).max() < 25


def edge_contrast(name: str, answer: Rendered) -> float:
    """Median difference in L* between a ring inside and a ring outside the outline."""
    alpha = placed(name, answer)[..., 3]
    tone = lightness(answer.rgb)
    kernel = np.ones((13, 13), dtype=np.uint8)
    inside = (alpha == 255) & (cv2.erode(alpha, kernel) < 255)
    outside = (alpha == 0) & (cv2.dilate(alpha, kernel) > 0)
    return abs(float(np.median(tone[inside])) - float(np.median(tone[outside])))


@pytest.mark.parametrize("kind", ["sweep", "linen", "flat linen"])
def test_asking_for_contrast_sets_the_white_mug_off(kind: str) -> None:
    planned = edge_contrast("mug", staged("mug", STAGES[kind]))
    contrasted = edge_contrast("mug", staged("mug", STAGES[kind], change=Change(backdrop="contrast")))
    assert contrasted > planned + 10
    assert contrasted > 30


def test_even_as_planned_a_white_mug_does_not_melt_into_a_white_backdrop() -> None:
    nearly_white = Stage("sweep", "paper", ("#f4f3f0", "#f4f3f0"), LEFT, 0.6, 0.62)
    assert edge_contrast("mug", staged("mug", nearly_white)) > 8


def test_a_plain_backdrop_has_no_pattern() -> None:
    def unrest(change: Change) -> float:
        answer = staged("phone", STAGES["wood"], change=change)
        wall = cv2.GaussianBlur(answer.rgb[:90].astype(np.float32), (0, 0), 6)
        return float((wall - cv2.GaussianBlur(wall, (0, 0), 30)).std())

    assert unrest(Change(backdrop="plain")) < 0.35 * unrest(Change())


@pytest.mark.parametrize("size", [(1024, 1024), (864, 1152)], ids=str)
def test_a_stage_of_the_size_of_a_shot_keeps_the_photo_s_pixels(size: tuple[int, int]) -> None:
    answer = staged("phone", STAGES["wood"], size=size)
    own = placed("phone", answer)
    opaque = own[..., 3] == 255
    assert np.array_equal(answer.rgb[opaque], own[opaque][:, :3])


def test_gradients_are_dithered_and_never_band() -> None:
    tone = staged("lipstick", SWEEP, size=(1024, 1024)).rgb[:200, :, 1].astype(int)
    longest = 0
    for row in tone[::20]:
        breaks = np.flatnonzero(np.diff(row))
        longest = max(longest, int(np.diff(np.concatenate([[0], breaks, [row.size - 1]])).max()))
    assert longest < 40  # a band of one code across an undithered gradient this gentle is over 100 pixels wide


def test_a_gloss_floor_mirrors_the_product_and_paper_does_not() -> None:
    def red_below(kind: str) -> float:
        answer = staged("cushion", STAGES[kind])
        box = visible_box(placed("cushion", answer)[..., 3])
        strip = answer.rgb[box.bottom_px + 8 : box.bottom_px + 30, box.x_px + 40 : box.right_px - 40].astype(float)
        return float((strip[..., 0] - strip[..., 2]).mean())

    assert red_below("gloss") > red_below("sweep") + 5


def test_a_closeup_shows_more_of_the_product_than_the_frame_holds() -> None:
    for name in ("mug", "lamp", "lipstick"):
        answer = staged(name, STAGES["closeup"])
        assert answer.placement is not None
        height, width = product(name).rgba.shape[:2]
        assert answer.placement.scale * max(height, width) / 512 > 1.15
        assert (placed(name, answer)[..., 3] > 0).mean() > 0.1
