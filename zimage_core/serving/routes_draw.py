"""Endpoints that answer with a picture: our own exchange, and OpenAI's shape."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from starlette.concurrency import run_in_threadpool

from zimage_core import clock
from zimage_core.engines.exchange import GENERATE_PATH, GenerateAnswer, GenerateBody, to_text
from zimage_core.serving.denials import Denied
from zimage_core.serving.forms import (
    DOOR,
    GENERATE_EXAMPLES,
    DrawBody,
    IdempotencyKey,
    ImageAnswer,
    ImagesAnswer,
    ImagesBody,
    PriorityHeader,
    responses,
)
from zimage_core.serving.intake import Order, body_name, fresh_name
from zimage_core.serving.line import pictures_of
from zimage_core.serving.services import Caller, Here, Services

IMAGES_PATH = "/v1/images/generations"
JSON = "application/json"
ANSWERS = responses(*DOOR, 409, 422, 502, 504)

router = APIRouter(tags=["draw"])


@router.post(
    GENERATE_PATH,
    response_model=GenerateAnswer,
    responses=ANSWERS,
    response_description="The picture.",
    summary="Draw one picture and wait for it",
    operation_id="generate",
)
async def generate(
    request: Request,
    services: Here,
    caller: Caller,
    body: Annotated[DrawBody, Body(openapi_examples=GENERATE_EXAMPLES)],
    idempotency_key: IdempotencyKey = None,
    x_priority: PriorityHeader = "normal",
) -> Response:
    """Draw from a whole request (`zimage`), or from words alone where the engine can.

    The same content is drawn once and then answered from what is kept, for a time.
    """
    named = await named_by(services, caller, idempotency_key, GENERATE_PATH, body)
    order = await order_of(services, body, named)
    (picture,) = await pictures_of(services, [order.work], x_priority, request)
    return Response(to_text(picture.answer()), media_type=JSON)


@router.post(
    IMAGES_PATH,
    response_model=ImagesAnswer,
    responses=ANSWERS,
    response_description="The pictures.",
    summary="Draw pictures, in OpenAI's shape",
    operation_id="images_generations",
)
async def images_generations(
    request: Request,
    services: Here,
    caller: Caller,
    body: ImagesBody,
    idempotency_key: IdempotencyKey = None,
    x_priority: PriorityHeader = "normal",
) -> Response:
    """Draw `n` pictures from words, of seed, seed + 1, ...; one that fails makes the call fail, the others are kept."""
    named = await named_by(services, caller, idempotency_key, IMAGES_PATH, body)
    orders = services.intake.of_images(body, named=named)
    pictures = await pictures_of(services, [order.work for order in orders], x_priority, request)
    answer = ImagesAnswer(
        created=int(clock.now().timestamp()), data=[ImageAnswer(b64_json=picture.base64()) for picture in pictures]
    )
    return Response(to_text(answer), media_type=JSON)


async def order_of(services: Services, body: GenerateBody, named: str) -> Order:
    """Return the order of a body; one with a photo, which takes milliseconds to decode, is read on another thread."""
    if body.zimage is None or body.zimage.reference is None:
        return services.intake.of_body(body, named=named)
    return await run_in_threadpool(services.intake.of_body, body, named=named)


async def named_by(
    services: Services, caller: str, key: str | None, endpoint: str, body: GenerateBody | ImagesBody
) -> str:
    """Return what names a request: its caller's idempotency key, else a name nobody else has.

    Raises Denied when the key was used for another body.
    """
    if key is None:
        return fresh_name()
    if not await run_in_threadpool(services.book.claim_key, caller, key, body_name(endpoint, body)):
        raise key_is_taken(key)
    return f"{caller}:{key}"


def key_is_taken(key: str) -> Denied:
    """Return what to raise for an idempotency key that stands for another body."""
    return Denied(422, f"The idempotency key {key} was used for another request; a key stands for one request only.")
