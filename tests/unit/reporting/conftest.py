"""Pictures and a sheet made from outcomes that could have come from the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from zimage_core.domain import Attempt, Refusal, ShotOutcome
from zimage_core.reporting import summarise, write_contact_sheet

PHOTO = Path(__file__).resolve().parents[3] / "examples" / "products" / "mug.jpg"

MakeSheet = Callable[..., tuple[Path, ...]]


@pytest.fixture(scope="session")
def photo() -> bytes:
    return PHOTO.read_bytes()


@pytest.fixture
def make_sheet(tmp_path: Path, photo: bytes) -> MakeSheet:
    def picture(outcome: ShotOutcome, attempt: Attempt | None) -> bytes | None:
        return photo if attempt is None or attempt.object_key else None

    def make(outcomes: Sequence[ShotOutcome], refusals: Sequence[Refusal] = (), **given) -> tuple[Path, ...]:
        options = {"title": "双十一", "picture": picture, "path": tmp_path / "sheet.html"} | given
        summary = summarise(outcomes, refusals)
        return write_contact_sheet(iter(outcomes), summary=summary, refusals=refusals, **options)

    return make
