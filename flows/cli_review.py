"""Commands for the people who decide: decide, review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.cli_order import OutOption, WorkOption
from zimage_core.errors import ConfigurationError


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
        lines.append(f"Recorded before: {_lines(judged.recorded)}.")
    if judged.undecided:
        lines.append(f"Without a decision: {_lines(judged.undecided)}.")
    if judged.refused:
        lines += [f"Left out as stale: {_lines(len(judged.refused))}.", *(f"  {one}" for one in judged.refused)]
    if judged.unsure:
        lines.append(
            f"Without the column seen: {_lines(judged.unsure)}. That the picture still stands there was checked; that "
            "nobody judged or decided it since was not."
        )
    if judged.kinds["regenerate"]:
        lines.append("Next: run again for the images asked for anew; that publishes too.")
    elif judged.kinds:
        lines.append("Next: `zimage publish`.")
    _say(lines)


def review(
    run_id: Annotated[str | None, typer.Argument(help="A run's id; none = list what waits for a person.")] = None,
    approve_from: Annotated[
        float | None, typer.Option(min=0, max=1, help="Approve every doubtful picture with at least this score.")
    ] = None,
    reject: Annotated[list[str] | None, typer.Option(help="'SKU: reason' or 'attempt id: reason'; repeatable.")] = None,
    decisions: Annotated[Path | None, typer.Option(help="A decisions.csv of the contact sheet.")] = None,
    who: Annotated[str | None, typer.Option(help="Who decides.")] = None,
    note: Annotated[str, typer.Option(help="Kept with what is approved by its score.")] = "",
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """List the reviews of the latest runs, or answer a run's: its suspended flow goes on, else it is recorded here."""
    from tasks.runtime import opened_rooms

    with opened_rooms():
        if run_id is None and approve_from is None and not reject and decisions is None:
            from flows.reviews import review_lines

            _say(review_lines(work_dir, out_dir))
            return
        from flows.reviews import answer_review
        from tasks.review import text_of

        fields = {
            "who": who or "",
            "approve_from": approve_from,
            "reject": [_rejection(one) for one in reject or ()],
            "decisions_file": text_of(decisions) if decisions is not None else None,
            "note": note,
        }
        _say(answer_review(run_id, fields, work_dir, out_dir))


COMMANDS = (decide, review)


# ---------------------------------------------------------------- behind the commands


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def _rejection(text: str) -> dict[str, str]:
    what, colon, why = text.partition(":")
    if not (what.strip() and colon and why.strip()):
        raise ConfigurationError(f"--reject '{text}' should read 'SKU: reason', as in 'MUG-1: crooked'.")
    return {"what": what.strip(), "why": why.strip()}


def _say(lines: list[str]) -> None:
    console = Console()
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
