"""Pictures over `POST /v1/images/generations`: one call per seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from zimage_core import clock
from zimage_core.domain import EngineInfo
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.engines.drawing import Drawing, drawing_of, finish
from zimage_core.engines.openai_images.options import NAME, Options
from zimage_core.engines.openai_images.requesting import body_for, picture_of
from zimage_core.engines.wire.answers import answer_all
from zimage_core.engines.wire.client import EngineLocked, error_for_status
from zimage_core.engines.wire.options import api_key
from zimage_core.engines.wire.remote import Remote
from zimage_core.imaging.pixels import Rgb

PATH: Final = "/v1/images/generations"
_CALLS: Final = 2
"""Two batches at a time: one is drawn while the one before is stored."""


class OpenAIImagesEngine:
    """An engine in other processes that speaks the shape of OpenAI's images; `sleep` and `elapsed_s` are for tests."""

    def __init__(
        self,
        options: Options,
        *,
        sleep: Callable[[float], object] | None = None,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        self._options = options
        self._remote = Remote(NAME, options.remote, api_key(), sleep=sleep, elapsed_s=elapsed_s)
        self.info: EngineInfo = _info(options)

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        """Return one answer per request, in order."""
        return answer_all(requests, self._answer, threads=self._options.remote.threads, engine=NAME, give_up=self.close)

    def close(self) -> None:
        """Close every connection; may be called twice."""
        self._remote.close()

    def _answer(self, request: RenderRequest) -> Rendered:
        options, started_s = self._options, clock.elapsed_s()
        drawing = drawing_of(request, options.size_multiple_px)
        body = json.dumps(body_for(drawing, options)).encode()
        rgb, drawing_s = self._remote.ask(request.attempt_id, lambda url: self._drawn(url, body, request, drawing))
        picture, placement, notes = finish(request, drawing, rgb)
        return Rendered(
            request.attempt_id,
            picture,
            placement,
            seconds=clock.elapsed_s() - started_s,
            cost_usd=options.cost_usd_per_image + drawing_s * options.rent_usd_per_hour / 3600,
            notes=(*drawing.notes, *notes),
        )

    def _drawn(self, url: str, body: bytes, request: RenderRequest, drawing: Drawing) -> tuple[Rgb, float]:
        """Return the model's picture and how long the call took."""
        reply = self._remote.wire.call(
            "POST", url + PATH, content=body, headers={"content-type": "application/json"}, accept="application/json"
        )
        if not reply.is_ok:
            error = error_for_status(reply, NAME, what=f"attempt {request.attempt_id} of {request.sku}")
            if reply.status in (404, 405):
                raise EngineLocked(
                    f"{error.sentence} Either nobody answers POST {PATH} there (check option url), or the model is not "
                    f"'{self._options.model}' (check option model).",
                    engine=NAME,
                )
            raise error
        return picture_of(reply, drawing), reply.seconds


def _info(options: Options) -> EngineInfo:
    cost_usd = options.cost_usd_per_image + options.seconds_per_image * options.rent_usd_per_hour / 3600
    return EngineInfo(
        name=NAME,
        fingerprint=options.fingerprint,
        modes=("stage", "text"),
        needs_reference=False,
        size_multiple_px=1,  # canvases are snapped up and cut back
        max_side_px=options.max_side_px - options.max_side_px % options.size_multiple_px,
        batch_limit=options.remote.calls_per_endpoint * len(options.remote.url),
        seconds_per_image=options.seconds_per_image,
        cost_usd_per_image=cost_usd,
        concurrent_calls=_CALLS,
        planned_area_px=round(options.megapixels * 1024 * 1024),
    )
