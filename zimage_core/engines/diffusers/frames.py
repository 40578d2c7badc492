"""Which pictures of a model are not to be believed, and when so many in a row mean that the engine is broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from zimage_core.errors import EngineUnavailable
from zimage_core.imaging.pixels import Rgb

UNIFORM_SPREAD: Final = 8
"""A frame whose every channel spans fewer levels (0.1 to 99.9 percentile) shows nothing: the caller's limit."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What came out of the decoder for one picture: (H, W, 3) uint8, and whether every value was finite before that."""

    rgb: Rgb
    finite: bool


def what_is_wrong(frame: Frame) -> str | None:
    """Return why a frame is no picture, as the rest of a sentence that starts with the engine, or None."""
    if not frame.finite:
        return "computed values that are not numbers (NaN or infinite)"
    low, high = np.percentile(frame.rgb[::4, ::4].reshape(-1, 3), (0.1, 99.9), axis=0)
    if float((high - low).max()) >= UNIFORM_SPREAD:
        return None
    level = float(frame.rgb.mean())
    return "drew a black frame" if level < 4 else f"drew a uniform frame (mean level {level:.0f})"


class Watchman:
    """Counts unusable frames in a row, and stops the engine before it burns through a queue."""

    def __init__(self, limit: int, *, precision: str, quantization: str) -> None:
        self._limit = limit
        self._held = f"{precision} weights" if quantization == "none" else f"{precision} and {quantization} weights"
        self._in_a_row = 0
        self._last = ""

    def saw(self, wrong: str | None) -> None:
        """Note one finished picture: what was wrong with it, or None."""
        self._in_a_row = 0 if wrong is None else self._in_a_row + 1
        self._last = wrong or ""

    def ensure_trusted(self) -> None:
        """Raise EngineUnavailable with the likely cause once `limit` pictures in a row could not be used.

        It is retryable: the shots wait for a run with a mended engine, they are not given up.
        """
        if self._in_a_row < self._limit:
            return
        raise EngineUnavailable(
            f"The engine was stopped: {self._in_a_row} pictures in a row could not be used (the last one: it "
            f"{self._last}). With {self._held} the likely cause is a precision or a quantised file the model does not "
            "bear, a damaged checkpoint, or a faulty card; try path=stock, then precision=fp32, then another file.",
            engine="diffusers",
        )
