"""Commands that make something: demo, run, plan, publish, regrade."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from flows.cli_order import Chosen, OutOption, WorkOption, order_from, takes_an_order, valid
from flows.cli_release import AlthoughOverOption
from zimage_core import clock
from zimage_core.settings import load_publish_settings, load_settings

if TYPE_CHECKING:
    from tasks.order import ProductionOrder

DEMO_PROMOTION = "618"

RunArgument = Annotated[str | None, typer.Argument(help="A run's id; none = the latest.")]


HoldOption = Annotated[bool, typer.Option("--hold", help="Prepare the release; `zimage go-live` makes it live.")]
GoLiveOption = Annotated[str | None, typer.Option(help="Hold the release until then: 2027-06-01T00:00+08:00.")]


@takes_an_order
def run(
    fields: Chosen,
    publish: Annotated[bool, typer.Option(help="Release what is accepted.")] = True,
    hold: HoldOption = False,
    go_live_at: GoLiveOption = None,
) -> None:
    """Make, grade and publish the images of a catalogue. The same command again continues where it stopped."""
    _produce(order_from(fields, publish=publish, hold=hold, go_live_at=go_live_at))


def demo(work_dir: WorkOption = None, out_dir: OutOption = None) -> None:
    """Run everything on the example catalogue, on this computer's CPU, and say where to look."""
    catalogue = load_settings().examples_dir / "catalogue.csv"
    _produce(
        order_from({"catalogue": str(catalogue), "promotion": DEMO_PROMOTION, "work_dir": work_dir, "out_dir": out_dir})
    )


@takes_an_order
def plan(fields: Chosen) -> None:
    """Say what a run would make, how long it would take and cost, and what it would refuse. Nothing is spent."""
    from flows.plan import dry_run
    from tasks.runtime import opened_rooms

    order = order_from(fields)
    with opened_rooms():
        dry_run(order, Console())


def publish(
    run_id: RunArgument = None,
    partial: Annotated[bool, typer.Option(help="Although some shots failed: release what is accepted.")] = False,
    hold: HoldOption = False,
    go_live_at: GoLiveOption = None,
    although_over: AlthoughOverOption = False,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """Release what is accepted now, for instance after people have decided; then write the report again."""
    with _flows():
        from flows.operate import PublishRequest, publish_run

        asked = {"run_id": run_id, "partial": partial, "hold": hold, "go_live_at": go_live_at}
        folders = {"work_dir": work_dir, "out_dir": out_dir}
        published = publish_run(valid(PublishRequest, {**asked, **folders, "although_over": although_over}))
    console = Console()
    if published.release is None:
        console.print("Nothing is accepted yet, so nothing was released.")
    _say_where_to_look(published.order, published.run_id, console)


def regrade(
    rubric: Annotated[Path, typer.Argument(help="The rubric.yaml to judge by.")],
    run_id: RunArgument = None,
    work_dir: WorkOption = None,
    out_dir: OutOption = None,
) -> None:
    """Judge the kept images of a run by another rubric and print what would change. No engine is called."""
    with _flows():
        from flows.regrade import regrade as regrade_flow
        from tasks.runs import order_of

        order, known = order_of(run_id, work_dir, out_dir)
        for line in regrade_flow(order, known, rubric.resolve()):
            Console().print(line, highlight=False)


COMMANDS = (demo, run, plan, publish, regrade)


# ---------------------------------------------------------------- behind the commands


@contextmanager
def _flows() -> Iterator[None]:
    """Say that Prefect is starting (its first import and server take seconds), and close what was opened."""
    Console(stderr=True).print("[dim]Starting Prefect …[/]")
    from tasks.runtime import opened_rooms

    with opened_rooms():
        yield


def _produce(order: ProductionOrder) -> None:
    console = Console()
    with _flows():
        from flows.produce import produce
        from flows.progress import progress
        from tasks.runs import tally_of_newest

        with progress(console, tally_of_newest(order)):
            ended = produce(order, return_state=True)
        run_id = ended.result()
        if run_id is None:
            console.print(ended.message or "There was nothing to do.", markup=False, highlight=False, soft_wrap=True)
        else:
            _say_where_to_look(order, run_id, console)


def _say_where_to_look(order: ProductionOrder, run_id: str, console: Console) -> None:
    """Print where the images and the report are, and what a person has to do next."""
    from tasks.report import report_folder
    from tasks.runs import tally_of

    tally, settings = tally_of(order, run_id), order.settings()
    folder, local = report_folder(order, run_id).resolve(), settings.out_dir.resolve() / "cdn"
    images = load_publish_settings().to or (local if local.is_dir() else "none: nothing was accepted")
    lines = [
        f"Run {run_id}: {tally.accepted} accepted, {tally.doubtful} doubtful, {tally.given_up} given up.",
        f"Images         {images}",
        f"Contact sheet  {folder / 'index.html'}",
        f"Report         {folder / 'report.csv'}",
        f"Refused rows   {folder / 'refusals.csv'}",
    ]
    if tally.doubtful:
        lines.append(
            f"{tally.doubtful} images wait for a person: mark them on the contact sheet, export, then "
            "`zimage decide decisions.csv` and `zimage publish`."
        )
    if order.publish and tally.accepted and order.held(clock.now()):
        due = (
            f"from {order.go_live_at:%Y-%m-%d %H:%M %z} on"
            if order.go_live_at and not order.hold
            else "when you say so"
        )
        lines.append(f"The release is prepared and held: `zimage go-live {order.promotion}` makes it live, {due}.")
    for line in lines:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
