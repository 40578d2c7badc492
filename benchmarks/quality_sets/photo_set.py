"""Base photos with their exact mattes: the six of examples/products and any number of modelled ones.

Seed "A" is for tuning, seed "B" for the figures that are published: no product, setting or text is shared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from benchmarks.quality_sets import bodies, bodies_soft
from benchmarks.quality_sets.bodies import Product, Rng
from benchmarks.quality_sets.shooting import setting_for, shoot
from benchmarks.quality_sets.surfaces import Canvas
from zimage_core.domain import Category
from zimage_core.imaging.composite import visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Plane, Rgb, read_photo

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "products"
EXAMPLE_CATEGORIES: dict[str, Category] = {
    "mug": "home",
    "lamp": "home",
    "perfume": "beauty",
    "phone": "electronics",
    "lipstick": "beauty",
    "cushion": "home",
}
PHOTO_COUNT = 112
SEEDS = {"A": 1_000, "B": 900_000, "C": 5_000_000}

_KINDS: tuple[Callable[[Rng, Canvas, str], Product], ...] = (
    bodies.bottle,
    bodies_soft.shirt,
    bodies.carton,
    bodies.mug,
    bodies_soft.bag,
    bodies.phone,
    bodies_soft.towel,
    bodies_soft.headphones,
    bodies.jar,
    bodies_soft.watch,
    bodies.tumbler,
    bodies_soft.lamp,
    bodies.can,
    bodies_soft.spectacles,
    bodies_soft.bowl,
    bodies_soft.shirt,
)
_TONES = ("white", "mid", "dark", "pale", "vivid")
_GROUNDS = ("white", "white", "grey", "paper", "white", "dark", "grey")
_FRAMES = ((1024, 1024), (1200, 1200), (800, 800), (960, 1280), (1024, 1024))


@dataclass(frozen=True, slots=True, eq=False)
class ProductPhoto:
    """A product photo and the truth about it.

    `rgb` (H, W, 3); `alpha` (H, W) the true matte, glass counted as solid; `product_rgb` (H, W, 3) the product's own
    colours, unmixed from the backdrop. `ground` is white, grey, paper or dark. `traits`: opaque, glass, hole, thin,
    cloth, white_on_white, example.
    """

    name: str
    kind: str
    tone: str
    ground: str
    category: Category
    traits: frozenset[str]
    texts: tuple[str, ...]
    rgb: Rgb
    alpha: Plane
    product_rgb: Rgb

    def cutout(self) -> CutOut:
        """Return the product cut out by its true matte."""
        box = visible_box(self.alpha)
        rows = slice(max(0, box.y_px - 2), box.bottom_px + 2)
        columns = slice(max(0, box.x_px - 2), box.right_px + 2)
        rgba = np.dstack([self.product_rgb, self.alpha])[rows, columns]
        return CutOut(np.ascontiguousarray(rgba), float(self.alpha.mean() / 255))


def photo_count(seed: str = "B") -> int:
    """Return how many photos `photos(seed)` gives."""
    return PHOTO_COUNT + (len(EXAMPLE_CATEGORIES) if seed in "AB" else 0)


def photos(seed: str = "B", count: int | None = None) -> Iterator[ProductPhoto]:
    """Yield the base photos of a seed: the examples first (A and B), then modelled products; `count` ends early."""
    for index in range(min(count if count is not None else photo_count(seed), photo_count(seed))):
        yield photo(seed, index)


def photo(seed: str, index: int) -> ProductPhoto:
    """Return one base photo by its number, so that a pool of processes can share the work."""
    names = tuple(EXAMPLE_CATEGORIES) if seed in "AB" else ()
    return example(names[index]) if index < len(names) else modelled(seed, index - len(names))


@lru_cache(maxsize=8)
def example(name: str) -> ProductPhoto:
    """Return an example photo at 1600 px with its exact mask, the white backdrop unmixed from its edge."""
    rgb = read_photo(EXAMPLES / f"{name}.jpg").rgb
    alpha = np.asarray(cv2.imread(str(EXAMPLES / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    share = np.maximum(alpha, 1)[..., None] / 255.0
    own = np.clip((rgb - 255.0 * (1 - share)) / share, 0, 255).astype(np.uint8)
    own = np.where((alpha < 255)[..., None], own, rgb)
    own[alpha == 0] = 0
    truth = json.loads((EXAMPLES / "truth.json").read_text(encoding="utf-8"))[name]
    traits = {"example", "glass" if name == "perfume" else "opaque"}
    traits |= {"hole"} if truth["holes"] else set()
    traits |= {"thin"} if name == "lamp" else {"white_on_white"} if name == "mug" else set()
    return ProductPhoto(
        f"example-{name}",
        name,
        "white" if name == "mug" else "mid",
        "white",
        EXAMPLE_CATEGORIES[name],
        frozenset(traits),
        tuple(truth["printed_text"]),
        rgb,
        alpha,
        own,
    )


@lru_cache(maxsize=24)
def modelled(seed: str, number: int) -> ProductPhoto:
    """Return the `number`-th modelled photo of a seed."""
    rng = np.random.default_rng([SEEDS[seed], number])
    maker = _KINDS[number % len(_KINDS)]
    tone = _TONES[(number + number // len(_KINDS)) % len(_TONES)]
    ground = str(rng.choice(_GROUNDS))
    if tone == "dark" and ground == "dark":
        ground = "grey"
    width, height = _FRAMES[int(rng.integers(0, len(_FRAMES)))]
    unit = 0.5 * min(width, height) * rng.uniform(0.66, 0.88)
    canvas = Canvas(width, height, unit, width * rng.uniform(0.48, 0.52), height * rng.uniform(0.49, 0.53))
    product = maker(rng, canvas, tone)
    shot = shoot(product, canvas, setting_for(rng, ground), rng)
    traits = set(product.traits) | ({"white_on_white"} if tone == "white" and ground in ("white", "grey") else set())
    return ProductPhoto(
        f"{seed}-{number:03d}-{maker.__name__}",
        maker.__name__,
        tone,
        ground,
        product.category,
        frozenset(traits),
        product.texts,
        shot.rgb,
        shot.alpha,
        shot.product_rgb,
    )
