"""What is to be told to receivers, in both databases: kept once, claimed by one, tried again, given up, replayed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from standing_clock import StandingClock

from zimage_core.errors import LedgerError
from zimage_core.ledger import Delivery, Ledger, OutboxEvent

LEASE_S = 60.0


def event(n: int, release: str = "r1") -> OutboxEvent:
    return OutboxEvent(f"evt_{release}_{n}", release, "618", f'{{"n":{n}}}')


def state(ledger: Ledger, *receivers: str) -> dict[tuple[str, str], str]:
    return {(one.event_id, one.receiver): one.state for one in ledger.outbox.deliveries()}


def only(ledger: Ledger) -> Delivery:
    (one,) = ledger.outbox.deliveries()
    return one


def test_an_event_is_kept_once_and_is_due_at_once_for_each_receiver(ledger: Ledger, clock: StandingClock) -> None:
    assert ledger.outbox.enqueue([event(1), event(2)], ["erp", "cms"]) == 2
    assert ledger.outbox.enqueue([event(1), event(2), event(3)], ["erp", "cms"]) == 1
    assert set(state(ledger).values()) == {"waiting"}
    assert len(state(ledger)) == 6
    assert ledger.outbox.next_due(["erp"]) == clock.now
    assert ledger.outbox.next_due(["somebody else"]) is None


def test_what_was_delivered_is_not_told_again_when_the_same_event_is_kept_again(ledger: Ledger) -> None:
    ledger.outbox.enqueue([event(1)], ["erp"])
    claimed = ledger.outbox.claim(["erp"], LEASE_S)
    assert claimed is not None
    assert claimed.event == event(1)
    assert ledger.outbox.record(claimed, "delivered", sentence="", status=204)
    assert ledger.outbox.enqueue([event(1)], ["erp"]) == 0
    assert ledger.outbox.claim(["erp"], LEASE_S) is None
    assert (only(ledger).state, only(ledger).status, only(ledger).tries) == ("delivered", 204, 1)


def test_a_claimed_delivery_is_nobody_elses_until_its_lease_ends(ledger: Ledger, clock: StandingClock) -> None:
    ledger.outbox.enqueue([event(1)], ["erp"])
    first = ledger.outbox.claim(["erp"], LEASE_S)
    assert ledger.outbox.claim(["erp"], LEASE_S) is None
    clock.pass_s(LEASE_S)
    second = ledger.outbox.claim(["erp"], LEASE_S)
    assert first is not None
    assert second is not None
    assert first.event.event_id == second.event.event_id, "the receiver knows it again by its id"
    assert not ledger.outbox.record(first, "failed", sentence="late", due_at=clock.now), "another sender has it now"
    assert ledger.outbox.record(second, "delivered", sentence="")
    assert only(ledger).state == "delivered"


def test_two_senders_at_once_never_get_the_same_delivery(ledger: Ledger) -> None:
    ledger.outbox.enqueue([event(n) for n in range(24)], ["erp", "cms"])

    def take_all(_: int) -> list[tuple[str, str]]:
        taken = []
        while (claimed := ledger.outbox.claim(["erp", "cms"], LEASE_S)) is not None:
            taken.append((claimed.event.event_id, claimed.receiver))
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [pair for part in pool.map(take_all, range(4)) for pair in part]
    assert len(taken) == len(set(taken)) == 48


def test_a_failed_try_comes_back_when_it_is_due(ledger: Ledger, clock: StandingClock) -> None:
    ledger.outbox.enqueue([event(1)], ["erp"])
    claimed = ledger.outbox.claim(["erp"], LEASE_S)
    assert claimed is not None
    again = clock.now + timedelta(seconds=300)
    ledger.outbox.record(claimed, "failed", sentence="It answered 500.", status=500, due_at=again)
    assert (only(ledger).state, only(ledger).due_at, only(ledger).sentence) == ("waiting", again, "It answered 500.")
    assert ledger.outbox.claim(["erp"], LEASE_S) is None
    clock.pass_s(300)
    claimed = ledger.outbox.claim(["erp"], LEASE_S)
    assert claimed is not None
    assert claimed.tries == 1


def test_what_is_dead_stays_so_until_it_is_replayed(ledger: Ledger) -> None:
    ledger.outbox.enqueue([event(1), event(2)], ["erp"])
    for outcome in ("dead", "delivered"):
        claimed = ledger.outbox.claim(["erp"], LEASE_S)
        assert claimed is not None
        ledger.outbox.record(claimed, outcome, sentence="")  # type: ignore[arg-type]
    assert [one.event_id for one in ledger.outbox.deliveries(state="dead")] == [event(1).event_id]
    assert ledger.outbox.claim(["erp"], LEASE_S) is None
    assert ledger.outbox.replay(["another"], dead=True) == 0
    assert ledger.outbox.replay(["erp"], dead=True) == 1
    claimed = ledger.outbox.claim(["erp"], LEASE_S)
    assert claimed is not None
    assert (claimed.event, claimed.tries) == (event(1), 0)


def test_replaying_an_event_or_a_release_sends_the_same_again(ledger: Ledger) -> None:
    ledger.outbox.enqueue([event(1), event(2), event(1, "r2")], ["erp"])
    for _ in range(3):
        claimed = ledger.outbox.claim(["erp"], LEASE_S)
        assert claimed is not None
        ledger.outbox.record(claimed, "delivered", sentence="")
    assert ledger.outbox.replay(["erp"], event_ids=[event(2).event_id]) == 1
    assert state(ledger)[event(2).event_id, "erp"] == "waiting"
    assert ledger.outbox.replay(["erp"], release_id="r1") == 2
    assert state(ledger)[event(1, "r2").event_id, "erp"] == "delivered"
    with pytest.raises(LedgerError, match="was not said"):
        ledger.outbox.replay(["erp"])


def test_a_receiver_that_is_gone_is_told_nothing_more_until_replayed(ledger: Ledger) -> None:
    ledger.outbox.enqueue([event(1), event(2)], ["erp", "cms"])
    claimed = ledger.outbox.claim(["erp"], LEASE_S)
    assert claimed is not None
    ledger.outbox.record(claimed, "gone", sentence="It answered 410.", status=410)
    ledger.outbox.enqueue([event(3)], ["erp", "cms"])
    assert {pair[1] for pair, found in state(ledger).items() if found == "gone"} == {"erp"}
    assert ledger.outbox.next_due(["erp"]) is None
    assert ledger.outbox.next_due(["cms"]) is not None
    assert ledger.outbox.replay(["erp"], dead=True) == 3
    assert ledger.outbox.next_due(["erp"]) is not None


def test_a_try_needs_the_moment_of_the_next_one_only_if_there_is_one(ledger: Ledger, clock: StandingClock) -> None:
    ledger.outbox.enqueue([event(1)], ["erp"])
    claimed = ledger.outbox.claim(["erp"], LEASE_S)
    assert claimed is not None
    with pytest.raises(LedgerError):
        ledger.outbox.record(claimed, "failed", sentence="")
    with pytest.raises(LedgerError):
        ledger.outbox.record(claimed, "delivered", sentence="", due_at=clock.now)
