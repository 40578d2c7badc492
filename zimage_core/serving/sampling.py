"""What an engine's options say of how it samples, so that a request for other steps or guidance can be refused."""

from __future__ import annotations

from collections.abc import Mapping

from zimage_core.errors import ConfigurationError
from zimage_core.serving.intake import Sampling


def sampling_of(engine: str, options: Mapping[str, str]) -> Sampling:
    """Return how an engine made with these options samples.

    `diffusers` is asked by its own reader of options. Any other engine: what its options `steps` and `guidance` say,
    where it has them, else what Z-Image-Turbo is made for (8 steps, no guidance). Raises ConfigurationError.
    """
    if engine == "diffusers":
        from zimage_core.engines.diffusers.options import read_options

        read = read_options(options)
        return Sampling(read.steps, read.guidance)
    usual = Sampling()
    try:
        return Sampling(int(options.get("steps", usual.steps)), float(options.get("guidance", usual.guidance)))
    except ValueError as error:
        raise ConfigurationError(f"Options steps and guidance of engine '{engine}' are numbers: {error}.") from None
