"""Refusals as a file that operations open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from zimage_core.catalogue.safe import spreadsheet_safe
from zimage_core.domain import Refusal
from zimage_core.storage import write_whole

_HEADER: Final = ("stage", "record_no", "sku", "field", "code", "reason", "value")


def write_refusals_csv(refusals: Iterable[Refusal], path: Path) -> int:
    """Write the refusals, ordered by stage, record, SKU and code, and return how many there were.

    UTF-8 with BOM, because Excel takes a CSV without it for the local encoding; what would be run as a formula is made
    text. The same refusals give the same bytes. Raises StorageError when the file cannot be written.
    """
    ordered = sorted(refusals, key=_order)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_HEADER)
    writer.writerows(_row(refusal) for refusal in ordered)
    write_whole(path, text.getvalue().encode("utf-8-sig", "backslashreplace"))
    return len(ordered)


def _order(refusal: Refusal) -> tuple[str, int, str, str, str, str, str]:
    return (
        refusal.stage,
        refusal.record_no or 0,
        refusal.sku or "",
        refusal.code,
        refusal.field or "",
        refusal.value or "",
        refusal.reason,
    )


def _row(refusal: Refusal) -> list[str | int]:
    texts = (refusal.sku, refusal.field, refusal.code, refusal.reason, refusal.value)
    number: str | int = "" if refusal.record_no is None else refusal.record_no
    return [refusal.stage, number, *(spreadsheet_safe(text or "") for text in texts)]
