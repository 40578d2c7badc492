"""`zimage schedule`: when production opens and ends, and the schedules in prefect.yaml that follow from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from zimage_core import clock
from zimage_core.errors import ConfigurationError
from zimage_core.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zimage_core.planning.schedule import PromotionCalendar

FileArgument = Annotated[Path, typer.Argument(help="The file that schedules are written into.")]


def schedule(
    file: FileArgument = Path("prefect.yaml"),
    write: Annotated[bool, typer.Option("--write", help="Write the schedules of all promotions into it.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail when it says anything else than promotions do.")] = False,
) -> None:
    """Say when each promotion's production opens and ends, and what comes next; --write puts it into prefect.yaml."""
    from zimage_core.planning.schedule import calendars_of
    from zimage_core.prompting import PromptLibrary

    if write and check:
        raise ConfigurationError("--write and --check exclude each other: the one writes, the other only looks.")
    calendars = calendars_of(PromptLibrary.load(load_settings().prompts_dir))
    if write or check:
        _written(file, calendars, only_check=check)
        return
    for calendar in calendars:
        _say(*_lines(calendar))


COMMANDS = (schedule,)


def _written(file: Path, calendars: Sequence[PromotionCalendar], *, only_check: bool) -> None:
    """Write the block of schedules, or fail where it is not what would be written."""
    from flows.schedule_block import read_prefect_file, with_schedules

    text = read_prefect_file(file)
    wanted = with_schedules(text, calendars, clock.now(), file)
    if wanted == text:
        _say(f"{file} says what the promotions say.")
        return
    if only_check:
        _say(
            f"{file} is out of date: the promotions have changed since its schedules were written, or one is over. "
            f"`zimage schedule {file} --write` writes them, then `prefect deploy --all --no-prompt`."
        )
        raise typer.Exit(1)
    file.write_text(wanted, "utf-8", newline="")
    _say(f"Wrote the schedules of {len(calendars)} promotions into {file}; next: `prefect deploy --all --no-prompt`.")


def _lines(calendar: PromotionCalendar) -> list[str]:
    from zimage_core.planning.schedule import moment_words

    now = clock.now()
    coming = calendar.next_run(now)
    dates = [("starts", calendar.starts_at), ("ends", calendar.ends_at)]
    if calendar.is_made_ahead:
        dates = [("opens", calendar.opens_at), ("deadline", calendar.deadline_at), *dates]
    return [
        f"{calendar.slug}  {calendar.name}, {calendar.time_zone}",
        *(f"  {name:<9} {moment_words(at)}" for name, at in dates),
        *([f"  {'next run':<9} {moment_words(coming)}"] if coming and not calendar.is_over(now) else []),
        f"  {calendar.in_words(now)}",
    ]


def _say(*lines: str) -> None:
    for line in lines:
        Console().print(line, soft_wrap=True, markup=False, highlight=False)
