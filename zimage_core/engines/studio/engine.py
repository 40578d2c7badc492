"""The studio as an engine: one answer per request, refusals with a way out, no state between pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import cv2

from zimage_core import clock
from zimage_core.domain import EngineInfo, Mode, content_id
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest, screen
from zimage_core.engines.registry import engines_for_mode
from zimage_core.engines.studio.stage import render_stage
from zimage_core.errors import BadImage, ConfigurationError, EngineError, EngineRefused, ImageError
from zimage_core.imaging.packshot import packshot

MODES: Final[tuple[Mode, ...]] = ("packshot", "stage")

RENDERER_VERSION: Final = "2"
"""Raise it whenever a change alters any pixel: attempts made by another version are then another engine's."""

INFO: Final = EngineInfo(
    name="studio",
    fingerprint=f"studio-{content_id('studio', RENDERER_VERSION)}",
    modes=MODES,
    needs_reference=True,
    size_multiple_px=1,
    max_side_px=4096,
    batch_limit=64,
    seconds_per_image=0.25,  # benchmarks/studio.py: median 0.20, slowest 0.34 at 1024 x 1024 on one core
    cost_usd_per_image=0.0,
)


class StudioEngine:
    """Draws pictures from product photos on the CPU; holds nothing but kept textures, which change no pixel."""

    info = INFO

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        """Return one answer per request, in order; alone or in a batch, a request gives the same pixels."""
        return [_answer(request) for request in requests]

    def close(self) -> None:
        """Nothing is held open."""


def create(options: Mapping[str, str]) -> StudioEngine:
    """Return the engine. It has no options; a given one raises ConfigurationError."""
    if options:
        raise ConfigurationError(f"The studio engine takes no options; remove {', '.join(sorted(options))}.")
    cv2.setNumThreads(1)
    return StudioEngine()


def _answer(request: RenderRequest) -> Rendered | EngineFailure:
    started_s = clock.elapsed_s()
    try:
        if request.mode not in MODES or request.reference is None:
            raise _refusal(request)
        refused = screen(INFO, request)
        if refused is not None:
            raise refused
        if request.mode == "packshot":
            stage = request.scene.stage
            rgb, placement, notes = packshot(request.reference, stage, request.width_px, request.height_px)
        else:
            rgb, placement, notes = render_stage(request, request.reference)
    except EngineError as error:
        return EngineFailure(request.attempt_id, error, clock.elapsed_s() - started_s)
    except ImageError as error:
        bad = BadImage(
            error.sentence, sku=request.sku, shot_id=request.shot_id, attempt=request.number, engine="studio"
        )
        return EngineFailure(request.attempt_id, bad, clock.elapsed_s() - started_s)
    return Rendered(request.attempt_id, rgb, placement, clock.elapsed_s() - started_s, 0.0, notes)


def _refusal(request: RenderRequest) -> EngineRefused:
    """Return why the studio cannot make this picture, which engines could, and what the operator can do."""
    others = [name for name in engines_for_mode("text" if request.mode in MODES else request.mode) if name != "studio"]
    able = f"engines that can: {', '.join(others)}" if others else "no other known engine can either"
    if request.reference is None:
        sentence = (
            f"The studio draws from a product photo and {request.sku} has none; add a photo to the catalogue, or "
            f"configure an engine that draws from words ({able})."
        )
    else:
        sentence = (
            f"The studio does not make '{request.mode}' pictures; plan the scene as packshot or stage, or configure an "
            f"engine for it ({able})."
        )
    return EngineRefused(sentence, sku=request.sku, shot_id=request.shot_id, attempt=request.number, engine="studio")
