"""What policy saves: cost per accepted image and share accepted, against three retries of everything that fails.

    python benchmarks/policy.py                        # 20 seeds of 6 runs of 400 shots
    python benchmarks/policy.py --seeds 5 --shots 200

Failures are simulated: a share of the shots has a hidden cause that shows as a failing check, and each remedy cures
each cause with a probability that nobody is told (`CAUSES`). A new try also draws with another seed, which cures what
a seed can cure. Three ways work on the very same shots, at most four attempts each:

    three retries   whatever fails is made again with another seed and wording until it is accepted, three times at most
    table           policy without any history: the table's order, and a stop where nothing can cure
    history         policy that has learnt from the runs before it, through the same functions as the pipeline

The causes and their probabilities are assumptions; the comparison says what deciding from findings is worth where
causes are mixed as here. Intervals are 95 % over seeds (normal approximation of the mean).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from zimage_core.domain import (
    Attempt,
    Change,
    Finding,
    Grade,
    Light,
    Mode,
    Prompt,
    Regeneration,
    Scene,
    Shot,
    Stage,
    Verdict,
)
from zimage_core.quality.experience import Experience, Remedy, experience_of, remedies_between
from zimage_core.quality.policy import next_verdict

MAX_ATTEMPTS = 4
MODES: tuple[Mode, ...] = ("packshot", "stage", "inpaint", "text")
COSTS: dict[Remedy, float] = {"size": 0.6}
Decide = Callable[[Shot, Sequence[tuple[Attempt, Grade]]], Verdict]


@dataclass(frozen=True)
class Cause:
    """A hidden reason to fail: how often, what it shows as, in which mode, and what cures it how likely."""

    name: str
    share: float
    check: str
    mode: Mode
    cures: dict[Remedy, float] = field(default_factory=dict)
    seed_cures: float = 0.0


CAUSES = (
    Cause("nothing", 0.66, "", "stage"),
    Cause("a glitch of the engine", 0.06, "noise", "stage", {}, 0.8),
    Cause("a soft photo", 0.05, "sharpness", "stage", {"size": 0.7}),
    Cause("a photo out of focus", 0.02, "sharpness", "stage"),
    Cause("an overexposed photo", 0.03, "exposure_clipped", "stage"),
    Cause("a lost outline", 0.05, "separation", "stage", {"backdrop": 0.75}, 0.1),
    Cause("crowded texts", 0.03, "text_over_product", "stage", {"layout": 0.6}),
    Cause("a product painted over", 0.04, "fidelity_structure", "inpaint", {"mode": 0.95}, 0.15),
    Cause("writing on the wall", 0.03, "unexpected_text", "inpaint", {"mode": 0.85, "wording": 0.1}, 0.15),
    Cause("a tint", 0.02, "colour_cast", "inpaint", {"palette": 0.15, "wording": 0.35}, 0.1),
    Cause("the picture of another scene", 0.01, "repeated_picture", "inpaint", {"wording": 0.5, "backdrop": 0.4}, 0.2),
)


@dataclass
class Spent:
    """What a way has paid and got."""

    shots: int = 0
    accepted: int = 0
    attempts: int = 0
    cost: float = 0.0


def shot_of(cause: Cause, name: str) -> Shot:
    """Return a shot with a reference photo in the cause's mode."""
    stage = Stage("sweep", "none", ("#ffffff",), Light(0, 45))
    scene = Scene("studio", "home", cause.mode, stage, "eye_level", "1", "studio.yaml")
    return Shot(name, name, scene, cause.mode, 1024, 1024, Prompt("", "", "en", ()), "a.jpg", None, "engine", "f")


def grade_of(check: str) -> Grade:
    """Return an A, or the C of one failing check."""
    if not check:
        return Grade("a", "f", "r", 0.95, "A", (), ())
    finding = Finding(check, "measured", f"{check} fails.", 0.0, "", 1.0, 0.0, passed=False, veto=True)
    return Grade("a", "f", "r", 0.3, "C", (finding,), (finding.sentence,))


def attempt_of(shot: Shot, number: int, change: Change, cost: float) -> Attempt:
    """Return a made-up attempt that took `cost` seconds."""
    return Attempt(
        f"{shot.shot_id}-{number}",
        shot.shot_id,
        number,
        0,
        change,
        "engine",
        "f",
        "key",
        None,
        1024,
        1024,
        None,
        cost,
        0.0,
    )


def is_cured(cause: Cause, before: Change, after: Change, luck: np.random.Generator) -> bool:
    """Tell whether a new try is rid of its cause; the same number of draws whatever was changed."""
    draws = luck.random(7)
    remedies = remedies_between(before, after)
    order: tuple[Remedy, ...] = ("backdrop", "palette", "layout", "wording", "mode", "size")
    tries = [draws[1 + order.index(remedy)] < cause.cures.get(remedy, 0.0) for remedy in remedies]
    return bool(draws[0] < cause.seed_cures) or any(tries)


def produce(cause: Cause, shot: Shot, decide: Decide, seed: Sequence[int], spent: Spent) -> list[Regeneration]:
    """Make one shot to its end by one way; return what making it again has brought."""
    history: list[tuple[Attempt, Grade]] = []
    learnt: list[Regeneration] = []
    change, check = Change(), cause.check
    spent.shots += 1
    while True:
        number = len(history) + 1
        if history:
            luck = np.random.default_rng([*seed, number])
            check = "" if is_cured(cause, history[-1][0].change, change, luck) else check
        cost = math.prod(COSTS[r] for r in remedies_between(Change(), change) if r in COSTS)
        spent.attempts, spent.cost = spent.attempts + 1, spent.cost + cost
        history.append((attempt_of(shot, number, change, cost), grade_of(check)))
        if number > 1:
            before, after = history[-2][0].change, history[-1][0].change
            left = (check,) if check else ()
            learnt.append(Regeneration("engine", before, after, (cause.check,), left, cost))
        verdict = decide(shot, history)
        if verdict.kind != "regenerate" or verdict.change is None:
            spent.accepted += verdict.kind == "accept"
            return learnt
        change = replace(verdict.change, why="")


def three_retries(_shot: Shot, history: Sequence[tuple[Attempt, Grade]]) -> Verdict:
    """Return the verdict of a pipeline that makes everything again, three times at most."""
    attempt, grade = history[-1]
    if grade.letter == "A":
        return Verdict("accept", "It is an A.")
    if len(history) >= MAX_ATTEMPTS:
        return Verdict("give_up", "Three retries are used.")
    return Verdict("regenerate", "It is a C.", Change(wording=attempt.change.wording + 1))


def by_policy(experience: Experience) -> Decide:
    """Return policy with what it has learnt."""

    def decide(shot: Shot, history: Sequence[tuple[Attempt, Grade]]) -> Verdict:
        return next_verdict(shot, history, max_attempts=MAX_ATTEMPTS, experience=experience, modes=MODES)

    return decide


def simulate(seed: int, runs: int, shots: int) -> dict[str, Spent]:
    """Return what each way has spent and got in the last run, after it has learnt from those before it."""
    history: list[Regeneration] = []
    for run in range(runs):
        spent = {"three retries": Spent(), "table": Spent(), "history": Spent()}
        ways: dict[str, Decide] = {
            "three retries": three_retries,
            "table": by_policy(Experience()),
            "history": by_policy(experience_of(history)),
        }
        which = np.random.default_rng([seed, run]).choice(len(CAUSES), shots, p=[cause.share for cause in CAUSES])
        for number, index in enumerate(which):
            shot = shot_of(CAUSES[index], f"s{run}-{number}")
            for name, decide in ways.items():
                learnt = produce(CAUSES[index], shot, decide, [seed, run, number], spent[name])
                history += learnt if name == "history" else []
    return spent


def mean_and_interval(values: Sequence[float]) -> str:
    """Return a mean with its 95 % interval."""
    mean = float(np.mean(values))
    half = 1.96 * float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{mean:.4f} ({mean - half:.4f}-{mean + half:.4f})"


def main() -> None:
    """Print cost per accepted image and share accepted of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--shots", type=int, default=400)
    asked = parser.parse_args()
    found = [simulate(seed, asked.runs, asked.shots) for seed in range(asked.seeds)]
    print(f"{asked.seeds} seeds, the last of {asked.runs} runs of {asked.shots} shots; 1.0 = an attempt as planned\n")
    print("| way | cost per accepted image | share accepted | attempts per shot |\n|---|--:|--:|--:|")
    for name in found[0]:
        spent = [one[name] for one in found]
        print(
            f"| {name} | {mean_and_interval([s.cost / s.accepted for s in spent])} "
            f"| {mean_and_interval([s.accepted / s.shots for s in spent])} "
            f"| {mean_and_interval([s.attempts / s.shots for s in spent])} |"
        )
    for name in ("table", "history"):
        saved = [
            1 - (o[name].cost / o[name].accepted) / (o["three retries"].cost / o["three retries"].accepted)
            for o in found
        ]
        print(f"\n{name}: cost per accepted image {100 * float(np.mean(saved)):.1f} % below three retries", end="")
        print(f" ({100 * min(saved):.1f}-{100 * max(saved):.1f} % over seeds)", end="")
    print()


if __name__ == "__main__":
    main()
