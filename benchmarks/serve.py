"""What the engine server adds to its engine: throughput against the limit, queueing, memory over 10,000 requests.

    OMP_NUM_THREADS=1 python benchmarks/serve.py

The engine sleeps 50 ms a call and takes up to 8 requests in one, so no server can answer more than 8 / 0.050 s = 160
requests a second; without batching the limit is 20. The server is the real one (uvicorn, door, desk, disk) in a process
of its own; requests come over loopback from another, each with its own seed, so that nothing is answered from what is
kept. Pictures are small (--side), because encoding a megapixel costs more than these 50 ms leave a core: a real engine
draws a few pictures a second.

    saturated    so many callers, each asking again as soon as it is answered: throughput against the limit, and the
                 server's memory every 1,000 requests
    paced        requests at random moments (Poisson) at a share of the limit: queueing is what an answer takes beyond
                 the engine's own 50 ms
    one by one   saturated, with batching turned off: the named alternative
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from zimage_core import clock
from zimage_core.domain import EngineInfo
from zimage_core.engines.base import Rendered, RenderRequest
from zimage_core.serving.intake import Sampling
from zimage_core.serving.run import EngineServer
from zimage_core.settings import ServeSettings

CALL_S = 0.050
BATCH = 8
PACED_SHARE = 0.7
KEPT_BYTES = 2**20
"""Pictures kept on disk: few, so that what is known of them (0.4 KB of memory each) is complete after a few hundred
requests and what else grows would show."""
SAMPLE_EVERY = 1000


class SleepingEngine:
    """Sleeps 50 ms a call, however many requests are in it; its pictures are a pattern that the seed shifts."""

    def __init__(self, side_px: int) -> None:
        rows, columns = np.mgrid[0 : 2 * side_px, 0:side_px]
        self._pattern = np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=-1).astype(np.uint8)
        self.info = EngineInfo("sleeping", "sleeping-1", ("text",), False, 1, 4096, BATCH, CALL_S / BATCH, 0.0)

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered]:
        """Return one picture per request, after the nap."""
        ends_s = clock.elapsed_s() + CALL_S
        answers = [
            Rendered(
                request.attempt_id,
                np.ascontiguousarray(self._pattern[request.seed % request.height_px :][: request.height_px]),
                None,
                CALL_S / len(requests),
                0.0,
            )
            for request in requests
        ]
        time.sleep(max(0.0, ends_s - clock.elapsed_s()))
        return answers

    def close(self) -> None:
        """Nothing is held."""


def serve(folder: Path, side_px: int, batch_limit: int) -> None:
    """Be the server: say the port on standard output, then serve until SIGTERM."""
    rules = ServeSettings(
        _env_file=None, warm_up=False, result_bytes=KEPT_BYTES, batch_limit=batch_limit, queue_limit=1000
    )
    server = EngineServer(
        SleepingEngine(side_px), rules, folder, sampling=Sampling(), blocklist=None, host="127.0.0.1", port=0
    )
    print(server.port, flush=True)
    server.serve()


class Running:
    """The server in a process of its own, on a folder of its own."""

    def __init__(self, side_px: int, batch_limit: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zimage-serve-")
        command = [sys.executable, __file__, "--role", "server", "--folder", self._folder.name,
                   "--side", str(side_px), "--batch-limit", str(batch_limit)]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        assert self._process.wait(30) == 0, "the server did not drain"
        self._folder.cleanup()

    def memory_mib(self) -> float:
        """Return what the server's process holds in memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


# ---------------------------------------------------------------- callers, on plain sockets: they share two cores


class Caller:
    """One connection that asks and waits, again and again."""

    def __init__(self, port: int, side_px: int) -> None:
        self._port, self._side_px = port, side_px

    async def open(self) -> Caller:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        return self

    async def ask(self, seed: int) -> float:
        """Return the seconds until one picture came back whole."""
        body = json.dumps({"prompt": "a mug", "width": self._side_px, "height": self._side_px, "seed": seed}).encode()
        head = (
            "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        started_s = clock.elapsed_s()
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = int(answer.lower().partition(b"content-length:")[2].split()[0])
        await self._reader.readexactly(length)
        return clock.elapsed_s() - started_s

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def saturated(server: Running, side_px: int, callers: int, requests: int) -> tuple[float, list[float]]:
    """Return (requests per second, MiB of the server's memory every thousand requests)."""
    seeds = iter(range(requests))
    memory: list[float] = []
    done = 0

    async def again_and_again() -> None:
        nonlocal done
        caller = await Caller(server.port, side_px).open()
        for seed in seeds:
            await caller.ask(seed)
            done += 1
            if done % SAMPLE_EVERY == 0:
                memory.append(server.memory_mib())
        caller.close()

    started_s = clock.elapsed_s()
    await asyncio.gather(*(again_and_again() for _ in range(callers)))
    return requests / (clock.elapsed_s() - started_s), memory


def random_moments(per_s: float, requests: int) -> np.ndarray:
    """Return the moments, in seconds, of requests that come at random at the given rate."""
    return np.cumsum(np.random.default_rng(1).exponential(1 / per_s, requests))


def waits_of_an_ideal_server(per_s: float, requests: int) -> np.ndarray:
    """Return the seconds each of these requests would wait if nothing but the engine's calls took any time."""
    moments = random_moments(per_s, requests)
    waits: list[float] = []
    free_s = 0.0
    while len(waits) < requests:
        free_s = max(free_s, moments[len(waits)])
        taken = moments[len(waits) : len(waits) + BATCH]
        waits.extend(free_s - taken[taken <= free_s])
        free_s += CALL_S
    return np.array(waits)


async def paced(server: Running, side_px: int, per_s: float, requests: int) -> list[float]:
    """Return the seconds of each answer, with requests at random moments of the given rate."""
    moments = random_moments(per_s, requests)
    idle: list[Caller] = [await Caller(server.port, side_px).open() for _ in range(64)]
    started_s = clock.elapsed_s()

    async def one(seed: int, moment_s: float) -> float:
        await asyncio.sleep(max(0.0, started_s + moment_s - clock.elapsed_s()))
        asked_s = clock.elapsed_s()
        caller = idle.pop() if idle else await Caller(server.port, side_px).open()
        await caller.ask(10**6 + seed)
        idle.append(caller)
        return clock.elapsed_s() - asked_s

    seconds = await asyncio.gather(*(one(seed, float(moment)) for seed, moment in enumerate(moments)))
    for caller in idle:
        caller.close()
    return list(seconds)


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--role", choices=("load", "server"), default="load", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batch-limit", type=int, default=BATCH, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role == "server":
        serve(given.folder, given.side, given.batch_limit)
        return
    limit = BATCH / CALL_S
    print(
        f"an engine of {1000 * CALL_S:.0f} ms a call, {BATCH} requests a call at most: {limit:.0f} requests/s at best"
    )
    print(f"pictures of {given.side} x {given.side} px; server and callers share {len(os.sched_getaffinity(0))} cores")
    with Running(given.side, BATCH) as server:
        per_s, memory = asyncio.run(saturated(server, given.side, given.callers, given.requests))
        print(f"saturated, {given.callers} callers, {given.requests} requests: {per_s:.1f}/s, {per_s / limit:.1%}")
        print("memory every 1,000 requests, MiB: " + " ".join(f"{mib:.0f}" for mib in memory))
        if len(memory) > 1:
            print(
                f"growth from request {SAMPLE_EVERY} to {SAMPLE_EVERY * len(memory)}: {memory[-1] - memory[0]:+.1f} MiB"
            )
        seconds = asyncio.run(paced(server, given.side, PACED_SHARE * limit, max(200, given.requests // 8)))
        waits = 1000 * (np.array(seconds) - CALL_S)
        p50, p99 = np.percentile(waits, (50, 99))
        ideal = 1000 * waits_of_an_ideal_server(PACED_SHARE * limit, len(seconds))
        ideal50, ideal99 = np.percentile(ideal, (50, 99))
        print(f"paced, {PACED_SHARE:.0%} of the limit, {len(seconds)} requests: queueing p50 {p50:.0f} ms, ", end="")
        print(f"p99 {p99:.0f} ms, most {waits.max():.0f} ms")
        print(f"a server that costs nothing, same moments: p50 {ideal50:.0f} ms, p99 {ideal99:.0f} ms, ", end="")
        print(f"most {ideal.max():.0f} ms")
    with Running(given.side, 1) as server:
        alone = given.requests // 50
        one_by_one, _ = asyncio.run(saturated(server, given.side, given.callers, alone))
    share = one_by_one * CALL_S
    print(f"one by one, {alone} requests: {one_by_one:.1f}/s, {share:.1%} of its limit of {1 / CALL_S:.0f}/s")
    print(f"batching serves {per_s / one_by_one:.1f} times as many")


if __name__ == "__main__":
    main()
