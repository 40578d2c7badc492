"""Refusals as a file that operations open in a spreadsheet."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from zimage_core.catalogue.safe import spreadsheet_safe
from zimage_core.domain import Refusal

_HEADER: Final = ("stage", "record_no", "sku", "field", "code", "reason", "value")


def write_refusals_csv(refusals: Iterable[Refusal], path: Path) -> int:
    """Write the refusals, ordered by stage, record, SKU and code, and return how many there were.

    UTF-8 with BOM, because Excel takes a CSV without it for the local encoding; what would be run as a formula is made
    text. The file appears whole or not at all, and the same refusals give the same bytes.
    """
    ordered = sorted(refusals, key=_order)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(_HEADER)
            writer.writerows(_row(refusal) for refusal in ordered)
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
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
