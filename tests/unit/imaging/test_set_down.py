"""Setting a product down in a picture drawn without it: its own pixels, and what it does to the floor."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
from cut_products import NAMES, SCENES, grained, luma, product, stage_of
from numpy.typing import NDArray

from zimage_core.domain import Light, Stage
from zimage_core.errors import ImageError
from zimage_core.imaging.composite import paste_premultiplied, placed_premultiplied, visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.placing import place
from zimage_core.imaging.set_down import horizon_row, set_down
from zimage_core.imaging.shadow import find_ground

SIDE = 512
TABLE = grained((190, 170, 150), (SIDE, SIDE))
SWEEP = Stage("sweep", "paper", ("#d8c8b2",), Light(-50, 40, 0.5), fill_ratio=0.5, horizon_ratio=0.6)


def standing(name: str, stage: Stage) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture, and the placed product (premultiplied)."""
    placement, _ = place(product(name), stage, SIDE, SIDE)
    return set_down(TABLE, product(name), placement, stage), placed_premultiplied(product(name), placement, SIDE, SIDE)


def darkening(name: str, stage: Stage) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """How many levels darker the picture is where no product covers it, (H, W), and the product's alpha."""
    picture, own = standing(name, stage)
    return (luma(TABLE) - luma(picture)) * (own[..., 3] == 0), own[..., 3]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scene", SCENES)
def test_the_photo_s_pixels_are_exactly_what_pasting_alone_gives(name: str, scene: str) -> None:
    picture, own = standing(name, stage_of(name, scene))
    opaque = own[..., 3] == 255
    assert opaque.mean() > 0.01
    assert np.array_equal(picture[opaque], own[opaque][:, :3])
    assert np.array_equal(picture[opaque], paste_premultiplied(TABLE, own)[opaque])


@pytest.mark.parametrize("name", NAMES)
def test_what_the_product_neither_covers_nor_shades_stays_as_it_was_drawn(name: str) -> None:
    picture, own = standing(name, SWEEP)
    top = visible_box(np.ascontiguousarray(own[..., 3])).y_px
    assert top > 40
    assert np.array_equal(picture[: top - 20], TABLE[: top - 20])


@pytest.mark.parametrize("name", NAMES)
def test_it_is_darkest_where_the_product_touches_the_floor(name: str) -> None:
    darker, alpha = darkening(name, SWEEP)
    box = visible_box(np.ascontiguousarray(alpha))
    just_below = darker[box.bottom_px : box.bottom_px + 4, box.x_px : box.right_px]
    further = darker[box.bottom_px + 16 :, box.x_px : box.right_px]
    assert just_below.max() > 25
    assert just_below.max() > 2 * further.max()


@pytest.mark.parametrize("name", ["mug", "perfume", "lipstick", "phone"])
@pytest.mark.parametrize("backdrop", ["sweep", "surface"])
def test_the_shadow_lies_on_the_side_away_from_the_light(name: str, backdrop: str) -> None:
    def tilt(azimuth_deg: float) -> float:
        stage = dataclasses.replace(SWEEP, backdrop=backdrop, light=Light(azimuth_deg, 40, 0.4))  # type: ignore[arg-type]
        darker, alpha = darkening(name, stage)
        box = visible_box(np.ascontiguousarray(alpha))
        return float(darker[:, box.right_px :].sum() - darker[:, : box.x_px].sum())

    assert tilt(-60) > 0 > tilt(60)


def test_on_a_surface_the_shadow_goes_along_the_outline_and_on_a_floor_it_starts_at_the_foot() -> None:
    def above_the_foot(backdrop: str) -> float:
        darker, alpha = darkening("phone", dataclasses.replace(SWEEP, backdrop=backdrop))  # type: ignore[arg-type]
        box = visible_box(np.ascontiguousarray(alpha))
        upper = slice(box.y_px + 10, box.y_px + box.height_px // 3)
        return float(darker[upper, box.right_px : box.right_px + 12].mean())

    assert above_the_foot("surface") > 5
    assert above_the_foot("sweep") < 1


@pytest.mark.parametrize("name", ["perfume", "lipstick"])
def test_a_glossy_floor_mirrors_the_product_faintly_and_paper_does_not(name: str) -> None:
    gloss, own = standing(name, dataclasses.replace(SWEEP, floor="gloss"))
    paper, _ = standing(name, SWEEP)
    box = visible_box(np.ascontiguousarray(own[..., 3]))
    below = (slice(box.bottom_px + 4, box.bottom_px + 30), slice(box.x_px, box.right_px))
    apart = np.abs(gloss[below].astype(int) - paper[below]).mean()
    assert 3 < apart < 40
    assert np.array_equal(gloss[: box.y_px - 20], paper[: box.y_px - 20])


def test_behind_a_table_s_edge_there_is_no_shadow() -> None:
    table = dataclasses.replace(SWEEP, backdrop="wall", floor="wood", light=Light(-20, 25, 0.2))
    darker, alpha = darkening("lamp", table)
    edge = horizon_row(find_ground(np.ascontiguousarray(alpha)), table.horizon_ratio, SIDE)
    assert darker[: int(edge)].max() == 0
    assert darker[int(edge) :].max() > 25


def test_a_shadow_over_an_even_tone_shows_no_steps() -> None:
    """Without dither a slope of a few levels over hundreds of pixels comes out as plateaus."""
    even = np.full((SIDE, SIDE, 3), 200, dtype=np.uint8)
    placement, _ = place(product("mug"), SWEEP, SIDE, SIDE)
    picture = set_down(even, product("mug"), placement, SWEEP)
    alpha = placed_premultiplied(product("mug"), placement, SIDE, SIDE)[..., 3]
    shaded = (luma(picture) < 195) & (luma(picture) > 150) & (cv2.dilate(alpha, np.ones((9, 9), np.uint8)) == 0)
    flat = cv2.blur(np.abs(cv2.Laplacian(picture[..., 1], cv2.CV_32F)), (7, 7)) == 0
    assert shaded.sum() > 2000
    assert (flat & shaded).sum() < 0.02 * shaded.sum()


def test_a_placed_product_may_be_handed_in_and_the_same_input_gives_the_same_bytes() -> None:
    placement, _ = place(product("phone"), SWEEP, SIDE, SIDE)
    placed = placed_premultiplied(product("phone"), placement, SIDE, SIDE)
    before = TABLE.copy()
    handed = set_down(TABLE, product("phone"), placement, SWEEP, placed=placed)
    assert np.array_equal(handed, set_down(TABLE, product("phone"), placement, SWEEP))
    assert np.array_equal(TABLE, before)


def test_nothing_cannot_be_set_down() -> None:
    placement, _ = place(product("phone"), SWEEP, SIDE, SIDE)
    with pytest.raises(ImageError, match="outside"):
        set_down(TABLE, product("phone"), dataclasses.replace(placement, x_px=4000.0), SWEEP)
    empty = CutOut(np.zeros((50, 50, 4), dtype=np.uint8), 0.0)
    with pytest.raises(ImageError, match="empty"):
        set_down(TABLE, empty, placement, dataclasses.replace(SWEEP, backdrop="surface"))
