"""Which scorers there are, and each made once per process: weights are loaded once, not once per picture."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from zimage_core.errors import ConfigurationError
from zimage_core.quality.scorers import Scorer

GROUP: Final = "zimage.scorers"
BUILTIN: Final[Mapping[str, str]] = {
    "clip": "zimage_core.quality.scorers.clip:create",
    "aesthetic": "zimage_core.quality.scorers.aesthetic:create",
    "vlm": "zimage_core.quality.scorers.vlm:create",
}


def scorer_of(name: str, options: Mapping[str, str]) -> Scorer:
    """Return the scorer of that name with these options, made on first use.

    Raises ConfigurationError: nobody registers the name, two packages do, it cannot be imported, or it refuses its
    options.
    """
    return _made(name, tuple(sorted(options.items())))


@lru_cache(maxsize=8)
def _made(name: str, options: tuple[tuple[str, str], ...]) -> Scorer:
    point = _point(name)
    try:
        create = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"The scorer '{name}' ({point.value}) cannot be loaded: {error}. Scorers on torch need the extra gpu "
            "(`pip install 'zimage[gpu]'`)."
        ) from error
    made: Scorer = create(dict(options))
    if not callable(getattr(made, "score", None)):
        raise ConfigurationError(f"What {point.value} makes is no scorer: it has no method score(rgb, words).")
    return made


def _point(name: str) -> EntryPoint:
    points = {target: EntryPoint(known, target, GROUP) for known, target in BUILTIN.items() if known == name}
    points |= {point.value: point for point in entry_points(group=GROUP) if point.name == name}
    if not points:
        known = sorted({*BUILTIN, *(point.name for point in entry_points(group=GROUP))})
        raise ConfigurationError(
            f"The rubric names a scorer '{name}', which nobody registers; known: {', '.join(known)}."
        )
    if len(points) > 1:
        raise ConfigurationError(f"Two packages register a scorer named '{name}': {', '.join(sorted(points))}.")
    return next(iter(points.values()))
