"""What the server counts, for Prometheus: in a registry of its own, so that nothing else shows up in it."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Meters:
    """Every metric of the server, all named zimage_serve_*."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of = {"registry": self.registry, "namespace": "zimage_serve"}
        self.waiting = Gauge("queue_depth", "Requests that wait.", **of)
        self.drawing = Gauge("running", "Requests that are being drawn.", **of)
        self.batch_size = Histogram("batch_size", "Requests per call of the engine.", buckets=_SIZES, **of)
        self.call_seconds = Histogram("call_seconds", "Seconds per call of the engine.", buckets=_SECONDS, **of)
        self.wait_seconds = Histogram("wait_seconds", "Seconds between coming in and being drawn.", ("priority",),
                                      buckets=_SECONDS, **of)  # fmt: skip
        self.answers = Counter("answers", "What became of requests: drawn, or the class of the error.", ("outcome",),
                               **of)  # fmt: skip
        self.cache = Counter("cache", "Requests by where the picture came from: hit, joined, miss.", ("outcome",), **of)
        self.rejected = Counter("rejected", "Requests turned away, by reason.", ("reason",), **of)
        self.http = Counter("http_requests", "HTTP requests.", ("route", "status"), **of)
        self.kept_bytes = Gauge("results_bytes", "Bytes of pictures kept.", **of)
        self.ready = Gauge("ready", "1 when the engine is loaded and takes work.", **of)
        self.gpu_bytes = Gauge("gpu_memory_used_bytes", "GPU memory in use.", ("gpu",), **of)
        self.gpu_celsius = Gauge("gpu_temperature_celsius", "GPU temperature.", ("gpu",), **of)

    def text(self) -> bytes:
        """Return every metric in Prometheus' text format."""
        return generate_latest(self.registry)
