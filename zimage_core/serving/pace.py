"""How fast the engine really draws, so that whoever is turned away is told when to come back."""

from __future__ import annotations

import math
from typing import Final

NEW_SHARE: Final = 0.2
"""Weight of the newest call: the last ten calls make nine tenths of the figure."""
MAX_WAIT_S: Final = 600


class Pace:
    """Pictures per second of one engine, as measured; until the first call what the engine says of itself."""

    def __init__(self, seconds_per_image: float, calls: int) -> None:
        self._calls = calls
        self._seconds_per_picture = max(seconds_per_image, 1e-6)

    @property
    def pictures_per_s(self) -> float:
        """Pictures per second over all the calls the engine takes at a time."""
        return self._calls / self._seconds_per_picture

    def note(self, pictures: int, seconds: float) -> None:
        """Learn from one call of the engine."""
        each = max(seconds, 1e-6) / pictures
        self._seconds_per_picture += NEW_SHARE * (each - self._seconds_per_picture)

    def seconds_for(self, pictures: int) -> float:
        """Return how long so many pictures take from now on."""
        return pictures / self.pictures_per_s

    def come_back_after_s(self, pictures: int) -> int:
        """Return whole seconds, 1 to 600, after which so many pictures should be drawn."""
        return max(1, min(MAX_WAIT_S, math.ceil(self.seconds_for(pictures))))
