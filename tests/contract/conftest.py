"""The two databases a ledger can live in, both real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from real_postgresql import postgresql_server, postgresql_url
from standing_clock import StandingClock

from zimage_core.ledger import Ledger

__all__ = ["ledger_url", "postgresql_server", "postgresql_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def ledger(ledger_url: str, clock: StandingClock) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, clock=clock) as opened:
        yield opened
