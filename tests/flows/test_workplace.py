"""Where a worker stands while it runs a flow."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.workplace import enter
from zimage_core.errors import ConfigurationError


def test_a_worker_goes_where_it_was_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "shop"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZIMAGE_HOME", str(home))
    assert enter() == {"directory": str(home)}
    assert Path.cwd() == home


def test_a_worker_that_was_told_nothing_or_nowhere_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZIMAGE_HOME", raising=False)
    with pytest.raises(ConfigurationError, match="start it with ZIMAGE_HOME, as `zimage setup` prints"):
        enter()
    monkeypatch.setenv("ZIMAGE_HOME", str(tmp_path / "gone"))
    with pytest.raises(ConfigurationError, match="this worker has no such folder"):
        enter()
    assert Path.cwd() == tmp_path
