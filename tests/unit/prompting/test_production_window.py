"""When a promotion's pictures are made: by the clocks of its customers, over a change of clocks and of years."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from zimage_core.domain import ProductionWindow
from zimage_core.errors import PromptError
from zimage_core.prompting import PromptLibrary


@pytest.fixture
def window_of(edited: Callable[..., Path]) -> Callable[..., ProductionWindow]:
    """Return the window of a promotion with these keys instead of those of 618."""

    def load(**keys: object) -> ProductionWindow:
        for key, value in keys.items():
            root = edited("promotions/618.yaml", key, value)
        return PromptLibrary.load(root).production_window("618")

    return load


def test_production_opens_at_two_and_ends_at_midnight_before_the_frozen_days(library: PromptLibrary):
    window = library.production_window("618")
    assert window.opens_at.isoformat() == "2027-05-18T02:00:00+08:00"
    assert window.deadline_at.isoformat() == "2027-05-30T00:00:00+08:00"
    assert window.opens_at.astimezone(UTC) == datetime(2027, 5, 17, 18, tzinfo=UTC)


def test_the_window_crosses_the_end_of_a_year(window_of: Callable[..., ProductionWindow]):
    window = window_of(starts=date(2028, 1, 3), ends=date(2028, 1, 9), lead_days=10, freeze_days=3)
    assert window.opens_at.isoformat() == "2027-12-24T02:00:00+08:00"
    assert window.deadline_at.isoformat() == "2027-12-31T00:00:00+08:00"


@pytest.mark.parametrize(
    ("zone", "starts", "opens", "deadline", "hours"),
    [
        # clocks in New York go forward on 14 March 2027 and back on 7 November 2027
        ("America/New_York", date(2027, 3, 18), "2027-03-13T02:00:00-05:00", "2027-03-16T00:00:00-04:00", 69),
        ("America/New_York", date(2027, 11, 11), "2027-11-06T02:00:00-04:00", "2027-11-09T00:00:00-05:00", 71),
        # two o'clock that does not exist is three, and of two at two it is the first
        ("America/New_York", date(2027, 3, 19), "2027-03-14T03:00:00-04:00", "2027-03-17T00:00:00-04:00", 69),
        ("Europe/Berlin", date(2027, 11, 5), "2027-10-31T02:00:00+02:00", "2027-11-03T00:00:00+01:00", 71),
    ],
)
def test_clocks_that_change_do_not_move_the_hour(
    window_of: Callable[..., ProductionWindow], zone: str, starts: date, opens: str, deadline: str, hours: int
):
    window = window_of(time_zone=zone, starts=starts, ends=starts + timedelta(days=1), lead_days=5, freeze_days=2)
    assert (window.opens_at.isoformat(), window.deadline_at.isoformat()) == (opens, deadline)
    assert window.deadline_at.astimezone(UTC) - window.opens_at.astimezone(UTC) == timedelta(hours=hours)


def test_where_nothing_is_made_ahead_the_window_is_empty(library: PromptLibrary):
    window = library.production_window("everyday")
    assert window.opens_at == window.deadline_at == datetime.fromisoformat("2026-01-01T00:00:00+08:00")


def test_an_unknown_promotion_has_no_window(library: PromptLibrary):
    with pytest.raises(PromptError, match="no promotion '619'; known promotions"):
        library.production_window("619")


@pytest.mark.parametrize(("lead_days", "freeze_days"), [(2, 2), (1, 2), (0, 2), (0, 1)])
def test_a_promotion_that_leaves_no_day_to_produce_in_is_refused(
    edited: Callable[..., Path], lead_days: int, freeze_days: int
):
    edited("promotions/618.yaml", "lead_days", lead_days)
    root = edited("promotions/618.yaml", "freeze_days", freeze_days)
    with pytest.raises(PromptError, match=rf"promotions/618.yaml: freeze_days: .* with {lead_days} lead_days no day"):
        PromptLibrary.load(root)


@pytest.mark.parametrize(("lead_days", "freeze_days"), [(3, 2), (1, 0), (0, 0)])
def test_a_day_to_produce_in_is_enough(window_of: Callable[..., ProductionWindow], lead_days: int, freeze_days: int):
    window = window_of(lead_days=lead_days, freeze_days=freeze_days)
    assert window.opens_at <= window.deadline_at


def test_two_days_are_frozen_unless_the_file_says_otherwise(edited: Callable[..., Path]):
    library = PromptLibrary.load(edited("promotions/double11.yaml", "freeze_days", ...))
    assert library.production_window("double11").deadline_at.date() == date(2027, 10, 29)
