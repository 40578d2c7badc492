"""Telling receivers: every event at least once, tried again over three days, given up after that; never an exception.

The waits are those that Standard Webhooks 1.0 advises, with full jitter (Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015), so that a receiver which comes back is not met by everything at once. Only 2xx is success. A
redirect is a failure and is not followed; 410 ends what a receiver is told until a person replays it; Retry-After puts
the next try off.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

import numpy as np

from zimage_core import clock
from zimage_core.domain import content_id
from zimage_core.engines.wire.client import Limits, Reply, Wire
from zimage_core.errors import ConfigurationError, EngineError, LedgerBusy
from zimage_core.ledger import ClaimedDelivery, DeliveryOutcome, Outbox
from zimage_core.publishing.addresses import AddressRefused, guarded
from zimage_core.publishing.webhooks import Receiver, receivers_of, signed_headers, signers_of, without_secrets
from zimage_core.settings import PublishSettings

log = logging.getLogger("zimage_core.publishing")

SCHEDULE_S: Final = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The longest wait before each try: at once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""
MAX_RETRY_AFTER_S: Final = 86_400.0
FAILURES_IN_A_ROW: Final = 3
"""After so many failed tries one after the other a receiver is left alone for the rest of a pass."""
MAX_ANSWER_BYTES: Final = 1 << 20
THREADS: Final = 8
_NAME: Final = "webhook"
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one try. `status` is None where no whole answer came."""

    status: int | None
    sentence: str
    seconds: float
    retry_after_s: float | None = None

    @property
    def is_ok(self) -> bool:
        """Tell whether the receiver took it: 2xx and nothing else."""
        return self.status is not None and 200 <= self.status < 300


class WebhookSender:
    """Sends signed events to the configured receivers. Threads may share it; `with` closes its connections.

    Raises ConfigurationError for receivers or a secret that cannot be used.
    """

    def __init__(
        self,
        settings: PublishSettings,
        *,
        now: Callable[[], datetime] = clock.now,
        addresses_of: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        if settings.webhook_secret is None:
            raise ConfigurationError("ZIMAGE_PUBLISH_WEBHOOK_SECRET is not set: unsigned webhooks can be forged.")
        private = settings.webhook_private
        self.receivers = {one.receiver_id: one for one in receivers_of(settings.webhook_urls, private=private)}
        self._signers = signers_of(settings.webhook_secret)
        self._now = now
        self.timeout_s = settings.webhook_timeout_s
        limits = Limits(
            connect_s=min(10.0, self.timeout_s),
            read_s=self.timeout_s,
            total_s=self.timeout_s,
            max_bytes=MAX_ANSWER_BYTES,
            max_redirects=0,
        )
        self._wire = Wire(
            _NAME, limits, addresses_of=addresses_of or guarded(private=private, within_s=limits.connect_s)
        )

    def close(self) -> None:
        """Close every connection; may be called twice."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, claimed: ClaimedDelivery) -> Sent:
        """Try once to deliver an event; whatever goes wrong at the receiver is in the answer, not an exception."""
        receiver = self.receivers[claimed.receiver]
        event = claimed.event
        headers = signed_headers(self._signers, event.event_id, event.body, self._now())
        started_s = clock.elapsed_s()
        try:
            reply = self._wire.call("POST", receiver.url.get_secret_value(), content=event.body.encode(),
                                    headers=headers, accept="*/*")  # fmt: skip
        except (EngineError, AddressRefused) as error:
            return Sent(None, _in_our_words(error.sentence, receiver), clock.elapsed_s() - started_s)
        sentence = "" if reply.is_ok else _masked(_said(reply), receiver)
        return Sent(reply.status, sentence, reply.seconds, reply.retry_after_s())


def _said(reply: Reply) -> str:
    words = reply.message()
    return f"It answered {reply.status}" + (f": {words}" if words else ".")


def _in_our_words(sentence: str, receiver: Receiver) -> str:
    """Return what the wire said, which speaks of engines, about the receiver."""
    if "redirects" in sentence:
        return "It answers with a redirect, which is not followed; configure the address it leads to, if that is right."
    return _masked(sentence.replace(f"Engine '{_NAME}'", "The receiver", 1), receiver)


def _masked(text: str, receiver: Receiver) -> str:
    return without_secrets(text, receiver.url.get_secret_value())


def wait_before_s(event_id: str, receiver_id: str, tries: int, retry_after_s: float | None = None) -> float:
    """Return how long to wait after so many tries (1 to 9): a random share of the schedule's wait.

    The share depends on the event, the receiver and the number of tries alone. Retry-After is the least, up to a day.
    """
    seed = int(content_id("webhook-wait", event_id, receiver_id, tries), 16)
    drawn_s = float(np.random.default_rng(seed).uniform(0.0, SCHEDULE_S[tries]))
    return max(drawn_s, min(retry_after_s or 0.0, MAX_RETRY_AFTER_S))


def deliver_due(
    outbox: Outbox,
    sender: WebhookSender,
    *,
    wait_s: float,
    within_s: float = math.inf,
    now: Callable[[], datetime] = clock.now,
    sleep: Callable[[float], object] | None = None,
    elapsed_s: Callable[[], float] = clock.elapsed_s,
) -> Counter[DeliveryOutcome]:
    """Send what is due, and what becomes due `wait_s` seconds from now; return how many tries ended how.

    Each receiver has a thread of its own, so a slow one keeps no other waiting; one that fails three times in a row is
    left alone until the next call. No try begins after `within_s`, and the last may take the timeout longer. A ledger
    that is busy ends the pass of that receiver; what it had in hand is sent again when its lease is over.
    """
    started_s = elapsed_s()
    pause = sleep or threading.Event().wait

    def serve(receiver_id: str) -> Counter[DeliveryOutcome]:
        ended: Counter[DeliveryOutcome] = Counter()
        failures = 0
        try:
            while failures < FAILURES_IN_A_ROW and elapsed_s() - started_s <= within_s:
                claimed = outbox.claim([receiver_id], _lease_s(sender))
                if claimed is not None:
                    outcome = _try_once(outbox, sender, claimed, now)
                    failures = 0 if outcome == "delivered" else failures + 1
                    ended[outcome] += 1
                    continue
                due_at = outbox.next_due([receiver_id])
                left_s = min(wait_s, within_s) - (elapsed_s() - started_s)
                if due_at is None or (due_at - now()).total_seconds() > left_s:
                    break
                pause(max(0.001, (due_at - now()).total_seconds()))
        except LedgerBusy as error:
            log.warning("Webhooks to %s wait for the next pass: %s", sender.receivers[receiver_id].name, error)
        return ended

    total: Counter[DeliveryOutcome] = Counter()
    if sender.receivers:
        with ThreadPoolExecutor(min(THREADS, len(sender.receivers)), thread_name_prefix="webhook") as pool:
            for ended in pool.map(serve, sender.receivers):
                total.update(ended)
    return total


def _lease_s(sender: WebhookSender) -> float:
    """Return for how long a delivery is ours: longer than its try can take, looking the name up included."""
    return 2 * sender.timeout_s + 60.0


def _try_once(
    outbox: Outbox, sender: WebhookSender, claimed: ClaimedDelivery, now: Callable[[], datetime]
) -> DeliveryOutcome:
    sent = sender.send(claimed)
    tries = claimed.tries + 1
    outcome: DeliveryOutcome = "delivered"
    due_at = None
    if not sent.is_ok:
        name = sender.receivers[claimed.receiver].name
        if sent.status == _GONE:
            outcome = "gone"
        elif tries >= len(SCHEDULE_S):
            outcome = "dead"
        else:
            outcome = "failed"
            wait = wait_before_s(claimed.event.event_id, claimed.receiver, tries, sent.retry_after_s)
            due_at = now() + timedelta(seconds=wait)
        log.warning("Webhook %s to %s, try %d: %s", claimed.event.event_id, name, tries, sent.sentence)
    outbox.record(claimed, outcome, sentence=sent.sentence, status=sent.status, seconds=sent.seconds, due_at=due_at)
    return outcome
