"""What a cut-out costs and how true it is: ours against GrabCut and against the usual flood fill, in the same run.

    python benchmarks/cutout.py                  # 5 rounds of each on the six example photos, 1600 x 1600
    python benchmarks/cutout.py --rounds 1

IoU, alpha error and holes are measured against the exact masks of examples/products. Alpha error is the mean over the
pixels within 2 px of the true edge, in percent. Milliseconds are the least of the rounds, CPU time of one thread.
GrabCut starts from the flood fill at half size, three iterations (without a start it is far worse); the flood fill
takes what is within 12 levels of the border's median colour and connected with it. Expected: IoU at least 0.995, every
hole kept, at most 300 ms. Exits with 1 where an expectation is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from zimage_core.imaging.cutout import CutOutFailure, cut_out
from zimage_core.imaging.pixels import Photo, read_photo

PRODUCTS = Path(__file__).resolve().parents[1] / "examples" / "products"
Pixels = NDArray[np.uint8]


def ours(rgb: Pixels) -> Pixels:
    """The alpha of our cut-out in the photo's frame, by finding its bounding box again."""
    made = cut_out(Photo(rgb, None, ""))
    if isinstance(made, CutOutFailure):
        return np.zeros(rgb.shape[:2], np.uint8)
    return made.rgba[..., 3]


def flood(rgb: Pixels) -> Pixels:
    """What is near the border's median colour and connected with the border is backdrop."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    near = (np.abs(rgb.astype(np.int16) - np.median(border, axis=0)).max(axis=2) <= 12).astype(np.uint8)
    framed = cv2.copyMakeBorder(near, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(framed, None, (0, 0), 2)
    return np.where(framed[1:-1, 1:-1] == 2, 0, 255).astype(np.uint8)


def grabcut(rgb: Pixels) -> Pixels:
    """GrabCut (Rother, Kolmogorov, Blake 2004) from the flood fill, at half size."""
    half = cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    sure = flood(half)
    marks = np.where(sure > 0, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    marks[cv2.erode(sure, np.ones((9, 9), np.uint8)) > 0] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    cv2.grabCut(half, marks, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    found = np.where((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)
    return np.asarray(cv2.resize(found, rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def in_frame(alpha: Pixels, truth: Pixels) -> Pixels:
    """Put a trimmed alpha back where it agrees best with the truth; a full-size one is returned as it is."""
    if alpha.shape == truth.shape:
        return alpha
    framed = np.pad(truth, 16).astype(np.float32)
    error = cv2.matchTemplate(framed, alpha.astype(np.float32), cv2.TM_SQDIFF)
    row, column = np.unravel_index(int(np.argmin(error)), error.shape)
    plane = np.zeros(framed.shape, np.uint8)
    plane[row : row + alpha.shape[0], column : column + alpha.shape[1]] = alpha
    return plane[16:-16, 16:-16]


def measured(alpha: Pixels, truth: Pixels, holes: list[dict[str, list[int]]]) -> tuple[float, float, float]:
    """IoU of what is more than half covered, alpha error near the edge in percent, least IoU of holes (1 = none)."""
    mine, true = alpha >= 128, truth >= 128
    iou = float((mine & true).sum() / (mine | true).sum())
    edge = cv2.dilate(((truth > 0) & (truth < 255)).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    error = float(np.abs(alpha.astype(float) - truth)[edge].mean() / 2.55)
    kept = 1.0
    for hole in holes:
        left, top, right, bottom = hole["bbox"]
        part = (slice(top, bottom), slice(left, right))
        kept = min(kept, float((~mine[part] & ~true[part]).sum() / (~mine[part] | ~true[part]).sum()))
    return iou, error, kept


def timed(method: Callable[[Pixels], Pixels], rgb: Pixels, rounds: int) -> tuple[Pixels, float]:
    """The method's answer and its least CPU time in milliseconds."""
    best = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        alpha = method(rgb)
        best = min(best, (time.process_time() - started) * 1000)
    return alpha, best


def main() -> int:
    """Print a line per photo and method; return 1 where ours misses what is expected of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    truths = json.loads((PRODUCTS / "truth.json").read_text(encoding="utf-8"))
    missed = []
    print(f"{'photo':10} {'method':10} {'IoU':>7} {'edge error %':>13} {'hole IoU':>9} {'CPU ms':>8}")
    for name, facts in sorted(truths.items()):
        rgb = read_photo(PRODUCTS / f"{name}.jpg").rgb
        truth = cv2.imread(str(PRODUCTS / "masks" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
        for label, method in (("ours", ours), ("grabcut", grabcut), ("flood", flood)):
            alpha, milliseconds = timed(method, rgb, rounds)
            iou, error, kept = measured(in_frame(alpha, truth), truth, facts["holes"])
            hole = f"{kept:9.4f}" if facts["holes"] else f"{'-':>9}"
            print(f"{name:10} {label:10} {iou:7.4f} {error:13.2f} {hole} {milliseconds:8.0f}")
            if label == "ours" and (iou < 0.995 or kept < 0.99 or milliseconds > 300):
                missed.append(f"{name}: IoU {iou:.4f}, hole IoU {kept:.4f}, {milliseconds:.0f} ms")
    for line in missed:
        print(f"missed  {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
