"""Z-Image-Turbo in this process, on one GPU or on the CPU: the diffusers classes, and a faster path beside them.

What it is:       `create(options)` gives the engine. `options` says what it can be told; `weights`, `single_file`,
                  `lora`, `quantized` and `loading` bring a model in and refuse what is wrong with it; `memory`
                  chooses how it is held and what to do when memory runs out; `stock` draws with the diffusers
                  pipelines, `fast` with static shapes; `gate` and `frames` refuse what cannot be trusted; `engine`
                  puts them together.
May import:       imaging, domain, errors, clock, settings, engines.base, engines.registry and engines.drawing.
May touch:        one GPU (or the CPU), the files of the model it is told, and the Hugging Face hub when told a hub id.
Never:            shares a pipeline between threads, reuses a generator, or returns a frame it has reason to doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from zimage_core.domain import Mode
from zimage_core.errors import ConfigurationError

if TYPE_CHECKING:
    from zimage_core.engines.base import Engine

MODES: Final[tuple[Mode, ...]] = ("stage", "inpaint", "text")


def create(options: Mapping[str, str]) -> Engine:
    """Return the engine that these options ask for (see `options.Options`); the model is loaded at the first picture.

    Raises ConfigurationError: an option or a file is wrong, or the packages of the extra `gpu` are not installed.
    """
    from zimage_core.engines.diffusers.options import read_options
    from zimage_core.engines.diffusers.quiet import quiet_imports

    read_options(options)  # what is wrong with them is said before torch is imported, which takes seconds
    try:
        with quiet_imports():
            from zimage_core.engines.diffusers.engine import DiffusersEngine
            from zimage_core.engines.diffusers.setup import prepare
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    return DiffusersEngine(prepare(options))


def devices(options: Mapping[str, str]) -> tuple[str, ...]:
    """Return the devices that could work side by side here, one process each: the GPUs this process may use."""
    try:
        from zimage_core.engines.diffusers.cards import card_count
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    if options.get("device", "auto") != "auto":
        return (options["device"],)
    return tuple(f"cuda:{index}" for index in range(card_count()))


def _not_installed(error: ModuleNotFoundError) -> ConfigurationError:
    return ConfigurationError(
        f"Engine 'diffusers' needs {error.name}, which is not installed; install the extra gpu: pip install "
        "'zimage[gpu]', or '.[gpu]' in a checkout."
    )
