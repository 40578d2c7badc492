"""A ComfyUI over a real socket, and engines on it that do not wait longer than a test must."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from comfyui_server import ComfyUI
from small_servers import QuickClock

from zimage_core.engines.comfyui.engine import ComfyEngine
from zimage_core.engines.comfyui.options import read_comfyui_options
from zimage_core.engines.comfyui.waiting import Patience

QUICK = Patience(
    timeout_s=20, stall_s=10, lost_after_s=1.0, look_s=0.02, most_look_s=0.1, heard_look_s=2.0, stored_look_s=0.005
)


@pytest.fixture
def server() -> Iterator[ComfyUI]:
    with ComfyUI() as running:
        yield running


@pytest.fixture
def engine_on() -> Iterator[Callable[..., ComfyEngine]]:
    """Make engines: `engine_on(server, other_server, patience=..., option=...)`; they are closed at the end."""
    made: list[ComfyEngine] = []

    def make(*servers: ComfyUI, patience: Patience = QUICK, **options: str) -> ComfyEngine:
        given = {"url": ",".join(server.url for server in servers), **options}
        quick = QuickClock()
        engine = ComfyEngine(
            read_comfyui_options(given), patience=patience, sleep=quick.sleep, elapsed_s=quick.elapsed_s
        )
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()
