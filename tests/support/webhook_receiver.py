"""An ERP that is told of published images: a real HTTP server that verifies what it gets and fails as it is told."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from small_servers import Answer, Seen, SmallServer
from standardwebhooks import Webhook

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OLD_SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
TAKEN = Answer(204)


class WebhookReceiver:
    """Verifies each webhook with the public package and keeps those it took, by id; answers by a function.

    `takes` is asked with the number of the request (1, 2, ...). `told` are the ids in order of arrival, whatever was
    answered; `taken` the bodies that were answered 2xx, by id: what an idempotent receiver keeps.
    """

    def __init__(self, takes: Callable[[int], Answer], secret: str = SECRET) -> None:
        self._takes = takes
        self._verifier = Webhook(secret)
        self._lock = threading.Lock()
        self.told: list[str] = []
        self.taken: dict[str, dict[str, Any]] = {}
        self.server = SmallServer(self._answer)

    @property
    def url(self) -> str:
        return f"{self.server.url}/hooks/images?token=s3cret-token"

    def _answer(self, seen: Seen) -> Answer:
        self._verifier.verify(seen.body, seen.headers)  # raises, and so resets the connection, when it is not ours
        with self._lock:
            self.told.append(seen.headers["webhook-id"])
            answer = self._takes(len(self.told))
            if 200 <= answer.status < 300 and not (answer.drop or answer.stall):
                self.taken[seen.headers["webhook-id"]] = json.loads(seen.body)
        return answer


@contextmanager
def receiving(*answers: Answer, secret: str = SECRET) -> Iterator[WebhookReceiver]:
    """A receiver that gives these answers in turn, the last one again and again; none given = it takes everything."""
    given = answers or (TAKEN,)
    receiver = WebhookReceiver(lambda number: given[min(number, len(given)) - 1], secret)
    receiver.server.start()
    try:
        yield receiver
    finally:
        receiver.server.stop()
