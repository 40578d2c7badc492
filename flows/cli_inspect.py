"""The command `zimage inspect`: what any picture file says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from zimage_core.errors import ImageError


def inspect(
    files: Annotated[list[Path], typer.Argument(help="Pictures, ours or anybody's.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON, one list.")] = False,
) -> None:
    """Print what a file carries: format, profile, AI labels and what they mean, content credential, what is missing.

    Exits with 1 when a file cannot be read; a file without labels is no error.
    """
    from zimage_core.publishing.inspection import inspect_file, lines_of

    console, answers, unread = Console(), [], 0
    for file in files:
        try:
            told = inspect_file(file)
        except ImageError as error:
            unread += 1
            answers.append({"file": str(file), "error": error.sentence})
            if not as_json:
                console.print(f"{file}: unreadable", style="bold red", markup=False, highlight=False, soft_wrap=True)
                console.print(f"  {error.sentence}", markup=False, highlight=False, soft_wrap=True)
            continue
        answers.append(told.to_json())
        if not as_json:
            for line in lines_of(told):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(answers, ensure_ascii=False, indent=1))
    if unread:
        raise typer.Exit(1)


COMMANDS = (inspect,)
