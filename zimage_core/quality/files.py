"""Any picture as something to grade: a file of which nothing is known but what its owner says of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zimage_core.domain import Category, Channel, Light, Scene, SceneName, Stage, content_id
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Photo, Rgb
from zimage_core.quality.evidence import GradeInput

USUAL_SCENE: SceneName = "studio"
"""What a picture is taken for when nobody says: a product before some backdrop."""
FILL_RATIO = 0.85
"""How much of a packshot the product fills where no channel says: shops ask for 75 to 90 %."""


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """What is said of a picture: the true product, texts it must show, where it is meant to go, brand colours.

    A channel that wants a white background makes it a packshot; its size is then the size that was promised.
    """

    reference: CutOut | None = None
    expected_texts: tuple[str, ...] = ()
    channel: Channel | None = None
    category: Category = "default"
    scene: SceneName | None = None
    palette: tuple[str, ...] = ()


def given_file(photo: Photo, name: str, claims: Claims) -> GradeInput:
    """Return what grading needs of a decoded picture; `name` stands for the SKU in sentences.

    It is judged as a picture that an engine drew (mode `text`): nothing in it is known to be the product's own pixels.
    Transparent pixels count as white, which is what shops show behind them.
    """
    rgb = on_white(photo)
    height_px, width_px = rgb.shape[:2]
    promised = (width_px, height_px) if claims.channel is None else (claims.channel.width_px, claims.channel.height_px)
    return GradeInput(
        attempt_id=content_id("file", photo.sha256),
        finished_key=content_id("finished", photo.sha256),
        sku=name,
        scene=_scene(claims),
        mode="text",
        attempt_rgb=rgb,
        finished_rgb=rgb,
        placed_texts=(),
        cutout=claims.reference,
        placement=None,
        palette=claims.palette,
        width_px=promised[0],
        height_px=promised[1],
        category=claims.category,
        expected_texts=claims.expected_texts,
    )


def on_white(photo: Photo) -> Rgb:
    """Return the photo's pixels, (H, W, 3) uint8, with white behind what is transparent."""
    if photo.alpha is None:
        return photo.rgb
    share = photo.alpha[..., None].astype(np.float32) / 255.0
    return np.asarray(np.rint(photo.rgb * share + 255.0 * (1.0 - share)), dtype=np.uint8)


def _scene(claims: Claims) -> Scene:
    wants_white = claims.channel is not None and claims.channel.background == "white"
    name = claims.scene or ("packshot" if wants_white else USUAL_SCENE)
    fill_ratio = (claims.channel.min_fill_ratio if claims.channel is not None else 0.0) or FILL_RATIO
    stage = Stage("white" if name == "packshot" else "sweep", "none", (), Light(0.0, 45.0), fill_ratio)
    return Scene(name, claims.category, "text", stage, "", "", "")
