"""A DashScope server on loopback, and an engine that asks it on a clock that passes only when somebody sleeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dashscope_asking import EngineOf, Ticking
from dashscope_server import KEY, DashScopeServer
from pydantic import SecretStr

from zimage_core.engines.dashscope.engine import DashScopeEngine
from zimage_core.engines.dashscope.options import read
from zimage_core.engines.dashscope.rate import AccountRate


@pytest.fixture
def ticking() -> Ticking:
    return Ticking()


@pytest.fixture
def server() -> Iterator[DashScopeServer]:
    with DashScopeServer().running() as running:
        yield running


@pytest.fixture
def engine_of(ticking: Ticking) -> Iterator[EngineOf]:
    """Return a function that makes an engine for a server, with any options."""
    made: list[DashScopeEngine] = []

    def make(server: DashScopeServer, *, key: str = KEY, **options: str) -> DashScopeEngine:
        chosen = read({"url": server.url, "requests_per_minute": "6000"} | options)
        rate = AccountRate(chosen.requests_per_minute, elapsed_s=ticking.elapsed_s)
        engine = DashScopeEngine(chosen, SecretStr(key), rate=rate, sleep=ticking.sleep, elapsed_s=ticking.elapsed_s)
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)
