"""What one run asks of planning, checked before the first product is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from zimage_core.domain import Brand, Channel, EngineInfo, Mode, Promotion, SceneName
from zimage_core.errors import PlanError
from zimage_core.prompting import PromptLibrary


def check_channels(
    promotion: Promotion,
    channels: Mapping[str, Channel],
    library: PromptLibrary,
    *,
    scenes: Iterable[SceneName] | None = None,
    channels_wanted: Iterable[str] | None = None,
) -> None:
    """Raise PlanError when the promotion, or the choice made for this run, names a channel or scene there is not."""
    for slug in promotion.channels if channels_wanted is None else channels_wanted:
        if slug not in channels:
            known = ", ".join(sorted(channels))
            raise PlanError(
                f"Promotion {promotion.slug} asks for channel {slug!r}, which is not known; known: {known}."
            )
    for name in promotion.scenes if scenes is None else scenes:
        if name not in library.scene_names:
            known = ", ".join(library.scene_names)
            raise PlanError(f"Promotion {promotion.slug} asks for scene {name!r}, which is not known; known: {known}.")


@dataclass(frozen=True, slots=True)
class Request:
    """What is the same for the whole run. `able_engines` is None where the caller cannot say."""

    library: PromptLibrary
    promotion: Promotion
    brand: Brand
    engine: EngineInfo
    run_id: str
    scenes: tuple[SceneName, ...]
    channels: tuple[Channel, ...]
    able_engines: Callable[[Mode], tuple[str, ...]] | None

    def takers(self, scene: SceneName) -> tuple[Channel, ...]:
        """Return the wanted channels that take a scene."""
        return tuple(channel for channel in self.channels if scene in channel.scenes)
