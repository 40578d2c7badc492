"""Telling receivers over real sockets, from an outbox in both databases: at least once, whatever a receiver does."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from small_servers import Answer, serving
from standing_clock import StandingClock
from webhook_receiver import OLD_SECRET, SECRET, TAKEN, WebhookReceiver, receiving

from zimage_core import clock as the_clock
from zimage_core.ledger import Ledger, OutboxEvent
from zimage_core.publishing.addresses import guarded
from zimage_core.publishing.webhook_delivery import SCHEDULE_S, WebhookSender, deliver_due, wait_before_s
from zimage_core.settings import load_publish_settings

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def event(n: int = 1) -> OutboxEvent:
    return OutboxEvent(f"evt_{n:016x}", "r1", "618", f'{{"type":"images.published","n":{n},"名":"杯"}}')


@contextmanager
def sending(*urls: str, **changed: Any) -> Iterator[WebhookSender]:
    settings: dict[str, Any] = {"webhook_urls": urls, "webhook_secret": SECRET, "webhook_private": True}
    addresses_of = changed.pop("addresses_of", None)
    with WebhookSender(load_publish_settings(**(settings | changed)), addresses_of=addresses_of) as sender:
        yield sender


def send(ledger: Ledger, sender: WebhookSender, clock: StandingClock, wait_s: float = 0.5) -> dict[str, int]:
    """One pass; it does not wait for what is due later."""
    return dict(deliver_due(ledger.outbox, sender, wait_s=wait_s, now=clock, elapsed_s=lambda: 0.0))


def told(ledger: Ledger, sender: WebhookSender, *events: OutboxEvent) -> None:
    ledger.outbox.enqueue(events or [event()], list(sender.receivers))


def test_a_webhook_arrives_once_signed_and_unchanged(ledger: Ledger, clock: StandingClock) -> None:
    with receiving() as erp, receiving() as cms, sending(erp.url, cms.url) as sender:
        told(ledger, sender, event(1), event(2))
        assert send(ledger, sender, clock) == {"delivered": 4}
        assert send(ledger, sender, clock) == {}
        for receiver in (erp, cms):
            assert receiver.taken[event(1).event_id] == {"type": "images.published", "n": 1, "名": "杯"}
            assert len(receiver.told) == 2
            assert {seen.body.decode() for seen in receiver.server.seen} == {event(1).body, event(2).body}
    assert {one.state for one in ledger.outbox.deliveries()} == {"delivered"}


def test_a_receiver_that_still_has_the_old_secret_can_verify(ledger: Ledger, clock: StandingClock) -> None:
    with receiving(secret=OLD_SECRET) as erp, sending(erp.url, webhook_secret=f"{SECRET} {OLD_SECRET}") as sender:
        told(ledger, sender)
        assert send(ledger, sender, clock) == {"delivered": 1}


FAULTS = {
    "404": Answer(404, b'{"error":"no such hook"}'),
    "500": Answer(500, b"boom"),
    "a redirect": Answer(302, headers={"Location": "https://erp.example/"}),
    "a redirect that says nothing": Answer(304),
    "a connection that breaks": Answer(drop=True),
    "an answer that is cut short": Answer(200, b"x" * 100, cut_bytes=10),
    "silence": Answer(stall=True),
    "a header byte now and then": Answer(204, header_drip_s=0.1),
    "a body byte now and then": Answer(200, b"x" * 1000, drip_s=0.1),
    "an endless answer": Answer(200, b"x" * 65536, endless=True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_a_receiver_does_wrong_it_is_told_again_later(
    ledger: Ledger, clock: StandingClock, fault: str
) -> None:
    with receiving(FAULTS[fault], TAKEN) as erp, sending(erp.url, webhook_timeout_s=1.0) as sender:
        told(ledger, sender)
        assert send(ledger, sender, clock, wait_s=0.0) == {"failed": 1}
        (one,) = ledger.outbox.deliveries()
        assert one.state == "waiting"
        assert one.sentence
        clock.pass_s(SCHEDULE_S[1])
        assert send(ledger, sender, clock) == {"delivered": 1}
        assert erp.told == [event().event_id] * 2, "the same id, so that the receiver knows it again"


def test_a_receiver_that_is_not_there_is_told_again_later(ledger: Ledger, clock: StandingClock) -> None:
    with sending(f"http://127.0.0.1:{free_port()}/") as sender:
        told(ledger, sender)
        assert send(ledger, sender, clock, wait_s=0.0) == {"failed": 1}


def test_a_redirect_to_a_private_address_is_not_followed(ledger: Ledger, clock: StandingClock) -> None:
    with serving(lambda _: Answer(200, b"the keys of the cloud")) as metadata:
        away = Answer(307, headers={"Location": f"{metadata.url}/latest/meta-data"})
        with receiving(away) as erp, sending(erp.url) as sender:
            told(ledger, sender)
            assert send(ledger, sender, clock, wait_s=0.0) == {"failed": 1}
        assert metadata.seen == []
    assert "redirect" in ledger.outbox.deliveries()[0].sentence


def test_tries_follow_the_schedule_and_end_in_the_dead_letters(ledger: Ledger, clock: StandingClock) -> None:
    with receiving(Answer(500)) as erp, sending(erp.url) as sender:
        told(ledger, sender)
        receiver = next(iter(sender.receivers))
        for tries in range(1, len(SCHEDULE_S)):
            assert send(ledger, sender, clock, wait_s=0.0) == {"failed": 1}
            due_at = ledger.outbox.next_due([receiver])
            assert due_at is not None
            waits_s = (due_at - clock.now).total_seconds()
            assert 0 <= waits_s <= SCHEDULE_S[tries]
            assert waits_s == pytest.approx(wait_before_s(event().event_id, receiver, tries), abs=1e-5)
            clock.pass_s(SCHEDULE_S[tries])
        assert send(ledger, sender, clock, wait_s=0.0) == {"dead": 1}
        clock.pass_s(1e7)
        assert send(ledger, sender, clock) == {}
        assert len(erp.told) == len(SCHEDULE_S) == 10
        (one,) = ledger.outbox.deliveries(state="dead")
        assert (one.tries, one.status) == (10, 500)


def test_waits_are_spread_over_the_whole_of_the_schedule() -> None:
    drawn = [wait_before_s(f"evt_{n}", "erp", 2) for n in range(400)]
    assert min(drawn) < 0.05 * SCHEDULE_S[2]
    assert max(drawn) > 0.95 * SCHEDULE_S[2]
    assert sum(drawn) / len(drawn) == pytest.approx(SCHEDULE_S[2] / 2, rel=0.1)


@pytest.mark.parametrize(("asked", "least_s"), [("120", 120), ("999999999", 86_400), ("-5", 0), ("soon", 0)])
def test_a_busy_receiver_says_when_to_come_back(
    ledger: Ledger, clock: StandingClock, asked: str, least_s: float
) -> None:
    with receiving(Answer(429, headers={"Retry-After": asked}), TAKEN) as erp, sending(erp.url) as sender:
        told(ledger, sender)
        send(ledger, sender, clock, wait_s=0.0)
        due_at = ledger.outbox.next_due(list(sender.receivers))
        assert due_at is not None
        assert least_s - 1e-5 <= (due_at - clock.now).total_seconds() <= max(least_s, SCHEDULE_S[1]) + 1e-5


def test_a_receiver_that_is_gone_is_left_alone(ledger: Ledger, clock: StandingClock) -> None:
    with receiving(Answer(410)) as erp, receiving() as cms, sending(erp.url, cms.url) as sender:
        told(ledger, sender, event(1), event(2))
        assert send(ledger, sender, clock) == {"gone": 1, "delivered": 2}
        told(ledger, sender, event(3))
        assert send(ledger, sender, clock) == {"delivered": 1}
        assert len(erp.told) == 1


def test_what_is_replayed_arrives_under_the_same_id(ledger: Ledger, clock: StandingClock) -> None:
    with receiving(Answer(410), TAKEN) as erp, sending(erp.url) as sender:
        told(ledger, sender, event(1), event(2))
        send(ledger, sender, clock)
        assert ledger.outbox.replay(list(sender.receivers), dead=True) == 2
        assert send(ledger, sender, clock) == {"delivered": 2}
        assert set(erp.taken) == {event(1).event_id, event(2).event_id}


def test_a_broken_receiver_costs_three_tries_a_pass_and_keeps_no_other_waiting(
    ledger: Ledger, clock: StandingClock
) -> None:
    with receiving(Answer(stall=True)) as slow, receiving() as cms:
        with sending(slow.url, cms.url, webhook_timeout_s=1.0) as sender:
            told(ledger, sender, *(event(n) for n in range(10)))
            started_s = the_clock.elapsed_s()
            assert send(ledger, sender, clock) == {"failed": 3, "delivered": 10}
            assert the_clock.elapsed_s() - started_s < 9  # ten at a second each would take ten
        assert len(slow.told) == 3


def test_a_pass_waits_for_what_is_due_soon_and_ends_on_time(ledger: Ledger, clock: StandingClock) -> None:
    def sleep(seconds: float) -> None:
        clock.pass_s(seconds)

    with receiving(Answer(500), TAKEN) as erp, sending(erp.url) as sender:
        told(ledger, sender)
        started = clock.now.timestamp()
        ended = deliver_due(
            ledger.outbox,
            sender,
            wait_s=10,
            within_s=10,
            now=clock,
            sleep=sleep,
            elapsed_s=lambda: clock.now.timestamp(),
        )
        assert dict(ended) == {"failed": 1, "delivered": 1}
        assert clock.now.timestamp() - started <= SCHEDULE_S[1]


def test_several_senders_at_once_send_each_event_once(ledger: Ledger, clock: StandingClock) -> None:
    with receiving() as erp, sending(erp.url) as sender:
        told(ledger, sender, *(event(n) for n in range(30)))
        with ThreadPoolExecutor(4) as pool:
            passes = list(pool.map(lambda _: send(ledger, sender, clock), range(4)))
        assert sum(ended.get("delivered", 0) for ended in passes) == 30
        assert sorted(erp.told) == sorted(event(n).event_id for n in range(30))


# ---------------------------------------------------------------- addresses


def test_an_address_of_this_machine_is_not_called_unless_that_is_meant(ledger: Ledger, clock: StandingClock) -> None:
    with receiving() as erp:
        inside = guarded(private=False, resolve=lambda _: ["127.0.0.1"])
        with sending(erp.url, addresses_of=inside) as sender:
            told(ledger, sender)
            assert send(ledger, sender, clock, wait_s=0.0) == {"failed": 1}
        assert erp.server.seen == []
    assert "ZIMAGE_PUBLISH_WEBHOOK_PRIVATE" in ledger.outbox.deliveries()[0].sentence


def test_the_connection_goes_to_the_address_that_was_judged(ledger: Ledger, clock: StandingClock) -> None:
    """The name leads nowhere; only the one answer that was judged does, and it is asked for once a connection."""
    asked: list[str] = []

    def resolve(host: str) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with receiving() as erp:
        url = f"http://erp.invalid:{erp.server.port}/hooks"
        with sending(url, addresses_of=guarded(private=True, resolve=resolve)) as sender:
            told(ledger, sender)
            assert send(ledger, sender, clock) == {"delivered": 1}
        assert asked == ["erp.invalid"]
        assert erp.server.seen[0].headers["host"] == f"erp.invalid:{erp.server.port}"


def test_of_several_addresses_the_first_that_answers_is_taken(ledger: Ledger, clock: StandingClock) -> None:
    with receiving() as erp, sending(erp.url, addresses_of=lambda _: ["::1", "127.0.0.1"]) as sender:
        told(ledger, sender)
        assert send(ledger, sender, clock) == {"delivered": 1}


# ---------------------------------------------------------------- secrets, and death


def test_no_secret_is_written_anywhere(ledger: Ledger, clock: StandingClock, caplog: pytest.LogCaptureFixture) -> None:
    echo = Answer(500, b'{"error":"bad token s3cret-token"}')
    with caplog.at_level(logging.DEBUG), receiving(echo) as erp, sending(erp.url) as sender:
        told(ledger, sender)
        send(ledger, sender, clock, wait_s=0.0)
        shown = caplog.text + repr(ledger.outbox.deliveries()) + repr(sender.receivers)
    assert "bad token ***" in shown
    assert "s3cret-token" not in shown
    assert SECRET.removeprefix("whsec_") not in shown


def test_a_sender_that_is_killed_leaves_what_it_had_to_the_next_one(
    ledger: Ledger, ledger_url: str, clock: StandingClock
) -> None:
    asked = threading.Event()

    def takes(number: int) -> Answer:
        asked.set()
        return Answer(stall=True) if number == 1 else TAKEN

    erp = WebhookReceiver(takes)
    erp.server.start()
    try:
        with sending(erp.url) as sender:
            told(ledger, sender)
            script = SUPPORT / "webhook_sender.py"
            child = subprocess.Popen([sys.executable, str(script), ledger_url, erp.url, clock.now.isoformat()])
            assert asked.wait(30)
            child.send_signal(signal.SIGKILL)
            child.wait()
            assert send(ledger, sender, clock) == {}, "it may still be alive"
            clock.pass_s(3600)
            assert send(ledger, sender, clock) == {"delivered": 1}
    finally:
        erp.server.stop()
    assert erp.told == [event().event_id] * 2
    assert list(erp.taken) == [event().event_id]
