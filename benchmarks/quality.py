"""What grading costs per picture: CPU-ms per check, and the whole against the usual recipe, in the same run.

    OMP_NUM_THREADS=1 OMP_THREAD_LIMIT=1 python benchmarks/quality.py

Both start from the same JPEG bytes (1024 x 1024, quality 92, badge and price on it). The usual recipe decodes them,
takes the Laplacian's variance and lets pytesseract read the whole picture. Ours decodes them and asks every check of
the rubric, texts read back. CPU-ms are user + system time of this process and its children (tesseract is one), medians
over the rounds; the wall-clock comparison lets two processes of either kind work side by side. The usual recipe is also
asked what matters: did it read badge and price, and does it tell a sharp from a blurred picture?
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytesseract

from zimage_core import clock
from zimage_core.domain import Light, Overlay, OverlayText, Scene, Stage
from zimage_core.imaging.composite import paste, paste_premultiplied, place_in, placed_premultiplied, visible_box
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.overlay import paint_overlay
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
    alpha = np.ascontiguousarray(placed[..., 3])
    layer, texts = paint_overlay(SIDE_PX, SIDE_PX, overlay, product_alpha=alpha, text_room="top")
    finished = paste_premultiplied(attempt, layer)
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
        overlay=layer,
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
                    spent[check.name].append(cost(partial(check.measure, evidence, rubric)))
    print(f"{'check':22} CPU-ms (median of {rounds * len(pictures)})")
    for name, times in sorted(spent.items(), key=lambda entry: -statistics.median(entry[1] or [0.0])):
        note = "  (only where a model draws)" if name == "unexpected_text" else ""
        print(f"{name:22} {statistics.median(times):6.1f}{note}" if times else f"{name:22}      -  (not asked here)")


def whole(pictures: Sequence[GradeInput], rubric: Rubric, rounds: int) -> None:
    """Print CPU-ms and pictures a second from JPEG bytes to grade, ours and the usual recipe's."""
    spent: dict[str, list[float]] = {}
    for _ in range(rounds):
        for given in pictures:
            data, plain_data = jpeg(given.finished_rgb), jpeg(given.attempt_rgb)
            untexted = dataclasses.replace(given, finished_rgb=given.attempt_rgb, placed_texts=(), overlay=None)
            unplaced = dataclasses.replace(untexted, placement=None, placed=None)
            works: dict[str, Callable[[], object]] = {
                "decode alone": partial(decoded, data),
                "ours, every check, two texts": partial(ours, data, given, rubric),
                "ours, without text": partial(ours, plain_data, untexted, rubric),
                "the same, place unknown": partial(ours, plain_data, unplaced, rubric),
                "Laplacian + pytesseract": partial(usual, data),
            }
            for name, work in works.items():
                spent.setdefault(name, []).append(cost(work))
    naive = statistics.median(spent["Laplacian + pytesseract"])
    print(f"\n{'from JPEG bytes to a grade':32} CPU-ms  pictures/s of a core  against the usual recipe")
    for name, times in spent.items():
        ms = statistics.median(times)
        print(f"{name:32} {ms:6.1f}  {1000 / ms:20.1f}  {naive / ms:20.1f}x")


def side_by_side(rounds: int) -> None:
    """Print pictures a second of two processes, ours and the usual recipe's, one after the other in this run.

    Each process has the pictures before the clock starts: what is timed begins with JPEG bytes and ends with a grade.
    """
    names = list(NAMES) * rounds * 2
    rates: dict[str, list[float]] = {}
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=warm) as pool:
        turns: dict[str, Callable[[str], object]] = {"ours": our_turn, "usual": usual_turn}
        list(pool.map(our_turn, names[: 2 * len(NAMES)]))
        for name, turn in (*turns.items(), *turns.items()):
            started_s = clock.elapsed_s()
            list(pool.map(turn, names))
            rates.setdefault(name, []).append(len(names) / (clock.elapsed_s() - started_s))
    ours_rate, usual_rate = (statistics.median(rates[name]) for name in ("ours", "usual"))
    print(
        f"\ntwo processes, wall clock           {ours_rate:5.1f} pictures/s against {usual_rate:.2f}: "
        f"{ours_rate / usual_rate:.1f}x"
    )


@cache
def delivered(name: str) -> tuple[bytes, GradeInput]:
    """Return a picture's JPEG bytes and what is known of it, made once per process."""
    given = picture(name)
    return jpeg(given.finished_rgb), given


@cache
def rubric_of_process() -> Rubric:
    """Return the rubric, read once per process as runs do."""
    return load_rubric()


def warm() -> None:
    """Get a worker process ready: one thread, pictures, rubric and reader loaded."""
    cv2.setNumThreads(1)
    default_reader()
    for name in NAMES:
        ours(*delivered(name), rubric_of_process())


def our_turn(name: str) -> str:
    """Grade one picture in a worker process."""
    return ours(*delivered(name), rubric_of_process())


def usual_turn(name: str) -> float:
    """Do what the usual recipe does with one picture in a worker process."""
    return usual(delivered(name)[0])[0]


def usual(data: bytes) -> tuple[float, str]:
    """Decode and ask the usual recipe."""
    return usual_recipe(decoded(data))


def jpeg(rgb: Rgb) -> bytes:
    """Return a picture as JPEG bytes of quality 92."""
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def decoded(data: bytes) -> Rgb:
    """Return JPEG bytes as pixels, decoded once."""
    return read_photo(data).rgb


def ours(data: bytes, given: GradeInput, rubric: Rubric) -> str:
    """Decode and grade: the letter."""
    rgb = decoded(data)
    return grade(dataclasses.replace(given, finished_rgb=rgb), rubric).letter


def correctness(pictures: Sequence[GradeInput], blurred: Sequence[GradeInput], rubric: Rubric) -> None:
    """Print what each of the two makes of good and of blurred pictures."""

    def reads(text: str) -> bool:
        return all(plain(wanted.text) in plain(text) for wanted in TEXTS)

    sharp, soft = [usual_recipe(g.finished_rgb) for g in pictures], [usual_recipe(g.finished_rgb) for g in blurred]
    letters = [[grade(g, rubric).letter for g in group] for group in (pictures, blurred)]
    print(f"\nread both texts right       usual {sum(reads(text) for _, text in sharp)} of {len(NAMES)}")
    print(f"blurred (2 px) let through  usual {sum(v >= 100 for v, _ in soft)} of {len(NAMES)} (variance >= 100)")
    print(f"good pictures published     ours  {letters[0].count('A')} of {len(NAMES)}")
    print(f"blurred (2 px) let through  ours  {len(NAMES) - letters[1].count('C')} of {len(NAMES)}")


def main() -> None:
    """Print the table, the whole, and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    rubric = load_rubric()
    pictures = [picture(name) for name in NAMES]
    blurred = [picture(name, blur_px=2.0) for name in NAMES]
    grade(pictures[0], rubric)  # loads the model
    per_check(pictures, rubric, rounds)
    whole(pictures, rubric, rounds)
    side_by_side(rounds)
    correctness(pictures, blurred, rubric)


if __name__ == "__main__":
    main()
