"""When a run will be done: the sentences an operator reads, and what holds for every run."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_core.planning.deadline import (
    MEASURED_FROM,
    TRIES_WORTH,
    Outlook,
    Pace,
    SceneLeft,
    Tries,
    clock_time,
    in_words,
    outlook,
    pace_of,
    queue_for,
    tries_of,
)

ZONE = "Asia/Shanghai"
NOW = datetime(2026, 11, 1, 8, tzinfo=UTC)  # 16:00 in Shanghai
ONE_TRY = Tries(1.0, "measured")


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def seen(
    left: tuple[SceneLeft, ...], per_hour: float, deadline: datetime | None, devices: int = 1, tries: float = 1.0
) -> Outlook:
    pace = Pace(per_hour / 3600, devices, "measured")
    return outlook(left, pace, Tries(tries, "measured"), now=NOW, deadline=deadline, time_zone=ZONE)


def scenes(packshot: int = 0, studio: int = 0, detail: int = 0, left_out: int = 0) -> tuple[SceneLeft, ...]:
    return (
        SceneLeft("packshot", packshot, packshot),
        SceneLeft("studio", studio, studio),
        SceneLeft("detail", detail + left_out, detail, left_out),
    )


def test_a_run_in_time_says_when_it_is_done_and_what_is_spare() -> None:
    found = seen(scenes(studio=5_666), 1000, at(8 + 40 / 60))
    assert found.sentence() == "done 21:39, 3 h spare"
    assert (found.risk, found.short_by, found.more_devices, found.drops) == ("in_time", 0, 0, ())


def test_a_run_that_is_short_says_what_would_help() -> None:
    found = seen(scenes(studio=2_000, detail=1_500), 1000, at(2.3))
    assert found.sentence() == "short by 1,200 images: add 1 GPU or drop detail shots"
    assert found.risk == "late"
    assert "all of it would be done 19:30, 72 min late" in found.to_markdown()
    assert seen(scenes(studio=2_000, detail=1_500), 1000, at(2.3), devices=2).more_devices == 2


def test_the_last_scene_goes_first_and_packshots_never() -> None:
    found = seen(scenes(packshot=1_000, studio=500, detail=300), 1000, at(1.1))
    assert [(drop.scene, drop.shots, drop.whole) for drop in found.drops] == [
        ("detail", 300, True),
        ("studio", 400, False),
    ]
    assert found.enough
    assert found.sentence() == "short by 700 images: add 1 GPU or drop detail and studio shots"
    found = seen(scenes(packshot=2_000, studio=500), 1000, at(1))
    assert not found.enough
    assert found.sentence() == "short by 1,500 images: add 2 GPUs"


def test_what_was_left_out_is_told_with_every_forecast() -> None:
    assert seen(scenes(studio=1_000, left_out=300), 1000, at(2)).sentence() == (
        "done 17:00, 60 min spare; left out: 300 detail shots"
    )
    assert seen(scenes(left_out=300), 1000, at(2)).sentence() == (
        "done: nothing is left to draw; left out: 300 detail shots"
    )


def test_a_deadline_that_has_passed_helps_nobody() -> None:
    found = seen(scenes(studio=40), 1000, at(-1))
    assert found.sentence() == "short by 40 images: the deadline was 15:00; give a later one"
    assert found.more_devices is None
    assert seen(scenes(), 1000, at(-1)).risk == "none"


def test_nobody_knows_before_an_engine_has_said_how_fast_it_is() -> None:
    found = seen(scenes(studio=40), 0.0, at(1))
    assert (found.risk, found.ends_at, found.short_by) == ("unknown", None, 0)
    assert found.sentence() == "no forecast yet: how fast the engine is shows after the first pictures"
    assert "pace not known" in found.to_markdown()


def test_without_a_deadline_there_is_an_end_and_no_risk() -> None:
    found = seen(scenes(studio=1_000), 1000, None)
    assert (found.sentence(), found.risk, found.spare_s) == ("done 17:00, no deadline", "none", None)


def test_an_end_on_another_day_says_which() -> None:
    assert clock_time(at(7.9), NOW, ZONE) == "23:54"
    assert clock_time(at(9), NOW, ZONE) == "Mon 01:00"
    assert clock_time(at(24 * 9), NOW, ZONE) == "2026-11-10 16:00"
    assert clock_time(at(-24), NOW, ZONE) == "2026-10-31 16:00"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (89, "89 s"), (90, "1 min"), (5_000, "83 min"), (10_800, "3 h"), (12_000, "3 h 20 min"),
     (400_000, "4 days")],
)  # fmt: skip
def test_lengths_of_time_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_run_counts_its_own_pictures_once_there_are_enough() -> None:
    first = pace_of(MEASURED_FROM - 1, 10.0, 4, seconds_per_image=2.0, told_by="as the engine says")
    assert (first.images_per_s, first.devices, first.source, first.measured) == (2.0, 4, "as the engine says", False)
    then = pace_of(MEASURED_FROM, 48.0, 4, seconds_per_image=2.0, told_by="as the engine says")
    assert then.images_per_s == 0.5
    assert then.measured
    assert then.source == "measured, 24 pictures in 48 s of this run"
    assert pace_of(0, 0.0, 4, seconds_per_image=math.nan, told_by="").images_per_s == 0.0
    assert pace_of(0, 0.0, 4, seconds_per_image=0.0, told_by="").images_per_s == 0.0


def test_tries_are_weighed_against_what_was_believed() -> None:
    believed = Tries(1.2, "our guess")
    assert tries_of(0, 0, believed) == believed
    assert tries_of(TRIES_WORTH * 2, TRIES_WORTH, believed).per_shot == pytest.approx(1.6)
    assert tries_of(10_000, 10_000, believed).per_shot == pytest.approx(1.0, abs=0.01)


def test_shards_of_an_early_deadline_go_first() -> None:
    assert [queue_for(deadline, NOW) for deadline in (at(-1), at(24), at(25), at(168), at(169), None)] == [
        "urgent", "urgent", "default", "default", "low", "low",
    ]  # fmt: skip


LEFT = st.lists(
    st.builds(
        lambda scene, left, done, out: SceneLeft(scene, left + done + out, left, out),
        st.sampled_from(["packshot", "studio", "lifestyle", "detail"]),
        st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 100),
    ),
    max_size=4,
    unique_by=lambda scene: scene.scene,
)  # fmt: skip
SPEED = st.one_of(st.just(0.0), st.floats(1e-12, 1e6))
DEADLINE = st.one_of(st.none(), st.floats(-1000, 10_000).map(at))


@given(LEFT, SPEED, st.integers(1, 1000), st.floats(1, 10), DEADLINE, st.integers(1, 50))
def test_more_devices_are_never_later(left, speed, devices, tries, deadline, more) -> None:
    def with_devices(count: int) -> Outlook:
        pace = Pace(speed * devices, devices, "").with_devices(count)
        return outlook(left, pace, Tries(tries, ""), now=NOW, deadline=deadline, time_zone=ZONE)

    few, many = with_devices(devices), with_devices(devices + more)
    if few.ends_at is not None:
        assert many.ends_at is not None
        assert many.ends_at <= few.ends_at
    assert many.short_by <= few.short_by or few.risk == "unknown"
    for found in (few, many):
        assert 0 <= found.short_by <= found.left
        assert sum(drop.shots for drop in found.drops) <= found.short_by
        assert all(drop.scene != "packshot" for drop in found.drops)
        assert "nan" not in found.sentence() + found.to_markdown()
        assert "inf" not in found.sentence()
        assert found.spare_s is None or math.isfinite(found.spare_s)


@given(LEFT, st.floats(1e-4, 1e3), st.integers(1, 64), st.floats(1, 3), st.floats(0.1, 100).map(at))
def test_what_is_advised_is_enough(left, speed, devices, tries, deadline) -> None:
    pace = Pace(speed * devices, devices, "")
    found = outlook(left, pace, Tries(tries, ""), now=NOW, deadline=deadline, time_zone=ZONE)
    if not found.short_by:
        return
    assert found.more_devices is not None
    assert found.more_devices >= 1
    helped = pace.with_devices(devices + found.more_devices)
    assert outlook(left, helped, Tries(tries, ""), now=NOW, deadline=deadline, time_zone=ZONE).short_by <= 1
    if found.enough:
        dropped = {drop.scene: drop.shots for drop in found.drops}
        rest = [SceneLeft(s.scene, s.promised, s.left - dropped.get(s.scene, 0)) for s in left]
        assert outlook(rest, pace, Tries(tries, ""), now=NOW, deadline=deadline, time_zone=ZONE).short_by == 0
