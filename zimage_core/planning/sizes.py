"""Which sizes a scene is made in, so that all the channels that take it are served by as few shots as possible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zimage_core.domain import Channel, EngineInfo, Mode
from zimage_core.errors import PlanError

ASPECT_TOLERANCE_RATIO = 0.01
"""Channels whose aspects differ by no more share a shot: cropping 1 % is under 11 px of 1024, inside any margin."""

SIZE_STEP_PX = 16
"""Z-Image needs sides that divide by 16 (VAE 8 x patch 2; diffusers 0.42.1 refuses others)."""

PACKSHOT_MAX_SIDE_PX = 1600
"""A packshot is the supplier's photo: larger than the photos usually are, it would only be blown up."""

_ASPECT_WEIGHT = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """One size to make, and the channels it is for, in the order they were asked for."""

    width_px: int
    height_px: int
    channels: tuple[str, ...]


def generated_size(aspect: float, engine: EngineInfo) -> tuple[int, int]:
    """Return (width_px, height_px) for an aspect (width / height), of about the area the engine is planned with.

    That is one megapixel, what Z-Image-Turbo was trained around: larger images repeat their content, unless the engine
    draws small and adds detail. Both sides are multiples of max(16, engine's own). A wrong aspect costs ten times a
    wrong area of the same proportion, because it crops: so 3:4 is 864 x 1152 exactly, rather than the nearer megapixel
    880 x 1184.
    Raises PlanError when the engine's limits leave no size.
    """
    step = max(SIZE_STEP_PX, engine.size_multiple_px)
    best: tuple[float, int, int] | None = None
    for width in range(step, engine.max_side_px + 1, step):
        height = max(step, round(width / aspect / step) * step)
        if height > engine.max_side_px:
            continue
        wrong_aspect = abs(math.log(width / height / aspect))
        wrong_area = abs(math.log(width * height / engine.planned_area_px))
        found = (_ASPECT_WEIGHT * wrong_aspect + wrong_area, width, height)
        best = found if best is None or found < best else best
    if best is None:
        raise PlanError(
            f"No picture of aspect {aspect:.3f} has sides that are multiples of {step} px and at most"
            f" {engine.max_side_px} px long.",
            engine=engine.name,
        )
    return best[1], best[2]


def packshot_size(channels: Sequence[Channel]) -> tuple[int, int]:
    """Return the size of the largest channel, brought down in proportion to PACKSHOT_MAX_SIDE_PX."""
    widest = max(channels, key=lambda c: (c.width_px * c.height_px, c.slug))
    scale = min(1.0, PACKSHOT_MAX_SIDE_PX / max(widest.width_px, widest.height_px))
    return round(widest.width_px * scale), round(widest.height_px * scale)


def targets_for(mode: Mode, channels: Sequence[Channel], engine: EngineInfo) -> tuple[Target, ...]:
    """Return one target per distinct aspect of the channels; aspects that end up in one size are one target."""
    by_size: dict[tuple[int, int], list[str]] = {}
    for group in _by_aspect(channels):
        widest = max(group, key=lambda c: (c.width_px * c.height_px, c.slug))
        size = packshot_size(group) if mode == "packshot" else generated_size(_aspect(widest), engine)
        by_size.setdefault(size, []).extend(c.slug for c in group)
    order = {channel.slug: place for place, channel in enumerate(channels)}
    targets = [Target(w, h, tuple(sorted(slugs, key=lambda s: order[s]))) for (w, h), slugs in by_size.items()]
    return tuple(sorted(targets, key=lambda t: order[t.channels[0]]))


def _aspect(channel: Channel) -> float:
    return channel.width_px / channel.height_px


def _by_aspect(channels: Sequence[Channel]) -> list[list[Channel]]:
    """Group from the narrowest up, each group within tolerance of its first, whatever order channels came in."""
    groups: list[list[Channel]] = []
    for channel in sorted(channels, key=lambda c: (_aspect(c), c.slug)):
        if groups and _aspect(channel) <= _aspect(groups[-1][0]) * (1 + ASPECT_TOLERANCE_RATIO):
            groups[-1].append(channel)
        else:
            groups.append([channel])
    return groups
