"""Grades and what they cost by scene, for the table in the Prefect UI: where a run is good, and what is found most."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from zimage_core.domain import ShotOutcome


@dataclass(frozen=True, slots=True)
class SceneGrades:
    """One scene's letters, its attempts and cost, and the checks that its poorer pictures did worst in."""

    scene: str
    promised: int = 0
    accepted: int = 0
    letters: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 0
    cost_usd: float = 0.0
    found: tuple[tuple[str, int], ...] = ()

    def row(self) -> dict[str, str | int]:
        """Return the scene as one row of a table."""
        return {
            "scene": self.scene,
            "promised": self.promised,
            **{letter: self.letters.get(letter, 0) for letter in ("A", "B", "C")},
            "accepted": self.accepted,
            "attempts per accepted": per_accepted(self.attempts, self.accepted, digits=2),
            "USD per accepted": per_accepted(self.cost_usd, self.accepted, digits=4),
            "found most": ", ".join(f"{check} ({count})" for check, count in self.found[:MOST_FOUND]),
        }


MOST_FOUND = 3
"""Checks named in a row; the contact sheet says what each picture was marked down for."""


def per_accepted(spent: float, accepted: int, *, digits: int) -> str:
    """Return how much was spent on each accepted image, '–' where there is none."""
    return f"{spent / accepted:.{digits}f}" if accepted else "–"


class SceneGradeCount:
    """Counts outcomes one by one, as they are streamed."""

    def __init__(self) -> None:
        self._numbers: dict[str, Counter[str]] = {}
        self._letters: dict[str, Counter[str]] = {}
        self._found: dict[str, Counter[str]] = {}
        self._cost_usd: defaultdict[str, float] = defaultdict(float)

    def add(self, outcome: ShotOutcome) -> None:
        """Count one promised shot; of a grade below A the check with the lowest score is what was found."""
        scene = outcome.promise.shot.scene.name
        numbers = self._numbers.setdefault(scene, Counter())
        numbers["promised"] += 1
        numbers["accepted"] += outcome.state == "accepted"
        numbers["attempts"] += len(outcome.attempts)
        self._cost_usd[scene] += sum(attempt.cost_usd for attempt in outcome.attempts)
        if outcome.grade is None:
            return
        self._letters.setdefault(scene, Counter())[outcome.grade.letter] += 1
        scored = [(one.score, one.check) for one in outcome.grade.findings if one.score is not None]
        if outcome.grade.letter != "A" and scored:
            self._found.setdefault(scene, Counter())[min(scored)[1]] += 1

    def scenes(self) -> tuple[SceneGrades, ...]:
        """Return what was counted, by scene."""
        return tuple(
            SceneGrades(
                scene=scene,
                promised=numbers["promised"],
                accepted=numbers["accepted"],
                letters=dict(sorted(self._letters.get(scene, Counter()).items())),
                attempts=numbers["attempts"],
                cost_usd=round(self._cost_usd[scene], 6),
                found=tuple(sorted(self._found.get(scene, Counter()).items(), key=lambda item: (-item[1], item[0]))),
            )
            for scene, numbers in sorted(self._numbers.items())
        )
