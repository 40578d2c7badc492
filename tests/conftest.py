"""What tests share: a real Prefect server, small real catalogues, and an engine that keeps a journal of its calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from started_prefect import BRISK, started_server
from workshop import JOURNAL_ENGINE, LIPSTICK, MUG, Workshop

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prefect server of this test session's own, over a real socket."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    with started_server(tmp_path_factory.mktemp("prefect"), settings=BRISK) as url:
        yield url
        # what this process still has to tell is told while the server is there: afterwards it would try for a minute
        EventsWorker.drain_all()
        APILogWorker.drain_all()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a 2 MB Z-Image checkpoint of random weights; to spoil it, copy it first."""
    import torch
    from tiny_checkpoint import build_tiny

    torch.set_num_threads(1)
    return build_tiny(tmp_path_factory.mktemp("checkpoint") / "tiny-z-image-turbo")


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with third-party packages that register the engines `journal` and `sleeping` as any package would."""
    folder = tmp_path_factory.mktemp("plugins")
    sleeping = (ROOT / "tests" / "support" / "sleeping_engine.py").read_text()
    for name, code in (("journal", JOURNAL_ENGINE), ("sleeping", sleeping)):
        (folder / f"zimage_{name}_engine.py").write_text(code)
        info = folder / f"zimage_{name}_engine-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zimage-{name}-engine\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[zimage.engines]\n{name} = zimage_{name}_engine:create\n")
    return folder


@pytest.fixture
def new_workshop(
    tmp_path: Path, prefect_server: str, plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Workshop]:
    """Return a function that makes a workshop by name, on the session's server and with the journal engine."""

    def make(name: str) -> Workshop:
        folder = tmp_path / name
        folder.mkdir()
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ZIMAGE_", "PREFECT_"))}
        environment |= {
            "PYTHONPATH": os.pathsep.join([str(plugins), str(ROOT)]),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": prefect_server,
            "ZIMAGE_ENGINE": "journal",
            "ZIMAGE_ENGINE_OPTIONS": f'{{"journal": "{folder / "journal.txt"}"}}',
            "ZIMAGE_BATCH_SIZE": "2",
            "OMP_NUM_THREADS": "1",
        }
        shop = Workshop(folder, environment)
        shop.write(MUG, LIPSTICK)
        return shop

    return make


@pytest.fixture
def workshop(
    new_workshop: Callable[[str], Workshop], plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workshop]:
    """A workshop whose settings also hold in this process, so that flows can be called from the test itself."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from tasks.runtime import opened_rooms

    shop = new_workshop("shop")
    monkeypatch.syspath_prepend(plugins)
    for key, value in shop.environment.items():
        if key.startswith("ZIMAGE_"):
            monkeypatch.setenv(key, value)
    monkeypatch.chdir(shop.folder)
    with temporary_settings({PREFECT_API_URL: shop.environment["PREFECT_API_URL"]}), opened_rooms():
        yield shop
