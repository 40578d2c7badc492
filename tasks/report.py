"""Report: what became of every promised shot, for people (contact sheet), spreadsheets (CSV) and the Prefect UI."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tasks.alike import same_backdrops
from tasks.deadline import limits_told
from tasks.layers import cutout_of, finish
from tasks.metrics import tell_end
from tasks.moderate import moderation_counts
from tasks.order import ProductionOrder
from tasks.runtime import Rooms, artifact_key, photo_root, rooms
from zimage_core.catalogue import write_refusals_csv
from zimage_core.domain import Attempt, Refusal, Rendition, ShotOutcome, content_id
from zimage_core.errors import ImageError, StorageError
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import encode_png
from zimage_core.publishing.manifest import public_file_url
from zimage_core.reporting import Summary, summarise, write_contact_sheet, write_report_csv
from zimage_core.storage import LONGEST_PRESIGNED_S, sweep

log = logging.getLogger("zimage_core.tasks")

SHEET, TABLE, REFUSALS = "index.html", "report.csv", "refusals.csv"


def report_folder(order: ProductionOrder, run_id: str) -> Path:
    """Return the folder with a run's contact sheet, report.csv and refusals.csv."""
    return order.settings().out_dir / "reports" / run_id


@task(name="report", task_run_name="report {run_id}")
def report(order: ProductionOrder, run_id: str) -> Path:
    """Write a run's report as it stands, show it in the Prefect UI, and return the contact sheet's path.

    In the UI: the summary, grades and costs by scene as a table, a link to the contact sheet. The release's manifest is
    linked when it is published.
    """
    sheet, summary = write_report(order, run_id)
    of_run = f"Run {run_id}"
    create_markdown_artifact(
        markdown=summary.to_markdown(), key=artifact_key("report", order.promotion), description=of_run
    )
    create_table_artifact(
        table=[scene.row() for scene in summary.grades],
        key=artifact_key("grades", order.promotion),
        description=f"{of_run}: grades and costs by scene",
    )
    create_link_artifact(
        link=sheet.resolve().as_uri(), link_text="contact sheet", key=artifact_key("contact-sheet", order.promotion)
    )
    return sheet


@task(name="close-run", task_run_name="close {run_id}")
def close_run(order: ProductionOrder, run_id: str, failed: Sequence[str]) -> None:
    """Write down how the run ended: completed when the ledger accounts for every shot, else what is missing."""
    state = "incomplete" if failed else "completed"
    rooms(order).ledger.close_run(run_id, state=state, detail="; ".join(failed))
    tell_end(order, run_id, failed)


def write_report(order: ProductionOrder, run_id: str) -> tuple[Path, Summary]:
    """Write the contact sheet, report.csv and refusals.csv of a run as it stands; return the sheet and the counts.

    Where nothing has changed since they were written they are left as they are: pictures are what takes time here.
    """
    open_rooms = rooms(order)
    outcomes = list(open_rooms.ledger.outcomes(run_id))
    refusals = _in_order(open_rooms.ledger.refusals(run_id))
    moderation = moderation_counts(order, run_id)
    of_the_run = [*limits_told(order, run_id), *same_backdrops(open_rooms, run_id)]
    summary = summarise(outcomes, refusals, moderation, of_the_run)
    folder = report_folder(order, run_id)
    state = _state_of(outcomes, refusals).encode()
    kept = f"reports/{run_id}.txt"
    written = all((folder / name).is_file() for name in (SHEET, TABLE, REFUSALS))
    if written and open_rooms.work.exists(kept) and open_rooms.work.get(kept) == state:
        return folder / SHEET, summary
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)

    def picture(outcome: ShotOutcome, attempt: Attempt | None) -> bytes | None:
        return _picture(open_rooms, order, outcome, attempt)

    def link(rendition: Rendition) -> str:
        return _link(open_rooms, rendition.object_key, folder)

    title = f"{order.promotion} · {order.catalogue_name}"
    write_contact_sheet(
        outcomes, folder / SHEET, title=title, summary=summary, refusals=refusals, picture=picture, link=link
    )
    write_report_csv(outcomes, folder / TABLE)
    write_refusals_csv(refusals, folder / REFUSALS)
    open_rooms.work.replace(kept, state, content_type="text/plain")
    return folder / SHEET, summary


def _link(open_rooms: Rooms, key: str, folder: Path) -> str:
    """Return where a published file is seen from the report: on the disk beside it, by its public URL, or by a URL that
    lets whoever has the report read this one object of a closed bucket for a week.
    """
    publishing = open_rooms.publishing
    if publishing.to is None:
        return quote(os.path.relpath(open_rooms.settings.out_dir / "cdn" / key, folder))
    if publishing.public_url is not None:
        return public_file_url(publishing.public_url, key)
    return open_rooms.cdn.presigned_url(key, LONGEST_PRESIGNED_S)


def _in_order(refusals: Sequence[Refusal]) -> list[Refusal]:
    """Return refusals as they came, but those of publishing, whose batches are made side by side, by SKU at the end."""

    def place(refusal: Refusal) -> tuple[str, ...]:
        return (refusal.sku or "", refusal.field or "", refusal.reason) if refusal.stage == "publish" else ()

    return sorted(refusals, key=lambda refusal: (refusal.stage == "publish", place(refusal)))


def _state_of(outcomes: Sequence[ShotOutcome], refusals: Sequence[Refusal]) -> str:
    """Return a key of all that the report shows; pictures are named by their content, so ids are enough."""
    return content_id(
        [
            (
                outcome.promise.shot.shot_id,
                outcome.promise.product,
                outcome.state,
                outcome.reason,
                [grade.grade_id for grade in outcome.grades],
                [rendition.rendition_id for rendition in outcome.renditions],
            )
            for outcome in outcomes
        ],
        refusals,
    )


def _picture(rooms: Rooms, order: ProductionOrder, outcome: ShotOutcome, attempt: Attempt | None) -> bytes | None:
    """Return the finished picture of an attempt, or the reference photo for none; None where there is neither.

    A report is read most when something is broken: a picture that cannot be had is left out of it, and logged.
    """
    try:
        return _picture_bytes(rooms, order, outcome, attempt)
    except (ImageError, StorageError, OSError) as error:
        log.warning("The report shows no picture for %s: %s", outcome.promise.product.sku, error)
        return None


def _picture_bytes(rooms: Rooms, order: ProductionOrder, outcome: ShotOutcome, attempt: Attempt | None) -> bytes | None:
    promise = outcome.promise
    if attempt is None:
        photo = photo_root(order) / promise.product.image if promise.product.image else None
        return photo.read_bytes() if photo is not None and photo.is_file() else None
    if attempt.object_key is None:
        return None
    cutout = cutout_of(rooms, promise, order)
    finished = finish(rooms, promise, attempt, order.promotion, cutout if isinstance(cutout, CutOut) else None)
    return encode_png(finished.rgb)
