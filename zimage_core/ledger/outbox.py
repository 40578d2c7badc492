"""The outbox: what receivers are to be told, each try to tell them, and what is due when.

`outbox` holds what is said, `delivery` each try and its end; both are insert-only. `due_delivery` is no history but
work to be done, like a lease: a row per event and receiver still to be told, with the moment it is due. Claiming a row
makes it due again after the lease, so what a killed sender had in hand is sent again, under the same id; a row is
deleted when it was delivered or given up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, RowMapping, Select, delete, func, select, update

from zimage_core.clock import fresh_id
from zimage_core.errors import LedgerError
from zimage_core.ledger import schema
from zimage_core.ledger.database import Database, insert_into, insert_new
from zimage_core.ledger.queries import chunks, rows_of
from zimage_core.ledger.rows import time_text
from zimage_core.ledger.schema import delivery, due_delivery, outbox

DeliveryOutcome = Literal["delivered", "failed", "dead", "gone", "replayed"]
"""delivered: 2xx. failed: will be tried again. dead: was the last try. gone: the receiver wants no more (410).
replayed: a person put it back."""

DeliveryState = Literal["waiting", "delivered", "dead", "gone"]
_MAX_SENTENCE_CHARS = 500
_FINAL = ("delivered", "dead", "gone")


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """What is said: `event_id` is the receivers' idempotency key, `body` the exact text that is sent and signed."""

    event_id: str
    release_id: str
    promotion: str
    body: str


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """One event for one receiver, in the hands of `owner` until the lease ends. `tries`: how often it was tried."""

    event: OutboxEvent
    receiver: str
    owner: str
    tries: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """How telling one receiver of one event stands. `due_at` is None when nothing is to be done any more."""

    event_id: str
    release_id: str
    promotion: str
    receiver: str
    state: DeliveryState
    tries: int
    status: int | None
    sentence: str
    at: datetime
    due_at: datetime | None


class Outbox:
    """The outbox of one ledger; see `Ledger` for what its methods raise. Threads may share it."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def enqueue(self, events: Sequence[OutboxEvent], receivers: Sequence[str]) -> int:
        """Keep the events that are new and make them due now for each receiver; return how many events were new.

        A receiver that answered 410 since the last replay is not told: the delivery is kept as `gone`.
        """
        at = self._clock()
        given = {event.event_id: event for event in events}
        new = 0
        with self._database.writing() as connection:
            left_out = {receiver for receiver in receivers if self._is_gone(connection, receiver)}
            for ids in chunks(sorted(given)):
                wanted = insert_into(connection, outbox).on_conflict_do_nothing().returning(outbox.c.event_id)
                kept = connection.execute(wanted, [_event_row(given[key], at) for key in ids]).scalars().all()
                pairs = [(key, receiver) for key in sorted(kept) for receiver in sorted(receivers)]
                insert_new(connection, due_delivery, [_due_row(*pair, at) for pair in pairs if pair[1] not in left_out])
                gone = [_row(*pair, 0, "gone", None, _GONE, 0.0, at) for pair in pairs if pair[1] in left_out]
                if gone:
                    connection.execute(delivery.insert(), gone)
                new += len(kept)
        return new

    def claim(self, receivers: Iterable[str], lease_s: float) -> ClaimedDelivery | None:
        """Take the delivery that has been due for longest, for `lease_s` seconds; None when none is due.

        No two callers get the same one before the lease ends, in whatever threads or processes they are.
        """
        now_s = self._clock().timestamp()
        mine = due_delivery.c
        wanted = select(mine.event_id, mine.receiver, mine.tries).where(
            mine.receiver.in_(list(receivers)), mine.due_at_s <= now_s
        )
        ordered = wanted.order_by(mine.due_at_s, mine.event_id).limit(1).with_for_update(skip_locked=True)
        with self._database.writing() as connection:
            found = connection.execute(ordered).one_or_none()
            if found is None:
                return None
            owner = fresh_id()
            taken = update(due_delivery).where(mine.event_id == found.event_id, mine.receiver == found.receiver)
            connection.execute(taken.values(owner=owner, due_at_s=now_s + lease_s))
            said = connection.execute(select(outbox).where(outbox.c.event_id == found.event_id)).mappings().one()
        return ClaimedDelivery(_event(said), found.receiver, owner, found.tries)

    def record(
        self,
        claimed: ClaimedDelivery,
        outcome: DeliveryOutcome,
        *,
        sentence: str,
        status: int | None = None,
        seconds: float = 0.0,
        due_at: datetime | None = None,
    ) -> bool:
        """Keep how a try ended; False when the lease was over and another sender has it now (kept in any case).

        `failed` needs `due_at`, when to try again. `gone` ends every delivery to that receiver that was still due.
        """
        if (outcome == "failed") != (due_at is not None) or outcome == "replayed":
            raise LedgerError(f"A try that {outcome} {'has no' if due_at else 'needs a'} moment of the next one.")
        at, mine = self._clock(), due_delivery.c
        held = (mine.event_id == claimed.event.event_id) & (mine.receiver == claimed.receiver)
        ours = held & (mine.owner == claimed.owner)
        with self._database.writing() as connection:
            done = (
                delete(due_delivery).where(ours)
                if due_at is None
                else update(due_delivery).where(ours).values(
                    owner="", tries=claimed.tries + 1, due_at_s=due_at.timestamp()
                )
            )  # fmt: skip
            still_ours = connection.execute(done).rowcount == 1
            key = (claimed.event.event_id, claimed.receiver, claimed.tries + 1)
            said = sentence[:_MAX_SENTENCE_CHARS]
            connection.execute(delivery.insert(), _row(*key, outcome, status, said, seconds, at))
            if outcome == "gone":
                self._let_go(connection, claimed.receiver, at)
        return still_ours

    def replay(
        self,
        receivers: Sequence[str],
        *,
        event_ids: Sequence[str] = (),
        release_id: str | None = None,
        dead: bool = False,
    ) -> int:
        """Make deliveries due again, from the first try: of these events, of a release, or (`dead`) only dead and gone.

        Return how many. Receivers that had answered 410 are told again from now on.
        """
        if not event_ids and release_id is None and not dead:
            raise LedgerError("What to send again was not said: events, a release, or all that are dead.")
        at = self._clock()
        found = self.deliveries(event_ids=event_ids, release_id=release_id, limit=None)
        chosen = [one for one in found if one.receiver in receivers and (not dead or one.state in ("dead", "gone"))]
        with self._database.writing() as connection:
            for batch in chunks(sorted(chosen, key=lambda one: (one.event_id, one.receiver))):
                for one in batch:
                    at_it = (due_delivery.c.event_id == one.event_id) & (due_delivery.c.receiver == one.receiver)
                    connection.execute(delete(due_delivery).where(at_it))
                insert_new(connection, due_delivery, [_due_row(one.event_id, one.receiver, at) for one in batch])
                rows = [_row(one.event_id, one.receiver, 0, "replayed", None, "", 0.0, at) for one in batch]
                connection.execute(delivery.insert(), rows)
        return len(chosen)

    def next_due(self, receivers: Iterable[str]) -> datetime | None:
        """Return when the next delivery to these receivers is due (or its lease ends), None when nothing waits."""
        soonest = select(func.min(due_delivery.c.due_at_s)).where(due_delivery.c.receiver.in_(list(receivers)))
        with self._database.reading() as connection:
            due_at_s = connection.execute(soonest).scalar()
        return None if due_at_s is None else datetime.fromtimestamp(due_at_s, UTC)

    def deliveries(
        self,
        *,
        state: DeliveryState | None = None,
        event_ids: Sequence[str] = (),
        release_id: str | None = None,
        limit: int | None = 100,
    ) -> list[Delivery]:
        """Return how deliveries stand, of the newest event first: all, of some events, of a release, in one state."""
        events: Select[Any] = select(outbox.c.event_id, outbox.c.release_id, outbox.c.promotion, outbox.c.at)
        if event_ids:
            events = events.where(outbox.c.event_id.in_(list(event_ids)))
        if release_id is not None:
            events = events.where(outbox.c.release_id == release_id)
        found: list[Delivery] = []
        with self._database.reading() as connection:
            known = connection.execute(events.order_by(outbox.c.seq.desc())).mappings().all()
            for some in chunks(known):
                found += [one for one in _stand(connection, some) if state in (None, one.state)]
                if limit is not None and len(found) >= limit:
                    return found[:limit]
        return found

    def attempt_moments(self, attempt_ids: Iterable[str]) -> dict[str, datetime]:
        """Return when each of these attempts was recorded, for those that are there: what `generatedAt` says."""
        table = schema.attempt
        with self._database.reading() as connection:
            found = rows_of(connection, select(table.c.attempt_id, table.c.at), table.c.attempt_id, attempt_ids)
            return {row["attempt_id"]: datetime.fromisoformat(row["at"]) for row in found}

    def _is_gone(self, connection: Connection, receiver: str) -> bool:
        column = delivery.c
        last = select(column.outcome).where(column.receiver == receiver, column.outcome.in_(("gone", "replayed")))
        return connection.execute(last.order_by(column.seq.desc()).limit(1)).scalar() == "gone"

    def _let_go(self, connection: Connection, receiver: str, at: datetime) -> None:
        mine = due_delivery.c
        left = connection.execute(
            delete(due_delivery).where(mine.receiver == receiver).returning(mine.event_id, mine.tries)
        ).all()
        rows = [_row(one.event_id, receiver, one.tries, "gone", None, _GONE, 0.0, at) for one in left]
        if rows:
            connection.execute(delivery.insert(), rows)


_GONE = "Not sent: the receiver answered 410 to an earlier one."


def _stand(connection: Connection, events: Sequence[RowMapping]) -> list[Delivery]:
    """Return how these events' deliveries stand: the last row of history, and what is due."""
    ids = [event["event_id"] for event in events]
    last: dict[tuple[str, str], RowMapping] = {}
    tries: dict[tuple[str, str], int] = {}
    for said in sorted(rows_of(connection, select(delivery), delivery.c.event_id, ids), key=lambda one: one["seq"]):
        pair = (said["event_id"], said["receiver"])
        last[pair] = said
        tries[pair] = max(tries.get(pair, 0), said["number"]) if said["outcome"] != "replayed" else 0
    due = {(r["event_id"], r["receiver"]): r for r in rows_of(connection, select(due_delivery),
                                                             due_delivery.c.event_id, ids)}  # fmt: skip
    found = []
    for event in events:
        for pair in sorted(pair for pair in last.keys() | due.keys() if pair[0] == event["event_id"]):
            row, waits = last.get(pair), due.get(pair)
            ended: DeliveryState = "waiting" if row is None or row["outcome"] not in _FINAL else row["outcome"]
            found.append(
                Delivery(
                    event_id=pair[0],
                    release_id=event["release_id"],
                    promotion=event["promotion"],
                    receiver=pair[1],
                    state=ended if waits is None else "waiting",
                    tries=tries.get(pair, 0),
                    status=row["status"] if row is not None else None,
                    sentence=row["sentence"] if row is not None else "",
                    at=datetime.fromisoformat(row["at"] if row is not None else event["at"]),
                    due_at=datetime.fromtimestamp(waits["due_at_s"], UTC) if waits is not None else None,
                )
            )
    return found


def _event(row: RowMapping) -> OutboxEvent:
    return OutboxEvent(row["event_id"], row["release_id"], row["promotion"], row["body"])


def _event_row(event: OutboxEvent, at: datetime) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "release_id": event.release_id,
        "promotion": event.promotion,
        "body": event.body,
        "at": time_text(at),
    }


def _due_row(event_id: str, receiver: str, at: datetime) -> dict[str, Any]:
    return {"event_id": event_id, "receiver": receiver, "owner": "", "tries": 0, "due_at_s": at.timestamp()}


def _row(
    event_id: str,
    receiver: str,
    number: int,
    outcome: str,
    status: int | None,
    sentence: str,
    seconds: float,
    at: datetime,
) -> dict[str, Any]:
    assert outcome in get_args(DeliveryOutcome)
    return {
        "event_id": event_id,
        "receiver": receiver,
        "number": number,
        "outcome": outcome,
        "status": status,
        "sentence": sentence,
        "seconds": seconds,
        "at": time_text(at),
    }
