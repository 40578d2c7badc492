"""The command `zimage lint`: any image files, held against a channel's rules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from zimage_core.errors import ConfigurationError

if TYPE_CHECKING:
    from zimage_core.domain import Channel
    from zimage_core.publishing.disclosure import Making
    from zimage_core.publishing.lint import BrokenRule

PICTURES = (
    ".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp", ".heic", ".heif", ".psd", ".svg",
    ".jxl",
)  # fmt: skip
"""What is taken from a folder: also kinds of pictures that no channel takes, so that they are named."""
PROGRESS_FROM_FILES = 20
_MAX_FILE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Linted:
    """One file's answer. `error` says why it could not be read from the disk."""

    file: Path
    broken: tuple[BrokenRule, ...] = ()
    error: str | None = None

    @property
    def fits(self) -> bool:
        return not self.broken and self.error is None


def lint(
    files: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    channel: Annotated[str, typer.Option(help="The channel whose rules they are held against, such as amazon_main.")],
    channels: Annotated[
        Path | None,
        typer.Option(help="Channels of your own, beside the shipped ones; without: those that ZIMAGE_CHANNELS names."),
    ] = None,
    made: Annotated[
        str | None,
        typer.Option(
            help="How the pictures were made, for the labels they need: photo, composite, drawn, ai_composite, "
            "generated or synthetic_person; without: they are held to what they say of themselves."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON, one list.")] = False,
) -> None:
    """Check any image files against a channel: each broken rule with what was found, the limit, its source and date."""
    from zimage_core import clock
    from zimage_core.publishing.channels import channel_named
    from zimage_core.settings import load_settings

    wanted = channel_named(channel, channels or load_settings().channels)
    making, today = _making(made), clock.now().date()
    answers = [_lint(file, wanted, making, today) for file in _followed(_files_of(files))]
    if as_json:
        typer.echo(json.dumps([_plain(answer, wanted) for answer in answers], ensure_ascii=False, indent=1))
    else:
        _print(answers, wanted)
    if not all(answer.fits for answer in answers):
        raise typer.Exit(1)


COMMANDS = (lint,)


def _making(made: str | None) -> Making | None:
    from typing import get_args

    from zimage_core.publishing.disclosure import Making

    known: tuple[Making, ...] = get_args(Making)
    for making in known:
        if making == made:
            return making
    if made is not None:
        raise ConfigurationError(f"'{made}' is no way to make a picture; known: {', '.join(known)}.")
    return None


def _files_of(paths: Sequence[Path]) -> list[Path]:
    """Return the files that these paths mean: a folder stands for the pictures in it and below, by name."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigurationError(f"There is no file {path}.")
        if not path.is_dir():
            files.append(path)
            continue
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in PICTURES and one.is_file())
        if not found:
            raise ConfigurationError(f"The folder {path} holds no pictures ({', '.join(PICTURES)}).")
        files += found
    return list(dict.fromkeys(files))


def _followed(files: list[Path]) -> Any:
    """Yield the files, with a line of progress on the terminal where there are many."""
    from rich.progress import track

    few = len(files) < PROGRESS_FROM_FILES
    return track(files, "Checking", console=Console(stderr=True), transient=True, disable=few)


def _lint(file: Path, channel: Channel, making: Making | None, today: date) -> _Linted:
    from zimage_core.publishing.lint import broken_rules

    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            return _Linted(file, error=f"It is larger than {_MAX_FILE_BYTES >> 20} MiB and was not read.")
        data = file.read_bytes()
    except OSError as error:
        return _Linted(file, error=f"It cannot be read: {error.strerror or error}.")
    return _Linted(file, broken_rules(data, channel, name=file.name, making=making, on=today))


def _plain(answer: _Linted, channel: Channel) -> dict[str, Any]:
    broken = [{**asdict(rule), "verified_on": rule.verified_on.isoformat()} for rule in answer.broken]
    return {
        "file": str(answer.file),
        "channel": channel.slug,
        "fits": answer.fits,
        "error": answer.error,
        "broken": broken,
    }


def _print(answers: Sequence[_Linted], channel: Channel) -> None:
    console = Console()
    for answer in answers:
        if answer.fits:
            console.print(f"{answer.file}: fits", style="green", markup=False, highlight=False, soft_wrap=True)
            continue
        console.print(f"{answer.file}:", style="bold red", markup=False, highlight=False, soft_wrap=True)
        if answer.error is not None:
            console.print(f"  {answer.error}", markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(_table(answer.broken))
    broken = Counter(rule.code for answer in answers for rule in answer.broken)
    broken.update("not read" for answer in answers if answer.error is not None)
    fitting = sum(answer.fits for answer in answers)
    counts = "".join(f"; {count} {code.replace('_', ' ')}" for code, count in broken.most_common())
    line = f"{fitting} of {len(answers)} files fit {channel.slug}{counts}"
    console.print(line, style="bold", markup=False, highlight=False, soft_wrap=True)


def _table(broken: Sequence[BrokenRule]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("  rule", "what is wrong", "whose rule, as of"):
        table.add_column(title, overflow="fold")
    for rule in broken:
        cells = (f"  {rule.code.replace('_', ' ')}", rule.sentence, f"{rule.source} ({rule.verified_on})")
        table.add_row(*(cell.replace("[", r"\[") for cell in cells))
    return table
