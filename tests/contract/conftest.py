"""The two databases a ledger can live in, both real, and what each engine is pointed at.

Remote engines talk over real sockets: to our own server around the real model classes on the tiny checkpoint, and to
servers that speak ComfyUI's and Model Studio's protocols.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_server import ComfyUI
from dashscope_server import KEY, DashScopeServer
from real_postgresql import postgresql_server, postgresql_url
from served_engine import served
from standing_clock import StandingClock

from zimage_core.engines.registry import create_engine
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


Options = dict[str, str]


@pytest.fixture(scope="module")
def studio_options() -> Options:
    return {}


@pytest.fixture(scope="module")
def fault_options() -> Options:
    return {}


@pytest.fixture(scope="module")
def diffusers_options(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Options:
    return {"model": str(tiny_checkpoint), "cache": str(tmp_path_factory.mktemp("cache")), "packshots": "yes"}


@pytest.fixture(scope="module")
def our_server(diffusers_options: Options, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of our own server around the tiny model."""
    with served(create_engine("diffusers", diffusers_options), tmp_path_factory.mktemp("serve")) as server:
        yield server.url


@pytest.fixture(scope="module")
def zimage_http_options(our_server: str) -> Options:
    return {"url": our_server}


@pytest.fixture(scope="module")
def openai_images_options(our_server: str) -> Options:
    return {"url": our_server, "model": "tiny-z-image-turbo"}


@pytest.fixture(scope="module")
def comfyui_options() -> Iterator[Options]:
    with ComfyUI() as server:
        yield {"url": server.url}


@pytest.fixture(scope="module")
def dashscope_options() -> Iterator[Options]:
    with pytest.MonkeyPatch.context() as environment, DashScopeServer().running() as server:
        environment.setenv("ZIMAGE_ENGINE_API_KEY", KEY)
        yield {"url": server.url, "requests_per_minute": "100000"}
