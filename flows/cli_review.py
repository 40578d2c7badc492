"""Commands for the people who decide: decide, review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli_order import OutOption, WorkOption


def decide(
    decisions: Annotated[Path, typer.Argument(help="The decisions.csv that the contact sheet exports.")],
    who: Annotated[str | None, typer.Option(help="Who decided, where the file does not say.")] = None,
    skip_stale: Annotated[
        bool, typer.Option("--skip-stale", help="Apply the other lines where something changed since a line was made.")
    ] = False,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """Record people's decisions; lines about what has changed since are refused, and with them the file."""
    from tasks.review import record_decisions
    from tasks.runtime import opened_rooms

    with opened_rooms():
        judged = record_decisions(decisions, who, work_dir, out_dir, skip_stale=skip_stale)
    said = ", ".join(f"{count} × {kind}" for kind, count in sorted(judged.kinds.items())) or "nothing new"
    lines = [f"Recorded: {said}."]
    if judged.recorded:
        lines.append(f"{judged.recorded} lines were recorded before.")
    if judged.undecided:
        lines.append(f"{judged.undecided} lines decide nothing.")
    if judged.refused:
        lines += [f"Left out as stale, {len(judged.refused)} lines:", *(f"  {one}" for one in judged.refused)]
    if judged.unsure:
        lines.append(
            f"{judged.unsure} lines do not say what the person saw (no column seen): that the picture still stands "
            "there was checked, that nobody judged or decided it since was not."
        )
    if judged.kinds["regenerate"]:
        lines.append("Next: run again for the images asked for anew; that publishes too.")
    elif judged.kinds:
        lines.append("Next: `zimage publish`.")
    _say(lines)


COMMANDS = (decide,)


# ---------------------------------------------------------------- behind the commands


def _say(lines: list[str]) -> None:
    console = Console()
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
