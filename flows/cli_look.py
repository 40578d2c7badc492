"""Commands that only look: status, report, doctor."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.console import Console

from flows.cli_order import OutOption, WorkOption
from zimage_core.errors import ZImageError
from zimage_core.settings import Settings, load_settings

RunArgument = Annotated[str | None, typer.Argument(help="A run's id; none = the latest.")]

MIN_FREE_GIB = 2.0
"""About 1,500 shots with their layers and renditions (1.4 MB each as measured on the examples)."""


def status(
    run_id: RunArgument = None,
    limit: Annotated[int, typer.Option(min=1, help="How many runs to list.")] = 10,
    work_dir: WorkOption = None,
) -> None:
    """List the latest runs with their counts; with a run's id, where each of its shots stands."""
    from tasks.runs import run_rows, shot_lines
    from tasks.runtime import opened_rooms

    console = Console()
    with opened_rooms():
        if run_id is not None:
            for line in shot_lines(run_id, work_dir):
                console.print(line, soft_wrap=True, markup=False, highlight=False)
            return
        for row in run_rows(work_dir, limit):
            counts = row.counts
            console.print(
                f"{row.run.run_id}  {row.state}  opened {row.opened_at:%Y-%m-%d %H:%M} UTC  {counts.promised} shots: "
                f"{counts.accepted} accepted, {counts.doubtful} doubtful, {counts.given_up} given up, "
                f"{counts.failed} failed, {counts.pending} pending",
                soft_wrap=True,
                highlight=False,
            )


def report(run_id: RunArgument = None, work_dir: WorkOption = None, out_dir: OutOption = None) -> None:
    """Write the contact sheet and report.csv of a run again, as it stands now."""
    from tasks.report import write_report
    from tasks.runs import order_of
    from tasks.runtime import opened_rooms

    with opened_rooms():
        order, known = order_of(run_id, work_dir, out_dir)
        sheet, summary = write_report(order, known)
    Console().print(summary.to_markdown(), markup=False, highlight=False)
    Console().print(f"Contact sheet: {sheet}", soft_wrap=True, highlight=False)


def doctor() -> None:
    """Check this machine and configuration: what works, what is missing and what to do about it."""
    console, failed = Console(), 0
    for name, check in CHECKS.items():
        try:
            said = "; ".join(check(load_settings()))
        except (ZImageError, OSError, ImportError) as error:
            failed += 1
            console.print(f"[red]✗[/] {name}: ", end="")
            console.print(str(error), markup=False, highlight=False)
        else:
            console.print(f"[green]✓[/] {name}: {said}", highlight=False)
    if failed:
        raise typer.Exit(1)


COMMANDS = (status, report, doctor)


# ---------------------------------------------------------------- what the doctor looks at


def _python(settings: Settings) -> Iterator[str]:
    yield sys.version.split()[0]


def _folders(settings: Settings) -> Iterator[str]:
    for folder in (settings.work_dir, settings.out_dir):
        folder.mkdir(parents=True, exist_ok=True)
        free_gib = shutil.disk_usage(folder).free / 2**30
        if free_gib < MIN_FREE_GIB:
            raise OSError(f"{folder} has {free_gib:.1f} GiB free; a run needs {MIN_FREE_GIB:.0f} GiB or more")
        yield f"{folder} ({free_gib:.0f} GiB free)"


def _prompts(settings: Settings) -> Iterator[str]:
    from zimage_core.errors import PromptError
    from zimage_core.prompting import PromptLibrary

    library = PromptLibrary.load(settings.prompts_dir)
    errors = [problem for problem in library.lint() if problem.severity == "error"]
    if errors:
        raise PromptError(f"{len(errors)} errors under {settings.prompts_dir}; run `zimage prompts lint`.")
    yield f"{len(library.scene_names)} scenes, {len(library.promotion_slugs)} promotions"


def _fonts(settings: Settings) -> Iterator[str]:
    from zimage_core.imaging.fonts import find_font

    yield from (find_font(family, bold=True).name for family in ("sans", "serif"))


def _ocr(settings: Settings) -> Iterator[str]:
    from zimage_core.quality.self_test import prove_readers

    yield prove_readers()


def _publishing(settings: Settings) -> Iterator[str]:
    from tasks.releases import publishing_lines
    from tasks.runtime import opened_rooms

    with opened_rooms():
        yield from publishing_lines()


def _engine(settings: Settings) -> Iterator[str]:
    from zimage_core.engines.registry import create_engine, known_engines, usable_devices

    engine = create_engine(settings.engine, settings.engine_options)
    try:
        info = engine.info
        yield f"{info.name} makes {', '.join(info.modes)}; about {info.seconds_per_image:.2f} s an image"
    finally:
        engine.close()
    if devices := usable_devices(settings.engine, settings.engine_options):
        yield f"one process on each of {', '.join(devices)}" if len(devices) > 1 else f"on {devices[0]}"
    yield f"known: {', '.join(sorted(known_engines()))}"


def _ledger(settings: Settings) -> Iterator[str]:
    from sqlalchemy import make_url

    from zimage_core.ledger import Ledger

    with Ledger.open(settings.resolved_ledger_url()) as ledger:
        yield f"{make_url(settings.resolved_ledger_url()).render_as_string()}, {len(ledger.runs(limit=100))} runs"


def _prefect(settings: Settings) -> Iterator[str]:
    import prefect
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    yield f"{prefect.__version__}, " + (f"server {url}" if url else "no server configured: each run starts its own")


CHECKS: dict[str, Callable[[Settings], Iterator[str]]] = {
    "Python": _python,
    "Folders": _folders,
    "Prompts": _prompts,
    "Fonts": _fonts,
    "Reading text": _ocr,
    "Engine": _engine,
    "Publishing": _publishing,
    "Ledger": _ledger,
    "Prefect": _prefect,
}
