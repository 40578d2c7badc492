"""What the form of an order offers: the promotions, channels and engines that there are where it is deployed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from zimage_core.engines.registry import known_engines
from zimage_core.errors import ZImageError
from zimage_core.publishing.channels import known_channels
from zimage_core.settings import load_settings


def offering(read: Callable[[], Sequence[str]]) -> Callable[[dict[str, Any]], None]:
    """Return what puts the names that `read` gives into a field's JSON schema, so that the form is a list to pick from.

    A Prefect server refuses every other name before a run is made; the names are those of the last deployment. Where
    they cannot be read (settings that are wrong) any name may be given, and the run says what is wrong.
    """

    def put(schema: dict[str, Any]) -> None:
        try:
            names = list(read())
        except ZImageError:
            return
        for branch in schema.get("anyOf", [schema]):
            place = branch.get("items", branch)
            if place.get("type") == "string":
                place["enum"] = names

    return put


@cache
def promotions() -> tuple[str, ...]:
    """Return the names of the files in prompts/promotions/."""
    return tuple(sorted(path.stem for path in (load_settings().prompts_dir / "promotions").glob("*.yaml")))


@cache
def channels() -> tuple[str, ...]:
    """Return the known channels. Raises ConfigurationError or PublishError where they cannot be read."""
    return tuple(sorted(known_channels(load_settings().channels)))


@cache
def engines() -> tuple[str, ...]:
    """Return the engines that are installed."""
    return tuple(sorted(known_engines()))
