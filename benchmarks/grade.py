"""What grading costs per picture: CPU-ms per check, and the whole against the usual recipe, in the same run.

    OMP_NUM_THREADS=1 OMP_THREAD_LIMIT=1 python benchmarks/grade.py

CPU-ms are user + system time of this process and its children (tesseract is one), medians over the rounds. The usual
recipe is Laplacian variance and pytesseract, both over the whole picture; it is also asked what matters: did it read
badge and price, and does it tell a sharp from a blurred picture?
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytesseract

from zimage_core.domain import Light, Overlay, OverlayText, Scene, Stage
from zimage_core.imaging.composite import paste, place_in, placed_premultiplied, visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.overlay import draw_overlay
from zimage_core.imaging.pixels import Rgb, read_photo
from zimage_core.quality.checks import CHECKS
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.grade import GradeInput, grade
from zimage_core.quality.reading import default_reader, plain
from zimage_core.quality.rubric import Rubric, load_rubric

PRODUCTS = Path(__file__).resolve().parents[1] / "examples" / "products"
NAMES = ("mug", "lamp", "phone", "perfume", "lipstick", "cushion")
SIDE_PX = 1024
TEXTS = (OverlayText("badge", "限时特惠", "zh"), OverlayText("price", "¥199", "zh"))


def cpu_ms() -> float:
    """Return CPU-ms used so far by this process and the children it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return 1000.0 * sum(usage.ru_utime + usage.ru_stime for usage in used)


def cost(work: Callable[[], object]) -> float:
    """Return the CPU-ms of one call."""
    before = cpu_ms()
    work()
    return cpu_ms() - before


def picture(name: str, *, blur_px: float = 0.0) -> GradeInput:
    """Return an example product on a plain stage with badge and price, as the pipeline would hand it to `grade`."""
    rgb = read_photo(PRODUCTS / f"{name}.jpg").rgb
    alpha = np.asarray(cv2.imread(str(PRODUCTS / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    box = visible_box(alpha)
    rows, columns = slice(box.y_px, box.bottom_px), slice(box.x_px, box.right_px)
    cutout = CutOut(np.ascontiguousarray(np.dstack([rgb, alpha])[rows, columns]), float(alpha.mean() / 255))
    placement = place_in(cutout, SIDE_PX, SIDE_PX, 0.62, (0.5, 0.54))
    ground = np.random.default_rng(1).normal((150, 140, 132), 1.0, (SIDE_PX, SIDE_PX, 3)).clip(0, 255).astype(np.uint8)
    attempt = paste(ground, cutout, placement)
    if blur_px:
        attempt = np.asarray(cv2.GaussianBlur(attempt, (0, 0), blur_px), dtype=np.uint8)
    placed = placed_premultiplied(cutout, placement, SIDE_PX, SIDE_PX)
    overlay = Overlay(TEXTS, "#a8391f", "#fff8ee", "#a8391f", "sans")
    finished, texts = draw_overlay(
        attempt, overlay, product_alpha=np.ascontiguousarray(placed[..., 3]), text_room="top"
    )
    stage = Stage("sweep", "paper", ("#968c84",), Light(-35, 50))
    return GradeInput(
        attempt_id=name,
        finished_key=name,
        sku=name,
        scene=Scene("studio", "home", "stage", stage, "eye_level", "1", "studio.yaml"),
        mode="stage",
        attempt_rgb=attempt,
        finished_rgb=finished,
        placed_texts=texts,
        cutout=cutout,
        placement=placement,
        palette=("#a8391f",),
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        placed=placed,
    )


def usual_recipe(rgb: Rgb) -> tuple[float, str]:
    """Return (Laplacian variance, what pytesseract reads) of a whole picture."""
    sharpness = float(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
    return sharpness, pytesseract.image_to_string(rgb, lang="chi_sim+eng", config="--psm 11")


def per_check(pictures: Sequence[GradeInput], rubric: Rubric, rounds: int) -> None:
    """Print CPU-ms per check; planes shared between checks are charged to the check that asks first."""
    spent: dict[str, list[float]] = {check.name: [] for check in CHECKS}
    for _ in range(rounds):
        for given in pictures:
            evidence = Evidence(given, default_reader())
            for check in CHECKS:
                asked = rubric.rule(check.name).when.holds(given.scene.name, given.mode)
                if asked or check.name == "unexpected_text":
                    spent[check.name].append(cost(lambda c=check, e=evidence: c.measure(e, rubric)))
    print(f"{'check':22} CPU-ms (mean of {rounds * len(pictures)})")
    for name, times in sorted(spent.items(), key=lambda entry: -statistics.fmean(entry[1] or [0.0])):
        note = "  (only where a model draws)" if name == "unexpected_text" else ""
        print(f"{name:22} {statistics.fmean(times):6.1f}{note}" if times else f"{name:22}      -  (not asked here)")


def main() -> None:
    """Print the table, the whole, and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rubric = load_rubric()
    pictures = [picture(name) for name in NAMES]
    blurred = [picture(name, blur_px=2.0) for name in NAMES]
    grade(pictures[0], rubric)  # loads the model
    per_check(pictures, rubric, rounds)

    ours: list[float] = []
    making: list[float] = []
    usual: list[float] = []
    for _ in range(rounds):
        for given in pictures:
            ours.append(cost(lambda g=given: grade(g, rubric)))
            making.append(cost(lambda g=given: grade(dataclasses.replace(g, placed=None), rubric)))
            usual.append(cost(lambda g=given: usual_recipe(g.finished_rgb)))
    ms, with_placing, naive = (statistics.median(times) for times in (ours, making, usual))
    print(f"\ngrade, 2 texts, product placed by the caller   {ms:7.1f} CPU-ms  {1000 / ms:5.1f} pictures/s per core")
    print(f"grade, 2 texts, product placed here            {with_placing:7.1f} CPU-ms")
    print(f"Laplacian variance + pytesseract               {naive:7.1f} CPU-ms  ratio {naive / ms:.1f}x")

    def reads(text: str) -> bool:
        return all(plain(wanted.text) in plain(text) for wanted in TEXTS)

    sharp, soft = [usual_recipe(g.finished_rgb) for g in pictures], [usual_recipe(g.finished_rgb) for g in blurred]
    letters = [[grade(g, rubric).letter for g in group] for group in (pictures, blurred)]
    print(f"\nread both texts right       usual {sum(reads(text) for _, text in sharp)} of {len(NAMES)}")
    print(f"blurred (2 px) let through  usual {sum(v >= 100 for v, _ in soft)} of {len(NAMES)} (variance >= 100)")
    print(f"good pictures published     ours  {letters[0].count('A')} of {len(NAMES)}")
    print(f"blurred (2 px) let through  ours  {len(NAMES) - letters[1].count('C')} of {len(NAMES)}")


if __name__ == "__main__":
    main()
