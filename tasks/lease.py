"""The lease of a shard: while a worker holds it, no other worker makes or pays for the shard's shots."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.order import ProductionOrder
from tasks.runtime import Rooms, rooms
from zimage_core.errors import LeaseLost, LedgerBusy, ZImageError
from zimage_core.ledger import Lease
from zimage_core.processes import is_dead, owner_name

log = logging.getLogger("zimage_core.tasks")

RENEWALS_PER_LEASE = 4
"""How often the heartbeat renews within one lease time: three may be missed before another worker may take over."""

_held: dict[str, Lease] = {}


@contextmanager
def shard_lease(order: ProductionOrder, shard_id: str) -> Iterator[None]:
    """Hold the shard's lease, renewed by a heartbeat thread, for as long as the body runs.

    Raises LedgerBusy (retryable) when another live worker holds it. A worker that died on this very machine is seen to
    be dead and its lease is taken over at once; one on another machine is waited for until its lease runs out.
    """
    open_rooms = rooms(order)
    lease = _take(open_rooms, shard_id)
    if lease is None:
        lease_s = open_rooms.settings.lease_s
        raise LedgerBusy(
            f"Shard {shard_id} is being worked on by {open_rooms.ledger.lease_owner(shard_id)}; if that worker is "
            f"gone, its lease runs out within {lease_s:.0f} s.",
            retry_after_s=lease_s,
        )
    with _kept(lease):
        yield


@contextmanager
def lease_if_free(order: ProductionOrder, shard_id: str) -> Iterator[bool]:
    """Hold the shard's lease while the body runs, as `shard_lease` does; False when a live worker holds it already."""
    open_rooms = rooms(order)
    holder = open_rooms.ledger.lease_owner(shard_id)
    lease = _take(open_rooms, shard_id) if holder is None or is_dead(holder) else None
    if lease is None:
        yield False
        return
    with _kept(lease):
        yield True


def held_lease(shard_id: str) -> Lease:
    """Return the lease this process holds on the shard, to be checked inside the transaction that writes for it.

    Raises LeaseLost when it holds none: whoever answers for the shard now may be writing.
    """
    lease = _held.get(shard_id)
    if lease is None:
        raise LeaseLost(f"This process no longer answers for shard {shard_id}; nothing was written.")
    return lease


def _take(open_rooms: Rooms, shard_id: str) -> Lease | None:
    """Take the shard, from a worker of this machine that is dead too; None when a live worker holds it."""
    ledger, lease_s, owner = open_rooms.ledger, open_rooms.settings.lease_s, owner_name()
    lease = ledger.acquire_lease(shard_id, owner, lease_s)
    if lease is not None:
        return lease
    holder = ledger.lease_owner(shard_id)
    if holder is None or not is_dead(holder):
        return None
    log.warning("The worker %s that held shard %s is dead; taking over.", holder, shard_id)
    ledger.break_lease(shard_id, holder)
    return ledger.acquire_lease(shard_id, owner, lease_s)


@contextmanager
def _kept(lease: Lease) -> Iterator[None]:
    """Renew the lease until the body ends, then let it go."""
    _held[lease.shard_id] = lease
    ended = threading.Event()
    heartbeat = threading.Thread(target=_beat, args=(lease, ended, lease.lease_s / RENEWALS_PER_LEASE), daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        ended.set()
        heartbeat.join()
        del _held[lease.shard_id]
        lease.release()


def _beat(lease: Lease, ended: threading.Event, every_s: float) -> None:
    while not ended.wait(every_s):
        try:
            lease.renew()
        except LeaseLost:
            log.exception("This worker lost its shard; what it still makes will not be recorded.")
            return
        except ZImageError as error:
            log.warning("The lease could not be renewed, trying again: %s", error)
