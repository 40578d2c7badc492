"""Whether the configured engine can draw here: its graphics card, its weights, itself."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.fitness import Advice
from zimage_core.engines.graphics import check_torch, read_driver, read_torch
from zimage_core.errors import ConfigurationError
from zimage_core.settings import Settings

IN_PROCESS = "diffusers"
"""The engine whose weights are on this machine and whose card is this machine's."""

BUSY_SHARE = 0.5
"""A card with less than this share of its memory free is somebody else's too."""


def check_graphics(settings: Settings) -> Iterator[str]:
    """Say which graphics cards there are. Raises ConfigurationError where the engine wants one and has none."""
    driver = read_driver()
    cuda_wanted = [device for device in _devices(settings) if device.startswith("cuda")]
    if driver is None or not driver.cards:
        if cuda_wanted and settings.engine == IN_PROCESS:
            raise ConfigurationError(
                f"The engine is to draw on {', '.join(cuda_wanted)}, and there is no NVIDIA driver here: install it "
                "(nvidia-smi must answer), or set ZIMAGE_ENGINE_DEVICES=auto."
            )
        slow = settings.engine == IN_PROCESS
        said = f"no GPU: engine {settings.engine} runs on the CPU" if _is_local(settings) else _elsewhere(settings)
        yield Advice(f"{said}, minutes a picture") if slow else said
        return
    for card in driver.cards:
        said = f"{card.name}, {card.total_mib / 1024:.0f} GiB, {card.free_mib / 1024:.0f} GiB free"
        busy = card.free_mib < BUSY_SHARE * card.total_mib
        yield Advice(f"{said}: another process holds the rest") if busy else said
    yield f"driver {driver.version}"
    if settings.engine == IN_PROCESS:
        build = read_torch()
        check_torch(driver, build)
        yield f"torch {build.version}"
    else:
        yield f"engine {settings.engine} does not draw on it"


def check_weights(settings: Settings) -> Iterator[str]:
    """Say which weights are here, after opening every file. Raises ConfigurationError for one that cannot be read."""
    if settings.engine != IN_PROCESS:
        yield "none: " + (f"engine {settings.engine} needs none" if _is_local(settings) else _elsewhere(settings))
        return
    from zimage_core.engines.diffusers.presence import DOWNLOAD_GIB, look_for_model

    found = look_for_model(settings.engine_options)
    if not found.files:
        yield Advice(
            f"{found.name} is not here yet: about {DOWNLOAD_GIB:.0f} GiB are downloaded before the first picture "
            f"(`hf download {found.name}` does it now)"
        )
        return
    yield f"{found.name}: {found.files} files, {found.size_bytes / 2**30:.1f} GiB, every header read"


def check_engine(settings: Settings) -> Iterator[str]:
    """Say what the configured engine makes. Raises ConfigurationError, EngineUnavailable and what else it says."""
    from zimage_core.engines.registry import create_engine, known_engines, usable_devices

    if settings.engine == IN_PROCESS:
        from zimage_core.engines.diffusers.presence import look_for_model

        if not look_for_model(settings.engine_options).files:
            yield Advice("not made: its weights are not here yet")
            return
    engine = create_engine(settings.engine, settings.engine_options)
    try:
        info = engine.info
        yield f"{info.name} makes {', '.join(info.modes)}; about {info.seconds_per_image:.2f} s an image"
    finally:
        engine.close()
    if devices := usable_devices(settings.engine, settings.engine_options):
        yield f"one process on each of {', '.join(devices)}" if len(devices) > 1 else f"on {devices[0]}"
    yield f"known: {', '.join(sorted(known_engines()))}"


def _devices(settings: Settings) -> tuple[str, ...]:
    chosen = settings.engine_options.get("device", "auto")
    return settings.engine_devices or (() if chosen == "auto" else (chosen,))


def _is_local(settings: Settings) -> bool:
    return settings.engine in (IN_PROCESS, "studio", "fault")


def _elsewhere(settings: Settings) -> str:
    return f"engine {settings.engine} draws elsewhere"
