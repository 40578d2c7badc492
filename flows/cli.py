"""The `zimage` command: a thin face over the flows. Every command is one question or one order.

Heavy imports (Prefect, pixels) happen inside the commands that need them, so that `zimage --help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flows import (
    cli_comfyui,
    cli_feeds,
    cli_grade,
    cli_inspect,
    cli_lint,
    cli_look,
    cli_produce,
    cli_prompts,
    cli_release,
    cli_review,
    cli_schedule,
    cli_serve,
    cli_setup,
    cli_webhooks,
)
from flows.quiet import set_up_terminal, show_error
from zimage_core.errors import ConfigurationError, ZImageError

app = typer.Typer(
    name="zimage",
    help="Turn a product catalogue into published, graded, labelled e-commerce images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_prompts.app, name="prompts")
app.add_typer(cli_comfyui.app, name="comfyui")
app.add_typer(cli_webhooks.app, name="webhooks")
app.add_typer(cli_feeds.app, name="feed")
for commands in (
    cli_produce.COMMANDS,
    cli_review.COMMANDS,
    cli_release.COMMANDS,
    cli_schedule.COMMANDS,
    cli_grade.COMMANDS,
    cli_lint.COMMANDS,
    cli_inspect.COMMANDS,
    cli_look.COMMANDS,
    cli_serve.COMMANDS,
    cli_setup.COMMANDS,
):
    for command in commands:
        app.command(command.__name__.rstrip("_").replace("_", "-"))(command)


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's own log lines too.")] = False,
) -> None:
    """Set up logging before anything imports Prefect."""
    set_up_terminal(verbose=verbose)


def main() -> None:
    """Run the command line; an error of ours is one sentence and an exit code, never a stack trace."""
    try:
        app()
    except ZImageError as error:
        show_error(error)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
