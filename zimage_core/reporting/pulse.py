"""How a run is doing at this moment, in the few numbers that people are woken up for."""

from __future__ import annotations

from dataclasses import dataclass

from zimage_core.ledger import Tally


@dataclass(frozen=True, slots=True)
class Pulse:
    """A run's counts and rates.

    `done` shots came to an end in this run or failed for now; `failed` of them have no picture. `graded` have a grade,
    `poor` of them C: those that will be made again too. `moved` grows with everything that is made or comes to an end.
    """

    promised: int
    done: int
    failed: int
    graded: int
    poor: int
    moved: int

    @property
    def failure_rate(self) -> float:
        """The share of shots at an end that have no picture, 0..1; 0.0 before the first."""
        return self.failed / self.done if self.done else 0.0

    @property
    def c_rate(self) -> float:
        """The share of graded shots with grade C, 0..1; 0.0 before the first."""
        return self.poor / self.graded if self.graded else 0.0

    def fails_too_often(self, *, above: float, at_least: int) -> bool:
        """Tell whether more than this share failed, once enough shots have come to an end to say so."""
        return self.done >= at_least and self.failure_rate > above

    def draws_poorly(self, *, above: float, at_least: int) -> bool:
        """Tell whether more than this share is graded C, once enough shots are graded to say so."""
        return self.graded >= at_least and self.c_rate > above


def pulse_of(tally: Tally) -> Pulse:
    """Return the pulse of a run as the ledger counts it."""
    ended = tally.accepted + tally.doubtful + tally.given_up
    return Pulse(
        promised=tally.promised,
        done=ended + tally.failed,
        failed=tally.given_up + tally.failed,
        graded=sum(tally.letters.values()),
        poor=tally.letters.get("C", 0),
        moved=ended + tally.attempts,
    )


def percent(rate: float) -> float:
    """Return a share as percent with one digit, for sentences."""
    return round(100.0 * rate, 1)
