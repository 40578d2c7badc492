"""What has cured what so far: how likely a change is to cure a failing check on an engine, and what it costs.

A change has cured a check when the check failed before and does not fail after. Each (engine, check, remedy) is a coin
with a Beta prior: the table's own guess counts like `PRIOR_TRIES` tries, so that a new ledger decides as the table
says and a long history as the history says (the mean of the posterior, (a + cured) / (a + b + tried)). Pure: the same
history gives the same numbers; a run takes its history once, at its start (tasks.experience).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast, get_args

from zimage_core.domain import Change, Regeneration
from zimage_core.errors import QualityError

Remedy = Literal["backdrop", "palette", "layout", "wording", "mode", "size"]
REMEDIES: Final[tuple[Remedy, ...]] = get_args(Remedy)

PRIOR_TRIES: Final = 4.0
"""How many tries a guess is worth: after about so many real ones they weigh as much as it."""


@dataclass(frozen=True, slots=True)
class Record:
    """`tried` attempts with a remedy against a check, of which `cured` did; `costs` their summed cost, 1.0 = the
    engine's mean."""

    tried: int = 0
    cured: int = 0
    costs: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.cured <= self.tried and self.costs >= 0.0):
            raise QualityError(f"{self.cured} of {self.tried} tries cured at {self.costs} is no record.")


@dataclass(frozen=True, slots=True)
class Experience:
    """The records of a ledger, by (engine, check, remedy)."""

    records: Mapping[tuple[str, str, Remedy], Record] = field(default_factory=dict)

    def chance(self, engine: str, check: str, remedy: Remedy, guess: float) -> float:
        """Return how likely a remedy cures a check on an engine, 0..1; `guess` is what is thought without history."""
        record = self.records.get((engine, check, remedy), Record())
        return (PRIOR_TRIES * guess + record.cured) / (PRIOR_TRIES + record.tried)

    def cost(self, engine: str, check: str, remedy: Remedy, guess: float) -> float:
        """Return what an attempt with a remedy costs, 1.0 = the engine's mean; `guess` as in `chance`. Above zero."""
        record = self.records.get((engine, check, remedy), Record())
        return max(0.01, (PRIOR_TRIES * guess + record.costs) / (PRIOR_TRIES + record.tried))

    def to_text(self) -> str:
        """Return the records as one line of JSON, in a fixed order."""
        return json.dumps(
            [
                [*key, record.tried, record.cured, round(record.costs, 3)]
                for key, record in sorted(self.records.items())
            ],
            ensure_ascii=False,
            separators=(",", ":"),
        )


def read_experience(text: str) -> Experience:
    """Return the experience kept as text. Raises QualityError when it is none."""
    try:
        found = {
            (str(engine), str(check), cast("Remedy", remedy)): Record(int(tried), int(cured), float(costs))
            for engine, check, remedy, tried, cured, costs in json.loads(text)
            if remedy in REMEDIES
        }
    except (TypeError, ValueError) as error:
        raise QualityError(f"The experience of this run cannot be read: {error}.") from error
    return Experience(found)


def experience_of(history: Iterable[Regeneration]) -> Experience:
    """Return what a history of attempts that were made again says.

    An attempt that changed several things counts for each of them: which one cured is not known. One that gave no
    picture cured nothing.
    """
    made = list(history)
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for one in made:
        seconds[one.engine].append(one.seconds)
    means = {engine: sum(took) / len(took) for engine, took in seconds.items()}
    records: defaultdict[tuple[str, str, Remedy], Record] = defaultdict(Record)
    for one in made:
        cost = one.seconds / means[one.engine] if means[one.engine] > 0.0 else 1.0
        for remedy in remedies_between(one.before, one.after):
            for check in one.failing:
                key, is_cured = (one.engine, check, remedy), one.left is not None and check not in one.left
                before = records[key]
                records[key] = Record(before.tried + 1, before.cured + is_cured, before.costs + cost)
    return Experience(dict(records))


def remedies_between(before: Change, after: Change) -> tuple[Remedy, ...]:
    """Return what an attempt changed against the one before it."""
    moved: list[tuple[Remedy, bool]] = [
        ("backdrop", before.backdrop != after.backdrop and after.backdrop in ("contrast", "plain")),
        ("palette", before.backdrop != after.backdrop and after.backdrop == "palette"),
        ("layout", before.layout != after.layout),
        ("wording", before.wording != after.wording),
        ("mode", before.mode != after.mode),
        ("size", before.size != after.size),
    ]
    return tuple(remedy for remedy, is_moved in moved if is_moved)
