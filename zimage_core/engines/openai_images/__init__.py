"""Engines behind `POST /v1/images/generations`: SGLang Diffusion and vLLM-Omni.

What it is:       `create(options)` gives the engine. `options` says what it can be told, `requesting` what is sent to
                  which server and how its answer is read, `engine` puts them together.
May import:       imaging, domain, errors, clock, settings, engines.base, engines.drawing and engines.wire.
May touch:        the addresses it is told.
Never:            leaves a field to a server's default: their defaults differ and change from release to release.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from zimage_core.domain import Mode

if TYPE_CHECKING:
    from zimage_core.engines.base import Engine

MODES: Final[tuple[Mode, ...]] = ("stage", "text")


def create(options: Mapping[str, str]) -> Engine:
    """Return the engine that these options ask for (see `options.Options`); nobody is called before the first picture.

    Raises ConfigurationError: an option is wrong, or `url` or `model` is missing.
    """
    from zimage_core.engines.openai_images.engine import OpenAIImagesEngine
    from zimage_core.engines.openai_images.options import read

    return OpenAIImagesEngine(read(options))
