"""`zimage doctor`: what works on this machine, what is missing, and what to do about it."""

from __future__ import annotations

import json as json_
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import typer
from rich.console import Console

from zimage_core.errors import ConfigurationError, ZImageError
from zimage_core.settings import Settings, load_settings

Check = Callable[[Settings], Iterator[str]]
_SIGNS = {"ok": "[green]✓[/]", "advice": "[yellow]![/]", "failed": "[red]✗[/]"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one check said: `found` where it works, `advice` where it could be better, `cure` where it does not work."""

    check: str
    state: Literal["ok", "advice", "failed"]
    found: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    cure: str | None = None

    def sentence(self) -> str:
        """Return all of it on one line."""
        return "; ".join((*self.found, *self.advice, *((self.cure,) if self.cure else ())))


def doctor(
    only: Annotated[list[str] | None, typer.Option(help="Ask only these checks; repeatable.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object for a program to read.")] = False,
) -> None:
    """Check this machine and configuration: what works, what is missing and what to do about it."""
    checks = known_checks()
    if unknown := [name for name in only or () if name not in checks]:
        raise ConfigurationError(f"There is no check '{unknown[0]}'; the checks are {', '.join(checks)}.")
    console, settings = Console(), load_settings()
    answers: list[Answer] = []
    for name in only or checks:
        answer = ask(name, checks[name], settings)
        answers.append(answer)
        if not json:
            console.print(f"{_SIGNS[answer.state]} {name}: ", end="", highlight=False)
            console.print(answer.sentence(), markup=False, highlight=False, soft_wrap=True)
    failed = any(answer.state == "failed" for answer in answers)
    if json:
        said = {"fit": not failed, "checks": [asdict(answer) for answer in answers]}
        typer.echo(json_.dumps(said, ensure_ascii=False, indent=2))
    if failed:
        raise typer.Exit(1)


def ask(name: str, check: Check, settings: Settings) -> Answer:
    """Carry out one check; whatever it raises becomes its answer, so that the others are asked too."""
    from tasks.fitness import Advice

    said: list[str] = []
    cure = None
    try:
        said.extend(check(settings))
    except ZImageError as error:
        cure = str(error)
    except Exception as error:  # noqa: BLE001 - a check that breaks is an answer too
        cure = f"The check itself broke ({type(error).__name__}: {error}): report it with this line."
    advice = tuple(one for one in said if isinstance(one, Advice))
    found = tuple(one for one in said if not isinstance(one, Advice))
    return Answer(name, "failed" if cure else "advice" if advice else "ok", found, advice, cure)


def known_checks() -> dict[str, Check]:
    """Return the checks by name, in the order they are asked: what others rest on comes first."""
    from tasks import fitness, fitness_engine, fitness_places

    return {
        "python": fitness.check_python,
        "disk": fitness.check_disk,
        "prompts": fitness.check_prompts,
        "fonts": fitness.check_fonts,
        "reading": fitness.check_reading,
        "graphics": fitness_engine.check_graphics,
        "weights": fitness_engine.check_weights,
        "engine": fitness_engine.check_engine,
        "work store": fitness_places.check_work_store,
        "publishing": fitness_places.check_publishing,
        "ledger": fitness_places.check_ledger,
        "prefect": fitness_places.check_prefect,
        "clock": fitness_places.check_clock,
    }
