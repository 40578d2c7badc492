"""The part of prefect.yaml that is written from the promotions: their productions, and when what is over comes down.

It stands between two marker lines; everything around them stays byte for byte. `active` is the one thing in it that
people change, so what it says is read before it is written again. Nothing here asks Prefect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import yaml

from zimage_core.errors import ConfigurationError
from zimage_core.planning.schedule import PromotionCalendar, day_words, time_zones_of

BEGINS = "# >>> zimage schedule"
ENDS = "# <<< zimage schedule"
_HEADER = f"{BEGINS}: written from prompts/promotions/; only `active` is yours to change here"


def read_prefect_file(path: Path) -> str:
    """Return the file's text. Raises ConfigurationError when it cannot be read or has no place for schedules."""
    try:
        with path.open(encoding="utf-8", newline="") as file:  # so that no line ending is changed
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read ({error}); it is where schedules are written.") from error
    _place(text, path)
    return text


def with_schedules(text: str, calendars: Sequence[PromotionCalendar], now: datetime, path: Path) -> str:
    """Return the file's text with its block written anew from these promotions, as they stand at this moment.

    A schedule that is switched on stays on, unless its promotion is over. Raises ConfigurationError when the file is
    not YAML or the markers are not there.
    """
    lines = text.splitlines(keepends=True)
    first, last = _place(text, path)
    written = f"{_HEADER}\n{block_of(calendars, active_in(text, path), now)}"
    return "".join([*lines[:first], written, *lines[last:]])


def active_in(text: str, path: Path) -> Mapping[str, bool]:
    """Return which schedules are switched on, by slug. Raises ConfigurationError when the file is not YAML."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML ({' '.join(str(error).split())}).") from error
    deployments = content.get("deployments") if isinstance(content, dict) else None
    return {
        str(schedule["slug"]): schedule.get("active") is True
        for deployment in deployments or ()
        for schedule in deployment.get("schedules") or ()
        if "slug" in schedule
    }


def block_of(calendars: Sequence[PromotionCalendar], active: Mapping[str, bool], now: datetime) -> str:
    """Return the deployments of these promotions as YAML, each with a sentence; it uses the file's own anchors."""
    made = [calendar for calendar in calendars if calendar.is_made_ahead]
    return "".join([*(_production(calendar, active, now) for calendar in made), _expiry(calendars, active)])


def _place(text: str, path: Path) -> tuple[int, int]:
    """Return the lines of the two markers. Raises ConfigurationError unless each is there once."""
    lines = text.splitlines()
    first = [n for n, line in enumerate(lines) if line.startswith(BEGINS)]
    last = [n for n, line in enumerate(lines) if line.startswith(ENDS)]
    if len(first) != 1 or len(last) != 1 or first > last:
        raise ConfigurationError(
            f"{path} has no place for schedules: it needs a line `{BEGINS}` and below it a line `{ENDS}`, at the end "
            "of its deployments."
        )
    return first[0], last[0]


def _production(calendar: PromotionCalendar, active: Mapping[str, bool], now: datetime) -> str:
    over = calendar.is_over(now)
    order = f"{{order: {{catalogue: *catalogue, promotion: {_quoted(calendar.slug)}}}}}"
    name = f"produce-{calendar.slug.replace('_', '-')}"
    said = (
        f"{calendar.name}: over since {day_words(calendar.ends_at)}. Its dates are past; write the next ones into "
        f"prompts/promotions/{calendar.slug}.yaml."
        if over
        else f"{calendar.name}, from {day_words(calendar.starts_at)} ({calendar.time_zone}). Its pictures are made "
        f"from {day_words(calendar.opens_at)} on and frozen from {day_words(calendar.deadline_at)} on."
    )
    lines = [
        "",
        *(["# over: nothing of it can be switched on"] if over else []),
        f"- name: {name}",
        f"  description: {_quoted(said)}",
        "  entrypoint: flows.produce.produce",
        "  work_pool: *cpu",
        f"  parameters: {order}",
        "  schedules:",
    ]
    for recurrence in calendar.recurrences:
        lines += [
            f"    - slug: {recurrence.slug.replace('_', '-')}",
            f"      rrule: {_quoted(recurrence.rrule)}",
            f"      timezone: {recurrence.time_zone}",
            f"      parameters: {order}",
            f"      active: {_switch(active, recurrence.slug.replace('_', '-'), never=over)}",
        ]
    return _indented(lines)


def _expiry(calendars: Sequence[PromotionCalendar], active: Mapping[str, bool]) -> str:
    """Return the deployment that takes badges and prices down: after midnight in each zone a promotion ends in."""
    said = (
        "Every night after midnight, in each time zone that a promotion ends in: take badge and price out of what is "
        "shown of promotions that are over. Without a promotion: all of them."
    )
    lines = [
        "",
        "- name: expire",
        f"  description: {_quoted(said)}",
        "  entrypoint: flows.operate.expire_promotions",
        "  work_pool: *cpu",
        "  schedules:",
    ]
    for zone in time_zones_of(calendars):
        slug = f"expire-{zone.lower().replace('/', '-').replace('_', '-')}"
        lines += [
            f"    - slug: {slug}",
            '      cron: "10 0 * * *"',
            f"      timezone: {zone}",
            f"      active: {_switch(active, slug)}",
        ]
    return _indented(lines)


def _switch(active: Mapping[str, bool], slug: str, *, never: bool = False) -> str:
    return "true" if active.get(slug, False) and not never else "false"


def _quoted(text: str) -> str:
    """Return a double-quoted YAML scalar on one line: JSON's quoting is YAML's."""
    return json.dumps(text, ensure_ascii=False)


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"  {line}\n" if line else "\n" for line in lines)
