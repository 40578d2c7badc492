"""What making a picture again has brought so far: the history that policy learns from."""

from __future__ import annotations

from dataclasses import dataclass

from zimage_core.domain.generation import Change


@dataclass(frozen=True, slots=True)
class Regeneration:
    """One attempt that was made again: by which engine, what was changed, and which checks failed before and after.

    `left` is None when the new attempt gave no picture. `seconds` is what the new attempt took.
    """

    engine: str
    before: Change
    after: Change
    failing: tuple[str, ...]
    left: tuple[str, ...] | None
    seconds: float
