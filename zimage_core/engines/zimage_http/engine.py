"""Pictures over `POST /v1/generate`: the whole request to our own server, a drawing to a plain service."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import ValidationError

from zimage_core import clock
from zimage_core.domain import EngineInfo
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.engines.drawing import drawing_of, finish
from zimage_core.engines.exchange import (
    GENERATE_PATH,
    IDEMPOTENCY_HEADER,
    FailureAnswer,
    GenerateAnswer,
    failure_from,
    from_base64,
    generate_body,
    read_text,
    rendered_from,
    to_text,
)
from zimage_core.engines.wire.answers import answer_all
from zimage_core.engines.wire.client import EngineLocked, Reply, error_for_status
from zimage_core.engines.wire.options import api_key, signing_secret
from zimage_core.engines.wire.pictures import FORMATS, decode_picture
from zimage_core.engines.wire.remote import Remote
from zimage_core.engines.wire.replies import one_line
from zimage_core.engines.wire.signing import signer
from zimage_core.engines.zimage_http.options import NAME, Options
from zimage_core.engines.zimage_http.probe import find_engine
from zimage_core.errors import BadImage, ConfigurationError, EngineError
from zimage_core.imaging.pixels import Rgb

_CALLS: Final = 2
"""Two batches at a time: one is drawn while the one before is stored."""
_JSON: Final = "application/json"


def connect(
    options: Options,
    *,
    sleep: Callable[[float], object] | None = None,
    elapsed_s: Callable[[], float] = clock.elapsed_s,
) -> ZImageHttpEngine:
    """Return the engine behind these addresses, each asked what it is. Raises as `zimage_http.create` says."""
    key = api_key()
    secret = signing_secret()
    sign = None if secret is None else signer(secret)
    probe = Remote(NAME, options.remote, key, sign=sign)
    try:
        found = find_engine(probe.wire, options.remote.url)
    finally:
        probe.close()
    if found.info is None and not options.model:
        raise ConfigurationError(
            f"At {', '.join(found.urls)} is a plain service, which does not say what it draws with. Name its model "
            "with option model (`--model NAME`): a picture of one model must not be taken for another's."
        )
    info = _plain_info(options, len(found.urls)) if found.info is None else _info_of(found.info, len(found.urls))
    remote = Remote(
        NAME,
        options.remote,
        key,
        urls=found.urls,
        keeps_answers=found.info is not None,
        sign=sign,
        least=1 if found.info is None else found.info.batch_limit,
        sleep=sleep,
        elapsed_s=elapsed_s,
    )
    return ZImageHttpEngine(options, remote, info, is_ours=found.info is not None)


class ZImageHttpEngine:
    """An engine in other processes. Behind our own server its pictures are that engine's, byte for byte."""

    def __init__(self, options: Options, remote: Remote, info: EngineInfo, *, is_ours: bool) -> None:
        self._options = options
        self._remote = remote
        self._answer = self._from_ours if is_ours else self._from_plain
        self.info: EngineInfo = info

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        """Return one answer per request, in order."""
        return answer_all(requests, self._answer, threads=self._options.remote.threads, engine=NAME, give_up=self.close)

    def close(self) -> None:
        """Close every connection; may be called twice."""
        self._remote.close()

    # ------------------------------------------------------------ our own server

    def _from_ours(self, request: RenderRequest) -> Rendered:
        body = to_text(generate_body(request, fingerprint=self.info.fingerprint)).encode()
        return self._remote.ask(request.attempt_id, lambda url: self._asked_ours(url, body, request))

    def _asked_ours(self, url: str, body: bytes, request: RenderRequest) -> Rendered:
        reply = self._posted(url, body, request)
        answer = read_text(GenerateAnswer, reply.body, what=f"The answer of {reply.endpoint} ({reply.sniffed()})")
        rendered = rendered_from(answer)
        drawn_by = answer.zimage.fingerprint if answer.zimage is not None else ""
        if drawn_by not in ("", self.info.fingerprint):
            raise EngineLocked(
                f"The server at {url} is another engine now: {drawn_by} instead of {self.info.fingerprint}. Start it "
                "as it was to finish this run, or start the run again.",
                engine=NAME,
            )
        if rendered.attempt_id != request.attempt_id:
            raise BadImage(
                f"The server at {url} answered with the picture of attempt {rendered.attempt_id}, not of "
                f"{request.attempt_id}.",
                engine=NAME,
            )
        size = (rendered.rgb.shape[1], rendered.rgb.shape[0])
        if size != (request.width_px, request.height_px):
            raise BadImage(
                f"The server at {url} answered with a picture of {size[0]} x {size[1]} px where {request.width_px} x "
                f"{request.height_px} were asked for.",
                engine=NAME,
            )
        return rendered

    # ------------------------------------------------------------ plain services

    def _from_plain(self, request: RenderRequest) -> Rendered:
        options = self._options
        started_s = clock.elapsed_s()
        drawing = drawing_of(request, options.size_multiple_px)
        body = json.dumps(
            {
                "prompt": drawing.prompt,
                "negative_prompt": drawing.negative,
                "width": drawing.width_px,
                "height": drawing.height_px,
                "num_inference_steps": options.steps,
                "guidance_scale": options.guidance,
                "seed": drawing.seed,
                "output_format": "png",
            }
        ).encode()

        def drawn(url: str) -> tuple[Rgb, float]:
            reply = self._posted(url, body, request)
            size = {"width_px": drawing.width_px, "height_px": drawing.height_px}
            return decode_picture(_picture_of(reply), NAME, **size), reply.seconds

        rgb, drawing_s = self._remote.ask(request.attempt_id, drawn)
        picture, placement, notes = finish(request, drawing, rgb)
        return Rendered(
            request.attempt_id,
            picture,
            placement,
            seconds=clock.elapsed_s() - started_s,
            cost_usd=options.cost_usd_per_image + drawing_s * options.rent_usd_per_hour / 3600,
            notes=(*drawing.notes, *notes),
        )

    # ------------------------------------------------------------ both

    def _posted(self, url: str, body: bytes, request: RenderRequest) -> Reply:
        """Return the answer with status 2xx; raises what any other means."""
        reply = self._remote.wire.call(
            "POST",
            url + GENERATE_PATH,
            content=body,
            headers={"content-type": _JSON, IDEMPOTENCY_HEADER: request.attempt_id},
            accept=_JSON,
        )
        if not reply.is_ok:
            raise _error_of(reply, f"attempt {request.attempt_id} of {request.sku}")
        return reply


def _error_of(reply: Reply, what: str) -> EngineError:
    """Return the failure our own server tells us of, else what the status means."""
    by_status = error_for_status(reply, NAME, what=what)
    if reply.status in (404, 405):
        return EngineLocked(f"{by_status.sentence} Nobody answers POST {GENERATE_PATH} there; check option url.")
    if isinstance(by_status, EngineLocked):
        return by_status
    try:
        told = failure_from(FailureAnswer.model_validate_json(reply.body).detail).error
    except ValidationError:
        return by_status
    after_s = reply.retry_after_s() if told.retry_after_s is None else told.retry_after_s
    return type(told)(
        f"{one_line(reply.mask(told.sentence))} (said by {reply.endpoint})", engine=NAME, retry_after_s=after_s
    )


def _picture_of(reply: Reply) -> bytes:
    """Return the bytes of a plain service's picture: base64 in the field `image`, or the body itself."""
    if reply.sniffed() in FORMATS:
        return reply.body
    answer = reply.json_object(NAME, "a picture in JSON")
    image = answer.get("image")
    if not isinstance(image, str):
        known = ", ".join(sorted(answer)[:8]) or "none"
        raise BadImage(
            f"Engine '{NAME}' answered without a picture: the field image is {type(image).__name__}, not base64 text; "
            f"the fields are {reply.mask(known)[:200]} ({reply.endpoint}).",
            engine=NAME,
        )
    try:
        return from_base64(image)
    except ValueError as error:
        raise BadImage(
            f"Engine '{NAME}' answered with a field image that is no picture: {error} ({reply.endpoint}).", engine=NAME
        ) from error


def _info_of(server: EngineInfo, servers: int) -> EngineInfo:
    """Return the server's engine under our name; with more servers more goes into one call."""
    return dataclasses.replace(
        server,
        name=NAME,
        drawn_by=server.drawn_by or server.name,
        batch_limit=server.batch_limit * servers,
        concurrent_calls=max(_CALLS, server.concurrent_calls),
    )


def _plain_info(options: Options, services: int) -> EngineInfo:
    cost_usd = options.cost_usd_per_image + options.seconds_per_image * options.rent_usd_per_hour / 3600
    return EngineInfo(
        name=NAME,
        fingerprint=options.fingerprint,
        modes=("stage", "text"),
        needs_reference=False,
        size_multiple_px=1,  # canvases are snapped up and cut back
        max_side_px=options.max_side_px - options.max_side_px % options.size_multiple_px,
        batch_limit=options.remote.calls_per_endpoint * services,
        seconds_per_image=options.seconds_per_image,
        cost_usd_per_image=cost_usd,
        concurrent_calls=_CALLS,
        planned_area_px=round(options.megapixels * 1024 * 1024),
    )
