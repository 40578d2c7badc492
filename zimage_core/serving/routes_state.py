"""Endpoints that say how the server is: alive, ready, what it counts, which engine it holds."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from zimage_core.engines.exchange import ENGINE_PATH, EngineForm, engine_form
from zimage_core.serving.docs_page import POLICY, page
from zimage_core.serving.forms import LOOKING, HealthAnswer, ReadyAnswer, responses
from zimage_core.serving.meters import CONTENT_TYPE
from zimage_core.serving.services import Here

router = APIRouter(tags=["state"])


@router.get(
    ENGINE_PATH,
    responses=responses(*LOOKING),
    response_description="What the engine says of itself.",
    summary="Which engine this is",
    operation_id="engine",
)
def engine(services: Here) -> EngineForm:
    """Answer with what the engine says of itself: its modes, limits, and the fingerprint of all that decides pixels."""
    return engine_form(services.desk.info)


@router.get(
    "/health",
    responses=responses(403, 500),
    response_description="It is alive.",
    summary="Is it alive",
    operation_id="health",
)
async def health() -> HealthAnswer:
    """Answer as long as the event loop turns, whatever the engine does. No key is needed."""
    return HealthAnswer()


@router.get(
    "/ready",
    responses=responses(403, 500)
    | {
        503: {
            "model": ReadyAnswer,
            "description": "Loading, being stopped, a disk that refuses, an engine that hangs: `reason` says which.",
        }
    },
    response_description="Send work here.",
    summary="Should work be sent here",
    operation_id="ready",
)
def ready(services: Here, response: Response) -> ReadyAnswer:
    """Answer 200 when the engine is loaded and work is taken, else 503 with the reason. No key is needed."""
    why_not = services.why_not_ready()
    if why_not:
        response.status_code = 503
        response.headers["Retry-After"] = str(services.desk.come_back_after_s())
    return ReadyAnswer(
        ready=not why_not,
        reason=why_not,
        engine=services.desk.info,
        waiting=services.desk.waiting,
        pictures_per_s=services.desk.pace.pictures_per_s,
        gpus=services.gpus.readings(),
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses=responses(*LOOKING)
    | {200: {"description": "Metrics in Prometheus' text format.", "content": {"text/plain": {}}}},
    summary="What the server counts",
    operation_id="metrics",
)
def metrics(services: Here) -> Response:
    """Answer with every metric, all named zimage_serve_*."""
    meters = services.meters
    meters.ready.set(not services.why_not_ready())
    for gpu in services.gpus.readings():
        meters.gpu_bytes.labels(gpu.uuid).set(gpu.memory_used_bytes)
        if gpu.temperature_celsius is not None:
            meters.gpu_celsius.labels(gpu.uuid).set(gpu.temperature_celsius)
    return Response(meters.text(), headers={"Content-Type": CONTENT_TYPE})


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> Response:
    """Answer with a page for people that says what /openapi.json says, without scripts and without a network."""
    headers = {"Content-Security-Policy": POLICY}
    return Response(page(request.app.openapi()), media_type="text/html", headers=headers)
