"""What the engine can be told: every option with its default, read once from text and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import httpx

from zimage_core.domain import EngineInfo, content_id
from zimage_core.engines.wire.options import Reader, number, one_of, read_options, text, urls, whole
from zimage_core.errors import ConfigurationError

NAME: Final = "dashscope"
REGIONS: Final[Mapping[str, str]] = {
    "beijing": "https://dashscope.aliyuncs.com",
    "singapore": "https://dashscope-intl.aliyuncs.com",
}
"""Model Studio, "Z-Image API reference" (2026-03-15). Keys of one region do not open the other."""
ENGINE_VERSION: Final = 1
MAX_SIDE_PX: Final = 2048
"""Any shape up to this side is within the service's 2048*2048 pixels."""
BATCH_LIMIT: Final = 64
_CALLS: Final = 2
"""Two batches at a time: one is drawn while the one before is stored."""
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Options:
    """How one account is used.

    `url` is scheme and host of the service (a region's, or a workspace's own). `mode`: sync = the call lasts as long as
    the drawing; async = a task is handed in and asked about. `requests_per_minute` is the account's limit for the
    model, which the service also enforces per second; `concurrency` is the most pictures under way. `timeout_s` is for
    one picture in all, `download_s` for one download. `cost_usd_per_image` is what the account pays: 0 = not counted.
    `attempts`: tries for one picture before it is put off. `megapixels`: about how large pictures are planned;
    `seconds_per_image` is for forecasts.
    """

    url: str = REGIONS["beijing"]
    model: str = "z-image-turbo"
    mode: Literal["sync", "async"] = "sync"
    requests_per_minute: int = 60
    concurrency: int = 4
    timeout_s: float = 180.0
    download_s: float = 60.0
    poll_s: float = 2.0
    attempts: int = 4
    cost_usd_per_image: float = 0.0
    seconds_per_image: float = 8.0
    megapixels: float = 1.0

    @property
    def is_local(self) -> bool:
        """Whether the service is on this machine: only then may anything travel without TLS."""
        return httpx.URL(self.url).host in LOOPBACK


def read(given: Mapping[str, str]) -> Options:
    """Return the options these texts mean.

    Raises ConfigurationError: an unknown option, a value that does not fit, a region and a url at once, an address to
    which the key would travel in the clear.
    """
    found = read_options(given, _READERS, NAME)
    region = found.pop("region", None)
    if region is not None and "url" in found:
        raise ConfigurationError("Engine 'dashscope' takes a region or a url, not both.")
    if region is not None:
        found["url"] = REGIONS[region]
    options = Options(**found)
    if not options.url.startswith("https://") and not options.is_local:
        raise ConfigurationError(
            f"Option url of engine 'dashscope' is an https address (http only on this machine), not '{options.url}': "
            "the key would travel in the clear."
        )
    return options


def info_of(options: Options) -> EngineInfo:
    """Return what the engine says of itself; neither region nor account decide pixels, so far as is known."""
    decides = (ENGINE_VERSION, options.model, "prompt_extend=false")
    spaced_s = max(60.0 / options.requests_per_minute, options.seconds_per_image / options.concurrency)
    return EngineInfo(
        name=NAME,
        fingerprint=f"dashscope-{content_id('dashscope', *decides)}",
        modes=("stage", "text"),
        needs_reference=False,
        size_multiple_px=1,  # canvases are snapped up to the model's 16 and cut back
        max_side_px=MAX_SIDE_PX,
        batch_limit=BATCH_LIMIT,
        seconds_per_image=spaced_s,
        cost_usd_per_image=options.cost_usd_per_image,
        concurrent_calls=_CALLS,
        planned_area_px=round(options.megapixels * 1024 * 1024),
    )


def _one_url(value: str) -> str:
    found = urls(value)
    if len(found) > 1:
        raise ValueError("one address, not several")
    return found[0].removesuffix("/api/v1")


_READERS: Final[Mapping[str, Reader | Any]] = {
    "region": one_of(*REGIONS),
    "url": _one_url,
    "model": text,
    "mode": one_of("sync", "async"),
    "requests_per_minute": whole(1, 100_000),
    "concurrency": whole(1, 64),
    "timeout_s": number(1.0, 3600.0),
    "download_s": number(0.1, 600.0),
    "poll_s": number(0.01, 60.0),
    "attempts": whole(1, 10),
    "cost_usd_per_image": number(0.0, 100.0),
    "seconds_per_image": number(0.01, 3600.0),
    "megapixels": number(0.25, 4.0),
}
