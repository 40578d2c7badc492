"""How fast renditions reach a bucket: boto3 one by one, boto3 with threads, obstore; without and with latency.

    python benchmarks/publish.py                             # 3,600 objects of 150 KB
    python benchmarks/publish.py --count 600 --latency-ms 30

Each client runs in a process of its own against one sink, also a process of its own, which answers PUT as S3 does (with
the ETag of what arrived) after the given latency and keeps nothing. Told are files per second, CPU time of the client
per file (all its threads) and its peak memory. One by one is measured on a tenth of the objects.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr

from zimage_core.clock import elapsed_s
from zimage_core.storage import IMMUTABLE, PROVIDERS, BucketAddress, ObstoreStore, S3Store, Upload, upload

CLIENTS = {"boto3 one by one": ("boto3", 1), "boto3": ("boto3", None), "obstore": ("obstore", None)}


# ---------------------------------------------------------------- the sink


class Sink(asyncio.Protocol):
    """One connection: takes PUTs one after another, hashes their bodies, answers each after the latency."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self._head = bytearray()
        self._left_bytes = 0
        self._md5 = hashlib.md5(usedforsecurity=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take a piece of head or body."""
        if not self._left_bytes:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data = bytes(self._head[:end]).lower(), bytes(self._head[end + 4 :])
            self._head.clear()
            at = head.find(b"content-length:")
            self._left_bytes = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._md5 = hashlib.md5(usedforsecurity=False)
        self._md5.update(data)
        self._left_bytes -= len(data)
        if self._left_bytes == 0:
            etag = self._md5.hexdigest()
            answer = f'HTTP/1.1 200 OK\r\nETag: "{etag}"\r\nx-amz-request-id: 1\r\nContent-Length: 0\r\n\r\n'.encode()
            if self.latency_s:
                asyncio.get_running_loop().call_later(self.latency_s, self._transport.write, answer)
            else:
                self._transport.write(answer)


async def serve(latency_s: float) -> None:
    """Serve on a free port, and print it."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(latency_s), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# ---------------------------------------------------------------- one client


def pictures(count: int, size_bytes: int) -> Iterator[Upload]:
    """Yield objects that differ, made when asked for."""
    noise = os.urandom(size_bytes)
    for number in range(count):
        name = f"{number:08d}".encode()
        yield Upload(f"img/sku/{number:08d}.jpg", name + noise[len(name) :], "image/jpeg", IMMUTABLE)


def measure(client: str, threads: int, port: int, count: int, size_bytes: int) -> dict[str, float]:
    """Upload so many objects and return files/s, CPU-ms per file, MB of memory beyond the start, failures."""
    address = BucketAddress(
        bucket="bench",
        prefix="",
        provider=PROVIDERS["aws"],
        endpoint=f"http://127.0.0.1:{port}",
        region="us-east-1",
        access_key_id=SecretStr("benchmark"),
        secret_access_key=SecretStr("benchmark"),
        threads=threads,
    )
    store = S3Store(address) if client == "boto3" else ObstoreStore(address)
    upload(store, pictures(threads, size_bytes), threads)  # connections and imports are not what is measured
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start_s, start_cpu_s = elapsed_s(), time.process_time()
    answers = upload(store, pictures(count, size_bytes), threads)
    took_s, cpu_s = elapsed_s() - start_s, time.process_time() - start_cpu_s
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    store.close()
    return {
        "files_per_s": count / took_s,
        "cpu_ms": 1000 * cpu_s / count,
        "peak_mb": peak_kb / 1024,
        "grown_mb": (peak_kb - before_kb) / 1024,
        "failed": sum(answer.outcome != "written" for answer in answers),
    }


# ---------------------------------------------------------------- all of them


def main() -> None:
    """Measure every client at every latency."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=3600)
    parser.add_argument("--size-kb", type=int, default=150)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--latency-ms", type=float, nargs="*", default=[0.0, 30.0])
    parser.add_argument("--clients", nargs="*", choices=list(CLIENTS), default=list(CLIENTS))
    parser.add_argument("--sink", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--one", nargs=3, metavar=("CLIENT", "THREADS", "PORT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sink is not None:
        asyncio.run(serve(given.sink))
    elif given.one is not None:
        client, threads, port = given.one
        print(json.dumps(measure(client, int(threads), int(port), given.count, given.size_kb * 1000)))
    else:
        compare(given)


def compare(given: argparse.Namespace) -> None:
    """Run each client against a sink of each latency, and print a line for each."""
    this = [sys.executable, str(Path(__file__))]
    print(f"{given.count} objects of {given.size_kb} KB, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for latency_ms in given.latency_ms:
        with subprocess.Popen([*this, "--sink", str(latency_ms / 1000)], stdout=subprocess.PIPE, text=True) as sink:
            assert sink.stdout is not None
            port = sink.stdout.readline().strip()
            for name in given.clients:
                client, fixed = CLIENTS[name]
                threads = fixed or given.threads
                count = max(1, given.count // 10) if threads == 1 else given.count
                told = subprocess.run(
                    [
                        *this,
                        "--one",
                        client,
                        str(threads),
                        port,
                        "--count",
                        str(count),
                        "--size-kb",
                        str(given.size_kb),
                    ],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                got = json.loads(told.stdout)
                print(
                    f"{latency_ms:4.0f} ms  {name:16s} {threads:3d} threads  {got['files_per_s']:6.0f} files/s  "
                    f"{got['cpu_ms']:5.2f} CPU-ms/file  peak {got['peak_mb']:4.0f} MB (+{got['grown_mb']:.0f})  "
                    f"{got['failed']} failed",
                    flush=True,
                )
            sink.terminate()


if __name__ == "__main__":
    main()
