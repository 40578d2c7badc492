"""The lease of a shard: while a worker holds it, no other worker makes or pays for the shard's shots."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.order import ProductionOrder
from tasks.runtime import rooms
from zimage_core.errors import LeaseLost, LedgerBusy, ZImageError
from zimage_core.ledger import Lease, Ledger
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
    lease = _acquire(open_rooms.ledger, shard_id, open_rooms.settings.lease_s)
    _held[shard_id] = lease
    ended = threading.Event()
    heartbeat = threading.Thread(
        target=_beat, args=(lease, ended, open_rooms.settings.lease_s / RENEWALS_PER_LEASE), daemon=True
    )
    heartbeat.start()
    try:
        yield
    finally:
        ended.set()
        heartbeat.join()
        del _held[shard_id]
        lease.release()


def held_lease(shard_id: str) -> Lease | None:
    """Return the lease this process holds on the shard, to be checked inside the transaction that writes for it."""
    return _held.get(shard_id)


def _acquire(ledger: Ledger, shard_id: str, lease_s: float) -> Lease:
    owner = owner_name()
    lease = ledger.acquire_lease(shard_id, owner, lease_s)
    if lease is None:
        holder = ledger.lease_owner(shard_id)
        if holder is not None and is_dead(holder):
            log.warning("The worker %s that held shard %s is dead; taking over.", holder, shard_id)
            ledger.break_lease(shard_id, holder)
            lease = ledger.acquire_lease(shard_id, owner, lease_s)
        if lease is None:
            raise LedgerBusy(
                f"Shard {shard_id} is being worked on by {holder}; if that worker is gone, its lease runs out within "
                f"{lease_s:.0f} s.",
                retry_after_s=lease_s,
            )
    return lease


def _beat(lease: Lease, ended: threading.Event, every_s: float) -> None:
    while not ended.wait(every_s):
        try:
            lease.renew()
        except LeaseLost:
            log.exception("This worker lost its shard; what it still makes will not be recorded.")
            return
        except ZImageError as error:
            log.warning("The lease could not be renewed, trying again: %s", error)
