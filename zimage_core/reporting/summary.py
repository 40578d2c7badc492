"""A run in numbers and a few sentences: what was delivered, what was not, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from zimage_core.domain import Refusal, ShotOutcome, ShotState
from zimage_core.reporting.decisions import seen_in
from zimage_core.reporting.scene_grades import SceneGradeCount, SceneGrades, per_accepted

MOST_REASONS = 8
"""Reasons listed in a summary; the contact sheet and the CSV have all of them."""

_ANSWERS = {"allow": "allowed", "review": "for a person", "deny": "denied", "unanswered": "without an answer"}


@dataclass(frozen=True, slots=True)
class SceneCount:
    """One line of the table by scene."""

    scene: str
    promised: int
    accepted: int
    doubtful: int
    given_up: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A run counted from its outcomes; `attempts`, seconds and cost are those of the shown chains of attempts.

    `regenerated` = shots that took more than one attempt. `undelivered` and `refusals` count reasons, commonest first.
    `moderation`: how many shots got which answer, empty where nobody was asked. `findings`: what was found of the run
    as a whole, in sentences. `undecided`: the number (from 1) of each doubtful shot, and `seen_in` it.
    """

    promised: int = 0
    states: Mapping[ShotState, int] = field(default_factory=dict)
    letters: Mapping[str, int] = field(default_factory=dict)
    attempts: int = 0
    regenerated: int = 0
    renditions: int = 0
    cost_usd: float = 0.0
    engine_seconds: float = 0.0
    scenes: tuple[SceneCount, ...] = ()
    undelivered: tuple[tuple[str, int], ...] = ()
    refused: int = 0
    refusals: tuple[tuple[str, int], ...] = ()
    moderation: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    undecided: tuple[tuple[int, str], ...] = ()
    grades: tuple[SceneGrades, ...] = ()

    def count(self, state: ShotState) -> int:
        """Return how many shots are in this state."""
        return self.states.get(state, 0)

    @property
    def cost_per_accepted_usd(self) -> float | None:
        """What each accepted image cost, with the tries it and the others took; None where none is accepted."""
        accepted = self.count("accepted")
        return self.cost_usd / accepted if accepted else None

    @property
    def attempts_per_accepted(self) -> float | None:
        """How many attempts were made for each accepted image; None where none is accepted."""
        accepted = self.count("accepted")
        return self.attempts / accepted if accepted else None

    def sentence(self) -> str:
        """Say in one sentence how much of what was promised can be published."""
        if self.promised == 0:
            return f"No shot was promised; {_rows(self.refused)} refused."
        share = 100.0 * self.count("accepted") / self.promised
        said = f"{self.count('accepted')} of {self.promised} promised shots are accepted ({share:.1f} %)"
        rest: list[tuple[ShotState, str]] = [
            ("doubtful", "wait for a person"),
            ("given_up", "were given up"),
            ("failed", "failed for now"),
            ("left_out", "were left out for lack of time"),
            ("promised", "are not finished"),
        ]
        said += "".join(f", {self.count(state)} {words}" for state, words in rest if self.count(state))
        return said + (f"; {_rows(self.refused)} refused." if self.refused else ".")

    def to_markdown(self) -> str:
        """Return the summary as Markdown for an artifact: the sentence, a table by scene, grades, cost, and reasons."""
        lines = [self.sentence(), ""]
        if self.scenes:
            lines += ["| scene | promised | accepted | doubtful | given up | waiting |", "|---|--:|--:|--:|--:|--:|"]
            lines += [
                f"| {s.scene} | {s.promised} | {s.accepted} | {s.doubtful} | {s.given_up} | {s.waiting} |"
                for s in self.scenes
            ]
            lines.append("")
        if self.letters:
            lines.append("Grades: " + ", ".join(f"{letter} {count}" for letter, count in self.letters.items()) + ".")
        lines.append(
            f"{self.attempts} attempts, {self.regenerated} shots made more than once, {self.renditions} renditions; "
            f"{self.engine_seconds:.1f} s of engine time, {self.cost_usd:.2f} USD."
        )
        if accepted := self.count("accepted"):
            lines.append(
                f"Per accepted image: {per_accepted(self.cost_usd, accepted, digits=4)} USD, "
                f"{per_accepted(self.attempts, accepted, digits=2)} attempts, "
                f"{per_accepted(self.engine_seconds, accepted, digits=1)} s of engine time."
            )
        if self.moderation:
            said = [f"{count} {_ANSWERS.get(answer, answer)}" for answer, count in self.moderation.items()]
            lines.append(f"Moderation: {', '.join(said)}.")
        if self.findings:
            lines += ["", "**The run as a whole**", "", *(f"- {_in_markdown(found)}" for found in self.findings)]
        for heading, reasons in (("Not delivered", self.undelivered), ("Refused", self.refusals)):
            if reasons:
                shown = reasons[:MOST_REASONS]
                lines += ["", f"**{heading}**", "", *(f"- {count} × {_in_markdown(why)}" for why, count in shown)]
                left = sum(count for _, count in reasons[MOST_REASONS:])
                lines += [f"- and {left} for other reasons"] if left else []
        return "\n".join(lines) + "\n"


def summarise(
    outcomes: Iterable[ShotOutcome],
    refusals: Iterable[Refusal],
    moderation: Mapping[str, int] | None = None,
    findings: Iterable[str] = (),
) -> Summary:
    """Count the outcomes in one pass (they may be streamed) and the refusals.

    `moderation`: how many shots got which answer of the moderation service, where there is one. `findings`: sentences
    about the run as a whole.
    """
    states: Counter[ShotState] = Counter()
    letters: Counter[str] = Counter()
    undelivered: Counter[str] = Counter()
    scenes: dict[str, Counter[ShotState]] = {}
    attempts = regenerated = renditions = 0
    cost_usd = seconds = 0.0
    undecided: list[tuple[int, str]] = []
    by_scene = SceneGradeCount()
    for number, outcome in enumerate(outcomes, 1):
        by_scene.add(outcome)
        if outcome.state == "doubtful":
            undecided.append((number, seen_in(outcome)))
        states[outcome.state] += 1
        scenes.setdefault(outcome.promise.shot.scene.name, Counter())[outcome.state] += 1
        if outcome.grade is not None:
            letters[outcome.grade.letter] += 1
        if outcome.state in ("given_up", "failed", "left_out"):
            undelivered[outcome.reason or outcome.state] += 1
        attempts += len(outcome.attempts)
        regenerated += len(outcome.attempts) > 1
        renditions += len(outcome.renditions)
        cost_usd += sum(attempt.cost_usd for attempt in outcome.attempts)
        seconds += sum(attempt.seconds for attempt in outcome.attempts)
    refused = Counter(f"{refusal.code}: {refusal.reason}" for refusal in refusals)
    return Summary(
        promised=states.total(),
        states=dict(sorted(states.items())),
        letters=dict(sorted(letters.items())),
        attempts=attempts,
        regenerated=regenerated,
        renditions=renditions,
        cost_usd=round(cost_usd, 6),
        engine_seconds=round(seconds, 3),
        scenes=tuple(_scene_count(scene, count) for scene, count in sorted(scenes.items())),
        undelivered=_commonest(undelivered),
        refused=refused.total(),
        refusals=_commonest(refused),
        moderation=dict(moderation or {}),
        findings=tuple(findings),
        undecided=tuple(undecided),
        grades=by_scene.scenes(),
    )


def _scene_count(scene: str, count: Counter[ShotState]) -> SceneCount:
    waiting = count["failed"] + count["promised"]
    return SceneCount(scene, count.total(), count["accepted"], count["doubtful"], count["given_up"], waiting)


def _commonest(reasons: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def _rows(count: int) -> str:
    return f"{count} row was" if count == 1 else f"{count} rows were"


def _in_markdown(text: str) -> str:
    """Words of a catalogue may reach a reason: on one line, and without what Markdown or HTML would act on."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{sign}" if sign in "\\`*_[]|!#" else sign for sign in flat)
