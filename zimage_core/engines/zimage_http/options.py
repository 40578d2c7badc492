"""What the engine can be told: every option with its default, read from text and checked before anyone is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from zimage_core.domain import content_id
from zimage_core.engines.wire import options as wire
from zimage_core.engines.wire.remote import READERS, RemoteOptions, remote_options
from zimage_core.errors import ConfigurationError

NAME: Final = "zimage_http"
_DRAWING_VERSION: Final = "1"
"""Part of a plain service's fingerprint: raise it when the same request would be asked for differently."""


@dataclass(frozen=True, slots=True)
class Options:
    """How services are reached (`remote`) and what a plain one is asked for; our own server knows the rest itself.

    `model`: what a plain service draws with; it becomes part of the fingerprint, so that a picture of one model is
    never taken for another's. `guidance` is pos + g * (pos - neg): 0.0 = off. Canvases are snapped up to
    `size_multiple_px` and cut back. `megapixels`: about how large pictures are planned. `rent_usd_per_hour` of the
    service's card and `cost_usd_per_image` add up to what a picture costs.
    """

    remote: RemoteOptions
    model: str = ""
    steps: int = 8
    guidance: float = 0.0
    size_multiple_px: int = 64
    max_side_px: int = 2048
    megapixels: float = 1.0
    seconds_per_image: float = 5.0
    cost_usd_per_image: float = 0.0
    rent_usd_per_hour: float = 0.0

    @property
    def fingerprint(self) -> str:
        """The name of all that decides a plain service's pixels, as far as its options know."""
        decides = (_DRAWING_VERSION, self.model, self.steps, self.guidance, self.size_multiple_px)
        return f"{NAME}-{content_id(NAME, *decides)}"


_OWN: Final[Mapping[str, wire.Reader]] = {
    "model": wire.text,
    "steps": wire.whole(1, 200),
    "guidance": wire.number(0.0, 20.0),
    "size_multiple_px": wire.whole(1, 256),
    "max_side_px": wire.whole(64, 8192),
    "megapixels": wire.number(0.05, 16.0),
    "seconds_per_image": wire.number(0.001, 3600.0),
    "cost_usd_per_image": wire.number(0.0, 100.0),
    "rent_usd_per_hour": wire.number(0.0, 1000.0),
}


def read(given: Mapping[str, str]) -> Options:
    """Return the options these texts mean. Raises ConfigurationError: unknown, unfit, or no `url`."""
    found = wire.read_options(given, {**READERS, **_OWN}, NAME)
    if "url" not in found:
        raise ConfigurationError(
            f"Engine '{NAME}' needs to know where its server is; give it as option url=http://HOST:PORT, several "
            "separated by commas."
        )
    return Options(remote_options(found), **{name: value for name, value in found.items() if name in _OWN})
