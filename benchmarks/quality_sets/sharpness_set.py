"""Sharp and blurred versions of the base photos, and the same under a crisp badge and price of our own overlay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.quality_sets import damage
from benchmarks.quality_sets.photo_set import ProductPhoto, photos
from zimage_core.domain import Overlay, OverlayText, PlacedText
from zimage_core.imaging.composite import paste_premultiplied
from zimage_core.imaging.overlay import paint_overlay
from zimage_core.imaging.pixels import Plane, Rgb, Rgba, resize

Rng = np.random.Generator
LONG_SIDE_PX = 1024

SHARP: dict[str, Callable[[Rgb, Rng], Rgb]] = {
    "as_is": lambda rgb, rng: rgb,
    "contrast_0.4": lambda rgb, rng: damage.contrast(rgb, 0.4),
    "noise_4": lambda rgb, rng: damage.noisy(rgb, 4.0, rng),
    "jpeg_85": lambda rgb, rng: damage.jpeg(rgb, 85),
    "downscaled_640": lambda rgb, rng: _to_long_side(rgb, 640),
}
BLURRED: dict[str, Callable[[Rgb, Rng], Rgb]] = {
    "gauss_1.5": lambda rgb, rng: damage.blurred(rgb, 1.5),
    "gauss_2": lambda rgb, rng: damage.blurred(rgb, 2.0),
    "gauss_3": lambda rgb, rng: damage.blurred(rgb, 3.0),
    "gauss_5": lambda rgb, rng: damage.blurred(rgb, 5.0),
    "disc_3": lambda rgb, rng: damage.defocused(rgb, 3),
    "disc_5": lambda rgb, rng: damage.defocused(rgb, 5),
    "motion_9": lambda rgb, rng: damage.moved(rgb, 9, rng.uniform(0, 180)),
    "motion_15": lambda rgb, rng: damage.moved(rgb, 15, rng.uniform(0, 180)),
    "upscaled_3x": lambda rgb, rng: damage.upscaled(rgb, 3.0),
    "gauss_2_noise_4": lambda rgb, rng: damage.noisy(damage.blurred(rgb, 2.0), 4.0, rng),
    "gauss_3_noise_10": lambda rgb, rng: damage.noisy(damage.blurred(rgb, 3.0), 10.0, rng),
    "disc_3_jpeg_70": lambda rgb, rng: damage.jpeg(damage.defocused(rgb, 3), 70),
}


@dataclass(frozen=True, slots=True, eq=False)
class SharpnessCase:
    """One version of a photo: `rgb` (H, W, 3) at most 1024 px large, `alpha` (H, W) the product's true matte."""

    photo: str
    kind: str
    variant: str
    sharp: bool
    rgb: Rgb
    alpha: Plane
    badge: Rgba
    badge_texts: tuple[PlacedText, ...]

    def with_badge(self) -> tuple[Rgb, tuple[PlacedText, ...]]:
        """Return the picture under a crisp badge and price, and where these stand."""
        return paste_premultiplied(self.rgb, self.badge), self.badge_texts


def sharpness(seed: str = "B", count: int | None = None) -> Iterator[SharpnessCase]:
    """Yield every version of the first `count` photos of a seed, a photo's versions one after the other."""
    for photo in photos(seed, count):
        yield from versions(photo)


def versions(photo: ProductPhoto) -> Iterator[SharpnessCase]:
    """Yield every version of one photo."""
    rgb, alpha = _to_long_side(photo.rgb, LONG_SIDE_PX), _to_long_side(photo.alpha, LONG_SIDE_PX)
    badges: dict[tuple[int, ...], tuple[Rgba, tuple[PlacedText, ...]]] = {}
    for variants, sharp in ((SHARP, True), (BLURRED, False)):
        for number, (name, make) in enumerate(variants.items()):
            rng = np.random.default_rng([sum(map(ord, photo.name)), number, int(sharp)])
            made = make(rgb, rng)
            matte = np.asarray(cv2.resize(alpha, made.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)
            if made.shape not in badges:
                badges[made.shape] = _badge(photo.name, matte)
            yield SharpnessCase(photo.name, photo.kind, name, sharp, made, matte, *badges[made.shape])


def _badge(name: str, alpha: Plane) -> tuple[Rgba, tuple[PlacedText, ...]]:
    rng = np.random.default_rng([sum(map(ord, name)), 77])
    colors = ("#a8391f", "#1f2a30", "#c96f4a", "#d4002a", "#f2b705")
    overlay = Overlay(
        (
            OverlayText("badge", str(rng.choice(["限时特惠", "618年中大促", "NEW IN", "新品上市"])), "zh"),
            OverlayText("price", str(rng.choice(["到手价 ¥199", "¥1,299", "$19.99", "券后 ¥59"])), "zh"),
        ),
        str(rng.choice(colors)),
        "#fff8ee",
        str(rng.choice(colors)),
        "sans",
        int(rng.integers(0, 4)),
    )
    height_px, width_px = alpha.shape
    return paint_overlay(width_px, height_px, overlay, product_alpha=alpha, text_room="top")


def _to_long_side(image: np.ndarray, side_px: int) -> np.ndarray:
    height, width = image.shape[:2]
    scale = side_px / max(height, width)
    return image if scale >= 1 else resize(image, round(width * scale), round(height * scale))
