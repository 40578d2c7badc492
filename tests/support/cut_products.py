"""The six example products cut out by their exact masks at half size, and requests for them: fast, and independent of
how well `cut_out` does."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from product_photos import load

from zimage_core.domain import Change, Mode, Prompt, Scene, Stage
from zimage_core.engines.base import RenderRequest
from zimage_core.imaging.composite import visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.prompting import PromptLibrary

NAMES = ("mug", "lamp", "perfume", "phone", "lipstick", "cushion")
CATEGORIES = {"mug": "home", "lamp": "home", "perfume": "beauty", "phone": "electronics", "lipstick": "beauty"}
SCENES = ("studio", "lifestyle", "detail", "flat_lay")


@cache
def product(name: str) -> CutOut:
    rgb, alpha = load(name, 800)
    share = np.maximum(alpha, 8)[..., None].astype(np.float32) / 255
    colour = np.clip((rgb - 255.0 * (1 - share)) / share, 0, 255).astype(np.uint8)
    colour = np.where(alpha[..., None] == 255, rgb, colour)
    box = visible_box(alpha)
    rows, columns = slice(box.y_px - 2, box.bottom_px + 2), slice(box.x_px - 2, box.right_px + 2)
    return CutOut(np.ascontiguousarray(np.dstack([colour, alpha])[rows, columns]), float(alpha.mean() / 255))


@cache
def library() -> PromptLibrary:
    return PromptLibrary.load(Path(__file__).resolve().parents[2] / "prompts")


def stage_of(name: str, scene: str) -> Stage:
    """The stage that this shop's scene has for the product's category."""
    return library().scene(scene, CATEGORIES.get(name, "fashion")).stage  # type: ignore[arg-type]


def request_of(
    name: str,
    stage: Stage,
    mode: Mode = "stage",
    *,
    size: tuple[int, int] = (512, 512),
    seed: int = 1,
    change: Change | None = None,
    prompt: Prompt | None = None,
    reference: CutOut | None = None,
) -> RenderRequest:
    scene = Scene("studio", "default", mode, stage, "eye_level", "1", "studio.yaml")
    return RenderRequest(
        attempt_id=f"{name}-{seed}",
        sku=name.upper(),
        shot_id="shot",
        number=1,
        mode=mode,
        prompt=prompt or Prompt("An empty table.", "text", "en", ()),
        scene=scene,
        change=change or Change(),
        seed=seed,
        width_px=size[0],
        height_px=size[1],
        reference=reference or product(name),
    )


def grained(color: tuple[int, int, int], size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, 3) of one colour, a little lighter at the left, with the grain of a camera."""
    grain = np.random.default_rng(3).normal(0.0, 1.0, (size[1], size[0], 1))
    slope = np.linspace(8.0, -8.0, size[0])[None, :, None]
    return np.clip(np.array(color) + slope + grain, 0, 255).astype(np.uint8)


def luma(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.float32)
