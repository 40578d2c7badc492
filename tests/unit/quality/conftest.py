"""The six example photos, cut out by their exact masks on simple stages, so that a test can spoil one thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from zimage_core.domain import Finding, Grade, Light, Overlay, OverlayText, Placement, Scene, Stage
from zimage_core.imaging.composite import paste_premultiplied, place_in, placed_premultiplied, visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.overlay import draw_overlay
from zimage_core.imaging.pixels import Rgb, read_photo
from zimage_core.quality.checks import CHECKS
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.grade import GradeInput, ask, grade
from zimage_core.quality.reading import default_reader
from zimage_core.quality.rubric import Rubric, load_rubric

PRODUCTS = Path(__file__).resolve().parents[3] / "examples" / "products"
NAMES = ("mug", "lamp", "phone", "perfume", "lipstick", "cushion")
RED = "#a8391f"
SIDE_PX = 1024

BADGE = OverlayText("badge", "限时特惠", "zh")
PRICE = OverlayText("price", "¥199", "zh")
BACKDROPS = {"mug": (96, 88, 82), "lamp": (226, 214, 198), "phone": (214, 216, 220), "perfume": (176, 150, 146)}
"""Stages that set the product off: a white mug wants a dark one."""


@cache
def _photo(name: str) -> Rgb:
    return read_photo(PRODUCTS / f"{name}.jpg").rgb


def cut_by_mask(name: str, photo: Rgb | None = None) -> CutOut:
    rgb = _photo(name) if photo is None else photo
    alpha = np.asarray(cv2.imread(str(PRODUCTS / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    share = np.maximum(alpha, 1)[..., None] / 255.0
    own = np.clip((rgb - 255.0 * (1 - share)) / share, 0, 255).astype(np.uint8)  # the white backdrop unmixed
    rgba = np.dstack([np.where((alpha < 255)[..., None], own, rgb), alpha])
    rgba[alpha == 0] = 0
    box = visible_box(alpha)
    rows, columns = slice(max(0, box.y_px - 2), box.bottom_px + 2), slice(max(0, box.x_px - 2), box.right_px + 2)
    return CutOut(np.ascontiguousarray(rgba[rows, columns]), float(alpha.mean() / 255))


@cache
def _cutout(name: str) -> CutOut:
    return cut_by_mask(name)


def _place(cutout: CutOut, fill_ratio: float, centre: tuple[float, float]) -> tuple[Placement, Rgb]:
    placement = place_in(cutout, SIDE_PX, SIDE_PX, fill_ratio, centre)
    return placement, placed_premultiplied(cutout, placement, SIDE_PX, SIDE_PX)


@cache
def _placed(name: str, fill_ratio: float, centre: tuple[float, float]) -> tuple[Placement, Rgb]:
    return _place(_cutout(name), fill_ratio, centre)


def scene_of(name: str, mode: str = "stage", fill_ratio: float = 0.7) -> Scene:
    stage = Stage("white" if name == "packshot" else "sweep", "none", ("#ffffff",), Light(-35, 50), fill_ratio)
    return Scene(name, "home", mode, stage, "eye_level", "1", f"{name}.yaml")  # type: ignore[arg-type]


@cache
def backdrop(color: tuple[int, int, int], side_px: int = SIDE_PX) -> Rgb:
    """A sweep: the colour, lighter in the middle, with the grain of a camera."""
    y, x = np.mgrid[0:side_px, 0:side_px] / side_px - 0.5
    light = 1.08 - 0.35 * (x**2 + y**2)
    grain = np.random.default_rng(7).normal(0.0, 0.8, (side_px, side_px, 1))
    return np.clip(np.array(color) * light[..., None] + grain, 0, 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Studio:
    """Makes grade inputs; every argument spoils one thing and leaves the rest good."""

    rubric: Rubric

    def shoot(
        self,
        name: str = "lipstick",
        *,
        scene: str = "studio",
        color: tuple[int, int, int] | None = None,
        fill_ratio: float | None = None,
        wanted_fill_ratio: float | None = None,
        spoil: Callable[[Rgb], Rgb] | None = None,
        spoil_finished: Callable[[Rgb], Rgb] | None = None,
        texts: tuple[OverlayText, ...] = (BADGE, PRICE),
        says: dict[str, str] | None = None,
        plate: str = RED,
        centre: tuple[float, float] = (0.5, 0.52),
        cutout: CutOut | None = None,
        shown: CutOut | None = None,
    ) -> GradeInput:
        """`says` are the words the texts *should* have had, by role; `shown` is pasted in place of the true product."""
        packshot = scene == "packshot"
        fill = fill_ratio or (0.86 if packshot else 0.62)
        true = cutout or _cutout(name)
        white = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
        ground = white if packshot and color is None else backdrop(color or BACKDROPS.get(name, (205, 198, 190)))
        middle = (0.5, 0.5) if packshot else centre
        placement, placed_px = _placed(name, fill, middle) if cutout is None else _place(true, fill, middle)
        attempt = paste_premultiplied(ground, placed_px if shown is None else _place(shown, fill, middle)[1])
        attempt = spoil(attempt) if spoil else attempt
        overlay = Overlay(texts, plate, "#fff8ee", plate, "sans")
        alpha = np.ascontiguousarray(placed_px[..., 3])
        finished, placed = (
            draw_overlay(attempt, overlay, product_alpha=alpha, text_room="top")
            if attempt.shape == (SIDE_PX, SIDE_PX, 3)
            else (attempt, ())
        )
        meant = tuple(dataclasses.replace(text, text=(says or {}).get(text.role, text.text)) for text in placed)
        mode = "packshot" if packshot else "stage"
        return GradeInput(
            attempt_id="attempt",
            finished_key="finished",
            sku=name.upper(),
            scene=scene_of(scene, mode, wanted_fill_ratio or fill),
            mode=mode,
            attempt_rgb=attempt,
            finished_rgb=spoil_finished(finished) if spoil_finished else finished,
            placed_texts=meant,
            cutout=true,
            placement=placement,
            palette=("#1f2a30", "#f6f1e8", RED),
            width_px=SIDE_PX,
            height_px=SIDE_PX,
            placed=placed_px if attempt.shape == (SIDE_PX, SIDE_PX, 3) else None,
        )

    def grade(self, given: GradeInput | None = None, **how: Any) -> Grade:
        return grade(given if given is not None else self.shoot(**how), self.rubric, reader=default_reader())

    def finding(self, check: str, given: GradeInput | None = None, **how: Any) -> Finding:
        """The worst finding of a check, asked as grading asks it but alone."""
        evidence = Evidence(given if given is not None else self.shoot(**how), default_reader())
        found = ask(next(known for known in CHECKS if known.name == check), evidence, self.rubric)
        return min(found, key=lambda finding: 1.0 if finding.score is None else finding.score)


@pytest.fixture(scope="session")
def rubric() -> Rubric:
    return load_rubric()


@pytest.fixture(scope="session")
def studio(rubric: Rubric) -> Studio:
    return Studio(rubric)


@pytest.fixture(scope="session")
def photo() -> Callable[[str], Rgb]:
    return _photo


@pytest.fixture(scope="session")
def cut() -> Callable[..., CutOut]:
    return cut_by_mask
