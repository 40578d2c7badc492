"""Commands that only look: status, report, metrics, doctor."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from flows.cli_doctor import doctor
from flows.cli_order import OutOption, WorkOption

RunArgument = Annotated[str | None, typer.Argument(help="A run's id; none = the latest.")]


def status(
    run_id: RunArgument = None,
    limit: Annotated[int, typer.Option(min=1, help="How many runs to list.")] = 10,
    work_dir: WorkOption = None,
) -> None:
    """List the latest runs with their counts; with a run's id, where each of its shots stands."""
    from tasks.runs import run_rows, shot_lines
    from tasks.runtime import opened_rooms

    console = Console()
    with opened_rooms():
        if run_id is not None:
            for line in shot_lines(run_id, work_dir):
                console.print(line, soft_wrap=True, markup=False, highlight=False)
            return
        for row in run_rows(work_dir, limit):
            counts = row.counts
            console.print(
                f"{row.run.run_id}  {row.state}  opened {row.opened_at:%Y-%m-%d %H:%M} UTC  {counts.promised} shots: "
                f"{counts.accepted} accepted, {counts.doubtful} doubtful, {counts.given_up} given up, "
                f"{counts.failed} failed, {counts.pending} pending",
                soft_wrap=True,
                highlight=False,
            )


def report(run_id: RunArgument = None, work_dir: WorkOption = None, out_dir: OutOption = None) -> None:
    """Write the contact sheet and report.csv of a run again, as it stands now."""
    from tasks.report import write_report
    from tasks.runs import order_of
    from tasks.runtime import opened_rooms

    with opened_rooms():
        order, known = order_of(run_id, work_dir, out_dir)
        sheet, summary = write_report(order, known)
    Console().print(summary.to_markdown(), markup=False, highlight=False)
    Console().print(f"Contact sheet: {sheet}", soft_wrap=True, highlight=False)


def metrics(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Answer Prometheus there until stopped.")] = None,
    host: Annotated[str, typer.Option(help="The address to answer on.")] = "127.0.0.1",
    limit: Annotated[int, typer.Option(min=1, help="How many of the latest runs.")] = 20,
    work_dir: WorkOption = None,
) -> None:
    """Tell Prometheus how the latest runs stand, from the ledger; without a port, once on standard output."""
    from tasks.metrics import ledger_metrics
    from tasks.runtime import opened_rooms
    from zimage_core.reporting.metrics import answer_prometheus, exposition

    with opened_rooms():
        if port is None:
            typer.echo(exposition(ledger_metrics(work_dir, limit)), nl=False)
            return
        answering = answer_prometheus(host, port, lambda: ledger_metrics(work_dir, limit))
        Console().print(f"http://{host}:{port}/metrics answers for the latest {limit} runs.", highlight=False)
        answering.join()


COMMANDS = (status, report, metrics, doctor)
