"""What an engine on a test's ComfyUI answered: the picture, or why there is none."""

from __future__ import annotations

import numpy as np
from comfyui_server import ComfyUI

from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest, render_checked
from zimage_core.engines.comfyui.engine import ComfyEngine


def made(engine: ComfyEngine, request: RenderRequest) -> Rendered:
    (answer,) = render_checked(engine, [request])
    assert isinstance(answer, Rendered), answer
    return answer


def failed(engine: ComfyEngine, request: RenderRequest) -> EngineFailure:
    (answer,) = render_checked(engine, [request])
    assert isinstance(answer, EngineFailure)
    return answer


def right(answer: Rendered, server: ComfyUI, request: RenderRequest) -> bool:
    """Tell whether this is the picture of the request's words and seed."""
    (asked,) = {asked.seed: asked for _, asked in server.drawn if asked.seed == request.seed}.values()
    return asked.text == request.prompt.text and np.array_equal(answer.rgb, asked.picture())
