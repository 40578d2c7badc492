"""Finished pictures with one planted defect each, and good ones of every scene, as grading is handed them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.quality_sets import changes, damage, glyphs
from benchmarks.quality_sets.photo_set import photo
from benchmarks.quality_sets.prints import face
from benchmarks.quality_sets.production import (
    SCENES,
    SIDE_PX,
    Shot,
    graded_input,
    library,
    overlay_in,
    pipeline_cutout,
    shot_of,
)
from benchmarks.quality_sets.text_set import _garbled_in_place, _other_price
from zimage_core.domain import Overlay
from zimage_core.imaging.composite import paste_premultiplied, placed_premultiplied
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.overlay import draw_overlay
from zimage_core.imaging.pixels import Rgb
from zimage_core.quality.grade import GradeInput

Rng = np.random.Generator
PRODUCT_COUNT = 28


@dataclass(frozen=True, slots=True, eq=False)
class PlantedCase:
    """A picture to grade. `defect` is "none" for good ones; `given` is what the pipeline would hand to `grade`."""

    photo: str
    kind: str
    scene: str
    defect: str
    given: GradeInput

    @property
    def good(self) -> bool:
        """Tell whether nothing was planted."""
        return self.defect == "none"


def planted(seed: str = "B", count: int | None = None) -> Iterator[PlantedCase]:
    """Yield, for each of `count` products, the good pictures of all scenes and every defect in one of the scenes."""
    for number in range(min(PRODUCT_COUNT, count if count is not None else PRODUCT_COUNT)):
        yield from cases_of(seed, number)


def cases_of(seed: str, number: int) -> Iterator[PlantedCase]:
    """Yield the cases of one product; none where its photo is refused at the cut-out, as it would be in production."""
    base = photo(seed, number)
    cutout = pipeline_cutout(base)
    if cutout is None:
        return
    shots = {name: shot for name in SCENES if (shot := shot_of(base, cutout, name, seed=number + 1)) is not None}
    brand = library().brand("nuowu")
    overlay = overlay_in(brand, number)
    for name, shot in shots.items():
        yield PlantedCase(base.name, base.kind, name, "none", graded_input(shot, overlay=overlay))
    for k, (defect, plant) in enumerate(DEFECTS.items()):
        rng = np.random.default_rng([ord(seed), number, k])
        able = [shots[name] for name in _where(defect) if name in shots]
        if not able:
            continue
        shot = able[(number + k) % len(able)]
        given = plant(_Planting(seed, number, shot, overlay, rng))
        if given is not None:
            yield PlantedCase(base.name, base.kind, shot.scene.name, defect, given)


def _where(defect: str) -> tuple[str, ...]:
    if defect in _ON_TEXT:
        return tuple(name for name in SCENES if name in ("studio", "lifestyle", "flat_lay", "detail"))
    if defect.startswith("background_"):
        return ("packshot",)
    if defect == "banding":
        return ("studio",)
    if defect in ("cropped", "seam"):
        return ("packshot", "studio", "lifestyle", "flat_lay")
    return SCENES


@dataclass(frozen=True, slots=True, eq=False)
class _Planting:
    """All that a defect may need: the shot to spoil and a second product."""

    seed: str
    number: int
    shot: Shot
    overlay: Overlay
    rng: Rng

    def picture(self, spoil: Callable[[Rgb], Rgb]) -> GradeInput:
        """Spoil the engine's picture; the overlay is drawn over it as ever."""
        return graded_input(self.shot, overlay=self.overlay, attempt_rgb=spoil(self.shot.attempt_rgb))

    def finished(self, spoil: Callable[[GradeInput], Rgb | None]) -> GradeInput | None:
        """Spoil the picture after the overlay; None where the scene has no text to spoil."""
        given = graded_input(self.shot, overlay=self.overlay)
        if not given.placed_texts:
            return None
        spoilt = spoil(given)
        return None if spoilt is None else dataclasses.replace(given, finished_rgb=spoilt)

    def product(self, changed: CutOut) -> GradeInput | None:
        """Let the engine draw a changed product in the true one's place."""
        shot = shot_of(self.shot.photo, self.shot.cutout, self.shot.scene.name, shown=changed, seed=self.number + 1)
        return None if shot is None else graded_input(shot, overlay=self.overlay)

    def other(self) -> CutOut:
        """Return another product of the set."""
        for step in (7, 11, 13, 17):
            found = photo(self.seed, (self.number + step) % PRODUCT_COUNT)
            if found.kind != self.shot.photo.kind:
                return found.cutout()
        return photo(self.seed, self.number + 3).cutout()


def _blank(p: _Planting) -> GradeInput:
    level = (0, 255, 128)[p.number % 3]
    return p.picture(lambda rgb: np.full_like(rgb, level))


def _words(p: _Planting, how: str) -> GradeInput | None:
    role = "price" if how in ("other_price", "digit") else ("badge", "price")[p.number % 2]

    def spoil(given: GradeInput) -> Rgb | None:
        item = next((text for text in p.overlay.texts if text.role == role), None)
        if item is None:
            return None
        wrong = _other_price(p.rng, item.text) if how == "other_price" else glyphs.misspelt(p.rng, item.text, how)
        texts = tuple(dataclasses.replace(text, text=wrong) if text is item else text for text in p.overlay.texts)
        alpha = None if given.placed is None else np.ascontiguousarray(given.placed[..., 3])
        room = p.shot.scene.stage.text_room
        drawn, _ = draw_overlay(
            given.attempt_rgb, dataclasses.replace(p.overlay, texts=texts), product_alpha=alpha, text_room=room
        )
        return drawn

    return p.finished(spoil)


def _garbled(p: _Planting) -> GradeInput | None:
    return p.finished(lambda given: _garbled_in_place(p.rng, given.finished_rgb, given.placed_texts[p.number % 2]))


def _watermarked(p: _Planting) -> GradeInput:
    words = ("样图 SAMPLE", "shutterpix.example", "© 图虫样片", "PREVIEW")[p.number % 4]

    def spoil(rgb: Rgb) -> Rgb:
        sheet = Image.new("L", (SIDE_PX, SIDE_PX), 0)
        pen = ImageDraw.Draw(sheet)
        if p.number % 2:
            pen.text((SIDE_PX * 0.5, SIDE_PX * 0.52), words, font=face(0, 84, latin=False), fill=255, anchor="mm")
            sheet = sheet.rotate(25)
        else:
            pen.text((SIDE_PX * 0.96, SIDE_PX * 0.95), words, font=face(0, 40, latin=False), fill=255, anchor="rs")
        share = (np.asarray(sheet, np.float32) / 255 * p.rng.uniform(0.35, 0.6))[..., None]
        where = share[..., 0] > 0.2
        tone = 255.0 if rgb[where].mean() < 170 else 60.0
        return np.rint(rgb * (1 - share) + tone * share).astype(np.uint8)

    return p.picture(spoil)


def _off_brand(p: _Planting) -> GradeInput | None:
    color = ("#00b050", "#7030a0", "#00b0f0", "#ff00aa")[p.number % 4]
    wrong = dataclasses.replace(p.overlay, badge_color=color)
    given = graded_input(p.shot, overlay=wrong)
    return given if given.placed_texts else None


def _cropped(p: _Planting) -> GradeInput:
    shot, at = p.shot, p.shot.placement
    side = p.number % 4
    step = {0: (-1, 0), 1: (1, 0), 2: (0, -1), 3: (0, 1)}[side]
    centre = (at.x_px + at.scale * shot.cutout.rgba.shape[1] / 2, at.y_px + at.scale * shot.cutout.rgba.shape[0] / 2)
    width, height = (at.scale * v for v in shot.cutout.rgba.shape[1::-1])
    edge = {
        0: centre[0] - width / 2,
        1: SIDE_PX - centre[0] - width / 2,
        2: centre[1] - height / 2,
        3: SIDE_PX - centre[1] - height / 2,
    }[side]
    reach = edge + 0.2 * (width if step[0] else height)
    moved = dataclasses.replace(at, x_px=at.x_px + step[0] * reach, y_px=at.y_px + step[1] * reach)
    ground = np.full_like(shot.attempt_rgb, 255) if shot.scene.name == "packshot" else _without_product(shot)
    placed = placed_premultiplied(shot.cutout, moved, SIDE_PX, SIDE_PX)
    return graded_input(shot, overlay=p.overlay, attempt_rgb=paste_premultiplied(ground, placed), placement=moved)


def _without_product(shot: Shot) -> Rgb:
    """Return the scene with the product painted over from its surroundings."""
    alpha = placed_premultiplied(shot.cutout, shot.placement, SIDE_PX, SIDE_PX)[..., 3]
    hole = cv2.dilate((alpha > 0).astype(np.uint8), np.ones((25, 25), np.uint8))
    small = cv2.resize(shot.attempt_rgb, (256, 256), interpolation=cv2.INTER_AREA)
    small_hole = cv2.resize(hole, (256, 256), interpolation=cv2.INTER_NEAREST)
    filled = cv2.resize(
        cv2.inpaint(small, small_hole, 5, cv2.INPAINT_TELEA), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC
    )
    return np.where(hole[..., None] > 0, filled, shot.attempt_rgb).astype(np.uint8)


def _grey_ground(p: _Planting) -> GradeInput:
    def spoil(rgb: Rgb) -> Rgb:
        alpha = placed_premultiplied(p.shot.cutout, p.shot.placement, SIDE_PX, SIDE_PX)[..., 3:] / np.float32(255)
        level = p.rng.uniform(222, 244)
        return np.rint(rgb * (level / 255 * (1 - alpha) + alpha)).astype(np.uint8)

    return p.picture(spoil)


def _dirty_ground(p: _Planting) -> GradeInput:
    """Smudges on the white ground, each with most of its area beside the product."""

    def spoil(rgb: Rgb) -> Rgb:
        alpha = placed_premultiplied(p.shot.cutout, p.shot.placement, SIDE_PX, SIDE_PX)[..., 3]
        free = cv2.erode((alpha == 0).astype(np.uint8), np.ones((31, 31), np.uint8))
        free[:24], free[-24:], free[:, :24], free[:, -24:] = 0, 0, 0, 0
        ys, xs = np.nonzero(free)
        stain = np.zeros((SIDE_PX, SIDE_PX), np.float32)
        for k in p.rng.integers(0, len(xs), int(p.rng.integers(3, 7))):
            size = tuple(int(v) for v in p.rng.integers(10, 32, 2))
            turn, depth = float(p.rng.uniform(0, 180)), float(p.rng.uniform(0.10, 0.25))
            cv2.ellipse(stain, (int(xs[k]), int(ys[k])), size, turn, 0, 360, depth, -1)
        stain = cv2.GaussianBlur(stain, (0, 0), 4.0) * (1 - alpha / np.float32(255))
        return np.rint(rgb * (1 - stain[..., None])).astype(np.uint8)

    return p.picture(spoil)


def _seam(p: _Planting) -> GradeInput:
    """A rectangle around the product that is a little brighter than the rest: where a model's canvas was joined."""

    def spoil(rgb: Rgb) -> Rgb:
        alpha = placed_premultiplied(p.shot.cutout, p.shot.placement, SIDE_PX, SIDE_PX)[..., 3:] / np.float32(255)
        left, top = (int(v) for v in p.rng.uniform(0.06, 0.14, 2) * SIDE_PX)
        right, bottom = (int(v) for v in p.rng.uniform(0.86, 0.94, 2) * SIDE_PX)
        step = np.zeros((SIDE_PX, SIDE_PX, 1), np.float32)
        step[top:bottom, left:right] = -float(p.rng.uniform(9, 16))
        return np.clip(np.rint(rgb + step * (1 - alpha)), 0, 255).astype(np.uint8)

    return p.picture(spoil)


def _slightly_over(p: _Planting) -> GradeInput | None:
    """A third brighter; planted only where it blows out a tenth of the product, else it is merely bright."""
    alpha = placed_premultiplied(p.shot.cutout, p.shot.placement, SIDE_PX, SIDE_PX)[..., 3]
    product = p.shot.attempt_rgb[alpha == 255].astype(np.float32)
    lost = (product * 1.3 >= 255).any(axis=1) & (product < 250).all(axis=1)
    return p.picture(lambda rgb: damage.exposed(rgb, 1.3)) if float(lost.mean()) >= 0.1 else None


def _hue(p: _Planting) -> GradeInput | None:
    cutout = p.shot.cutout
    return p.product(changes.hue_turned(cutout, 35.0)) if changes.chroma_of(cutout) >= changes.LEAST_CHROMA else None


def _scrambled(p: _Planting) -> GradeInput | None:
    cutout = p.shot.cutout
    return (
        p.product(changes.label_scrambled(cutout, p.rng)) if changes.detail_of(cutout) >= changes.LEAST_DETAIL else None
    )


DEFECTS: dict[str, Callable[[_Planting], GradeInput | None]] = {
    "blank": _blank,
    "upscaled_3x": lambda p: p.picture(lambda rgb: damage.upscaled(rgb, 3.0)),
    "blur_2.5": lambda p: p.picture(lambda rgb: damage.blurred(rgb, 2.5)),
    "blur_2.5_noise_6": lambda p: p.picture(lambda rgb: damage.noisy(damage.blurred(rgb, 2.5), 6.0, p.rng)),
    "wrong_price": lambda p: _words(p, "other_price"),
    "other_digit": lambda p: _words(p, "digit"),
    "missing_char": lambda p: _words(p, "missing"),
    "garbled": _garbled,
    "watermark": _watermarked,
    "off_brand_badge": _off_brand,
    "over_1.3": _slightly_over,
    "over_1.6": lambda p: p.picture(lambda rgb: damage.exposed(rgb, 1.6)),
    "over_1.9": lambda p: p.picture(lambda rgb: damage.exposed(rgb, 1.9)),
    "under_0.45": lambda p: p.picture(lambda rgb: damage.exposed(rgb, 0.45)),
    "colour_cast": lambda p: p.picture(
        lambda rgb: damage.cast(rgb, ((1.0, 0.93, 0.78), (0.80, 0.94, 1.0))[p.number % 2])
    ),
    "banding": lambda p: p.picture(lambda rgb: damage.banded(rgb, 14)),
    "jpeg_20": lambda p: p.picture(lambda rgb: damage.jpeg(rgb, 20)),
    "cropped": _cropped,
    "background_grey": _grey_ground,
    "background_dirty": _dirty_ground,
    "seam": _seam,
    "other_product": lambda p: p.product(changes.fitted(p.other(), p.shot.cutout)),
    "hue_35": _hue,
    "label_scrambled": _scrambled,
}
_ON_TEXT = {"wrong_price", "other_digit", "missing_char", "garbled", "off_brand_badge"}
