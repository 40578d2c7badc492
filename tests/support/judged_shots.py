"""A shot, its attempts and grades with just the findings a test of policy is about."""

from __future__ import annotations

from zimage_core.domain import Attempt, Change, Finding, Grade, Light, Mode, Prompt, Scene, Shot, Stage


def shot_of(mode: Mode = "stage", reference: str | None = "mug.jpg") -> Shot:
    stage = Stage("sweep", "none", ("#ffffff",), Light(0, 45))
    scene = Scene("studio", "home", mode, stage, "eye_level", "1", "studio.yaml")
    return Shot("s1", "MUG-0101", scene, mode, 1024, 1024, Prompt("", "", "en", ()), reference, None, "studio", "f")


def attempt_of(number: int, change: Change | None = None, **how) -> Attempt:
    return Attempt(
        f"a{number}", "s1", number, 7, change or Change(), "studio", "f", "key", None, 1024, 1024, None, 1.0, 0.0, **how
    )


def finding(check: str, score: float, *, veto: bool = False) -> Finding:
    return Finding(check, "measured", f"{check} is {score}.", 1.0, "", 2.0, score, score >= 0.6, veto)


def graded(letter: str, *findings: Finding, score: float = 0.5) -> Grade:
    failing = sorted((f for f in findings if not f.passed), key=lambda f: (not f.veto, f.score))
    return Grade("a", "f", "r", score, letter, findings, tuple(f.sentence for f in failing))  # type: ignore[arg-type]
