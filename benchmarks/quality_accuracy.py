"""How right grading is: every check against pictures whose truth is known, with counts and 95 % intervals.

    OMP_NUM_THREADS=1 python benchmarks/quality_accuracy.py                          # everything, seed B, two processes
    OMP_NUM_THREADS=1 python benchmarks/quality_accuracy.py --quick --only planted,fidelity
    OMP_NUM_THREADS=1 python benchmarks/quality_accuracy.py --seed A --out out/accuracy.json

The sets are made here (benchmarks/quality_sets): seed A is for tuning, seed B for figures, C for a last look. A
goal that is missed is named, with the checks that let it through; the exit status is then 1. Sections: sharpness,
text_code, text_model, planted, fidelity, cutout, duplicates.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality_sets import asked, duplicate_set, fidelity_set, planted_set, repeats, text_set
from benchmarks.quality_sets.asked import Answer
from benchmarks.quality_sets.figures import auc, auc_interval, share_text
from benchmarks.quality_sets.photo_set import photo_count

QUICK = 10
T = TypeVar("T")
Missed = list[str]


def sharpness(answers: Sequence[Answer]) -> Missed:
    """AUC per condition and per blur, and what the shipped limit lets through and refuses."""
    missed = []
    for part, here in _by(answers, _part):
        good, bad = [a for a in here if a.good], [a for a in here if not a.good]
        value, low, high = auc_interval(_valued(good), _valued(bad))
        print(f"{part:20} AUC {value:.4f} ({low:.4f}-{high:.4f})")
        print(f"    at the limit: sharp passed {_passed(good)}; blurred passed {_passed(bad)}")
        each = {kind: auc(_values(good), _values(some)) for kind, some in _by(bad, _kind)}
        print(
            "    per blur: " + "; ".join(f"{kind} {one:.3f}" for kind, one in sorted(each.items(), key=lambda e: e[1]))
        )
        print(f"    blurred that pass: {_shares(bad, _kind, _accepted)}")
        print(
            f"    sharp refused: {_shares(good, _kind, _refused)}; {_counted(_product(a) for a in good if _refused(a))}"
        )
        if value < 0.995:
            missed.append(f"sharpness, {part}: AUC {value:.4f}, goal 0.995")
    return missed


TEXT_GOALS = {"layer known": (0.005, 0.005), "layer unknown": (0.03, 0.01), "": (0.03, 0.01)}
"""Shares of wrong texts accepted and right ones refused, by part. Text that we drew and whose layer nobody has,
as in a file from elsewhere, can only be read, as that which a model drew ("")."""


def texts(answers: Sequence[Answer]) -> Missed:
    """False accepts per fault and false rejects per language."""
    missed = []
    for part, here in _by(answers, _part):
        accept_goal, reject_goal = TEXT_GOALS[part]
        title = f"text, {here[0].of.split('-')[0]}{', ' + part if part else ''}"
        right, wrong = [a for a in here if a.good], [a for a in here if not a.good]
        accepted, rejected = [a for a in wrong if _accepted(a)], [a for a in right if _refused(a)]
        accepts, rejects = share_text(len(accepted), len(wrong)), share_text(len(rejected), len(right))
        by_check = _counted(check for a in rejected for check in a.why)
        print(f"{title}: false accepts {accepts}")
        print(f"    {_shares(wrong, _kind, _accepted)}; {_shares(wrong, _product, _accepted)}")
        print(f"    cases: {', '.join(a.of for a in accepted[:25]) or '-'}")
        print(f"{title}: false rejects {rejects}")
        print(f"    {_shares(right, _product, _refused)}; by {by_check}")
        print(f"    cases: {', '.join(a.of for a in rejected[:25]) or '-'}")
        if len(accepted) > accept_goal * len(wrong):
            missed.append(
                f"{title}: wrong accepted {accepts} ({_counted(map(_kind, accepted))}), goal {accept_goal:.1%}"
            )
        if len(rejected) > reject_goal * len(right):
            missed.append(f"{title}: right rejected {rejects} (by {by_check}), goal {reject_goal:.1%}")
    return missed


def planted(answers: Sequence[Answer]) -> Missed:
    """What would be published (letter A) of the good and of each defect, and who stopped the rest."""
    good, bad = [a for a in answers if a.good], [a for a in answers if not a.good]
    through, lost = [a for a in bad if _accepted(a)], [a for a in good if _refused(a)]
    print(f"good published      {_passed(good)}")
    for scene, some in _by(good, _part):
        print(
            f"    {scene:12} {_ratio(some, _accepted):>10}   kept back by: {_counted(c for a in some for c in a.why)}"
        )
    print(f"    products kept back: {_counted(map(_product, lost))}")
    print(f"defective published {_passed(bad)}")
    for defect, some in _by(bad, _kind):
        by_check = _counted(a.why[0] for a in some if a.why)
        print(f"    {defect:18} {_ratio(some, _accepted):>10}   stopped by: {by_check}")
        if any(map(_accepted, some)):
            print(f"        through: {', '.join(f'{a.of} {a.part}' for a in some if _accepted(a))}")
    missed = []
    if len(through) > 0.02 * len(bad):
        missed.append(f"planted defects published {_passed(bad)} ({_counted(map(_kind, through))}), goal 2 %")
    if len(lost) > 0.1 * len(good):
        by_check = _counted(check for a in lost for check in a.why)
        missed.append(f"good pictures published {_passed(good)} (kept back by {by_check}), goal 90 %")
    return missed


def fidelity(answers: Sequence[Answer]) -> Missed:
    """AUC of each kind of change against all accepted ones, with the place known and unknown."""
    missed = []
    for part, here in _by(answers, _part):
        good = [a for a in here if a.good]
        print(f"{part:14} judged {sum(math.isfinite(a.value) for a in here)} of {len(here)}")
        print(f"    faithful passed {_passed(good)}: {_shares(good, _kind, _accepted)}")
        for kind, some in _by([a for a in here if not a.good], _kind):
            value, low, high = auc_interval(_valued(good), _valued(some))
            print(f"    {kind:16} AUC {value:.4f} ({low:.4f}-{high:.4f}), passed {_passed(some)}")
            if not value >= 0.98:
                missed.append(f"fidelity, {part}: {kind} AUC {value:.4f}, goal 0.98")
    return missed


def cutout(answers: Sequence[Answer]) -> Missed:
    """IoU of what was cut out, and whether what is poor was refused or at least announced."""
    missed = []
    for part, here in _by(answers, _part):
        made = [a for a in here if _accepted(a)]
        ious = np.array([a.value for a in made] or [math.nan])
        poor = sorted((a for a in made if a.value < 0.95), key=lambda a: a.value)
        silent = [a for a in poor if not a.why]
        print(f"{part:14} {_spread(here)}; refused as: {_counted(a.why[0] for a in here if _refused(a))}")
        print(f"    below 0.95: {len(poor)}, of these without a warning: {len(silent)} ({_named(silent)})")
        if part != "opaque" and silent:
            missed.append(f"cut-out, {part}: {len(silent)} of {len(here)} poor ones without a warning")
        if part == "opaque":
            for kind, some in _by(here, _kind):
                print(f"    {kind:16} {_spread(some)}")
            if not (np.median(ious) >= 0.98 and ious.min() >= 0.95):
                missed.append(
                    f"cut-out, opaque: IoU median {np.median(ious):.4f}, worst {_named(poor)}, goal 0.98, 0.95"
                )
    return missed


@dataclasses.dataclass(frozen=True)
class Section:
    """How many numbers a section has for a seed, what is asked for each, and how the answers are summed up."""

    count: Callable[[str], int]
    ask: Callable[[str, int], list[Any]]
    judge: Callable[[list[Any]], Missed]


def _fixed(count: int) -> Callable[[str], int]:
    return lambda seed: count


SECTIONS = {
    "sharpness": Section(photo_count, asked.sharpness, sharpness),
    "text_code": Section(_fixed(text_set.CODE_COUNT), asked.text_code, texts),
    "text_model": Section(_fixed(text_set.MODEL_COUNT), asked.text_model, texts),
    "planted": Section(_fixed(planted_set.PRODUCT_COUNT), asked.planted, planted),
    "fidelity": Section(_fixed(fidelity_set.PRODUCT_COUNT), asked.fidelity, fidelity),
    "cutout": Section(photo_count, asked.cutout, cutout),
    "duplicates": Section(_fixed(duplicate_set.GROUP_COUNT), repeats.signed_group, repeats.judged),
}


def main() -> int:
    """Run the sections asked for, print their tables and what was missed; return 1 where a goal was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--seed", default="B", choices=["A", "B", "C"])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} photos, products or groups (60 texts) a section")
    parser.add_argument("--count", type=int, help="at most so many photos, products, groups or texts a section")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write every answer there, as JSON")
    given = parser.parse_args()
    names = given.only.split(",")
    unknown = set(names) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    kept: dict[str, list[dict[str, object]]] = {}
    missed: Missed = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.processes, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for name in names:
            section = SECTIONS[name]
            count = section.count(given.seed)
            count = min(count, 60 if name.startswith("text") else QUICK) if given.quick else count
            count = min(count, given.count) if given.count else count
            started = time.perf_counter()
            found = [a for some in pool.map(partial(section.ask, given.seed), range(count)) for a in some]
            took_s = time.perf_counter() - started
            print(f"\n== {name}, seed {given.seed}: {len(found)} cases of {count}, {took_s:.0f} s")
            missed += section.judge(found)
            sys.stdout.flush()
            kept[name] = [dataclasses.asdict(a) for a in found]
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(kept, ensure_ascii=False, indent=0), encoding="utf-8")
    print("\n" + ("\n".join(f"missed  {line}" for line in missed) if missed else "every goal reached"))
    return 1 if missed else 0


# ---------------------------------------------------------------- counting


def _by(items: Iterable[T], key: Callable[[T], str]) -> list[tuple[str, list[T]]]:
    groups: dict[str, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return sorted(groups.items())


def _part(answer: Answer) -> str:
    return answer.part


def _kind(answer: Answer) -> str:
    return answer.kind


def _product(answer: Answer) -> str:
    return answer.of.split("-")[-1]


def _accepted(answer: Answer) -> bool:
    return answer.accepted


def _refused(answer: Answer) -> bool:
    return not answer.accepted


def _valued(answers: Iterable[Answer]) -> list[tuple[str, float]]:
    return [(answer.of, answer.value) for answer in answers]


def _values(answers: Iterable[Answer]) -> NDArray[np.float64]:
    return np.array([answer.value for answer in answers], np.float64)


def _passed(answers: Sequence[Answer]) -> str:
    return share_text(sum(map(_accepted, answers)), len(answers))


def _ratio(answers: Sequence[Answer], test: Callable[[Answer], bool]) -> str:
    return f"{sum(map(test, answers))} of {len(answers)}"


def _shares(answers: Iterable[Answer], key: Callable[[Answer], str], test: Callable[[Answer], bool]) -> str:
    return "; ".join(f"{name} {_ratio(some, test)}" for name, some in _by(answers, key))


def _spread(answers: Sequence[Answer]) -> str:
    ious = [answer.value for answer in answers if answer.accepted]
    shown = f"IoU median {np.median(ious):.4f}, worst {min(ious):.4f}" if ious else "none cut out"
    return f"{len(answers)} photos, refused {sum(map(_refused, answers))}, {shown}"


def _named(answers: Sequence[Answer]) -> str:
    return ", ".join(f"{answer.of} {answer.value:.3f}" for answer in answers[:8]) or "-"


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(names).most_common(8)) or "-"


if __name__ == "__main__":
    sys.exit(main())
