"""What a run may still spend: what was paid, and what pictures under way may come to, never more than its budget.

Before pictures are asked for, their worst cost is reserved in the transaction that compares spent + reserved with the
budget; the reservation goes when the attempts, with what they really cost, are recorded. It counts for as long as the
lease of its shard does: when the holder dies the lease runs out, and when another takes the shard over its epoch grows.
A reservation is no history but what is under way, like a lease, so its rows are deleted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from zimage_core.ledger import schema, writes
from zimage_core.ledger.database import Database
from zimage_core.ledger.leases import Lease

BUDGET_LOCK: Final = 0x627564
"""First key of the PostgreSQL advisory lock ("bud") that reserving takes; the run is the second."""

REACHED: Final = "budget_reached"
"""The event that something was not drawn because the budget did not allow it; it counts until the run is resumed."""

_SLACK: Final = 1e-6
"""Of a picture: what sums of floats may lose."""

_LOCK = text("SELECT pg_advisory_xact_lock(:key, hashtext(:run_id))")
_RESERVED = text(
    """SELECT coalesce(sum(r.usd), 0.0) FROM reservation r JOIN lease l ON l.shard_id = r.shard_id
    WHERE r.run_id = :run_id AND l.epoch = r.epoch AND l.expires_at_s > :now_s"""
)
_SPENT = text(
    """SELECT (SELECT coalesce(sum(cost_usd), 0.0) FROM attempt WHERE run_id = :run_id)
    + (SELECT coalesce(sum(cost_usd), 0.0) FROM engine_failure WHERE run_id = :run_id)"""
)
_DEAREST = text("SELECT coalesce(max(cost_usd), 0.0) FROM attempt WHERE run_id = :run_id")
_LEFT_BEHIND = text("DELETE FROM reservation WHERE shard_id = :shard_id AND epoch <> :epoch")
_LAST = text(
    """SELECT kind FROM run_event WHERE run_id = :run_id AND kind IN ('opened', 'resumed', 'budget_reached')
    ORDER BY seq DESC LIMIT 1"""
)


@dataclass(frozen=True, slots=True)
class Granted:
    """How many pictures may be drawn, what had been spent before, and what one is taken to cost.

    `is_news`: not all may be, for the first time since the run was opened or resumed.
    """

    pictures: int
    spent_usd: float
    usd_each: float
    is_news: bool = False


class Budget:
    """The money of a ledger's runs; see `Ledger` for what its methods raise. Threads may share it."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def reserve(
        self, run_id: str, lease: Lease, key: str, pictures: int, *, usd_each: float, budget_usd: float
    ) -> Granted:
        """Reserve what as many of these pictures cost as the budget allows, under a fresh `key`, and renew the lease.

        A picture is taken to cost `usd_each`, or what the run's dearest one did if that was more. When not all are
        allowed the run gets the event that its budget is reached. Raises LeaseLost when the shard is another's now.
        """
        asked = {"run_id": run_id}
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(_LOCK, asked | {"key": BUDGET_LOCK})
            lease.renew_within(connection)
            connection.execute(_LEFT_BEHIND, {"shard_id": lease.shard_id, "epoch": lease.epoch})
            # what is reserved is read before what is spent: a batch recorded in between counts twice, never not at all
            reserved_usd = self._reserved(connection, run_id)
            spent_usd = float(connection.execute(_SPENT, asked).scalar_one())
            each = max(usd_each, float(connection.execute(_DEAREST, asked).scalar_one()))
            allowed = _affordable(budget_usd - spent_usd - reserved_usd, each, pictures)
            if allowed and each > 0.0:
                row = {"reservation_id": key, "run_id": run_id, "shard_id": lease.shard_id, "epoch": lease.epoch}
                connection.execute(schema.reservation.insert(), row | {"usd": allowed * each})
            is_news = allowed < pictures and _last_kind(connection, run_id) != REACHED
            if is_news:
                said = f"Budget ${budget_usd:,.2f}: ${spent_usd:,.2f} spent, ${reserved_usd:,.2f} under way."
                writes.add_event(connection, run_id, REACHED, None, said, self._clock())
        return Granted(allowed, spent_usd, each, is_news)

    def release(self, key: str) -> None:
        """Let a reservation go; harmless when it is gone."""
        table = schema.reservation
        with self._database.writing() as connection:
            connection.execute(table.delete().where(table.c.reservation_id == key))

    def spent_usd(self, run_id: str) -> float:
        """Return what the attempts and failed tries of a run have cost."""
        with self._database.reading() as connection:
            return float(connection.execute(_SPENT, {"run_id": run_id}).scalar_one())

    def reserved_usd(self, run_id: str) -> float:
        """Return what pictures under way may cost, those of live workers alone."""
        with self._database.reading() as connection:
            return self._reserved(connection, run_id)

    def is_reached(self, run_id: str) -> bool:
        """Tell whether something was not drawn for lack of money since the run was opened or resumed last."""
        with self._database.reading() as connection:
            return _last_kind(connection, run_id) == REACHED

    def _reserved(self, connection: Connection, run_id: str) -> float:
        live = {"run_id": run_id, "now_s": self._clock().timestamp()}
        return float(connection.execute(_RESERVED, live).scalar_one())


def _affordable(usd: float, each: float, pictures: int) -> int:
    if each <= 0.0:
        return pictures
    return max(0, min(pictures, math.floor(usd / each + _SLACK)))


def _last_kind(connection: Connection, run_id: str) -> str | None:
    last = connection.execute(_LAST, {"run_id": run_id}).one_or_none()
    return None if last is None else str(last.kind)
