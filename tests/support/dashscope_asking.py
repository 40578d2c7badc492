"""What tests of the dashscope engine share: time that passes only when somebody sleeps, and which picture is right."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from dashscope_server import drawn

from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.engines.dashscope.engine import DashScopeEngine
from zimage_core.engines.dashscope.protocol import seed_for, times_for

EngineOf = Callable[..., DashScopeEngine]


@dataclass
class Ticking:
    """A clock that threads share; sleeping moves it."""

    s: float = 0.0
    slept: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.s += seconds
            self.slept.append(seconds)

    def elapsed_s(self) -> float:
        with self.lock:
            return self.s


def right_picture(request: RenderRequest) -> np.ndarray:
    """Return what the server draws for a text request, as the engine must hand it on: (H, W, 3) uint8."""
    times = times_for(request.width_px, request.height_px)
    large = drawn(request.prompt.text, seed_for(request.seed), times * request.width_px, times * request.height_px)
    if times == 1:
        return large
    return np.asarray(cv2.resize(large, (request.width_px, request.height_px), interpolation=cv2.INTER_AREA))


def is_right(answer: Rendered | EngineFailure, request: RenderRequest) -> bool:
    return isinstance(answer, Rendered) and np.array_equal(answer.rgb, right_picture(request))
