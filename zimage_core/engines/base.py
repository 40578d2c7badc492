"""The seam every engine fits: requests in, one answer per request out, in order.

An engine is anything with `info`, `render` and `close`. Callers never call `render` themselves: `render_checked` does,
so that an engine cannot stop a run with an exception, answer for the wrong product, or pass off a blank picture.
An engine that also has `expect` (`Expecting`) is told which prompts are coming, through `expect_checked`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import cv2
import numpy as np

from zimage_core import clock
from zimage_core.domain import Change, EngineInfo, Mode, Placement, Prompt, Scene
from zimage_core.engines.registry import engines_for_mode
from zimage_core.errors import (
    BadImage,
    EngineError,
    EngineOutOfMemory,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
)
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import Rgb

log = logging.getLogger("zimage_core.engines")

BLANK_SPREAD: Final = 8
"""A picture whose every channel spans fewer levels than this (0.1 to 99.9 percentile) is blank: NaNs and safety
checkers give uniform black while the call "succeeds"."""


@dataclass(frozen=True, slots=True, eq=False)
class RenderRequest:
    """One attempt to make: what to draw, from which seed, which size; `reference` is the product, if any."""

    attempt_id: str
    sku: str
    shot_id: str
    number: int
    mode: Mode
    prompt: Prompt
    scene: Scene
    change: Change
    seed: int
    width_px: int
    height_px: int
    reference: CutOut | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """The picture of one attempt: `rgb` (height_px, width_px, 3) uint8 sRGB; where the product was put, if it was."""

    attempt_id: str
    rgb: Rgb
    placement: Placement | None
    seconds: float
    cost_usd: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EngineFailure:
    """Why one attempt has no picture; `error.retryable` says whether the same request may be sent again.

    `cost_usd` is what was paid all the same: for a picture that was lost, or that turned out to be none.
    """

    attempt_id: str
    error: EngineError
    seconds: float
    cost_usd: float = 0.0


Answer = Rendered | EngineFailure


class Engine(Protocol):
    """What turns requests into pixels."""

    @property
    def info(self) -> EngineInfo:
        """What the engine says of itself; constant for its lifetime."""
        ...

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        """Return one answer per request, in order; one bad request never fails its siblings."""
        ...

    def close(self) -> None:
        """Let go of memory, processes and connections; may be called twice."""
        ...


@runtime_checkable
class Expecting(Protocol):
    """An engine that gains from knowing what is coming: it encodes the words of many pictures in one go."""

    def expect(self, prompts: Sequence[Prompt]) -> None:
        """Prepare for pictures of these prompts, each of them once; `render` must do without it too."""
        ...


def expect_checked(engine: Engine, prompts: Sequence[Prompt]) -> None:
    """Tell an engine that wants to know which prompts are coming, each of them once, in order; never raises.

    What goes wrong there is logged and costs time only: rendering prepares for itself what is not prepared.
    """
    if not isinstance(engine, Expecting) or not prompts:
        return
    try:
        engine.expect(tuple(dict.fromkeys(prompts)))
    except Exception as error:  # noqa: BLE001 - a preparation that fails must not stop what can be made without it
        log.warning("Engine '%s' could not prepare %d prompts: %s", engine.info.name, len(prompts), error)


def render_checked(engine: Engine, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
    """Return exactly one answer per request, in order, every picture verified; never raises but for the interpreter.

    Requests the engine says it cannot do (`screen`) are refused before it sees them. An EngineError out of `render`
    is kept, MemoryError and TimeoutError get their own class, and any other exception becomes EngineUnavailable with
    the cause in its sentence. KeyboardInterrupt and SystemExit pass through.
    """
    refused = {index: error for index, request in enumerate(requests) if (error := screen(engine.info, request))}
    fit = [request for index, request in enumerate(requests) if index not in refused]
    answers = iter(_render(engine, fit))
    return [
        EngineFailure(request.attempt_id, refused[index], 0.0) if index in refused else next(answers)
        for index, request in enumerate(requests)
    ]


def _render(engine: Engine, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
    if not requests:
        return []
    started_s = clock.elapsed_s()
    name = engine.info.name
    try:
        answers = engine.render(requests)
    except Exception as error:  # noqa: BLE001 - whatever an engine throws is its failure, not the run's
        seconds = (clock.elapsed_s() - started_s) / len(requests)
        return [
            EngineFailure(request.attempt_id, _as_engine_error(error, request, name), seconds) for request in requests
        ]
    return check_answers(requests, answers, engine=name)


def _as_engine_error(error: Exception, request: RenderRequest, engine: str) -> EngineError:
    kind: type[EngineError]
    if isinstance(error, EngineError):
        kind, sentence = type(error), error.sentence
    elif isinstance(error, MemoryError):
        kind, sentence = EngineOutOfMemory, f"Engine '{engine}' ran out of memory."
    elif isinstance(error, TimeoutError):
        kind, sentence = EngineTimeout, f"Engine '{engine}' took too long: {error or 'no answer'}."
    else:
        kind = EngineUnavailable
        sentence = f"Engine '{engine}' stopped with {type(error).__name__}: {str(error) or 'no message'}."
    failure = kind(
        sentence,
        sku=request.sku,
        shot_id=request.shot_id,
        attempt=request.number,
        engine=engine,
        retry_after_s=error.retry_after_s if isinstance(error, EngineError) else None,
    )
    failure.__cause__ = error
    return failure


# ---------------------------------------------------------------- before and after


def screen(info: EngineInfo, request: RenderRequest) -> EngineRefused | None:
    """Return why an engine that says `info` of itself cannot do this request, or None where it can."""
    if request.mode not in info.modes:
        able = _named(name for name in engines_for_mode(request.mode) if name != info.name)
        return _refused(info, request, f"Engine '{info.name}' does not make '{request.mode}' pictures; {able}.")
    if request.reference is None and (info.needs_reference or request.mode != "text"):
        able = _named(name for name in engines_for_mode("text") if name != info.name)
        return _refused(
            info,
            request,
            f"A '{request.mode}' picture by engine '{info.name}' starts from a photo and {request.sku} has none; add "
            f"one to the catalogue, or draw from words alone: {able}.",
        )
    for side, pixels in (("width", request.width_px), ("height", request.height_px)):
        if not 0 < pixels <= info.max_side_px:
            return _refused(
                info, request, f"Engine '{info.name}' makes sides up to {info.max_side_px} px; {side} is {pixels}."
            )
        if pixels % info.size_multiple_px:
            return _refused(
                info,
                request,
                f"Engine '{info.name}' makes sides in multiples of {info.size_multiple_px} px; {side} is {pixels}.",
            )
    return None


def _named(able: Iterable[str]) -> str:
    names = ", ".join(able)
    return f"engines that can: {names}" if names else "no known engine can"


def _refused(info: EngineInfo, request: RenderRequest, sentence: str) -> EngineRefused:
    return EngineRefused(sentence, sku=request.sku, shot_id=request.shot_id, attempt=request.number, engine=info.name)


def check_answers(
    requests: Sequence[RenderRequest], answers: Sequence[Rendered | EngineFailure], *, engine: str
) -> list[Rendered | EngineFailure]:
    """Return the answers with every unusable picture turned into EngineFailure(BadImage).

    When there is not one answer per request, in order, none of the pictures is trusted: one of them could be another
    product's.
    """
    if [request.attempt_id for request in requests] != [answer.attempt_id for answer in answers]:
        sentence = (
            f"Engine '{engine}' gave {len(answers)} answers to {len(requests)} requests, not one for each in order; "
            "none of them is used."
        )
        return [EngineFailure(request.attempt_id, _bad_image(request, engine, sentence), 0.0) for request in requests]
    return [
        _checked(request, answer, engine) if isinstance(answer, Rendered) else answer
        for request, answer in zip(requests, answers, strict=True)
    ]


def _checked(request: RenderRequest, answer: Rendered, engine: str) -> Rendered | EngineFailure:
    wrong = _what_is_wrong(request, answer.rgb)
    if wrong is None:
        return answer
    error = _bad_image(request, engine, f"Engine '{engine}' {wrong}")
    return EngineFailure(request.attempt_id, error, answer.seconds, answer.cost_usd)


def _what_is_wrong(request: RenderRequest, rgb: object) -> str | None:
    """Return the rest of a sentence that starts with the engine's name, or None when the picture is usable."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8:
        kind = rgb.dtype if isinstance(rgb, np.ndarray) else type(rgb).__name__
        return f"answered with {kind} values where 8-bit pixels were due."
    promised = (request.height_px, request.width_px, 3)
    if rgb.shape != promised:
        return f"answered with an array of shape {rgb.shape} where {promised} was promised."
    if max(_spread(rgb, channel) for channel in range(3)) < BLANK_SPREAD:
        return f"answered with a blank picture (colour {tuple(int(v) for v in rgb[0, 0])} all over)."
    return None


def _spread(rgb: Rgb, channel: int) -> int:
    """Return how many levels one channel spans between its 0.1 and 99.9 percentiles."""
    counts = cv2.calcHist([rgb], [channel], None, [256], [0, 256]).ravel()
    share = np.cumsum(counts) / counts.sum()
    return int(np.searchsorted(share, 0.999) - np.searchsorted(share, 0.001))


def _bad_image(request: RenderRequest, engine: str, sentence: str) -> BadImage:
    return BadImage(sentence, sku=request.sku, shot_id=request.shot_id, attempt=request.number, engine=engine)
