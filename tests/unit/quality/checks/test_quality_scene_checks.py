"""Framing where the product was found, seams in the backdrop, and on which side a shadow falls."""

from __future__ import annotations

import dataclasses
from functools import cache

import cv2
import numpy as np
import pytest

from zimage_core.domain import Change, Light, Prompt, Scene, Stage
from zimage_core.engines.base import Rendered, RenderRequest
from zimage_core.engines.studio import create
from zimage_core.imaging.composite import placed_alpha
from zimage_core.imaging.cutout import CutOut

PALETTES = (("#e6e0d7", "#eeeae3", "#cbbfb0"), ("#d8c8b2", "#b48a5f", "#f0dfc2"))
SETS = {
    "sweep": Stage("sweep", "paper", PALETTES[0], Light(-40, 48, 0.7), 0.66, 0.64),
    "room": Stage("wall", "wood", PALETTES[1], Light(55, 38, 0.6), 0.6, 0.6, bokeh_ratio=0.4),
    "tiles": Stage("wall", "tile", PALETTES[1], Light(-55, 40, 0.6), 0.6, 0.6),
    "gloss": Stage("sweep", "gloss", PALETTES[0], Light(50, 45, 0.6), 0.62, 0.62, reflection_ratio=0.2),
    "flat lay": Stage("surface", "wood", PALETTES[1], Light(-35, 62, 0.7), 0.6),
}
CUTOUTS: dict[str, CutOut] = {}


@pytest.fixture(scope="module", autouse=True)
def _cutouts(cut) -> None:
    for name in ("mug", "perfume", "lipstick", "phone"):
        CUTOUTS.setdefault(name, cut(name))


@cache
def drawn(stage: Stage, name: str, seed: int = 3) -> Rendered:
    """What the studio draws for this stage."""
    scene = Scene("studio", "home", "stage", stage, "", "1", "")
    request = RenderRequest(
        "a", name, "s", 1, "stage", Prompt("", "", "en", ()), scene, Change(), seed, 768, 768, CUTOUTS[name]
    )
    (answer,) = create({}).render([request])
    assert isinstance(answer, Rendered)
    return answer


def graded(studio, stage: Stage, name: str, *, rgb: np.ndarray | None = None, told: Light | None = None):
    """The input for a picture of this stage; `told` is the light that the scene claims."""
    made = drawn(stage, name)
    picture = made.rgb if rgb is None else rgb
    claimed = dataclasses.replace(stage, light=told or stage.light)
    return dataclasses.replace(
        studio.shoot("mug", texts=()),
        scene=Scene("studio", "home", "stage", claimed, "eye_level", "1", "studio.yaml"),
        attempt_rgb=picture,
        finished_rgb=picture,
        cutout=CUTOUTS[name],
        placement=made.placement,
        placed=None,
        width_px=768,
        height_px=768,
    )


@pytest.mark.parametrize("name", ["mug", "perfume", "lipstick"])
@pytest.mark.parametrize("kind", SETS)
def test_the_studios_own_pictures_show_no_seam_and_no_contradicting_shadow(studio, kind, name) -> None:
    given = graded(studio, SETS[kind], name)
    assert studio.finding("seams", given).value == 0.0
    assert studio.finding("shadow_direction", given).passed


@pytest.mark.parametrize(
    ("kind", "name"),
    [("sweep", "mug"), ("sweep", "phone"), ("room", "mug"), ("room", "perfume"), ("gloss", "mug"), ("gloss", "phone")],
)
def test_a_shadow_on_the_lit_side_contradicts_the_scene(studio, kind, name) -> None:
    light = SETS[kind].light
    given = graded(studio, SETS[kind], name, told=dataclasses.replace(light, azimuth_deg=-light.azimuth_deg))
    finding = studio.finding("shadow_direction", given)
    assert not finding.passed
    assert "but the scene is lit from the" in finding.sentence


def test_light_from_the_camera_or_from_above_throws_no_shadow_aside(studio) -> None:
    for light in (Light(0, 45), Light(-50, 85), Light(180, 40)):
        assert studio.finding("shadow_direction", graded(studio, SETS["sweep"], "mug", told=light)).score is None


def test_without_a_shadow_nothing_is_said_of_its_direction(studio) -> None:
    assert studio.finding("shadow_direction", name="perfume", texts=()).state == "not_applicable"


@pytest.mark.parametrize("levels", [-6, -3, 3, 6])
def test_the_rim_of_a_pasted_rectangle_is_found_where_it_is(studio, levels) -> None:
    picture = drawn(SETS["sweep"], "perfume").rgb.astype(np.int16)
    picture[90:620, 110:660] += levels
    made = drawn(SETS["sweep"], "perfume")
    product = placed_alpha(CUTOUTS["perfume"], made.placement, 768, 768) > 0
    pasted = np.where(product[..., None], made.rgb, np.clip(picture, 0, 255)).astype(np.uint8)
    finding = studio.finding("seams", graded(studio, SETS["sweep"], "perfume", rgb=pasted))
    assert not finding.passed
    assert "rectangle" in finding.sentence
    assert finding.box is not None
    assert abs(finding.box.x_px - 110) < 40 or abs(finding.box.right_px - 660) < 40


def test_the_joint_of_two_tiles_is_found(studio) -> None:
    picture = drawn(SETS["sweep"], "lipstick").rgb.astype(np.int16)
    picture[:, 520:] += 4
    finding = studio.finding(
        "seams", graded(studio, SETS["sweep"], "lipstick", rgb=np.clip(picture, 0, 255).astype(np.uint8))
    )
    assert not finding.passed
    assert "through the whole picture" in finding.sentence


@pytest.mark.parametrize("levels", [-12, 12])
def test_the_rim_of_a_rectangle_on_linen_is_found_and_linen_alone_has_none(studio, levels) -> None:
    y, x = np.mgrid[0:768, 0:768]
    rng = np.random.default_rng(6)
    threads = 9 * np.sin(x * 2 * np.pi / 6.7) + 9 * np.sin(y * 2 * np.pi / 6.1) + rng.normal(0, 8, x.shape)
    linen = cv2.GaussianBlur(170 + threads + rng.normal(0, 2, (1, 768)), (0, 0), 1.0)
    pasted = linen.copy()
    pasted[80:690, 90:670] += levels

    def value(plane: np.ndarray) -> float | None:
        rgb = np.repeat(np.clip(plane, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
        given = graded(studio, SETS["sweep"], "mug", rgb=rgb)
        return studio.finding("seams", dataclasses.replace(given, cutout=None, placement=None, mode="inpaint")).value

    assert value(linen) == 0.0
    assert value(pasted) == pytest.approx(12, abs=4)


def test_a_horizon_and_the_corner_of_a_room_are_no_seams(studio) -> None:
    rng = np.random.default_rng(4)
    room = np.full((768, 768, 3), 200, np.float32)
    room[:480, 300:] -= 9  # the wall behind the corner lies in the shade
    room[480:] -= 14  # the floor
    picture = np.clip(room + rng.normal(0, 0.8, room.shape), 0, 255).astype(np.uint8)
    given = dataclasses.replace(
        graded(studio, SETS["sweep"], "mug", rgb=picture), cutout=None, placement=None, mode="inpaint"
    )
    assert studio.finding("seams", given).value == 0.0


def test_a_product_off_the_middle_of_a_packshot_is_told_where_it_stands(studio) -> None:
    given = studio.shoot("perfume", scene="packshot", fill_ratio=0.6, texts=())
    assert studio.finding("centring", given).score == 1.0
    for shift, word in (((110, 0), "right"), ((-110, 0), "left"), ((0, 110), "low"), ((0, -110), "high")):
        aside = np.roll(given.attempt_rgb, shift[::-1], axis=(0, 1))
        found = dataclasses.replace(given, attempt_rgb=aside, cutout=None, placement=None, placed=None)
        finding = studio.finding("centring", found)
        assert not finding.passed
        assert word in finding.sentence


def test_a_product_that_runs_out_of_a_picture_from_elsewhere_is_cropped(studio) -> None:
    given = studio.shoot("perfume", scene="packshot", texts=())
    whole = dataclasses.replace(given, cutout=None, placement=None, placed=None)
    assert studio.finding("cropping", whole).passed
    # the lower half of the picture is cut away, the product with it
    half = np.ascontiguousarray(cv2.resize(given.attempt_rgb[:560], (1024, 560)))
    cut_off = dataclasses.replace(whole, attempt_rgb=half, finished_rgb=half)
    finding = studio.finding("cropping", cut_off)
    assert not finding.passed
    assert finding.sentence.startswith("The product is cut off at the bottom")
