"""What a model is asked to draw for a request, and what becomes of its picture: the seam every model engine shares.

    text      the model draws all
    stage     the model draws the scene empty; the product is set down in it afterwards, with its shadow
    inpaint   the model paints around the product; its own pixels are put back afterwards

A model draws on a *canvas*: the request's size with both sides rounded up to the multiple it needs. The request's
picture is the middle of the canvas, so the product stands exactly where any other engine would put it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from zimage_core.domain import Change, Language, Mode, Placement, Prompt, Stage
from zimage_core.engines.base import RenderRequest
from zimage_core.engines.colour_words import palette_words
from zimage_core.errors import BadImage, EngineRefused, ImageError
from zimage_core.imaging.composite import OPAQUE_ALPHA, paste_premultiplied, placed_premultiplied
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Plane, Rgb, Rgba, to_lab
from zimage_core.imaging.placing import place
from zimage_core.imaging.set_down import set_down

LATENT_PX: Final = 8
"""Side of the square of pixels that one latent stands for (the VAE's factor)."""
LIGHT_PRODUCT_L: Final = 52.0
"""From this median L* on a product is light and wants a dark ground; the studio's `contrast` turns at the same tone."""
_THIN_COVERED_RATIO = 0.5
_DARK_L, _PALE_L = 30.0, 88.0
_HORIZON_SOFT_RATIO = 0.05

_GROUND_WORDS: Final[dict[tuple[str, Language], str]] = {
    ("dark", "zh"): "背景与台面整体改为深沉的暗色调",
    ("dark", "en"): "The whole background and surface are in a deep, dark tone",
    ("pale", "zh"): "背景与台面整体改为明亮的浅色调",
    ("pale", "en"): "The whole background and surface are in a bright, pale tone",
    ("contrast", "zh"): "背景与主体之间明暗反差鲜明",
    ("contrast", "en"): "The background contrasts clearly in lightness with the subject",
    ("plain", "zh"): "背景与台面是同一种安静的纯色，没有图案、纹理和光斑",
    ("plain", "en"): "Background and surface are one quiet, plain colour without pattern, texture or bokeh",
}
"""What a changed backdrop adds to the prompt. None of it names a product: in an empty scene one would be painted."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What the model must draw, all arrays of the canvas's size.

    `base_rgb` (H, W, 3) and `repaint` (H, W) are given in mode inpaint: the product on a plain ground in the scene's
    colours, and where the model paints (255) or keeps the product (0). `product` is the placed product, premultiplied
    (H, W, 4), None where no photo is used. `placement` is in the pixels of the *request's* picture, not the canvas's.
    `notes` are for whoever reads the attempt.
    """

    prompt: str
    negative: str
    seed: int
    width_px: int
    height_px: int
    base_rgb: Rgb | None
    repaint: Plane | None
    product: Rgba | None
    placement: Placement | None
    notes: tuple[str, ...]


def drawing_of(request: RenderRequest, multiple_px: int) -> Drawing:
    """Return what a model must draw for this request, on a canvas whose sides divide by `multiple_px`.

    Raises EngineRefused: a packshot (nothing is drawn for it), a stage or inpainting without a photo, or a cut-out that
    is empty or lies outside the picture.
    """
    if request.mode == "packshot":
        raise _refused(request, "A packshot is the photo itself, re-centred: no model draws it.")
    if request.mode != "text" and request.reference is None:
        raise _refused(
            request,
            f"A '{request.mode}' picture starts from a photo and {request.sku} has none; add one to the catalogue, or "
            "plan the scene in mode text.",
        )
    width_px, height_px = (-(-side // multiple_px) * multiple_px for side in (request.width_px, request.height_px))
    prompt, notes = _worded(request)
    base_rgb = repaint = product = placement = None
    if request.mode != "text" and request.reference is not None:
        placement, product, scale_notes = _placed(request, request.reference, width_px, height_px)
        notes = (*scale_notes, *notes)
        if request.mode == "inpaint":
            base_rgb = paste_premultiplied(_ground(request, width_px, height_px), product)
            repaint = repaint_of(product)
    return Drawing(
        prompt=prompt,
        negative=request.prompt.negative,
        seed=request.seed,
        width_px=width_px,
        height_px=height_px,
        base_rgb=base_rgb,
        repaint=repaint,
        product=product,
        placement=placement,
        notes=notes,
    )


def finish(request: RenderRequest, drawing: Drawing, rgb: Rgb) -> tuple[Rgb, Placement | None, tuple[str, ...]]:
    """Return (picture, placement, notes) of the request, from the model's picture `rgb` of the canvas.

    `rgb` has the canvas's size or a whole multiple of it, which is averaged down first. The canvas is cut back to the
    request's size around its middle. In mode stage the product is set down in it with its shadows; in mode inpaint its
    pixels are pasted over and the shadows are the model's. Where the product is opaque the picture holds exactly the
    resampled photo. The notes are what finishing adds to the drawing's own. Raises BadImage when `rgb` has any other
    size or type, ImageError when the product cannot be placed.
    """
    picture = _cut_back(_at_canvas_size(request, drawing, rgb), request)
    if drawing.product is None or drawing.placement is None or request.reference is None:
        return picture, None, ()
    product = _cut_back(drawing.product, request)
    if request.mode == "inpaint":
        note = "The model painted around the product and its shadow; the product's own pixels were put back."
        return paste_premultiplied(picture, product), drawing.placement, (note,)
    stage = request.scene.stage
    return set_down(picture, request.reference, drawing.placement, stage, placed=product), drawing.placement, ()


def repaint_of(product: Rgba) -> Plane:
    """Return where the model paints (255) around a placed product (H, W, 4) and where it keeps it (0), (H, W) uint8.

    Decided per latent, a square of 8 x 8 pixels, because that is what a model keeps or paints. Kept is a square that
    the product fills, so that no kept one holds ground; the matte's soft edge is painted by the model and covered by
    the photo's own pixels afterwards. Where the product fills no square (a lamp's arm, a strap), those are kept that
    hold more product than ground: a model that does not know of an arm paints another one beside it.
    """
    height, width = product.shape[:2]
    solid = np.pad(
        (product[..., 3] == OPAQUE_ALPHA).astype(np.float32),
        ((0, -height % LATENT_PX), (0, -width % LATENT_PX)),
        mode="edge",
    )
    size = (solid.shape[1] // LATENT_PX, solid.shape[0] // LATENT_PX)
    covered = np.asarray(cv2.resize(solid, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
    filled = covered > 1.0 - 0.5 / LATENT_PX**2
    beside = cv2.dilate(filled.astype(np.uint8), np.ones((3, 3), dtype=np.uint8)) > 0
    kept = filled | ((covered >= _THIN_COVERED_RATIO) & ~beside)
    squares = np.where(kept, np.uint8(0), np.uint8(255))
    return np.ascontiguousarray(squares.repeat(LATENT_PX, axis=0).repeat(LATENT_PX, axis=1)[:height, :width])


# ---------------------------------------------------------------- before the model draws


def _refused(request: RenderRequest, sentence: str) -> EngineRefused:
    return EngineRefused(sentence, sku=request.sku, shot_id=request.shot_id, attempt=request.number)


def _placed(
    request: RenderRequest, cutout: CutOut, width_px: int, height_px: int
) -> tuple[Placement, Rgba, tuple[str, ...]]:
    """Return (placement in the request's picture, placed product on the canvas, notes)."""
    try:
        placement, notes = place(cutout, request.scene.stage, request.width_px, request.height_px)
        product = placed_premultiplied(cutout, placement, request.width_px, request.height_px)
    except ImageError as error:
        raise _refused(request, error.sentence) from error
    over_x, over_y = width_px - request.width_px, height_px - request.height_px
    if over_x or over_y:
        # a product that the frame cuts through goes on to the canvas's edge: the model must not paint its end
        left, top = over_x // 2, over_y // 2
        product = np.asarray(
            cv2.copyMakeBorder(product, top, over_y - top, left, over_x - left, cv2.BORDER_REPLICATE), dtype=np.uint8
        )
    return placement, product, notes


def _worded(request: RenderRequest) -> tuple[str, tuple[str, ...]]:
    """Return (prompt, notes): the request's own words and, where a change asks for another backdrop, words for that."""
    prompt, notes = request.prompt, tuple[str, ...]()
    if request.mode == "text" and request.reference is not None:
        notes = ("Drawn from words alone: the product's photo was not used.",)
    asked = _asked_ground(request.change, request.mode, request.reference)
    if asked is None:
        return prompt.text, notes
    if asked == "palette":
        clause = palette_words(request.scene.stage.palette, prompt.language)
    else:
        clause = _GROUND_WORDS[asked, prompt.language]
    added = f"The prompt also says “{clause}”: a model cannot be given a backdrop's colour, only words for it."
    return _with_clause(prompt, clause), (*notes, added)


def _asked_ground(change: Change, mode: Mode, cutout: CutOut | None) -> str | None:
    if change.backdrop == "as_planned":
        return None
    if change.backdrop in ("plain", "palette"):
        return change.backdrop
    if mode == "text" or cutout is None:
        return "contrast"
    return "dark" if _lightness(cutout) > LIGHT_PRODUCT_L else "pale"


def _with_clause(prompt: Prompt, clause: str) -> str:
    """Return the prompt with one more sentence, in the way its language ends and joins them."""
    if prompt.language == "zh":
        return f"{prompt.text}{clause}。"
    return f"{prompt.text} {clause}.".lstrip()


def _lightness(cutout: CutOut) -> float:
    """Return the product's median L*, 0..100, on a raster of at most 256 pixels a side."""
    step = max(1, max(cutout.rgba.shape[:2]) // 256)
    small = np.ascontiguousarray(cutout.rgba[::step, ::step])
    seen = small[..., 3] >= OPAQUE_ALPHA // 2
    return float(np.median(to_lab(small[..., :3])[seen][:, 0])) if seen.any() else 100.0


def _ground(request: RenderRequest, width_px: int, height_px: int) -> Rgb:
    """Return what the product stands on while it is shown to the model: the scene's colours, and nothing to copy.

    The palette's first colour is the wall's, its second the floor's, with the horizon between; a changed backdrop makes
    it one colour, dark or pale where contrast is asked for.
    """
    stage, change = request.scene.stage, request.change
    palette = stage.palette or ("#d9d4cc",)
    wall = _lab_of(palette[0])
    floor = wall if change.backdrop in ("contrast", "plain") else _lab_of(palette[min(1, len(palette) - 1)])
    asked = _asked_ground(change, request.mode, request.reference)
    if asked in ("dark", "pale"):
        wall = floor = np.array([_DARK_L if asked == "dark" else _PALE_L, wall[1], wall[2]], dtype=np.float32)
    share = _floor_share(stage, height_px)
    rows = wall * (1.0 - share) + floor * share
    rgb = cv2.cvtColor(rows.reshape(height_px, 1, 3).astype(np.float32), cv2.COLOR_Lab2RGB)
    codes = np.clip(np.rint(rgb * 255.0), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(codes, (height_px, width_px, 3)))


def _floor_share(stage: Stage, height_px: int) -> np.ndarray:
    """Return per row how much of it is floor, (H, 1) float32, 0..1."""
    rows = (np.arange(height_px, dtype=np.float32) + 0.5) / np.float32(height_px)
    steepness = np.float32(1.0 / _HORIZON_SOFT_RATIO)
    return np.asarray(1.0 / (1.0 + np.exp(-(rows - stage.horizon_ratio) * steepness)), dtype=np.float32)[:, None]


def _lab_of(color: str) -> np.ndarray:
    codes = np.array([[[int(color[i : i + 2], 16) for i in (1, 3, 5)]]], dtype=np.uint8)
    return np.asarray(to_lab(codes).reshape(3), dtype=np.float32)


# ---------------------------------------------------------------- after the model has drawn


def _at_canvas_size(request: RenderRequest, drawing: Drawing, rgb: Rgb) -> Rgb:
    canvas = (drawing.width_px, drawing.height_px)
    if isinstance(rgb, np.ndarray) and rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3:
        times = rgb.shape[1] // canvas[0]
        if times >= 1 and rgb.shape[:2] == (times * canvas[1], times * canvas[0]):
            return rgb if times == 1 else np.asarray(cv2.resize(rgb, canvas, interpolation=cv2.INTER_AREA), np.uint8)
    found = f"{rgb.shape} {rgb.dtype}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
    raise BadImage(
        f"The model answered with {found} where 8-bit pixels ({canvas[1]}, {canvas[0]}, 3), or a whole multiple of "
        "that size, were due.",
        sku=request.sku,
        shot_id=request.shot_id,
        attempt=request.number,
    )


def _cut_back(canvas: Rgb | Rgba, request: RenderRequest) -> Rgb:
    """Return the middle of a canvas, of the request's size."""
    top, left = (canvas.shape[0] - request.height_px) // 2, (canvas.shape[1] - request.width_px) // 2
    return np.ascontiguousarray(canvas[top : top + request.height_px, left : left + request.width_px])
