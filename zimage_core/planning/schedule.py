"""When production runs for a promotion: its dates as moments, as recurrence rules (RFC 5545), and in words.

A promotion's production opens once and then catches up every night until its pictures are frozen: what failed, what is
new in the catalogue and what changed since. What is there already costs nothing, so a night without news is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from zimage_core.prompting.library import OPENS_AT, PromptLibrary, moment

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


@dataclass(frozen=True, slots=True)
class Recurrence:
    """`count` runs, a day apart, the first at `first`: what the clocks in `time_zone` show."""

    slug: str
    first: datetime
    count: int
    time_zone: str

    @property
    def rrule(self) -> str:
        """The rule in the words of RFC 5545. Its start has no zone: who schedules is told the zone beside it."""
        return f"DTSTART:{self.first:%Y%m%dT%H%M%S}\nRRULE:FREQ=DAILY;COUNT={self.count}"

    def moments(self) -> tuple[datetime, ...]:
        """Return when each run begins, in `time_zone`: what Prefect's calendar makes of the rule.

        A time of day that clocks skip on one of the days is an hour earlier there, not later.
        """
        zone = ZoneInfo(self.time_zone)
        days = (self.first.date() + timedelta(days=n) for n in range(self.count))
        shown = (datetime.combine(day, self.first.time(), zone) for day in days)
        return tuple(_shown(at.replace(fold=1 if _shown(at) != at else 0)) for at in shown)


@dataclass(frozen=True, slots=True)
class PromotionCalendar:
    """A promotion's dates. All moments are in its time zone; `ends_at` is midnight after its last day."""

    slug: str
    name: str
    time_zone: str
    opens_at: datetime
    deadline_at: datetime
    starts_at: datetime
    ends_at: datetime
    recurrences: tuple[Recurrence, ...]

    @property
    def is_made_ahead(self) -> bool:
        """Whether it has a production of its own; a promotion without end is kept up by whoever adds products."""
        return bool(self.recurrences)

    def is_over(self, now: datetime) -> bool:
        """Tell whether its last day is over at this moment."""
        return now >= self.ends_at

    def next_run(self, now: datetime) -> datetime | None:
        """Return when production runs next after this moment; None where it does not run any more."""
        runs = sorted(at for recurrence in self.recurrences for at in recurrence.moments() if at > now)
        return runs[0] if runs else None

    def in_words(self, now: datetime) -> str:
        """Return where the promotion stands at this moment and what happens next, as a sentence."""
        if self.is_over(now):
            return f"It is over since {day_words(self.ends_at)}: nothing is scheduled."
        if not self.is_made_ahead:
            return "Nothing is made ahead: new products are made every night where new-arrivals is switched on."
        if now < self.opens_at:
            return f"Production opens in {span_words(self.opens_at - now)}."
        if now < self.deadline_at:
            coming = self.next_run(now)
            nightly = f"it runs next in {span_words(coming - now)}" if coming else "it does not run again"
            return f"Production is open: {nightly}, and is frozen in {span_words(self.deadline_at - now)}."
        if now < self.starts_at:
            return f"Its pictures are frozen; it starts in {span_words(self.starts_at - now)}."
        return f"It runs, and ends in {span_words(self.ends_at - now)}."


def calendar_of(library: PromptLibrary, slug: str) -> PromotionCalendar:
    """Return the dates of a promotion. Raises PromptError for an unknown one."""
    promotion, window = library.promotion(slug), library.production_window(slug)
    zone = ZoneInfo(promotion.time_zone)
    return PromotionCalendar(
        slug=slug,
        name=promotion.name_en,
        time_zone=promotion.time_zone,
        opens_at=window.opens_at,
        deadline_at=window.deadline_at,
        starts_at=moment(promotion.starts, time(), zone),
        ends_at=moment(promotion.ends + timedelta(days=1), time(), zone),
        recurrences=_recurrences(slug, window.opens_at, window.deadline_at, promotion.time_zone),
    )


def calendars_of(library: PromptLibrary) -> tuple[PromotionCalendar, ...]:
    """Return the dates of every promotion, in order of their slugs."""
    return tuple(calendar_of(library, slug) for slug in library.promotion_slugs)


def time_zones_of(calendars: Sequence[PromotionCalendar]) -> tuple[str, ...]:
    """Return the time zones that promotions end in, sorted."""
    return tuple(sorted({calendar.time_zone for calendar in calendars}))


def _shown(at: datetime) -> datetime:
    """Return the same instant as clocks in its zone do show it."""
    return at.astimezone(UTC).astimezone(at.tzinfo)


def _recurrences(slug: str, opens_at: datetime, deadline_at: datetime, time_zone: str) -> tuple[Recurrence, ...]:
    """Return the opening and, where a night is left before the deadline, the catching up."""
    if opens_at == deadline_at:
        return ()
    opening = Recurrence(f"{slug}-opens", opens_at.replace(tzinfo=None), 1, time_zone)
    second: date = opens_at.date() + timedelta(days=1)
    nights = (deadline_at.date() - second).days
    if nights < 1:
        return (opening,)
    return (opening, Recurrence(f"{slug}-catches-up", datetime.combine(second, OPENS_AT), nights, time_zone))


# ---------------------------------------------------------------- words


def moment_words(at: datetime) -> str:
    """Return a moment as its own clocks show it and in UTC: Tue 2027-05-18 02:00 (2027-05-17 18:00 UTC)."""
    return f"{at:%a %Y-%m-%d %H:%M} ({at.astimezone(UTC):%Y-%m-%d %H:%M} UTC)"


def day_words(at: datetime) -> str:
    """Return a moment's day: Tuesday 18 May 2027."""
    return f"{at:%A} {at.day} {at:%B %Y}"


def span_words(span: timedelta) -> str:
    """Return a span in its largest unit and the one below: 3 days and 4 hours; less than a minute is told as such."""
    left, said = int(span.total_seconds()), list[str]()
    for name, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count and len(said) < 2:
            said.append(f"{count} {name}{'' if count == 1 else 's'}")
        elif said:
            break
    return " and ".join(said) or "less than a minute"
