"""Where a promised shot stands, for people."""

from __future__ import annotations

from dataclasses import dataclass, field

from zimage_core.domain.generation import Attempt
from zimage_core.domain.names import ShotState
from zimage_core.domain.planning import Promise
from zimage_core.domain.publishing import Rendition
from zimage_core.domain.quality import Decision, Grade


@dataclass(frozen=True, slots=True)
class ShotOutcome:
    """Where a promised shot stands, with all that a person needs to judge it."""

    promise: Promise
    state: ShotState
    reason: str
    attempts: tuple[Attempt, ...] = ()
    grades: tuple[Grade, ...] = field(default=())
    chosen: Attempt | None = None
    grade: Grade | None = None
    decision: Decision | None = None
    renditions: tuple[Rendition, ...] = ()
