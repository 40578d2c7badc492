"""Who works on a shard right now. A lease has an owner, an end, and an epoch that grows by one at every taking.

Time only decides when another worker may take over; safety does not rest on it. Whoever writes for a shard shows the
epoch inside the writing transaction, so a worker that slept through its lease is refused even if its clock is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, or_, select, update

from zimage_core.errors import LeaseLost
from zimage_core.ledger.database import Database, insert_into
from zimage_core.ledger.schema import lease as table

RELEASED_S = 0.0
"""An end long past: the row stays, so that its epoch never starts again."""


class Lease:
    """A shard held by `owner` until `expires_at_s` (Unix seconds) unless renewed."""

    def __init__(
        self, database: Database, clock: Callable[[], datetime], shard_id: str, owner: str, epoch: int, lease_s: float
    ) -> None:
        self._database = database
        self._clock = clock
        self.shard_id = shard_id
        self.owner = owner
        self.epoch = epoch
        self.lease_s = lease_s

    def renew(self) -> None:
        """Hold the shard for another `lease_s` from now. Raises LeaseLost when another worker has taken it."""
        self._set_end(self._clock().timestamp() + self.lease_s)

    def release(self) -> None:
        """Let the shard go; harmless when another worker has already taken it."""
        try:
            self._set_end(RELEASED_S)
        except LeaseLost:
            return

    def check(self, connection: Connection) -> None:
        """Raise LeaseLost unless the lease is still ours, and keep it so until this write transaction ends."""
        holder = connection.execute(
            select(table.c.owner, table.c.epoch).where(table.c.shard_id == self.shard_id).with_for_update(read=True)
        ).one_or_none()
        if holder is None or (holder.owner, holder.epoch) != (self.owner, self.epoch):
            raise self._lost(holder.owner if holder else "nobody")

    def renew_within(self, connection: Connection) -> None:
        """Do as `renew` does, as part of this write transaction: what it writes holds for as long as the lease."""
        self._move_end(connection, self._clock().timestamp() + self.lease_s)

    def _set_end(self, expires_at_s: float) -> None:
        with self._database.writing() as connection:
            self._move_end(connection, expires_at_s)

    def _move_end(self, connection: Connection, expires_at_s: float) -> None:
        mine = (table.c.shard_id == self.shard_id) & (table.c.owner == self.owner) & (table.c.epoch == self.epoch)
        if connection.execute(update(table).where(mine).values(expires_at_s=expires_at_s)).rowcount != 1:
            raise self._lost(owner_of(connection, self.shard_id) or "nobody")

    def _lost(self, holder: str) -> LeaseLost:
        return LeaseLost(
            f"Shard {self.shard_id} is no longer held by {self.owner} but by {holder}; nothing was written."
        )


def acquire(
    database: Database, clock: Callable[[], datetime], shard_id: str, owner: str, lease_s: float
) -> Lease | None:
    """Take the shard if it is free, run out, or already this owner's; None when another owner holds it."""
    now_s = clock().timestamp()
    with database.writing() as connection:
        wanted = insert_into(connection, table).values(
            shard_id=shard_id, owner=owner, epoch=1, expires_at_s=now_s + lease_s
        )
        taking = wanted.on_conflict_do_update(
            index_elements=[table.c.shard_id],
            set_={"owner": owner, "epoch": table.c.epoch + 1, "expires_at_s": now_s + lease_s},
            where=or_(table.c.expires_at_s <= now_s, table.c.owner == owner),
        ).returning(table.c.epoch)
        epoch = connection.execute(taking).scalar_one_or_none()
    return None if epoch is None else Lease(database, clock, shard_id, owner, epoch, lease_s)


def owner_of(connection: Connection, shard_id: str, *, at_s: float = RELEASED_S) -> str | None:
    """Return who holds the shard with an end after `at_s`, None when nobody does."""
    held = (table.c.shard_id == shard_id) & (table.c.expires_at_s > at_s)
    return connection.execute(select(table.c.owner).where(held)).scalar_one_or_none()


def break_lease(database: Database, shard_id: str, owner: str) -> bool:
    """End the lease of an owner known to be dead; True when it was still that owner's."""
    theirs = (table.c.shard_id == shard_id) & (table.c.owner == owner)
    with database.writing() as connection:
        ended = update(table).where(theirs).values(expires_at_s=RELEASED_S, epoch=table.c.epoch + 1)
        return connection.execute(ended).rowcount == 1
