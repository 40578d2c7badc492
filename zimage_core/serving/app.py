"""The application: everything behind the door put together, in the order a request meets it.

Front (id, headers, log)  >  CORS, if any origin is allowed  >  Door (key, rate, size, signature)  >  routes
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from zimage_core.engines.base import Engine, EngineFailure
from zimage_core.engines.exchange import IDEMPOTENCY_HEADER, VERSION
from zimage_core.errors import EngineError, StorageError
from zimage_core.prompting import Blocklist
from zimage_core.serving import routes_draw, routes_state, routes_tasks
from zimage_core.serving.callers import Keys
from zimage_core.serving.denials import Denied, Failed
from zimage_core.serving.desk import Desk, DeskRules
from zimage_core.serving.door import METRICS_PATH, OPEN_PATHS, Door, DoorRules
from zimage_core.serving.drawers import DISK_RETRY_S, Drawers
from zimage_core.serving.forms import PRIORITY_HEADER
from zimage_core.serving.front import REQUEST_ID, Front, fault_of
from zimage_core.serving.gpus import Gpus
from zimage_core.serving.intake import Intake, IntakeRules, Sampling
from zimage_core.serving.meters import Meters
from zimage_core.serving.openapi import describe
from zimage_core.serving.rates import Rates
from zimage_core.serving.results import Results
from zimage_core.serving.services import Services
from zimage_core.serving.signatures import Signatures
from zimage_core.serving.taskbook import TaskBook
from zimage_core.settings import ServeSettings

log = logging.getLogger("zimage_core.serving")

BODIES_AT_A_TIME: Final = 16
"""So many bodies of the largest size may be held in memory together."""
NOTHING_HERE: Final = "There is nothing at this address; /docs and /openapi.json say what there is."
_ABOUT: Final = (
    "One resident image engine behind HTTP. Pictures of one shape are drawn together, the same content is drawn once. "
    "Every refusal has the same form: a code, a sentence, and whether the same call may be made again."
)


def build_services(
    engine: Engine, settings: ServeSettings, folder: Path, *, sampling: Sampling, blocklist: Blocklist | None
) -> Services:
    """Return what is behind the door, nothing started. Raises StorageError when the folder cannot be used."""
    meters = Meters()
    results = Results(folder / "results", ttl_s=settings.result_ttl_s, max_bytes=settings.result_bytes)
    book = TaskBook(folder / "tasks.sqlite")
    rules = DeskRules(
        queue_limit=settings.queue_limit,
        queue_bytes=settings.queue_bytes,
        batch_limit=settings.batch_limit,
        batch_window_s=settings.batch_window_ms / 1000.0,
        aging_s=settings.aging_s,
    )
    desk = Desk(engine.info, rules=rules, results=results, book=book, meters=meters)
    limits = IntakeRules(settings.max_side_px, settings.max_prompt_chars, settings.max_reference_megapixels)
    return Services(
        desk=desk,
        drawers=Drawers(engine, desk, results),
        results=results,
        book=book,
        intake=Intake(engine.info, rules=limits, sampling=sampling, blocklist=blocklist),
        meters=meters,
        gpus=Gpus(),
        request_timeout_s=settings.request_timeout_s,
        stall_s=settings.stall_s,
    )


def build_app(services: Services, settings: ServeSettings) -> ASGIApp:
    """Return the whole application, from the front to the routes."""
    api = FastAPI(title="zimage serve", version=str(VERSION), description=_ABOUT, docs_url=None, redoc_url=None)
    api.state.services = services
    for routes in (routes_draw, routes_tasks, routes_state):
        api.include_router(routes.router)
    _answer_alike(api)
    rules = DoorRules(
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
        max_bodies_bytes=settings.max_body_bytes * BODIES_AT_A_TIME,
        open_paths=(*OPEN_PATHS, METRICS_PATH) if settings.open_metrics else OPEN_PATHS,
    )
    describe(api, keys=bool(settings.api_keys), open_paths=rules.open_paths)
    door = Door(
        api,
        rules=rules,
        keys=Keys(settings.api_keys),
        signatures=Signatures(settings.signing_secrets, window_s=settings.signature_window_s),
        rates=Rates(settings.requests_per_s, settings.burst),
        meters=services.meters,
    )
    return Front(_shared(door, settings.cors_origins), meters=services.meters)


def _shared(door: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    if not origins:
        return door
    own = ("Authorization", "X-API-Key", "X-Timestamp", "X-Nonce", "X-Signature", REQUEST_ID)
    return CORSMiddleware(
        door,
        allow_origins=origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=("Content-Type", IDEMPOTENCY_HEADER, PRIORITY_HEADER, *own),
        expose_headers=("Location", "Retry-After", REQUEST_ID),
    )


# ---------------------------------------------------------------- answers that are not what was asked for


def _answer_alike(api: FastAPI) -> None:
    """Give every refusal and failure the same form, whoever raises it."""

    @api.exception_handler(Denied)
    @api.exception_handler(Failed)
    async def _ours(_: Request, error: Exception) -> Response:
        assert isinstance(error, (Denied, Failed))
        return error.response()

    @api.exception_handler(Exception)
    async def _fault(request: Request, _: Exception) -> Response:
        return fault_of(request.state.request_id).response()  # the front logs it: it is raised on

    @api.exception_handler(EngineError)
    async def _engine(_: Request, error: Exception) -> Response:
        assert isinstance(error, EngineError)
        return Failed(EngineFailure("", error, 0.0)).response()

    @api.exception_handler(StorageError)
    async def _storage(request: Request, error: Exception) -> Response:
        request_id = request.state.request_id
        log.error("Request %s could not be done: %s", request_id, error)
        sentence = f"The server cannot read or write its own records; its log has more under request {request_id}."
        return Denied(503, sentence, retry_after_s=DISK_RETRY_S).response()

    @api.exception_handler(RequestValidationError)
    async def _body(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return Denied(422, _first_wrong(error)).response()

    @api.exception_handler(HTTPException)
    async def _http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        lost = error.status_code == 404 and error.detail == "Not Found"
        denied = Denied(error.status_code, NOTHING_HERE if lost else f"{error.detail}.")
        denied.headers.update(error.headers or {})
        if error.status_code == 405:
            denied.headers["Allow"] = ", ".join(_allowed(api, request.url.path))
        return denied.response()


def _allowed(api: FastAPI, path: str) -> list[str]:
    """Return the methods of a path, of all its routes: the router itself names those of the first one only."""
    paths: dict[str, dict[str, Any]] = api.openapi()["paths"]
    return sorted(
        method.upper()
        for template, methods in paths.items()
        if re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", template), path)
        for method in methods
    )


def _first_wrong(error: RequestValidationError) -> str:
    """Return the first thing that is wrong with a request as a sentence, without the value that came."""
    wrong: Mapping[str, Any] = error.errors()[0]
    where = ".".join(str(part) for part in wrong["loc"] if part != "body")
    return f"{where or 'body'}: {wrong['msg'].removeprefix('Value error, ')}."
