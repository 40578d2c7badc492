"""What the engine can be told: every option with its default, read once from text and checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from zimage_core.domain import content_id
from zimage_core.engines.wire import options as wire
from zimage_core.engines.wire.remote import READERS, RemoteOptions, remote_options
from zimage_core.errors import ConfigurationError

NAME: Final = "openai_images"
_DRAWING_VERSION: Final = "1"
"""Part of the fingerprint: raise it when the same request would be asked for differently."""

ServerKind = Literal["sglang", "vllm_omni"]


@dataclass(frozen=True, slots=True)
class Options:
    """How servers are reached (`remote`) and what they are asked for.

    `model`: the id the server was started with, sent with every request and part of the fingerprint. `guidance` is
    pos + g * (pos - neg), 0.0 = off, which both servers take as it is. Canvases are snapped up to `size_multiple_px`
    (Z-Image takes 16) and cut back. `revision`: any text that changes the fingerprint, for a server whose weights or
    LoRA changed under the same id. The rest is for forecasts and costs.
    """

    remote: RemoteOptions
    model: str
    server: ServerKind = "sglang"
    steps: int = 8
    guidance: float = 0.0
    size_multiple_px: int = 16
    max_side_px: int = 2048
    revision: str = ""
    megapixels: float = 1.0
    seconds_per_image: float = 5.0
    cost_usd_per_image: float = 0.0
    rent_usd_per_hour: float = 0.0

    @property
    def fingerprint(self) -> str:
        """The name of all that decides the pixels, as far as it is known on this side."""
        decides = (
            _DRAWING_VERSION,
            self.server,
            self.model,
            self.revision,
            self.steps,
            self.guidance,
            self.size_multiple_px,
        )
        return f"{NAME}-{content_id(NAME, *decides)}"


_OWN: Final[Mapping[str, wire.Reader]] = {
    "model": wire.text,
    "server": wire.one_of("sglang", "vllm_omni"),
    "steps": wire.whole(1, 200),
    "guidance": wire.number(0.0, 20.0),
    "size_multiple_px": wire.whole(8, 256),
    "max_side_px": wire.whole(64, 8192),
    "revision": wire.text,
    "megapixels": wire.number(0.05, 16.0),
    "seconds_per_image": wire.number(0.001, 3600.0),
    "cost_usd_per_image": wire.number(0.0, 100.0),
    "rent_usd_per_hour": wire.number(0.0, 1000.0),
}


def read(given: Mapping[str, str]) -> Options:
    """Return the options these texts mean. Raises ConfigurationError: unknown, unfit, or no `url` or `model`.

    An address may be given with or without the /v1 that OpenAI clients want.
    """
    found = wire.read_options(given, {**READERS, **_OWN}, NAME)
    if "url" not in found:
        raise ConfigurationError(
            f"Engine '{NAME}' needs to know where its server is; give it as option url=http://HOST:30000 (SGLang's "
            "port) or url=http://HOST:8091 (vLLM-Omni's), several separated by commas."
        )
    if "model" not in found:
        raise ConfigurationError(
            f"Engine '{NAME}' needs the model id its server was started with, such as Tongyi-MAI/Z-Image-Turbo; give "
            "it as `--model ID`."
        )
    remote = remote_options(found)
    remote = dataclasses.replace(remote, url=tuple(dict.fromkeys(url.removesuffix("/v1") for url in remote.url)))
    return Options(remote, **{name: value for name, value in found.items() if name in _OWN})
