"""A third party's engine that draws by sleeping, on any number of devices, with a journal per process.

Registered as `sleeping` by a package of its own (see conftest's `plugins`); it is imported by processes that know
nothing of the tests. Its pictures are small and cheap, so that sleeping is what takes time.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zimage_core.domain import EngineInfo, Prompt, content_id
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.engines.registry import create_engine
from zimage_core.errors import ConfigurationError, EngineUnavailable

MODES = ("text",)
SIDE_PX = 128
log = logging.getLogger("zimage_core.engines")


def devices(options: Mapping[str, str]) -> tuple[str, ...]:
    """The devices that option `finds` says there are."""
    return tuple(options.get("finds", "").split())


class SleepingEngine:
    """Sleeps `seconds` a picture, one picture at a time however many calls it takes at once; each costs `cost` USD.
    `says`: how many seconds a picture takes by its own word, where that is not the truth.

    With option `studio` the pictures are those of the studio engine. On the device `broken` it cannot be created, on
    `ill` it draws nothing, on `frail` its process is killed at the fourth picture. While the file of `ill_while` is
    there it draws nothing anywhere; the process that finds the file of `die_once` takes it away and dies of it, and the
    one that finds that of `freeze_once` takes it away and stops, as a machine that is suspended does.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self.device = options.get("device", "none")
        if self.device == "broken":
            raise ConfigurationError("Engine 'sleeping' has no device broken.")
        self.seconds = float(options.get("seconds", "0"))
        self.cost_usd = float(options.get("cost", "0"))
        self.together = int(options.get("together", "0"))
        self.options = options
        self.journal = Path(options["journal"]) / f"{self.device}-{os.getpid()}.txt"
        self.journal.parent.mkdir(exist_ok=True)
        self.at_work = threading.Lock()
        self.drawn = 0
        self.info = EngineInfo(
            name="sleeping",
            fingerprint=content_id("sleeping", options.get("model", "")),
            modes=MODES,
            needs_reference=False,
            size_multiple_px=16,
            max_side_px=SIDE_PX,
            batch_limit=8,
            seconds_per_image=float(options.get("says", self.seconds)),
            cost_usd_per_image=self.cost_usd,
            planned_area_px=SIDE_PX**2,
            concurrent_calls=int(options.get("calls", "1")),
        )
        self.inner = create_engine("studio") if "studio" in options else None
        if self.inner:
            self.info = dataclasses.replace(self.inner.info, name="sleeping", fingerprint=self.info.fingerprint)

    def expect(self, prompts: Sequence[Prompt]) -> None:
        self.note("expect", *(str(sum(map(ord, prompt.text))) for prompt in prompts))

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        with self.at_work:
            if not self.drawn:
                log.info("Loading the weights of engine sleeping on %s", self.device)
                self.note("load")
                self.wait_for_the_others()
            return [self.draw(request) for request in requests]

    def draw(self, request: RenderRequest) -> Rendered | EngineFailure:
        self.drawn += 1
        if self.device == "frail" and self.drawn > 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.takes("die_once"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.takes("freeze_once"):
            os.kill(os.getpid(), signal.SIGSTOP)
        started_s = time.monotonic()
        time.sleep(self.seconds)
        self.note("drawn", request.attempt_id, f"{started_s:.4f}", f"{time.monotonic():.4f}")
        if self.device == "ill" or Path(self.options.get("ill_while", "/nowhere")).exists():
            return EngineFailure(request.attempt_id, EngineUnavailable(f"Device {self.device} is ill."), self.seconds)
        if self.inner:
            return self.inner.render([request])[0]
        return Rendered(request.attempt_id, picture(request), None, self.seconds, self.cost_usd)

    def takes(self, option: str) -> bool:
        """Tell whether this process is the one that took the option's file away, with its pid in a file beside it."""
        path = Path(self.options.get(option, "/nowhere"))
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        path.with_suffix(".pid").write_text(str(os.getpid()))
        return True

    def wait_for_the_others(self) -> None:
        """Begin to draw when `together` processes can, so that a journal measures drawing and not starting."""
        deadline_s = time.monotonic() + 120
        while sum("load" in path.read_text() for path in self.journal.parent.iterdir()) < self.together:
            assert time.monotonic() < deadline_s, "the others never came"
            time.sleep(0.01)

    def note(self, *words: str) -> None:
        with self.journal.open("a") as journal:
            journal.write(" ".join(words) + "\n")

    def close(self) -> None:
        """Nothing is held."""


def picture(request: RenderRequest) -> np.ndarray:
    """A soft backdrop with a crisp round thing on it, in slices as its seed has it: none repeats another."""
    rng = np.random.default_rng(request.seed)
    rows, columns = np.mgrid[0 : request.height_px, 0 : request.width_px]
    rgb = np.empty((request.height_px, request.width_px, 3), np.uint8)
    rgb[...] = (205 - 15 * rows / request.height_px)[..., None]
    slices = int(rng.integers(3, 9))
    turns = np.arctan2(rows - request.height_px / 2, columns - request.width_px / 2) / (2 * np.pi) + rng.random()
    round_thing = np.hypot(rows - request.height_px / 2, columns - request.width_px / 2) < request.width_px / 4
    colours = rng.integers(20, 120, (slices, 3)).astype(np.uint8)
    rgb[round_thing] = colours[(turns * slices).astype(int) % slices][round_thing]
    return rgb


def create(options: Mapping[str, str]) -> SleepingEngine:
    return SleepingEngine(options)
