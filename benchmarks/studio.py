"""What the studio costs per picture: CPU-ms per scene, and against the same renderer without its coarse rasters.

    OMP_NUM_THREADS=1 python benchmarks/studio.py

CPU-ms are user + system time of this process, medians over the example products and rounds, one thread. The named
alternative draws everything that is soft (backdrops, bokeh, defocus, shadows) at the picture's full size, with the same
functions, as a straightforward program would; both run in turn in the same process. `cold` is the first picture of a
scene, its textures not yet made.
"""

from __future__ import annotations

import argparse
import resource
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from zimage_core.domain import Change, Light, Prompt, Scene, Stage
from zimage_core.engines.base import Rendered, RenderRequest
from zimage_core.engines.studio import camera, create, stage
from zimage_core.engines.studio.material import texture
from zimage_core.imaging import shadow
from zimage_core.imaging.composite import visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import read_photo

PRODUCTS = Path(__file__).resolve().parents[1] / "examples" / "products"
NAMES = ("mug", "lamp", "perfume", "phone", "lipstick", "cushion")
LIGHT = Light(-50, 40, 0.6)
PALETTE = ("#d8c8b2", "#b48a5f", "#f0dfc2", "#9aa58d")
SCENES = {
    "packshot": Stage("white", "none", ("#ffffff",), LIGHT, 0.88),
    "sweep, paper": Stage("sweep", "paper", PALETTE, LIGHT, 0.66, 0.64),
    "sweep, gloss": Stage("sweep", "gloss", PALETTE, LIGHT, 0.66, 0.64, reflection_ratio=0.2),
    "room, wood": Stage("wall", "wood", PALETTE, LIGHT, 0.6, 0.6, bokeh_ratio=0.6),
    "wall, stone": Stage("wall", "stone", PALETTE, LIGHT, 0.6, 0.6),
    "wall, fabric": Stage("wall", "fabric", PALETTE, LIGHT, 0.6, 0.6),
    "wall, tile": Stage("wall", "tile", PALETTE, LIGHT, 0.6, 0.6),
    "flat lay, fabric": Stage("surface", "fabric", PALETTE, LIGHT, 0.64),
    "closeup": Stage("closeup", "none", PALETTE, LIGHT, 1.35, 0.5, bokeh_ratio=0.35),
}


def cpu_ms() -> float:
    """Return CPU-ms used so far by this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return 1000.0 * (usage.ru_utime + usage.ru_stime)


def product(name: str) -> CutOut:
    """Return an example product, cut out by its exact mask."""
    rgb = read_photo(PRODUCTS / f"{name}.jpg").rgb
    alpha = np.asarray(cv2.imread(str(PRODUCTS / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    box = visible_box(alpha)
    rows, columns = slice(box.y_px, box.bottom_px), slice(box.x_px, box.right_px)
    return CutOut(np.ascontiguousarray(np.dstack([rgb, alpha])[rows, columns]), float(alpha.mean() / 255))


@contextmanager
def full_size_rasters() -> Iterator[None]:
    """Let the renderer draw everything soft at the picture's own size, while this lasts."""
    kept = stage._COARSE, shadow._WORK_SIDE_PX, shadow._COARSEST, camera._COARSEST
    stage._COARSE, shadow._WORK_SIDE_PX, shadow._COARSEST, camera._COARSEST = 1, 1 << 20, 1, 1
    try:
        yield
    finally:
        stage._COARSE, shadow._WORK_SIDE_PX, shadow._COARSEST, camera._COARSEST = kept


def main() -> None:
    """Print one line per scene."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    engine = create({})
    products = {name: product(name) for name in NAMES}

    def cost(scene: str, name: str, seed: int) -> float:
        mode = "packshot" if scene == "packshot" else "stage"
        setting = Scene("studio", "default", mode, SCENES[scene], "", "1", "")
        request = RenderRequest(
            "a", name, "s", 1, mode, Prompt("", "", "en", ()), setting, Change(), seed,
            arguments.side, arguments.side, products[name],
        )  # fmt: skip
        before = cpu_ms()
        (answer,) = engine.render([request])
        assert isinstance(answer, Rendered)
        return cpu_ms() - before

    print(f"{arguments.side} x {arguments.side}, CPU-ms per picture, one thread; median of {len(NAMES)} products")
    print(f"{'scene':<18}{'cold':>8}{'studio':>8}{'full-size rasters':>19}{'ratio':>7}")
    every: list[float] = []
    for scene in SCENES:
        texture.cache_clear()
        cold = cost(scene, "mug", 0)
        seeds = [(name, index) for index in range(arguments.rounds) for name in NAMES]
        for name, seed in seeds:
            cost(scene, name, seed)  # makes the textures
        own, plain = [], []
        for name, seed in seeds:
            own.append(cost(scene, name, seed))
            with full_size_rasters():
                plain.append(cost(scene, name, seed))
        every += own
        ours, theirs = statistics.median(own), statistics.median(plain)
        print(f"{scene:<18}{cold:>8.0f}{ours:>8.0f}{theirs:>19.0f}{theirs / ours:>6.1f}x")
    print(f"all scenes: median {statistics.median(every):.0f}, slowest {max(every):.0f} CPU-ms")


if __name__ == "__main__":
    main()
