"""The two databases a ledger can live in, both real."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_postgresql import postgresql_server, postgresql_url

__all__ = ["ledger_url", "postgresql_server", "postgresql_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    return str(request.getfixturevalue("postgresql_url"))
