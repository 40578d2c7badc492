"""`zimage setup`: make the configured Prefect server ready for `prefect deploy`, and say how workers are started."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from zimage_core.errors import ConfigurationError
from zimage_core.settings import Settings, load_settings


def setup(
    gpus: Annotated[
        int | None,
        typer.Option(min=1, help="GPUs of all machines together: so many shards at a time. None = as it is."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Make the work pools, queues and automations on the Prefect server; then say how workers are started."""
    Console(stderr=True).print("[dim]Starting Prefect …[/]")
    from flows.server_setup import server_url, set_up_server, worker_lines

    settings, url = load_settings(), server_url()
    here = _devices(settings)
    _say(f"Prefect server {url}" + (": nothing is changed, this is what would be done." if dry_run else ""))
    _say(*(f"{step.outcome}: {step.sentence}" for step in set_up_server(gpus, here, dry_run=dry_run)))
    _say(*_automations(dry_run=dry_run))
    _say(
        "",
        "Next, in the folder with prefect.yaml: `prefect deploy --all --no-prompt`. Then start workers, each in a "
        "terminal or a service of its own; number the GPUs anew on every machine:",
    )
    home = shlex.quote(str((settings.home or Path()).resolve()))
    for purpose, line in worker_lines(url, home, gpus or here, _prefect()):
        _say(f"# {purpose}", line)


COMMANDS = (setup,)


def _devices(settings: Settings) -> int:
    """Return how many devices the configured engine finds on this machine; a server often has none."""
    from zimage_core.engines.registry import usable_devices

    try:
        return len(settings.engine_devices or usable_devices(settings.engine, settings.engine_options))
    except ConfigurationError:  # the engine's packages are installed where its workers are, not here
        return 0


def _automations(*, dry_run: bool) -> list[str]:
    from tasks.alerts import apply_automations, read_automations
    from zimage_core.settings import load_seeing_settings

    if dry_run:
        found = read_automations(load_seeing_settings().automations_dir)
        return [f"would apply: automation '{automation.name}'" for automation, _ in found]
    return apply_automations().sentences()


def _prefect() -> str:
    """Return how the `prefect` of this environment is called from a shell."""
    beside = Path(sys.executable).with_name("prefect")
    return "prefect" if shutil.which("prefect") == str(beside) or not beside.exists() else shlex.quote(str(beside))


def _say(*lines: str) -> None:
    for line in lines:
        Console().print(line, soft_wrap=True, markup=False, highlight=False)
