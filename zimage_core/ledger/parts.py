"""What has tables and a class of its own in a ledger: `ledger.outbox`, `ledger.budget`, `ledger.course`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from zimage_core.ledger.budget import Budget
from zimage_core.ledger.course import Course
from zimage_core.ledger.database import Database
from zimage_core.ledger.outbox import Outbox


class Parts:
    """The doors to those classes; each is made of the ledger's database and clock, and holds nothing."""

    _database: Database
    _clock: Callable[[], datetime]

    @property
    def outbox(self) -> Outbox:
        """What receivers are to be told of releases, and how telling them went."""
        return Outbox(self._database, self._clock)

    @property
    def budget(self) -> Budget:
        """What runs may still spend."""
        return Budget(self._database, self._clock)

    @property
    def course(self) -> Course:
        """How fast runs move, what is left of them, and what is left out for time."""
        return Course(self._database, self._clock)
