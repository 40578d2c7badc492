"""Whatever happened to the shots of a run, in whatever order: the tally, the standings and the outcomes agree."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import CONTRAST, RUN, attempt, decision, grade, judged, promise, shot

from zimage_core.domain import Change
from zimage_core.ledger import Ledger

SHOTS = st.integers(0, 5)
TRIES = st.sampled_from([(1, Change()), (2, CONTRAST)])
HAPPENING = st.one_of(
    st.tuples(st.just("made"), SHOTS, TRIES),
    st.tuples(st.just("busy"), SHOTS, TRIES),
    st.tuples(st.sampled_from(["accept", "review", "regenerate", "give_up"]), SHOTS, TRIES),
    st.tuples(st.sampled_from(["approve", "reject", "again"]), SHOTS, TRIES),
)


def happen(ledger: Ledger, what: str, n: int, number: int, change: Change) -> None:
    made = attempt(n, number, change)
    if what == "made":
        ledger.record_attempts(RUN.run_id, [made])
    elif what == "busy":
        ledger.record_failures(RUN.run_id, [attempt(n, number, change, error="busy", retryable=True)])
    elif what in ("approve", "reject", "again"):
        ledger.record_decisions([decision(made, "regenerate" if what == "again" else what)])  # type: ignore[arg-type]
    else:
        graded = grade(made, "C" if what == "regenerate" else "B")
        ledger.record_grades([graded])
        asked = CONTRAST if what == "regenerate" else None
        ledger.record_verdicts(RUN.run_id, [judged(made, what, graded, asked)])  # type: ignore[arg-type]


@given(st.lists(HAPPENING, max_size=30))
@settings(max_examples=40, deadline=None)
def test_three_ways_to_ask_give_one_answer(happenings: list[tuple[str, int, tuple[int, Change]]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Ledger.open(f"sqlite:///{Path(folder) / 'l.sqlite'}") as ledger:
        ledger.promise([promise(n, shard_id=f"shard-{n % 2}") for n in range(6)])
        for what, n, (number, change) in happenings:
            happen(ledger, what, n, number, change)
            ledger.tally(RUN.run_id)  # so that what it remembers is put to the test
        outcomes = list(ledger.outcomes(RUN.run_id))
        states = Counter(outcome.state for outcome in outcomes)
        tally = ledger.tally(RUN.run_id)
        counted = (tally.accepted, tally.doubtful, tally.given_up, tally.failed, tally.pending)
        assert counted == tuple(states[s] for s in ("accepted", "doubtful", "given_up", "failed", "promised"))
        assert tally.promised == len(outcomes) == 6
        assert [s.state for _, s in ledger.standings(RUN.run_id)] == [outcome.state for outcome in outcomes]
        for outcome in outcomes:
            assert (outcome.chosen is not None) == (outcome.state in ("accepted", "doubtful"))
            assert all(made.shot_id == outcome.promise.shot.shot_id for made in outcome.attempts)
        assert {o.promise.shot.shot_id for o in outcomes} == {shot(n).shot_id for n in range(6)}
