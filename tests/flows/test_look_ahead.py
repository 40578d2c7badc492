"""Batches are drawn while the one before is encoded and stored, as far as the engine takes calls, and no further."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sleeping_engine import SleepingEngine
from workshop import MUG, Workshop

import flows.shard
import tasks.devices
import tasks.generate
import tasks.grade
import tasks.runtime
from flows.produce import produce
from tasks.order import ProductionOrder
from tasks.runs import tally_of
from tasks.runtime import opened_rooms
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.errors import EngineError, ImageError

BATCH, BATCHES = 2, 8


class Watched(SleepingEngine):
    """The sleeping engine, watched: which calls were inside it together, in which thread, and in which order."""

    def __init__(self, journal: Path, **options: str) -> None:
        super().__init__({"journal": str(journal), **options})
        self.inside, self.most_inside = 0, 0
        self.threads: set[int] = set()
        self.asked: list[str] = []
        self.behind: list[int] = []
        self.graded = 0

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.threads.add(threading.get_ident())
        self.behind.append(len(self.asked) - self.graded)
        self.asked += [request.sku for request in requests]
        answers = super().render(requests)
        self.inside -= 1
        return answers


@pytest.fixture
def order(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> ProductionOrder:
    workshop.write(*({**MUG, "sku": f"CUP-{n:02}", "name": f"白瓷杯{n}", "image": ""} for n in range(BATCH * BATCHES)))
    monkeypatch.setenv("ZIMAGE_BATCH_SIZE", str(BATCH))
    monkeypatch.setattr(tasks.runtime, "BATCHES_PER_SHARE", 1)  # so that what is told of shares is told of batches
    monkeypatch.setattr(tasks.runtime, "SMALL_SHARE", 1)
    return ProductionOrder(
        catalogue=str(workshop.catalogue), scenes=("studio",), channels=("wechat_moments",), publish=False
    )


@pytest.fixture
def watched(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watched]:
    """Return a function that makes the engine of the orders that follow."""

    def make(**options: str) -> Watched:
        engine = Watched(workshop.folder / f"journals-{time.monotonic_ns()}", **options)
        monkeypatch.setattr(tasks.devices, "create_engine", lambda name, options: engine)
        return engine

    return make


def test_an_engine_that_takes_two_calls_draws_while_pictures_are_stored_and_one_that_takes_one_does_not(
    order: ProductionOrder, watched: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    keep = tasks.generate.keep_attempt

    def keep_slowly(*what: object) -> tuple[str, str]:
        drawn_beside.append(engine.inside > 0)
        time.sleep(0.1)
        return keep(*what)  # type: ignore[arg-type]

    monkeypatch.setattr(tasks.generate, "keep_attempt", keep_slowly)
    for calls in ("1", "2"):
        drawn_beside: list[bool] = []
        engine = watched(seconds="0.2", calls=calls)
        with opened_rooms():
            produce(order.model_copy(update={"work_dir": tmp_path / calls}))
        assert len(drawn_beside) == BATCH * BATCHES
        if calls == "1":
            assert not any(drawn_beside)
        else:  # both calls may be stored at once where the machine is busy, and the last has none beside it
            assert sum(drawn_beside) >= BATCH * BATCHES / 2


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_no_more_batches_are_in_the_engine_than_it_takes_and_they_are_asked_for_in_order(
    order: ProductionOrder, watched: Callable[..., Watched], calls: int
):
    engine = watched(seconds="0.1", calls=str(calls))
    run_id = produce(order)
    assert engine.most_inside == calls
    assert (engine.threads == {threading.get_ident()}) == (calls == 1)
    assert tally_of(order, run_id).accepted == BATCH * BATCHES
    batches = [engine.asked[start : start + BATCH] for start in range(0, len(engine.asked), BATCH)]
    promised = [[f"CUP-{n * BATCH + k:02}" for k in range(BATCH)] for n in range(BATCHES)]
    assert all(abs(batches.index(batch) - place) < calls for place, batch in enumerate(promised))


def test_drawing_waits_when_grading_falls_behind(
    order: ProductionOrder, watched: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
):
    engine = watched(calls="2")
    grade_attempt = tasks.grade.grade_attempt

    def grade_slowly(*what: object) -> object:
        time.sleep(0.1)
        new = grade_attempt(*what)  # type: ignore[arg-type]
        engine.graded += 1
        return new

    monkeypatch.setattr(tasks.grade, "grade_attempt", grade_slowly)
    monkeypatch.setattr(flows.shard, "UNGRADED_SHARES", 2)
    produce(order)
    under_way, just_begun = 2, 1
    assert max(engine.behind) <= BATCH * (2 + under_way + just_begun)


def test_an_engine_that_is_down_is_asked_for_three_batches_and_those_already_under_way(
    order: ProductionOrder, watched: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
):
    watched(calls="2")
    tried = fail_at(monkeypatch, lambda nth: True)
    with pytest.raises(EngineError, match=r"16 of 16 shots could not be made for now \(batch"):
        produce(order)
    assert flows.shard.FAILED_SHARES_IN_A_ROW <= len(tried) <= flows.shard.FAILED_SHARES_IN_A_ROW + 1


def test_a_batch_that_fails_takes_no_other_with_it_and_is_all_that_is_made_next_time(
    order: ProductionOrder, watched: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
):
    engine = watched(calls="2")
    with monkeypatch.context() as patch:
        fail_at(patch, lambda nth: nth in (2, 3, 5))
        with pytest.raises(EngineError, match=r"6 of 16 shots could not be made for now"):
            produce(order)
    before = len(engine.asked)
    produce(order)
    assert len(engine.asked) == before + 6
    assert set(engine.asked) == {f"CUP-{n:02}" for n in range(16)}


def test_the_batches_of_a_share_are_each_kept_before_the_next_is_drawn(
    order: ProductionOrder, watched: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tasks.runtime, "BATCHES_PER_SHARE", 4)
    engine = watched()
    fail_at(monkeypatch, lambda nth: nth >= 4)
    with pytest.raises(EngineError, match=r"10 of 16 shots could not be made for now"):
        produce(order)
    assert len(engine.asked) == 6, "three batches of the first share were kept, and the others were not lost with it"


def fail_at(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> list[int]:
    """Let the nth batch end in an error that is not tried again; return the list of those asked for."""
    tried: list[int] = []
    render, counting = tasks.generate.render_checked, threading.Lock()

    def render_or_fail(*what: object) -> list[Rendered | EngineFailure]:
        with counting:
            nth = len(tried) + 1
            tried.append(nth)
        if fails(nth):
            raise ImageError(f"batch {nth} was told to fail")
        return render(*what)  # type: ignore[arg-type]

    monkeypatch.setattr(tasks.generate, "render_checked", render_or_fail)
    return tried


def test_the_engine_is_told_all_words_of_a_shard_before_the_first_batch(
    order: ProductionOrder, watched: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ZIMAGE_SHARD_SIZE", "8")
    engine = watched()
    produce(order)
    words = [line.split()[0] for line in engine.journal.read_text().splitlines()]
    assert [word for word in words if word != "load"] == ["expect", *["drawn"] * 8] * 2
    told = [line.split()[1:] for line in engine.journal.read_text().splitlines() if line.startswith("expect")]
    assert [len(set(prompts)) for prompts in told] == [8, 8]


@pytest.mark.slow
def test_a_run_killed_with_batches_under_way_ends_with_the_files_of_a_calm_run(
    new_workshop: Callable[[str], Workshop],
):
    calm, killed = new_workshop("calm"), new_workshop("killed")
    command = ("run", "catalogue.csv", "--engine", "sleeping", "-s", "packshot", "-c", "amazon_main")
    for shop in (calm, killed):
        shop.write(*({**MUG, "sku": f"MUG-{n}"} for n in range(8)))
        options = f'{{"journal": "{shop.folder / "journals"}", "studio": "yes", "calls": "2", "seconds": "0.2"}}'
        shop.environment["ZIMAGE_ENGINE_OPTIONS"] = options
    calm.run(*command)
    process = killed.start(*command)
    deadline_s = time.monotonic() + 120
    while len(drawn(killed)) < 4:
        assert process.poll() is None, (killed.folder / "started.log").read_text()
        assert time.monotonic() < deadline_s
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed.run(*command)
    assert killed.files() == calm.files()
    asked = Counter(drawn(killed))
    assert set(asked) == set(drawn(calm))
    calls, one_more_begun = 2, 1
    assert asked.total() <= len(asked) + (calls + one_more_begun) * int(killed.environment["ZIMAGE_BATCH_SIZE"])


def drawn(shop: Workshop) -> list[str]:
    """Return the attempt ids of a workshop's pictures in the order they were drawn, by whichever process."""
    journals = sorted((shop.folder / "journals").glob("*.txt"))
    lines = [line.split() for path in journals for line in path.read_text().splitlines()]
    return [words[1] for words in lines if words[0] == "drawn"]
