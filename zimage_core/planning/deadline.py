"""When a run will be done, whether that is in time, and what would make it so: arithmetic and sentences, nothing else.

A forecast rests on four numbers: shots left, tries a shot takes, pictures made per second, and devices that make them.
Each comes with the words that say where it is from, because a forecast that cannot be doubted cannot be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from zimage_core.domain import SceneName

NEVER_DROPPED: Final[SceneName] = "packshot"
"""Every shop asks for it as the first picture, and it is cut from the photo: it costs next to nothing."""

TRIES_AT_FIRST: Final = 1.15
"""Tries a shot takes, until the ledger knows better. Our guess, on the safe side of the studio's 1.0 to 1.1."""

TRIES_WORTH: Final = 30
"""Finished shots that weigh as much as what was believed before: a handful of poor grades moves no forecast."""

MEASURED_FROM: Final = 24
"""Pictures after the first ones from which a run's own pace counts: three batches of eight."""

LONGEST: Final = timedelta(days=3650)
"""A forecast says no later moment: beyond ten years the pace is none."""

URGENT_WITHIN: Final = timedelta(hours=24)
SOON_WITHIN: Final = timedelta(days=7)

Risk = Literal["none", "in_time", "late", "unknown"]
"""none: there is no deadline, or nothing is left. unknown: nobody can say yet how fast the engine is."""

Queue = Literal["urgent", "default", "low"]


@dataclass(frozen=True, slots=True)
class SceneLeft:
    """How a scene of a run stands, in shots. `left`: still to be drawn; `left_out`: not drawn, for lack of time."""

    scene: SceneName
    promised: int
    left: int
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """Pictures per second of all `devices` together, where that is from, and whether this run measured it itself."""

    images_per_s: float
    devices: int
    source: str
    measured: bool = False

    def with_devices(self, devices: int) -> Pace:
        """Return the pace of another number of devices, each as fast as those are on average."""
        return Pace(self.images_per_s / max(1, self.devices) * devices, devices, self.source, self.measured)


@dataclass(frozen=True, slots=True)
class Tries:
    """How many pictures are drawn for a shot until it is at its end, and where that is from; never below one."""

    per_shot: float
    source: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Shots of a scene that could be left out; `whole`: all that are left of it."""

    scene: SceneName
    shots: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Outlook:
    """A forecast. `ends_at` None = nobody can say; `short_by` shots will be missing at the deadline, 0 where it holds.

    `more_devices` would do it, None where no number would. `drops` are the scenes to leave out, lowest first;
    `enough` tells whether the rest is in time then.
    """

    now: datetime
    deadline: datetime | None
    time_zone: str
    scenes: tuple[SceneLeft, ...]
    pace: Pace
    tries: Tries
    ends_at: datetime | None
    short_by: int
    more_devices: int | None
    drops: tuple[Drop, ...]
    enough: bool

    @property
    def left(self) -> int:
        """Shots still to be drawn."""
        return sum(scene.left for scene in self.scenes)

    @property
    def left_out(self) -> int:
        """Shots that are left out for lack of time."""
        return sum(scene.left_out for scene in self.scenes)

    @property
    def spare_s(self) -> float | None:
        """Seconds between the expected end and the deadline, negative when late; None where one is not known."""
        if self.deadline is None or self.ends_at is None:
            return None
        return (self.deadline - self.ends_at).total_seconds()

    @property
    def risk(self) -> Risk:
        """Whether the deadline holds."""
        if self.deadline is None or not self.left:
            return "none"
        if self.ends_at is None and self.deadline > self.now:
            return "unknown"
        return "late" if self.short_by else "in_time"

    def sentence(self) -> str:
        """Say it in a line: "done 21:40, 3 h spare", "short by 1,200 images: add 1 GPU or drop detail shots"."""
        if not self.left:
            return "done: nothing is left to draw" + self._also_left_out()
        if self.short_by:
            return f"short by {_images(self.short_by)}: {self._what_helps()}" + self._also_left_out()
        if self.ends_at is None:
            return "no forecast yet: how fast the engine is shows after the first pictures" + self._also_left_out()
        done = f"done {clock_time(self.ends_at, self.now, self.time_zone)}"
        spare = "no deadline" if self.spare_s is None else f"{in_words(self.spare_s)} spare"
        return f"{done}, {spare}{self._also_left_out()}"

    def _what_helps(self) -> str:
        if self.deadline is not None and self.deadline <= self.now:
            return f"the deadline was {clock_time(self.deadline, self.now, self.time_zone)}; give a later one"
        helps = []
        if self.more_devices is not None:
            helps.append(f"add {self.more_devices} GPU{'s' * (self.more_devices > 1)}")
        if self.drops and self.enough:
            helps.append(f"drop {_and([drop.scene for drop in self.drops])} shots")
        if helps:
            return " or ".join(helps)
        return "give a later deadline; leaving out every scene but packshot would not do"

    def _also_left_out(self) -> str:
        out = [f"{scene.left_out:,} {scene.scene}" for scene in self.scenes if scene.left_out]
        return f"; left out: {_and(out)} shots" if out else ""

    def to_markdown(self) -> str:
        """Return the forecast with all it rests on, for the Prefect UI and the terminal."""
        lines = [f"**{self.sentence()}**", ""]
        if self.deadline is not None:
            lines.append(f"- deadline {clock_time(self.deadline, self.now, self.time_zone)} ({self.time_zone})")
        if self.short_by and self.ends_at is not None and self.spare_s is not None:
            late = f"{in_words(-self.spare_s)} late"
            lines.append(f"- all of it would be done {clock_time(self.ends_at, self.now, self.time_zone)}, {late}")
        promised = sum(scene.promised for scene in self.scenes)
        devices = f"{self.pace.devices} device{'s' * (self.pace.devices != 1)}"
        lines += [
            f"- {self.left:,} of {promised:,} shots left to draw",
            f"- pace {_rate(self.pace.images_per_s)} on {devices}: {self.pace.source}",
            f"- {self.tries.per_shot:.2f} tries a shot: {self.tries.source}",
            "",
            "| scene | promised | left to draw | left out for time |",
            "|---|--:|--:|--:|",
            *(f"| {s.scene} | {s.promised:,} | {s.left:,} | {s.left_out:,} |" for s in self.scenes),
        ]
        return "\n".join(lines) + "\n"


def outlook(
    scenes: Sequence[SceneLeft],
    pace: Pace,
    tries: Tries,
    *,
    now: datetime,
    deadline: datetime | None,
    time_zone: str,
) -> Outlook:
    """Return the forecast of a run. `scenes` come in order of importance, the most important first.

    Pictures are taken to be made at an even pace until the end; what follows (publishing) is not in it.
    """
    left = sum(scene.left for scene in scenes)
    shots_per_s = max(0.0, pace.images_per_s) / max(1.0, tries.per_shot)
    ends_at = _end(now, left, shots_per_s)
    short_by = 0
    more_devices: int | None = 0
    drops: tuple[Drop, ...] = ()
    enough = True
    if deadline is not None and left:
        seconds = max(0.0, (deadline - now).total_seconds())
        in_time = min(left, math.floor(seconds * shots_per_s + 1e-9))
        unknown = shots_per_s <= 0.0 and seconds > 0.0
        short_by = 0 if unknown else left - in_time
        drops, enough = _drops(scenes, short_by)
        more_devices = _more_devices(left, seconds, shots_per_s, pace.devices) if short_by else 0
    return Outlook(
        now, deadline, time_zone, tuple(scenes), pace, tries, ends_at, short_by, more_devices, drops, enough
    )  # fmt: skip


def pace_of(pictures: int, seconds: float, devices: int, *, seconds_per_image: float, told_by: str) -> Pace:
    """Return a run's pace: its own from MEASURED_FROM pictures in `seconds` on, before that what one picture takes.

    `seconds_per_image` is that of one device, as `told_by` says; 0 or less = nobody knows.
    """
    if pictures >= MEASURED_FROM and seconds > 0.0:
        source = f"measured, {pictures:,} pictures in {in_words(seconds)} of this run"
        return Pace(pictures / seconds, devices, source, measured=True)
    known = math.isfinite(seconds_per_image) and seconds_per_image > 0.0
    return Pace(devices / seconds_per_image if known else 0.0, devices, told_by)


def tries_of(tried: int, finished: int, believed: Tries) -> Tries:
    """Return the tries a shot takes: what this run measured, weighed against what was believed before it."""
    if finished <= 0:
        return believed
    per_shot = (max(tried, finished) + TRIES_WORTH * believed.per_shot) / (finished + TRIES_WORTH)
    return Tries(max(1.0, per_shot), f"{tried:,} tries for {finished:,} finished shots of this run; {believed.source}")


def queue_for(deadline: datetime | None, now: datetime) -> Queue:
    """Return the work queue of a run: the earlier its deadline, the earlier its shards are taken.

    urgent: within 24 hours, or passed; default: within 7 days; low: later, or no deadline at all.
    """
    if deadline is None or deadline - now > SOON_WITHIN:
        return "low"
    return "urgent" if deadline - now <= URGENT_WITHIN else "default"


def clock_time(at: datetime, now: datetime, time_zone: str) -> str:
    """Return a moment as an operator in that zone would say it now: 21:40, Tue 21:40, 2026-11-03 21:40."""
    zone = ZoneInfo(time_zone)
    there, today = at.astimezone(zone), now.astimezone(zone).date()
    days = (there.date() - today).days
    if days == 0:
        return f"{there:%H:%M}"
    return f"{there:%a %H:%M}" if 0 < days < 7 else f"{there:%Y-%m-%d %H:%M}"


def in_words(seconds: float) -> str:
    """Return a length of time as people say it: 40 s, 25 min, 3 h, 3 h 20 min, 4 days."""
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    minutes = int(seconds // 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes >= 48 * 60:
        return f"{minutes // (24 * 60)} days"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def _end(now: datetime, left: int, shots_per_s: float) -> datetime | None:
    if not left:
        return now
    if shots_per_s <= 0.0 or left / shots_per_s > LONGEST.total_seconds():
        return None
    return now + timedelta(seconds=left / shots_per_s)


def _drops(scenes: Sequence[SceneLeft], short_by: int) -> tuple[tuple[Drop, ...], bool]:
    """Return what to leave out until nothing is short, the last scene first, and whether that is enough."""
    found: list[Drop] = []
    for scene in reversed(scenes):
        if short_by <= 0:
            break
        if scene.scene != NEVER_DROPPED and scene.left:
            shots = min(scene.left, short_by)
            found.append(Drop(scene.scene, shots, shots == scene.left))
            short_by -= shots
    return tuple(found), short_by <= 0


def _more_devices(left: int, seconds: float, shots_per_s: float, devices: int) -> int | None:
    """Return how many more devices of the same speed make `left` shots in `seconds`; None where no number does."""
    of_one = seconds * shots_per_s / max(1, devices)
    return None if of_one <= 0.0 else max(1, math.ceil(left / of_one - 1e-9) - devices)


def _rate(images_per_s: float) -> str:
    if images_per_s <= 0.0:
        return "not known"
    return f"{images_per_s:.2f} images/s" if images_per_s >= 0.1 else f"{images_per_s * 3600:.0f} images/h"


def _images(count: int) -> str:
    return f"{count:,} image" if count == 1 else f"{count:,} images"


def _and(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else "".join(words)
