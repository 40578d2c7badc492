"""The durable record of everything that happened: what was promised, made, judged, decided, published.

What it is:       insert-only tables in SQLite (default) or PostgreSQL (by URL), with one set of statements for both.
                  Unique content keys make a repeated insert a no-op; current state is a query, never a column.
May import:       errors, domain, standing, clock; sqlalchemy and pydantic.
May touch:        one database.
Never:            overwrites or deletes history (a lease is not history: it is who works on a shard right now; nor is
                  what is due: which webhook is to be sent next, and when), holds pixels, or shows a password.
"""

from zimage_core.ledger.leases import Lease
from zimage_core.ledger.outbox import ClaimedDelivery, Delivery, DeliveryOutcome, Outbox, OutboxEvent
from zimage_core.ledger.rows import FoundLikeness, RecordedVerdict, ReleaseEvent, RunEvent, RunOpening, RunRow, Tally
from zimage_core.ledger.store import Ledger

__all__ = [
    "ClaimedDelivery",
    "Delivery",
    "DeliveryOutcome",
    "FoundLikeness",
    "Lease",
    "Ledger",
    "Outbox",
    "OutboxEvent",
    "RecordedVerdict",
    "ReleaseEvent",
    "RunEvent",
    "RunOpening",
    "RunRow",
    "Tally",
]
