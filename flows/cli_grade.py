"""The command `zimage grade`: any picture, judged and explained."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from zimage_core.domain import Category, Channel, SceneName
from zimage_core.errors import ConfigurationError

if TYPE_CHECKING:
    from tasks.grade_files import FileGrade, FileOrder

LETTERS = "ABC"
POOL_FROM_FILES = 8
"""From here on processes are worth their start (a second each, with the models they load)."""


def grade(
    files: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    reference: Annotated[Path | None, typer.Option(help="A photo of the true product; needs a plain backdrop.")] = None,
    expect_text: Annotated[
        list[str] | None, typer.Option(help="A text the picture must show, such as '¥199'; repeatable.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Judge for this channel: its size, background, texts.")] = None,
    category: Annotated[Category, typer.Option(help="What is sold; some limits depend on it.")] = "default",
    scene: Annotated[
        SceneName | None, typer.Option(help="What kind of picture it is; without: packshot where the channel is white.")
    ] = None,
    palette: Annotated[list[str] | None, typer.Option(help="A brand colour as #rrggbb; repeatable.")] = None,
    rubric: Annotated[Path | None, typer.Option(help="Another rubric.yaml.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON, one list.")] = False,
    annotate: Annotated[
        Path | None, typer.Option(help="Write a PNG of each picture into this folder, with what was found framed.")
    ] = None,
    worst: Annotated[
        Literal["A", "B", "C"], typer.Option(help="Exit with 1 when a picture is worse than this, or cannot be read.")
    ] = "C",
    processes: Annotated[int | None, typer.Option(min=1, help="How many at a time; without: one per CPU.")] = None,
) -> None:
    """Judge pictures as the pipeline would and explain each grade. Nothing is kept and no engine is called."""
    from tasks.grade_files import FileOrder, grade_files, pictures_of, to_json
    from zimage_core.quality.rubric import load_rubric

    order = FileOrder(
        rubric=load_rubric(rubric),
        reference=reference,
        expected_texts=tuple(expect_text or ()),
        channel=None if channel is None else _channel(channel),
        category=category,
        scene=scene,
        palette=_palette(palette or []),
        annotate=annotate,
    )
    found = pictures_of(files)
    workers = processes or (os.cpu_count() or 1 if len(found) >= POOL_FROM_FILES else 1)
    answers = _followed(grade_files(found, order, processes=workers), len(found))
    if as_json:
        typer.echo(json.dumps([to_json(answer) for answer in answers], ensure_ascii=False, indent=1))
    else:
        _print(answers, order)
    unread = any(answer.grade is None for answer in answers)
    below = any(answer.grade is not None and answer.grade.letter > worst for answer in answers)
    if unread or below:
        raise typer.Exit(1)


COMMANDS = (grade,)


def _followed(answers: Iterator[FileGrade], count: int) -> list[FileGrade]:
    """Return all answers, with a line of progress on the terminal meanwhile."""
    from rich.progress import track

    console = Console(stderr=True)
    few = count < POOL_FROM_FILES
    return list(track(answers, "Grading", total=count, console=console, transient=True, disable=few))


def _channel(slug: str) -> Channel:
    from zimage_core.publishing.channels import load_channels

    known = load_channels()
    if slug not in known:
        raise ConfigurationError(f"There is no channel '{slug}'; known: {', '.join(known)}.")
    return known[slug]


def _palette(given: list[str]) -> tuple[str, ...]:
    for colour in given:
        digits = colour.removeprefix("#")
        if len(digits) != 6 or any(one not in "0123456789abcdefABCDEF" for one in digits):
            raise ConfigurationError(f"'{colour}' is not a colour such as #d8c7b0.")
    return tuple(f"#{colour.removeprefix('#').lower()}" for colour in given)


def _print(answers: list[FileGrade], order: FileOrder) -> None:
    console = Console()
    for answer in answers:
        if answer.grade is None:
            console.print(f"\n{answer.file}: not graded", style="bold red", markup=False, highlight=False)
            console.print(f"  {answer.error}", markup=False, highlight=False, soft_wrap=True)
            continue
        judged = answer.grade
        head = f"\n{answer.file}: {judged.letter} ({judged.score:.2f}), {answer.width_px} x {answer.height_px} px"
        console.print(head, style="bold", markup=False, highlight=False, soft_wrap=True)
        for line in (*judged.reasons, *answer.notes):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
        console.print(_table(answer))
        if answer.annotated is not None:
            console.print(f"  {answer.annotated}", markup=False, highlight=False, soft_wrap=True)
    counts = [f"{sum(1 for one in answers if one.grade and one.grade.letter == letter)} {letter}" for letter in LETTERS]
    unread = sum(1 for one in answers if one.grade is None)
    counts += [f"{unread} not graded"] if unread else []
    console.print(f"\n{len(answers)} pictures: {', '.join(counts)}; rubric {order.rubric.hash}", highlight=False)


def _table(answer: FileGrade) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("  check")
    for name in ("value", "limit", "score"):
        table.add_column(name, justify="right")
    table.add_column("")
    for finding in answer.grade.findings if answer.grade is not None else ():
        if finding.state == "not_applicable":
            continue
        value = "" if finding.value is None else f"{finding.value:.4g} {finding.unit}"
        limit = "" if finding.limit is None else f"{finding.limit:.4g}"
        score = "error" if finding.score is None else f"{finding.score:.2f}"
        mark = "veto" if finding.veto else "" if finding.passed else "fails"
        style = "red" if finding.veto else None if finding.passed else "yellow"
        table.add_row(f"  {finding.check.replace('_', ' ')}", value, limit, score, mark, style=style)
    return table
