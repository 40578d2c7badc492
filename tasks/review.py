"""Review: what people decided on a contact sheet goes into the ledger, with their names."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import cast, get_args

from tasks.order import ProductionOrder
from tasks.runtime import rooms
from zimage_core import clock
from zimage_core.domain import Decision, DecisionKind
from zimage_core.errors import ConfigurationError

COLUMNS = ("attempt_id", "decision", "who", "why")


def record_decisions(path: Path, who: str | None, work_dir: Path | None, out_dir: Path | None) -> Counter[str]:
    """Record the decisions of a CSV (attempt_id, decision, who, why) and return how many of each kind.

    Nothing is recorded when one line is wrong: ConfigurationError names the line.
    """
    ledger = rooms(ProductionOrder(catalogue="-", work_dir=work_dir, out_dir=out_dir)).ledger
    decisions = [_decision(row, number, who) for number, row in enumerate(_rows(path), 2)]
    known = ledger.attempts_by_id([decision.attempt_id for decision in decisions])
    for number, decision in enumerate(decisions, 2):
        if decision.attempt_id not in known:
            raise ConfigurationError(
                f"{path.name}, line {number}: this ledger holds no attempt {decision.attempt_id}; "
                "was the sheet made from another work folder?"
            )
    ledger.record_decisions(decisions)
    return Counter(decision.kind for decision in decisions)


def _rows(path: Path) -> list[dict[str, str | None]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in COLUMNS[:2] if name not in (reader.fieldnames or ())]
            if missing:
                raise ConfigurationError(
                    f"{path.name} has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}."
                )
            return list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as a CSV of decisions: {error}.") from error


def _decision(row: dict[str, str | None], number: int, who: str | None) -> Decision:
    kind = (row.get("decision") or "").strip().lower()
    if kind not in get_args(DecisionKind):
        raise ConfigurationError(
            f"Line {number}: '{kind}' is no decision; it is one of {', '.join(get_args(DecisionKind))}."
        )
    person = (row.get("who") or who or "").strip()
    if not person:
        raise ConfigurationError(f"Line {number} does not say who decided; fill the column or give --who NAME.")
    attempt_id = (row.get("attempt_id") or "").strip()
    why = (row.get("why") or "").strip()
    return Decision(attempt_id, cast("DecisionKind", kind), person, why, clock.now())
