"""How a run moves, and what is left out of it for lack of time. Both databases."""

from __future__ import annotations

import dataclasses

import pytest
from made_up import CONTRAST, RUN, attempt, grade, judged, product, shot
from standing_clock import StandingClock

from zimage_core.domain import Attempt, Promise, SceneName
from zimage_core.ledger import EngineHistory, Ledger, SceneCourse


def promised(n: int, scene: SceneName, ordinal: int, shard_id: str = "shard-1") -> Promise:
    return Promise(RUN.run_id, shot(n, scene), product(n), ("taobao_main",), shard_id, ordinal)


@pytest.fixture
def run(ledger: Ledger) -> Ledger:
    """Three products, a studio and a detail shot each, in two shards."""
    ledger.open_run(RUN)
    found = [(n, scene) for n in range(3) for scene in ("studio", "detail")]
    ledger.promise(
        [promised(n, scene, i, f"shard-{1 + n // 2}") for i, (n, scene) in enumerate(found)]  # type: ignore[arg-type]
    )
    return ledger


def of(ledger: Ledger) -> dict[str, SceneCourse]:
    return {scene.scene: scene for scene in ledger.course.of_run(RUN.run_id).scenes}


def finish(ledger: Ledger, one: Attempt, kind: str = "accept") -> None:
    graded = grade(one)
    ledger.record_attempts(RUN.run_id, [one])
    ledger.record_grades([graded])
    asked = CONTRAST if kind == "regenerate" else None
    ledger.record_verdicts(RUN.run_id, [judged(one, kind, graded, asked)])  # type: ignore[arg-type]


def test_a_shot_is_drawn_once_it_was_tried_and_again_when_its_verdict_asks_for_it(run: Ledger) -> None:
    assert of(run) == {
        "studio": SceneCourse("studio", 3, finished=0, undrawn=3, left_out=0),
        "detail": SceneCourse("detail", 3, finished=0, undrawn=3, left_out=0),
    }
    run.record_attempts(RUN.run_id, [attempt(0)])
    assert of(run)["studio"] == SceneCourse("studio", 3, finished=0, undrawn=2, left_out=0)
    finish(run, attempt(0), "regenerate")
    assert of(run)["studio"] == SceneCourse("studio", 3, finished=0, undrawn=3, left_out=0)
    finish(run, attempt(0, 2, CONTRAST))
    assert of(run)["studio"] == SceneCourse("studio", 3, finished=1, undrawn=2, left_out=0)
    assert run.course.of_run(RUN.run_id).tried == 2


def test_pictures_count_from_the_first_ones_of_this_sitting(run: Ledger, clock: StandingClock) -> None:
    assert (run.course.of_run(RUN.run_id).pictures, run.course.of_run(RUN.run_id).seconds) == (0, 0.0)
    clock.pass_s(300)  # weights are loaded
    run.record_attempts(RUN.run_id, [attempt(0), attempt(1)])
    clock.pass_s(10)
    run.record_attempts(RUN.run_id, [attempt(2), attempt(3, error="cannot be drawn")])
    clock.pass_s(10)
    moved = run.course.of_run(RUN.run_id)
    assert (moved.pictures, moved.seconds) == (1, 20.0)
    clock.pass_s(36_000)
    run.open_run(RUN)
    assert run.course.of_run(RUN.run_id).pictures == 0


def test_workers_are_those_who_hold_a_shard_of_the_run_now(run: Ledger, clock: StandingClock) -> None:
    assert run.course.of_run(RUN.run_id).workers == 0
    for shard_id, owner in (("shard-1", "one"), ("shard-2", "two"), ("of another run", "three")):
        run.acquire_lease(shard_id, owner, 60.0)
    assert run.course.of_run(RUN.run_id).workers == 2
    clock.pass_s(61)
    assert run.course.of_run(RUN.run_id).workers == 0


def test_an_engine_is_known_by_its_fingerprint(run: Ledger) -> None:
    assert run.course.history("studio", "studio-1") == EngineHistory()
    other = dataclasses.replace(attempt(9), engine_fingerprint="studio-0", seconds=90.0)
    run.record_attempts(RUN.run_id, [attempt(0), attempt(0, 2, CONTRAST), attempt(1), attempt(2, error="no"), other])
    assert run.course.history("studio", "studio-1") == EngineHistory(pictures=3, shots=2, seconds_per_image=0.5)


def test_the_last_promised_are_left_out_first_and_say_why(run: Ledger) -> None:
    run.record_attempts(RUN.run_id, [dataclasses.replace(attempt(2), shot_id=shot(2, "detail").shot_id)])
    assert run.course.leave_out(RUN.run_id, "detail", 1, "Short of time.", already_out=0) == 1
    assert run.course.left_out(RUN.run_id, [p.shot.shot_id for p in run.promises(RUN.run_id)]) == {
        shot(1, "detail").shot_id: "Short of time."
    }
    assert (
        run.course.leave_out(RUN.run_id, "detail", 5, "Short of time.", already_out=0) == 0
    )  # decided without the first
    assert run.course.leave_out(RUN.run_id, "detail", 5, "Short of time.", already_out=1) == 1
    assert of(run)["detail"] == SceneCourse("detail", 3, finished=0, undrawn=0, left_out=2)
    states = {p.shot.shot_id: (s.state, s.needs, s.reason) for p, s in run.standings(RUN.run_id)}
    assert states[shot(0, "detail").shot_id] == ("left_out", "nothing", "Short of time.")
    assert states[shot(2, "detail").shot_id][:2] != ("left_out", "nothing")
    assert states[shot(0).shot_id] == ("promised", "render", "")
    tally = run.tally(RUN.run_id)
    assert (tally.promised, tally.left_out) == (6, 2)


def test_what_was_left_out_can_be_made_later(run: Ledger) -> None:
    assert run.course.take_back(RUN.run_id) == 0
    run.course.leave_out(RUN.run_id, "detail", 3, "Short of time.", already_out=0)
    assert run.course.take_back(RUN.run_id) == 3
    assert run.course.take_back(RUN.run_id) == 0
    assert {standing.state for _, standing in run.standings(RUN.run_id)} == {"promised"}
    assert run.tally(RUN.run_id).left_out == 0
    assert run.course.leave_out(RUN.run_id, "detail", 1, "Again.", already_out=0) == 1
    assert run.tally(RUN.run_id).left_out == 1


def test_a_shard_in_which_nothing_was_left_out_stays_at_its_end(run: Ledger) -> None:
    for n in (0, 1):
        finish(run, attempt(n))
        detail = shot(n, "detail").shot_id
        run.course.leave_out(RUN.run_id, "detail", 3, "Short of time.", already_out=0) if n == 0 else None
        assert detail in run.course.left_out(RUN.run_id, [detail])
    run.end_shard(RUN.run_id, "shard-1")
    run.course.leave_out(RUN.run_id, "studio", 3, "Short of time.", already_out=0)
    assert run.open_shards(RUN.run_id) == ["shard-2"]
    run.course.take_back(RUN.run_id)
    assert run.open_shards(RUN.run_id) == ["shard-1", "shard-2"]
