"""Base photos through the pipeline's own steps: cut out, staged by the studio engine, overlay drawn."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.quality_sets.photo_set import ProductPhoto
from zimage_core.domain import Box, Brand, Change, Overlay, OverlayText, PlacedText, Placement, Prompt, Scene, SceneName
from zimage_core.engines.base import Rendered, RenderRequest
from zimage_core.engines.studio import create
from zimage_core.imaging.composite import paste_premultiplied, placed_premultiplied
from zimage_core.imaging.cutout import CutOut, CutOutFailure, cut_out
from zimage_core.imaging.overlay import paint_overlay
from zimage_core.imaging.pixels import Photo, Rgb, Rgba
from zimage_core.prompting.library import PromptLibrary
from zimage_core.quality.grade import GradeInput

PROMPTS = Path(__file__).resolve().parents[2] / "prompts"
SCENES: tuple[SceneName, ...] = ("packshot", "studio", "lifestyle", "detail", "flat_lay")
SIDE_PX = 1024
__all__ = ["Box", "Shot", "graded_input", "library", "pipeline_cutout", "shot_of"]


@lru_cache(maxsize=1)
def library() -> PromptLibrary:
    """Return the repository's scenes, brands and promotions."""
    return PromptLibrary.load(PROMPTS)


def pipeline_cutout(photo: ProductPhoto) -> CutOut | None:
    """Return the product as the pipeline cuts it out; None where it refuses."""
    made = cut_out(Photo(photo.rgb, None, ""))
    return None if isinstance(made, CutOutFailure) else made


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A picture on its way: the scene, the attempt's pixels (no overlay yet), the product and where it stands."""

    photo: ProductPhoto
    scene: Scene
    cutout: CutOut
    placement: Placement
    attempt_rgb: Rgb


def shot_of(
    photo: ProductPhoto,
    cutout: CutOut,
    name: SceneName,
    *,
    shown: CutOut | None = None,
    seed: int = 1,
    side_px: int = SIDE_PX,
) -> Shot | None:
    """Return the studio engine's picture of a product in a scene, or of `shown` in its place; None where it refuses."""
    scene = library().scene(name, photo.category)
    request = RenderRequest(
        "attempt",
        photo.name,
        "shot",
        1,
        scene.mode,
        Prompt("", "", "en", ()),
        scene,
        Change(),
        seed,
        side_px,
        side_px,
        shown or cutout,
    )
    (answer,) = create({}).render([request])
    if not isinstance(answer, Rendered) or answer.placement is None:
        return None
    return Shot(photo, scene, cutout, answer.placement, answer.rgb)


def overlay_texts(number: int) -> tuple[OverlayText, ...]:
    """Return badge and price, and now and then an old price, as promotions write them."""
    choices = (
        (OverlayText("badge", "618年中大促", "zh"), OverlayText("price", "到手价 ¥199", "zh")),
        (
            OverlayText("badge", "限时特惠", "zh"),
            OverlayText("price", "¥1,299", "zh"),
            OverlayText("original_price", "¥1,999", "zh"),
        ),
        (OverlayText("badge", "618 SALE", "en"), OverlayText("price", "Now $45.99", "en")),
        (OverlayText("badge", "新品上市", "zh"), OverlayText("price", "券后 ¥59", "zh")),
    )
    return choices[number % len(choices)]


def overlay_in(brand: Brand, number: int) -> Overlay:
    """Return the overlay of a shot in the brand's colours."""
    return Overlay(
        overlay_texts(number), brand.badge_color, brand.badge_text_color, brand.price_color, brand.font, number % 4
    )


def graded_input(
    shot: Shot,
    *,
    overlay: Overlay | None,
    attempt_rgb: Rgb | None = None,
    finished_rgb: Rgb | None = None,
    placement: Placement | None = None,
) -> GradeInput:
    """Return what the pipeline would hand to `grade`: the overlay drawn where the scene leaves room for text.

    `attempt_rgb` replaces the engine's picture, `finished_rgb` the picture after the overlay; the texts stay as they
    should be.
    """
    rgb = shot.attempt_rgb if attempt_rgb is None else attempt_rgb
    at = shot.placement if placement is None else placement
    placed = placed_premultiplied(shot.cutout, at, rgb.shape[1], rgb.shape[0])
    texts: tuple[PlacedText, ...] = ()
    drawn: Rgb = rgb
    room = shot.scene.stage.text_room
    layer: Rgba | None = None
    if overlay is not None and room != "none":
        alpha = np.ascontiguousarray(placed[..., 3])
        layer, texts = paint_overlay(rgb.shape[1], rgb.shape[0], overlay, product_alpha=alpha, text_room=room)
        drawn = paste_premultiplied(rgb, layer)
    brand = library().brand("nuowu")
    return GradeInput(
        attempt_id="attempt",
        finished_key="finished",
        sku=shot.photo.name,
        scene=shot.scene,
        mode=shot.scene.mode,
        attempt_rgb=rgb,
        finished_rgb=drawn if finished_rgb is None else finished_rgb,
        placed_texts=texts,
        cutout=shot.cutout,
        placement=at,
        palette=(*brand.palette, brand.badge_color, brand.badge_text_color, brand.price_color),
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        placed=placed,
        category=shot.photo.category,
        overlay=layer,
    )


def recoloured(cutout: CutOut, rgb: Rgb) -> CutOut:
    """Return the cut-out with other colours under the same alpha."""
    changed = np.where(cutout.rgba[..., 3:] > 0, rgb, 0).astype(np.uint8)
    return dataclasses.replace(cutout, rgba=np.dstack([changed, cutout.rgba[..., 3]]))
