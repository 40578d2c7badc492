"""One endpoint fifty times slower than the others, as real servers: the others' throughput stays what it was."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from small_servers import Answer, Seen, SmallServer

from zimage_core.engines.wire.client import Wire
from zimage_core.engines.wire.endpoints import Endpoints, Pace

QUICK_S, SLOW_S, CALLS = 0.02, 1.0, 400


def throughput(think_s: tuple[float, ...]) -> tuple[float, list[int]]:
    """Calls per second over endpoints that take so long for an answer, four at a time each; and who gave how many."""

    def server_of(seconds: float) -> SmallServer:
        def answer(_: Seen) -> Answer:
            server.stopping.wait(seconds)
            return Answer(body=b"x")

        server = SmallServer(answer)
        server.start()
        return server

    servers = [server_of(seconds) for seconds in think_s]
    wire = Wire("e")
    some = Endpoints([server.url for server in servers], engine="e", pace=Pace(limit=4, start=4))

    def one(_: int) -> None:
        with some.visit() as url:
            wire.call("GET", url)

    try:
        started_s = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(one, range(CALLS)))
        return CALLS / (time.monotonic() - started_s), [len(server.seen) for server in servers]
    finally:
        wire.close()
        for server in servers:
            server.stop()


def test_one_endpoint_that_takes_fifty_times_as_long_does_not_hold_up_the_others() -> None:
    alone, _ = throughput((QUICK_S, QUICK_S))
    beside, answered = throughput((QUICK_S, QUICK_S, SLOW_S))
    assert beside >= 0.85 * alone, (alone, beside, answered)
    assert answered[2] <= 8
