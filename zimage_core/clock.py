"""The only source of now, of elapsed seconds and of fresh ids; everything else is handed them or asks here.

What it is:       three small functions over the standard library.
May import:       the standard library.
May touch:        the system clock and the system's randomness.
Never:            decides anything. Ids of content are made by `domain.content_id`; these are for owners and sessions.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the one place


def elapsed_s() -> float:
    """Return seconds on a clock that never goes back; only differences mean anything."""
    return time.monotonic()  # noqa: TID251 - this is the one place


def fresh_id() -> str:
    """Return 16 hex digits that no other caller has: for lease owners and sessions, never for content."""
    return uuid.uuid4().hex[:16]  # noqa: TID251 - this is the one place
