"""A promotion's dates as moments, as recurrence rules that dateutil reads alike, and in words."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from dateutil.rrule import rrulestr
from dateutil.tz import gettz

from zimage_core.planning.schedule import calendar_of, calendars_of, moment_words, span_words, time_zones_of
from zimage_core.prompting import PromptLibrary

PROMPTS = Path(__file__).resolve().parents[3] / "prompts"
Dated = Callable[..., PromptLibrary]


@pytest.fixture(scope="module")
def shipped() -> PromptLibrary:
    return PromptLibrary.load(PROMPTS)


@pytest.fixture
def dated(tmp_path: Path) -> Dated:
    """Return the shipped library with other dates for 618."""
    import shutil

    def load(**keys: object) -> PromptLibrary:
        root = tmp_path / "prompts"
        if not root.exists():
            shutil.copytree(PROMPTS, root)
        path = root / "promotions" / "618.yaml"
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text("utf-8")) | keys, allow_unicode=True), "utf-8")
        return PromptLibrary.load(root)

    return load


def test_production_opens_once_and_then_catches_up_every_night_until_the_deadline(shipped: PromptLibrary):
    calendar = calendar_of(shipped, "618")
    opening, catching_up = calendar.recurrences
    assert (opening.slug, opening.rrule) == ("618-opens", "DTSTART:20270518T020000\nRRULE:FREQ=DAILY;COUNT=1")
    assert (catching_up.slug, catching_up.rrule) == (
        "618-catches-up",
        "DTSTART:20270519T020000\nRRULE:FREQ=DAILY;COUNT=11",
    )
    assert catching_up.moments()[-1].isoformat() == "2027-05-29T02:00:00+08:00"
    assert calendar.deadline_at.isoformat() == "2027-05-30T00:00:00+08:00"


def test_the_shortest_window_opens_and_does_not_catch_up(dated: Dated):
    calendar = calendar_of(dated(lead_days=3, freeze_days=2), "618")
    assert [(r.slug, r.count) for r in calendar.recurrences] == [("618-opens", 1)]


def test_a_promotion_without_end_has_no_production_of_its_own(shipped: PromptLibrary):
    calendar = calendar_of(shipped, "everyday")
    assert not calendar.is_made_ahead
    assert calendar.next_run(calendar.starts_at) is None
    assert "new-arrivals" in calendar.in_words(calendar.starts_at)


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe"])
@pytest.mark.parametrize("starts", [date(2027, 3, 25), date(2027, 4, 10), date(2027, 11, 12), date(2028, 1, 4)])
def test_nights_are_those_that_dateutil_finds_in_the_rule(dated: Dated, zone: str, starts: date):
    library = dated(time_zone=zone, starts=starts, ends=starts + timedelta(days=3), lead_days=20, freeze_days=2)
    calendar = calendar_of(library, "618")
    for recurrence in calendar.recurrences:
        read = [at.replace(tzinfo=gettz(zone)).astimezone(UTC) for at in rrulestr(recurrence.rrule)]
        assert [at.astimezone(UTC) for at in recurrence.moments()] == read
    runs = [at for recurrence in calendar.recurrences for at in recurrence.moments()]
    assert len(runs) == 18
    assert runs == sorted(runs)
    assert calendar.opens_at == runs[0] < runs[-1] < calendar.deadline_at
    assert calendar.deadline_at.astimezone(UTC) - runs[-1].astimezone(UTC) < timedelta(hours=25)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ("2027-05-15T00:00+08:00", "Production opens in 3 days and 2 hours."),
        ("2027-05-18T02:00+08:00", "Production is open: it runs next in 1 day, and is frozen in 11 days and 22 hours."),
        ("2027-05-29T12:00+08:00", "Production is open: it does not run again, and is frozen in 12 hours."),
        ("2027-05-30T00:00+08:00", "Its pictures are frozen; it starts in 2 days."),
        ("2027-06-01T00:00+08:00", "It runs, and ends in 20 days."),
        ("2027-06-20T23:59+08:00", "It runs, and ends in 1 minute."),
        ("2027-06-21T00:00+08:00", "It is over since Monday 21 June 2027: nothing is scheduled."),
    ],
)
def test_what_comes_next_is_a_sentence(shipped: PromptLibrary, now: str, said: str):
    assert calendar_of(shipped, "618").in_words(datetime.fromisoformat(now)) == said


def test_each_promotion_has_a_calendar_in_its_own_time_zone(shipped: PromptLibrary):
    calendars = calendars_of(shipped)
    assert [c.slug for c in calendars] == ["618", "black_friday", "double11", "everyday"]
    assert time_zones_of(calendars) == ("America/New_York", "Asia/Shanghai")
    assert moment_words(calendars[1].starts_at) == "Fri 2026-11-27 00:00 (2026-11-27 05:00 UTC)"


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(days=1, minutes=5), "1 day"),
        (timedelta(hours=25), "1 day and 1 hour"),
        (timedelta(days=400, hours=3, minutes=2), "400 days and 3 hours"),
    ],
)
def test_spans_are_said_in_two_units(span: timedelta, said: str):
    assert span_words(span) == said
