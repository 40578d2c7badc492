"""Which engines there are: the ones shipped here and those that other packages register.

A third party names its engine in its own pyproject:

    [project.entry-points."zimage.engines"]
    my_engine = "my_package.engine:create"        # create(options: Mapping[str, str]) -> Engine

and may give the module a constant `MODES: tuple[Mode, ...]`, so that asking what an engine can do need not build it,
and a function `devices(options: Mapping[str, str]) -> tuple[str, ...]` that names the devices it could work on side by
side; each of them is then created in a process of its own with the option `device`.
A name can be taken once; a second package that claims it is refused, whoever comes first.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Final

from zimage_core.domain import EngineInfo, Mode
from zimage_core.errors import ConfigurationError

if TYPE_CHECKING:
    from zimage_core.engines.base import Engine

GROUP: Final = "zimage.engines"
BUILTIN: Final[Mapping[str, str]] = {
    "studio": "zimage_core.engines.studio:create",
    "fault": "zimage_core.engines.fault:create",
    "diffusers": "zimage_core.engines.diffusers:create",
    "zimage_http": "zimage_core.engines.zimage_http:create",
    "openai_images": "zimage_core.engines.openai_images:create",
    "comfyui": "zimage_core.engines.comfyui:create",
    "dashscope": "zimage_core.engines.dashscope:create",
}
"""Also in pyproject's entry points; repeated here so that a checkout works before it is installed again."""


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """An engine that can be created: its name, `module:function`, and the package that registered it."""

    name: str
    target: str
    package: str


def known_engines() -> dict[str, EngineEntry]:
    """Return every engine by name, sorted, without importing any of them.

    Raises ConfigurationError when two packages claim the same name.
    """
    return collect(entry_points(group=GROUP))


def collect(found: Iterable[EntryPoint]) -> dict[str, EngineEntry]:
    """Return the built-in engines and the found ones by name; the same name with another target is refused."""
    entries = {name: EngineEntry(name, target, "zimage") for name, target in BUILTIN.items()}
    for point in found:
        package = point.dist.name if point.dist is not None else "an unnamed package"
        entry = EngineEntry(point.name, point.value, package)
        taken = entries.setdefault(point.name, entry)
        if taken.target != entry.target:
            raise ConfigurationError(
                f"Two packages register an engine named '{entry.name}': {taken.package} ({taken.target}) and "
                f"{entry.package} ({entry.target}); rename or uninstall one of them."
            )
    return dict(sorted(entries.items()))


def create_engine(name: str, options: Mapping[str, str] | None = None) -> Engine:
    """Return the engine of that name, built with its options.

    Raises ConfigurationError: unknown name (the known ones are listed), an engine that cannot be imported or that is
    not an Engine, or options that the engine refuses.
    """
    entry = _entry(name)
    module, function = _load(entry)
    engine: Engine = getattr(module, function)(dict(options or {}))
    if not isinstance(getattr(engine, "info", None), EngineInfo) or not callable(getattr(engine, "render", None)):
        raise ConfigurationError(
            f"What {entry.target} of package {entry.package} creates is not an engine: it needs info (an EngineInfo), "
            "render(requests) and close()."
        )
    if engine.info.concurrent_calls < 1:
        raise ConfigurationError(
            f"Engine '{name}' of package {entry.package} says that it takes {engine.info.concurrent_calls} calls at a "
            "time; it must take at least one."
        )
    return engine


def engines_for_mode(mode: Mode) -> tuple[str, ...]:
    """Return the names of the engines that can make this mode, sorted; an engine that cannot be loaded cannot."""
    return tuple(name for name, entry in known_engines().items() if mode in _modes(entry))


def usable_devices(name: str, options: Mapping[str, str]) -> tuple[str, ...]:
    """Return the devices that the engine of that name could use side by side here; () when it knows of none.

    Nothing is loaded for it. Raises ConfigurationError: unknown name, or an engine that cannot be imported.
    """
    module, _ = _load(_entry(name))
    ask = getattr(module, "devices", None)
    return tuple(ask(dict(options))) if callable(ask) else ()


def _modes(entry: EngineEntry) -> tuple[Mode, ...]:
    try:
        module, _ = _load(entry)
        declared: tuple[Mode, ...] | None = getattr(module, "MODES", None)
        if declared is not None:
            return declared
        engine = create_engine(entry.name)
    except ConfigurationError:
        return ()
    try:
        return engine.info.modes
    finally:
        engine.close()


def _entry(name: str) -> EngineEntry:
    known = known_engines()
    if name not in known:
        raise ConfigurationError(f"There is no engine named '{name}'; the known ones are {', '.join(known)}.")
    return known[name]


def _load(entry: EngineEntry) -> tuple[ModuleType, str]:
    """Return the engine's module and the name of its create function."""
    module_name, _, function = entry.target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigurationError(
            f"Engine '{entry.name}' of package {entry.package} cannot be loaded from {module_name}: {error}."
        ) from error
    if not callable(getattr(module, function, None)):
        raise ConfigurationError(
            f"Engine '{entry.name}' of package {entry.package} names {entry.target}, which is not a function."
        )
    return module, function
