"""What the server counts, for Prometheus: in a registry of its own, so that nothing else shows up in it."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
NAMESPACE: Final = "zimage_serve"
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Meters:
    """Every metric of the server, all named zimage_serve_*."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.waiting = self._gauge("queue_depth", "Requests that wait.")
        self.drawing = self._gauge("running", "Requests that are being drawn.")
        self.batch_size = self._histogram("batch_size", "Requests per call of the engine.", _SIZES)
        self.call_seconds = self._histogram("call_seconds", "Seconds per call of the engine.", _SECONDS)
        self.wait_seconds = self._histogram(
            "wait_seconds", "Seconds between coming in and being drawn.", _SECONDS, "priority"
        )
        self.answers = self._counter("answers", "What became of requests: drawn, or the class of the error.", "outcome")
        self.cache = self._counter("cache", "Requests by where the picture came from: hit, joined, miss.", "outcome")
        self.rejected = self._counter("rejected", "Requests turned away, by reason.", "reason")
        self.http = self._counter("http_requests", "HTTP requests.", "route", "status")
        self.kept_bytes = self._gauge("results_bytes", "Bytes of pictures kept.")
        self.ready = self._gauge("ready", "1 when the engine is loaded and takes work.")
        self.gpu_bytes = self._gauge("gpu_memory_used_bytes", "GPU memory in use.", "gpu")
        self.gpu_celsius = self._gauge("gpu_temperature_celsius", "GPU temperature.", "gpu")

    def text(self) -> bytes:
        """Return every metric in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, namespace=NAMESPACE, registry=self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, namespace=NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, what, labels, namespace=NAMESPACE, registry=self.registry, buckets=buckets)
