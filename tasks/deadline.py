"""The deadline of a run: the forecast before and during it, who is told of a risk, and what is left out for time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from prefect.artifacts import create_markdown_artifact

from tasks.budget import reached_sentence
from tasks.devices import shards_at_a_time
from tasks.events import DEADLINE_AT_RISK, emit
from tasks.order import ProductionOrder
from tasks.runtime import artifact_key, resident_engine, rooms
from zimage_core import clock
from zimage_core.domain import SceneName
from zimage_core.errors import ZImageError
from zimage_core.ledger import RunCourse
from zimage_core.planning.deadline import (
    MEASURED_FROM,
    TRIES_AT_FIRST,
    TRIES_WORTH,
    Outlook,
    Queue,
    SceneLeft,
    Tries,
    clock_time,
    outlook,
    pace_of,
    queue_for,
    tries_of,
)
from zimage_core.planning.schedule import calendar_of

LOOK_EVERY_S: Final = 30.0
"""How often a process looks at the forecast; less often where looking takes more than a hundredth of that."""

SHED_FROM: Final = 0.02
"""Of what is left: so much must be short before a run under way leaves anything out. A pace is never that even."""

AT_RISK, IN_TIME, LEFT_OUT = "deadline_at_risk", "deadline_in_time", "left_out_for_time"
"""Events of a run: what was said of its deadline, and what was left out for it."""

log = logging.getLogger("zimage_core.tasks")


def deadline_of(order: ProductionOrder) -> datetime | None:
    """Return when the order's pictures must be there: what it says, else the beginning of the promotion's freeze.

    None for a promotion that has begun: its pictures are needed at once, whenever they come.
    """
    if order.deadline is not None:
        return order.deadline
    calendar = calendar_of(rooms(order).library, order.promotion)
    return None if clock.now() >= calendar.starts_at else calendar.deadline_at


def queue_of(order: ProductionOrder) -> Queue:
    """Return the work queue that the order's shards belong into now: of several runs the earlier deadline first."""
    return queue_for(deadline_of(order), clock.now())


def outlook_of(order: ProductionOrder, run_id: str) -> Outlook:
    """Return the forecast of a run as it stands now: what is left by the ledger, at the pace it measured."""
    course = rooms(order).ledger.course.of_run(run_id)
    known = {scene.scene: scene for scene in course.scenes}
    left = [
        SceneLeft(name, known[name].promised, known[name].undrawn, known[name].left_out)
        for name in _scenes(order)
        if name in known
    ]
    return _outlook(order, left, course)


def planned_outlook(order: ProductionOrder, shots: Mapping[str, int]) -> Outlook:
    """Return the forecast of a run before it is in the ledger, as if none of its shots (by scene) had been made."""
    left = [SceneLeft(name, shots[name], shots[name]) for name in _scenes(order) if shots.get(name)]
    return _outlook(order, left, RunCourse((), 0, 0, 0.0, 0))


def settle(order: ProductionOrder, run_id: str) -> Outlook:
    """Decide at a run's beginning what of it is left out for time, and return the forecast with that.

    What an earlier start of the run left out is made now if there is time, or if the order says that all is to be made.
    """
    course = rooms(order).ledger.course
    if taken_back := course.take_back(run_id):
        log.info("%d shots that were left out for time are looked at again", taken_back)
    seen = _shed(order, run_id, outlook_of(order, run_id))
    _tell(order, run_id, seen)
    return seen


def watch_deadline(order: ProductionOrder, run_id: str) -> Outlook | None:
    """Look at the forecast if it is time to, show it, tell of a risk, leave out what the order allows; else None.

    Cheap enough to be called after every batch, and never raises: a forecast that fails must not fail pictures.
    """
    watched = _watched_run(run_id)
    if clock.elapsed_s() < watched.due_at_s or not watched.looking.acquire(blocking=False):
        return None
    started_s = clock.elapsed_s()
    try:
        seen = outlook_of(order, run_id)
        if seen.pace.measured and seen.short_by > SHED_FROM * seen.left:
            seen = _shed(order, run_id, seen)
        _tell(order, run_id, seen)
        show(run_id, seen)
    except ZImageError as error:
        log.warning("There is no forecast for now: %s", error)
        return None
    else:
        return seen
    finally:
        now_s = clock.elapsed_s()
        watched.due_at_s = now_s + max(LOOK_EVERY_S, 100.0 * (now_s - started_s))
        watched.looking.release()


def show(run_id: str, seen: Outlook) -> None:
    """Keep the forecast as the run's artifact in the Prefect UI."""
    create_markdown_artifact(
        markdown=f"# Forecast of run {run_id}\n\n{seen.to_markdown()}",
        key=artifact_key("forecast", run_id),
        description=seen.sentence(),
    )


def limits_told(order: ProductionOrder, run_id: str) -> tuple[str, ...]:
    """Return what time and money kept a run from making, in sentences: for its report and its end."""
    told = [
        f"{scene.left_out:,} of {scene.promised:,} {scene.scene} shots were left out for lack of time; run again with "
        "more devices or a later deadline and they are made."
        for scene in rooms(order).ledger.course.of_run(run_id).scenes
        if scene.left_out
    ]
    budget = reached_sentence(order, run_id)
    return (*told, budget) if budget else tuple(told)


# ---------------------------------------------------------------- inside


@dataclass(eq=False)
class _Watched:
    """When this process may look at a run's forecast again; `looking` while it does."""

    due_at_s: float
    looking: threading.Lock = field(default_factory=threading.Lock)


_watching = threading.Lock()
_watched: dict[str, _Watched] = {}


def _watched_run(run_id: str) -> _Watched:
    with _watching:
        return _watched.setdefault(run_id, _Watched(clock.elapsed_s() + LOOK_EVERY_S))


def _scenes(order: ProductionOrder) -> tuple[SceneName, ...]:
    """Return the scenes of an order in order of importance."""
    return order.scenes or rooms(order).library.promotion(order.promotion).scenes


def _outlook(order: ProductionOrder, left: Sequence[SceneLeft], course: RunCourse) -> Outlook:
    open_rooms, info = rooms(order), resident_engine(order).engine.info
    history = open_rooms.ledger.course.history(info.drawn_by or info.name, info.fingerprint)
    if history.pictures >= MEASURED_FROM:
        seconds, told_by = history.seconds_per_image, f"as in its last {history.pictures:,} pictures of any run"
    else:
        seconds, told_by = info.seconds_per_image, f"as engine {info.name} says of itself"
    believed = Tries(TRIES_AT_FIRST, "our guess, until the ledger knows better")
    if history.shots >= TRIES_WORTH:
        lately = f"{history.pictures:,} pictures of {history.shots:,} shots lately"
        believed = Tries(max(1.0, history.pictures / history.shots), lately)
    devices = course.workers or shards_at_a_time(order)
    return outlook(
        left,
        pace_of(course.pictures, course.seconds, devices, seconds_per_image=seconds, told_by=told_by),
        tries_of(course.tried, sum(scene.finished for scene in course.scenes), believed),
        now=clock.now(),
        deadline=deadline_of(order),
        time_zone=open_rooms.library.promotion(order.promotion).time_zone,
    )


def _shed(order: ProductionOrder, run_id: str, seen: Outlook) -> Outlook:
    """Leave out what is short, where the order says so and there is time left to save; return the new forecast."""
    if order.when_short != "drop_lowest" or not seen.drops or seen.deadline is None or seen.deadline <= seen.now:
        return seen
    ledger = rooms(order).ledger
    due = clock_time(seen.deadline, seen.now, seen.time_zone)
    why = f"Left out for lack of time: the run was short by {seen.short_by:,} images for {due}."
    known = {scene.scene: scene.left_out for scene in seen.scenes}
    left_out = {
        drop.scene: ledger.course.leave_out(run_id, drop.scene, drop.shots, why, already_out=known[drop.scene])
        for drop in seen.drops
    }
    if not any(left_out.values()):  # another process was faster
        return outlook_of(order, run_id)
    said = ", ".join(f"{count:,} {scene}" for scene, count in left_out.items())
    sentence = f"Short by {seen.short_by:,} images for {due}: left out {said} shots, the lowest of the promotion."
    log.warning("%s", sentence)
    ledger.record_event(run_id, LEFT_OUT, sentence)
    emit(DEADLINE_AT_RISK, order, run_id, sentence=sentence, left_out=left_out, **_payload(seen))
    return outlook_of(order, run_id)


def _tell(order: ProductionOrder, run_id: str, seen: Outlook) -> None:
    """Say once, of all processes, that the deadline will be missed, and once that it holds again."""
    if seen.risk not in ("late", "in_time"):
        return
    ledger = rooms(order).ledger
    kinds = {AT_RISK, IN_TIME, "opened", "resumed"}
    last = next((event.kind for event in reversed(ledger.events(run_id)) if event.kind in kinds), None)
    if seen.risk == "late" and last != AT_RISK:
        ledger.record_event(run_id, AT_RISK, seen.sentence())
        log.warning("The deadline is at risk: %s", seen.sentence())
        emit(DEADLINE_AT_RISK, order, run_id, sentence=seen.sentence(), **_payload(seen))
    elif seen.risk == "in_time" and last == AT_RISK:
        ledger.record_event(run_id, IN_TIME, seen.sentence())
        log.info("The deadline holds again: %s", seen.sentence())


def _payload(seen: Outlook) -> dict[str, object]:
    return {
        "deadline": seen.deadline,
        "ends_at": seen.ends_at,
        "short_by": seen.short_by,
        "left": seen.left,
        "more_devices": seen.more_devices,
    }
