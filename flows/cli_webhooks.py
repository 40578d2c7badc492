"""Commands on webhooks: what receivers were told, sending what is due, sending again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from flows.cli_order import OutOption, WorkOption

app = typer.Typer(help="See, send and send again what receivers are told of releases.", no_args_is_help=True)


@app.command(name="list")
def list_(
    state: Annotated[str | None, typer.Option(help="Only waiting, delivered, dead or gone.")] = None,
    release: Annotated[str | None, typer.Option(help="Only of this release.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to list.")] = 50,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """List webhooks, the newest first: id, state, tries, receiver, when the next try is due, and why."""
    from tasks.notify import delivery_lines
    from tasks.order import ProductionOrder
    from tasks.runtime import opened_rooms

    console = Console(markup=False, highlight=False, soft_wrap=True)
    with opened_rooms():
        lines = delivery_lines(
            ProductionOrder(catalogue="-", work_dir=work_dir, out_dir=out_dir), state, release, limit
        )
    for line in lines:
        console.print(line)
    if not lines:
        console.print("There are no such webhooks.")


@app.command()
def send(
    wait: Annotated[float, typer.Option(min=0, help="Go on for so many seconds with what becomes due.")] = 30.0,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """Send what is due; exit with 1 when a try failed. To be run every few minutes, by a timer, for the retries."""
    from tasks.notify import send_due
    from tasks.order import ProductionOrder
    from tasks.runtime import opened_rooms

    with opened_rooms():
        done = send_due(ProductionOrder(catalogue="-", work_dir=work_dir, out_dir=out_dir), wait)
    Console(highlight=False).print(f"{done.delivered} delivered, {done.failed} tries failed.")
    if done.failed:
        raise typer.Exit(1)


@app.command()
def replay(
    events: Annotated[list[str] | None, typer.Argument(help="Ids of webhooks, as `list` shows them.")] = None,
    release: Annotated[str | None, typer.Option(help="All webhooks of this release.")] = None,
    dead: Annotated[
        bool, typer.Option("--dead", help="Only dead letters, and those of receivers that were gone.")
    ] = False,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """Make webhooks due again, under the same ids, from the first try; `send` or the next run sends them."""
    from tasks.notify import replay as replay_
    from tasks.order import ProductionOrder
    from tasks.runtime import opened_rooms

    with opened_rooms():
        order = ProductionOrder(catalogue="-", work_dir=work_dir, out_dir=out_dir)
        count = replay_(order, tuple(events or ()), release, dead=dead)
    Console(highlight=False).print(f"{count} webhooks are due again; `zimage webhooks send` sends them.")
