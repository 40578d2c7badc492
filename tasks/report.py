"""Report: what became of every promised shot, for people (contact sheet), spreadsheets (CSV) and the Prefect UI."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from tasks.order import ProductionOrder
from tasks.runtime import Rooms, artifact_key, rooms
from zimage_core.catalogue import write_refusals_csv
from zimage_core.domain import ShotOutcome
from zimage_core.reporting import Summary, summarise, write_contact_sheet, write_report_csv


def report_folder(order: ProductionOrder, run_id: str) -> Path:
    """Return the folder with a run's contact sheet, report.csv and refusals.csv."""
    return order.settings().out_dir / "reports" / run_id


@task(name="report", task_run_name="report {run_id}")
def report(order: ProductionOrder, run_id: str) -> Path:
    """Write a run's report as it stands, show it in the Prefect UI, and return the contact sheet's path."""
    sheet, summary = write_report(order, run_id)
    create_markdown_artifact(
        markdown=summary.to_markdown(), key=artifact_key("report", order.promotion), description=f"Run {run_id}"
    )
    create_link_artifact(
        link=sheet.resolve().as_uri(), link_text="contact sheet", key=artifact_key("contact-sheet", order.promotion)
    )
    return sheet


def write_report(order: ProductionOrder, run_id: str) -> tuple[Path, Summary]:
    """Write the contact sheet, report.csv and refusals.csv of a run as it stands; return the sheet and the counts."""
    open_rooms = rooms(order)
    folder = report_folder(order, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = list(open_rooms.ledger.outcomes(run_id))
    refusals = open_rooms.ledger.refusals(run_id)
    summary = summarise(outcomes, refusals)
    sheet = write_contact_sheet(
        outcomes,
        folder / "index.html",
        title=f"{order.promotion} · {Path(order.catalogue).name if '://' not in order.catalogue else order.catalogue}",
        summary=summary,
        refusals=refusals,
        image_bytes=partial(_picture, open_rooms, order),
    )
    write_report_csv(outcomes, folder / "report.csv")
    write_refusals_csv(refusals, folder / "refusals.csv")
    return sheet, summary


@task(name="close-run", task_run_name="close {run_id}")
def close_run(order: ProductionOrder, run_id: str, failed: Sequence[str]) -> None:
    """Write down how the run ended: completed when the ledger accounts for every shot, else what is missing."""
    state = "incomplete" if failed else "completed"
    rooms(order).ledger.close_run(run_id, state=state, detail="; ".join(failed))


def _picture(rooms: Rooms, order: ProductionOrder, outcome: ShotOutcome, which: str) -> bytes | None:
    raise AttributeError(which)
