"""Engines behind our own server, for tests: one whose calls wait at a gate, and servers in a thread or a process."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from zimage_core.domain import EngineInfo
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.errors import EngineError
from zimage_core.settings import ServeSettings

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
PLUGIN = "zimage_gated_engine"


def gated_info(**changes: Any) -> EngineInfo:
    info = EngineInfo(
        name="gated",
        fingerprint="gated-1",
        modes=("text",),
        needs_reference=False,
        size_multiple_px=1,
        max_side_px=4096,
        batch_limit=8,
        seconds_per_image=0.1,
        cost_usd_per_image=0.0,
    )
    return dataclasses.replace(info, **changes)


def picture(request: RenderRequest) -> np.ndarray:
    """A picture that its seed and prompt decide, never blank."""
    rng = np.random.default_rng([request.seed, *request.prompt.text.encode()])
    small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    across = -(-request.width_px // 8)
    down = -(-request.height_px // 8)
    return np.ascontiguousarray(
        small.repeat(down, axis=0).repeat(across, axis=1)[: request.height_px, : request.width_px]
    )


class GatedEngine:
    """Draws when `gate` is open; `calls` holds the prompts of each call, `inside` is set while one waits."""

    def __init__(self, *, open_gate: bool = True, **info: Any) -> None:
        self.info = gated_info(**info)
        self.gate = threading.Event()
        if open_gate:
            self.gate.set()
        self.inside = threading.Semaphore(0)
        self.calls: list[list[str]] = []
        self.requests: list[RenderRequest] = []
        self.fail_with: Callable[[RenderRequest], EngineError | None] = lambda request: None
        self.closed = False

    @property
    def drawn(self) -> list[str]:
        return [prompt for call in self.calls for prompt in call]

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        self.calls.append([request.prompt.text for request in requests])
        self.requests += requests
        self.inside.release()
        assert self.gate.wait(60), "the gate was never opened"
        return [self.answer(request) for request in requests]

    def answer(self, request: RenderRequest) -> Rendered | EngineFailure:
        error = self.fail_with(request)
        if error is not None:
            return EngineFailure(request.attempt_id, error, 0.0)
        return Rendered(request.attempt_id, picture(request), None, 0.01, 0.0)

    def wait_inside(self) -> None:
        """Return once one more call has begun."""
        assert self.inside.acquire(timeout=60), "no call began"

    def close(self) -> None:
        self.closed = True


class Served:
    """A server in a thread of this process, over a real socket, with what is behind its door in reach."""

    def __init__(self, server: Any, engine: Any) -> None:
        self.server, self.engine, self.services = server, engine, server.services
        self.url = f"http://127.0.0.1:{server.port}"

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, headers=headers)


@contextmanager
def served(engine: Any, folder: Path, **settings: Any) -> Iterator[Served]:
    """Serve an engine until the body ends. Keys etc. as `ServeSettings` has them; the environment is not read."""
    from zimage_core.serving.intake import Sampling
    from zimage_core.serving.run import EngineServer

    blocklist = settings.pop("words", None)
    rules = ServeSettings(_env_file=None, **({"warm_up": False, "batch_window_ms": 0} | settings))
    server = EngineServer(engine, rules, folder, sampling=Sampling(), blocklist=blocklist, host="127.0.0.1", port=0)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            server.serve()
        except BaseException as error:  # noqa: BLE001 - shown to the test, whatever it is
            failed.append(error)

    thread = threading.Thread(target=run, name="server")
    thread.start()
    try:
        shown = Served(server, engine)
        wait_until(lambda: bool(failed) or is_answering(shown.url))
        assert not failed, failed
        yield shown
    finally:
        if hasattr(engine, "gate"):
            engine.gate.set()
        server.stop()
        thread.join(60)
        assert not thread.is_alive()
    assert not failed, failed


def is_answering(url: str, path: str = "/health") -> bool:
    try:
        return httpx.get(f"{url}{path}", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(is_so: Callable[[], bool], *, seconds: float = START_S) -> None:
    """Return as soon as something is so; fail when it never is."""
    deadline_s = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline_s, "it never came to be"
        time.sleep(0.005)


def body(prompt: str = "a white mug", *, side: int = 64, seed: int = 1, **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "width": side, "height": side, "seed": seed, **more}


# ---------------------------------------------------------------- in a process of its own


def write_plugin(folder: Path) -> Path:
    """Write a package that registers the engine `filed`, whose gate and journal are files."""
    folder.mkdir(parents=True, exist_ok=True)
    info = folder / f"{PLUGIN}-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zimage-gated-engine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zimage.engines]\nfiled = served_engine:create\n")
    return folder


class FiledEngine(GatedEngine):
    """Draws when the file `gate` exists; writes a line to the file `journal` for each picture it begins."""

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(fingerprint=options.get("fingerprint", "filed-1"), name="filed")
        self.gate_file, self.journal = Path(options["gate"]), Path(options["journal"])
        self.call_s = float(options.get("call_s", "0"))

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        with self.journal.open("a") as journal:
            journal.write("".join(f"{request.prompt.text}\n" for request in requests))
        wait_until(self.gate_file.exists, seconds=120)
        time.sleep(self.call_s)
        return [self.answer(request) for request in requests]


def create(options: Mapping[str, str]) -> FiledEngine:
    return FiledEngine(options)


class ServerProcess:
    """`zimage serve` in a process of its own, with a folder that outlives it."""

    def __init__(self, folder: Path, port: int, *, engine: str = "filed", **environment: str) -> None:
        self.folder, self.port, self.engine = folder, port, engine
        folder.mkdir(parents=True, exist_ok=True)
        self.gate, self.journal, self.log = folder / "gate", folder / "journal.txt", folder / "server.log"
        self.url = f"http://127.0.0.1:{port}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ZIMAGE_", "PREFECT_"))}
        plugin = write_plugin(folder / "plugin")
        self.environment = kept | {
            "PYTHONPATH": os.pathsep.join([str(plugin), str(ROOT / "tests" / "support"), str(ROOT)]),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, ready: bool = True, **options: str) -> ServerProcess:
        if self.engine == "filed":
            options = {"gate": str(self.gate), "journal": str(self.journal), **options}
        given = [part for name, value in options.items() for part in ("--engine-option", f"{name}={value}")]
        command = [sys.executable, "-m", "flows", "serve", "--engine", self.engine, "--port", str(self.port), *given]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        path = "/ready" if ready else "/health"
        wait_until(lambda: self.process.poll() is not None or is_answering(self.url, path))
        assert self.process.poll() is None, self.log.read_text()
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(60)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)

    def drawn(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, headers=headers)


def detail(response: httpx.Response) -> dict[str, Any]:
    """What a refusal says, having checked that it has the form every refusal has."""
    said = json.loads(response.content)["detail"]
    assert said["sentence"], said
    assert "Traceback" not in response.text
    return dict(said)
