"""The durable record of everything that happened: what was promised, made, judged, decided, published.

What it is:       insert-only tables in SQLite (default) or PostgreSQL (by URL), with one set of statements for both.
                  Unique content keys make a repeated insert a no-op; current state is a query, never a column.
May import:       errors, domain, standing, clock; sqlalchemy and pydantic.
May touch:        one database.
Never:            overwrites or deletes history (who works on a shard right now is none, nor is what is due or under
                  way: which webhook is next, what pictures being drawn may cost), holds pixels, or shows a password.
"""

from zimage_core.ledger.budget import Budget, Granted
from zimage_core.ledger.course import Course, EngineHistory, RunCourse, SceneCourse
from zimage_core.ledger.leases import Lease
from zimage_core.ledger.outbox import ClaimedDelivery, Delivery, DeliveryOutcome, Outbox, OutboxEvent
from zimage_core.ledger.rows import FoundLikeness, RecordedVerdict, ReleaseEvent, RunEvent, RunOpening, RunRow, Tally
from zimage_core.ledger.store import Ledger

__all__ = [
    "Budget",
    "ClaimedDelivery",
    "Course",
    "Delivery",
    "DeliveryOutcome",
    "EngineHistory",
    "FoundLikeness",
    "Granted",
    "Lease",
    "Ledger",
    "Outbox",
    "OutboxEvent",
    "RecordedVerdict",
    "ReleaseEvent",
    "RunCourse",
    "RunEvent",
    "RunOpening",
    "RunRow",
    "SceneCourse",
    "Tally",
]
