"""How far the picture being drawn has come, and the way to stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zimage_core.errors import EngineUnavailable


@dataclass(frozen=True, slots=True)
class Progress:
    """Steps done of the batch being drawn, and how many pictures are in it; all zero when nothing is drawn."""

    step: int = 0
    steps: int = 0
    pictures: int = 0


class StepWatch:
    """Called after every denoising step: records progress, tells whoever listens, and stops when asked to.

    `cancel` may be called from any thread. Whatever is being drawn then ends within one step by raising
    EngineUnavailable (a half-drawn picture is never returned), and so does every later batch until `resume`.
    """

    def __init__(self, listener: Callable[[Progress], None] | None = None) -> None:
        self._listener = listener
        self._cancelled = threading.Event()
        self.progress = Progress()

    def start(self, steps: int, pictures: int) -> None:
        """Begin a batch of so many pictures. Raises EngineUnavailable when cancelled."""
        self._to(Progress(0, steps, pictures))

    def step_done(self, step: int) -> None:
        """Note that steps up to this one (from 0) are done. Raises EngineUnavailable when cancelled."""
        self._to(Progress(step + 1, self.progress.steps, self.progress.pictures))

    def finish(self) -> None:
        """Note that nothing is being drawn."""
        self.progress = Progress()

    def cancel(self) -> None:
        """Stop what is being drawn and refuse what comes."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether drawing was told to stop."""
        return self._cancelled.is_set()

    def resume(self) -> None:
        """Draw again."""
        self._cancelled.clear()

    def callback(self, _pipeline: object, step: int, _timestep: object, tensors: dict[str, Any]) -> dict[str, Any]:
        """The shape in which diffusers wants it (`callback_on_step_end`); it must hand the tensors back."""
        self.step_done(step)
        return tensors

    def _to(self, progress: Progress) -> None:
        if self._cancelled.is_set():
            self.progress = Progress()
            raise EngineUnavailable("Drawing was cancelled; the shot can be made again.", engine="diffusers")
        self.progress = progress
        if self._listener is not None:
            self._listener(progress)
