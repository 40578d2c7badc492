"""One row per promised shot, for people who work in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from zimage_core.catalogue import spreadsheet_safe
from zimage_core.domain import ShotOutcome
from zimage_core.storage import write_whole

REPORT_COLUMNS = (
    "sku", "name", "name_en", "category", "price", "currency", "scene", "mode", "size", "state", "grade", "score",
    "attempts", "reason", "changes", "decided_by", "decision", "attempt_id", "seed", "engine", "cost_usd", "channels",
    "renditions",
)  # fmt: skip
"""The columns in order; added ones go to the end, because people's own sheets refer to them."""

BOM = "\ufeff"
"""Without it Excel reads UTF-8 as the local code page, and Chinese names are lost."""


def write_report_csv(outcomes: Iterable[ShotOutcome], path: Path) -> int:
    """Write the outcomes as UTF-8 CSV with BOM, in their order, and return how many there were.

    The same outcomes give the same bytes. Cells that a spreadsheet would run as a formula are written as text.
    Raises StorageError when the file cannot be written.
    """
    text = io.StringIO(newline="")
    text.write(BOM)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(REPORT_COLUMNS)
    count = 0
    for outcome in outcomes:
        cells = _cells(outcome)
        writer.writerow(spreadsheet_safe(cells[column]) for column in REPORT_COLUMNS)
        count += 1
    write_whole(path, text.getvalue().encode("utf-8", "replace"))
    return count


def _cells(outcome: ShotOutcome) -> dict[str, str]:
    shot, product, grade, decision = outcome.promise.shot, outcome.promise.product, outcome.grade, outcome.decision
    last = outcome.chosen or (outcome.attempts[-1] if outcome.attempts else None)
    return {
        "sku": product.sku,
        "name": product.name,
        "name_en": product.name_en or "",
        "category": product.category,
        "price": "" if product.price is None else str(product.price),
        "currency": product.currency,
        "scene": shot.scene.name,
        "mode": shot.mode,
        "size": f"{shot.width_px}x{shot.height_px}",
        "state": outcome.state,
        "grade": grade.letter if grade else "",
        "score": f"{grade.score:.3f}" if grade else "",
        "attempts": str(len(outcome.attempts)),
        "reason": outcome.reason,
        "changes": "; ".join(attempt.change.why for attempt in outcome.attempts if attempt.change.why),
        "decided_by": decision.who if decision else "",
        "decision": decision.kind if decision else "",
        "attempt_id": last.attempt_id if last else "",
        "seed": str(last.seed) if last else "",
        "engine": last.engine if last else shot.engine,
        "cost_usd": f"{sum(attempt.cost_usd for attempt in outcome.attempts):.4f}",
        "channels": " ".join(outcome.promise.channels),
        "renditions": " ".join(rendition.object_key for rendition in outcome.renditions),
    }
