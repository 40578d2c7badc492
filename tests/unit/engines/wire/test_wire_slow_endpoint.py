"""One endpoint that keeps its calls, as real servers: all other calls are answered by the others meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

from small_servers import Answer, Seen, SmallServer

from zimage_core.engines.wire.client import Wire
from zimage_core.engines.wire.endpoints import Endpoints, Pace

CALLS, AT_A_TIME, THREADS = 400, 4, 16
PATIENCE_S = 60


def test_an_endpoint_that_does_not_answer_keeps_its_share_of_calls_and_holds_up_no_other() -> None:
    go_on = threading.Event()

    def slow(_: Seen) -> Answer:
        go_on.wait(2 * PATIENCE_S)
        return Answer(body=b"late")

    servers = [SmallServer(lambda _: Answer(body=b"x")), SmallServer(lambda _: Answer(body=b"x")), SmallServer(slow)]
    for server in servers:
        server.start()
    wire = Wire("e")
    some = Endpoints([server.url for server in servers], engine="e", pace=Pace(limit=AT_A_TIME, start=AT_A_TIME))

    def one(_: int) -> bytes:
        with some.visit() as url:
            return wire.call("GET", url, total_s=3 * PATIENCE_S).body

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            calls = [pool.submit(one, n) for n in range(CALLS)]
            try:
                ended = [call.result() for call in islice(as_completed(calls, PATIENCE_S), CALLS - AT_A_TIME)]
                held = len(servers[2].seen)
            finally:
                go_on.set()
            late = [call.result() for call in calls].count(b"late")
    finally:
        wire.close()
        for server in servers:
            server.stop()
    assert held == AT_A_TIME
    assert ended == [b"x"] * (CALLS - AT_A_TIME)
    assert late == AT_A_TIME
