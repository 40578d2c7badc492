"""What the server's own endpoints take and give, beside the forms of the exchange; with the words of its OpenAPI."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import Header
from pydantic import BaseModel, ConfigDict, Field, field_validator

from zimage_core.domain import EngineInfo
from zimage_core.engines.exchange import IDEMPOTENCY_HEADER, FailureAnswer, FailureForm, GenerateBody, Seed, Words
from zimage_core.serving.work import Priority, TaskState

PRIORITY_HEADER: Final = "X-Priority"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=IDEMPOTENCY_HEADER,
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Names this request: sent again with the same key and body it is never drawn a second time, also "
        "while the first is still being drawn. The same key with another body is refused.",
        examples=["7c9e6679f3a14d0b"],
    ),
]
PriorityHeader = Annotated[
    Priority,
    Header(
        alias=PRIORITY_HEADER,
        description="Who is drawn first. What waits grows more urgent, so that low requests do not starve.",
    ),
]

GENERATE_EXAMPLES: Final[dict[str, Any]] = {
    "words": {
        "summary": "From words alone (an engine with mode text)",
        "value": {"prompt": "A white mug on oak, soft window light.", "width": 1024, "height": 1024, "seed": 42},
    }
}


def _plain_number(given: object) -> object:
    """Refuse what JSON does not call a number: true and "8" would else pass for 1 and 8."""
    if isinstance(given, bool | str):
        raise ValueError("a number is needed, not text or true or false")  # noqa: TRY004 - for pydantic
    return given


class DrawBody(GenerateBody):
    """The body of POST /v1/generate: the small contract, and in `zimage` the whole request where both sides know it."""

    _numbers = field_validator("width", "height", "num_inference_steps", "guidance_scale", "seed", mode="before")(
        _plain_number
    )


class ImagesBody(BaseModel):
    """The body of POST /v1/images/generations, as OpenAI, SGLang Diffusion and vLLM-Omni take it."""

    model_config = ConfigDict(
        frozen=True,
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"prompt": "A white mug on oak.", "size": "1024x1024", "seed": 42}]},
    )

    prompt: Words = Field(min_length=1, description="What is to be seen.")
    model: str | None = Field(None, max_length=200, description="Ignored: the server has one model.")
    n: int = Field(1, ge=1, le=10, description="How many pictures, of seed, seed + 1, ...")
    size: str = Field("1024x1024", pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$", description="Width x height.")
    seed: Seed | None = Field(None, description="Left out, the server picks one.")
    response_format: Literal["b64_json"] = Field("b64_json", description="A url is refused: no file is kept public.")
    output_format: Literal["png"] = Field("png", description="Pictures are PNG.")
    negative_prompt: Words | None = Field(
        None, description="What is not to be seen; engines without guidance do not look at it."
    )
    num_inference_steps: int | None = Field(None, ge=1, le=200, description="Must be the engine's own.")
    guidance_scale: float | None = Field(None, ge=0.0, le=20.0, description="Must be the engine's own.")

    _numbers = field_validator("n", "seed", "num_inference_steps", "guidance_scale", mode="before")(_plain_number)

    @field_validator("response_format", mode="before")
    @classmethod
    def _no_url(cls, given: object) -> object:
        if given == "url":
            raise ValueError("pictures are answered as b64_json; this server keeps no public files to link to")
        return given


class ImageAnswer(BaseModel):
    """One picture of an ImagesAnswer."""

    b64_json: str = Field(description="Base64 of a PNG.")
    url: None = Field(None, description="Always null: no file is kept public.")
    revised_prompt: str | None = Field(None, description="Always null: prompts are drawn as they are.")


class ImagesAnswer(BaseModel):
    """The answer of POST /v1/images/generations."""

    created: int = Field(description="Seconds since 1970.")
    data: list[ImageAnswer] = Field(description="The pictures, of seed, seed + 1, ...")


_STATES: Final = (
    "queued: it waits; running: it is drawn; done: its picture can be had; failed, cancelled: see failure, reason; "
    "lost: the server was stopped while it was drawn and cannot draw it again, see reason."
)


class TaskTaken(BaseModel):
    """A task was written down and will be drawn."""

    task_id: str = Field(description="Names the task.", examples=["5f0c7a1d2b3e4f60"])
    state: TaskState = Field(description=_STATES)
    url: str = Field(description="Where to ask how it stands.", examples=["/api/v1/tasks/5f0c7a1d2b3e4f60"])


class TaskAnswer(BaseModel):
    """How a task stands."""

    task_id: str = Field(description="Names the task.")
    state: TaskState = Field(description=_STATES)
    priority: Priority = Field(description="As it was taken.")
    position: int | None = Field(None, ge=0, description="How many wait before it, while it is queued.")
    eta_s: float | None = Field(None, ge=0, description="Estimate of when it is done, from measured throughput.")
    progress: float = Field(ge=0, le=1, description="0 queued, 1 done; in between estimated from measured throughput.")
    created_at: datetime = Field(description="When it was taken.")
    started_at: datetime | None = Field(None, description="When drawing was begun, the last time.")
    finished_at: datetime | None = Field(None, description="When it ended, however it did.")
    reason: str = Field("", description="Why it is cancelled or lost.")
    failure: FailureForm | None = Field(None, description="Why it failed.")
    result_url: str | None = Field(None, description="Where its picture is, once it is done.")


class GpuReading(BaseModel):
    """One GPU that the driver shows, as NVML reads it."""

    index: int = Field(description="Its number among those the driver shows.")
    uuid: str = Field(description="The driver's name of this very card, or of this slice of it.")
    name: str = Field(description="The kind of card.")
    memory_used_bytes: int = Field(description="Memory in use, by whomever.")
    memory_total_bytes: int = Field(description="Memory there is.")
    temperature_celsius: int | None = Field(None, description="Null where the card does not tell.")
    utilisation_percent: int | None = Field(None, description="Null where the card does not tell.")


class HealthAnswer(BaseModel):
    """The event loop answers."""

    status: Literal["alive"] = Field("alive", description="Always this.")


class ReadyAnswer(BaseModel):
    """Whether to send work here. Without an NVIDIA driver `gpus` is empty."""

    ready: bool = Field(description="Whether work is taken and drawn.")
    reason: str = Field("", description="Why not.")
    engine: EngineInfo = Field(description="What the engine says of itself.")
    waiting: int = Field(description="Requests that wait.")
    pictures_per_s: float = Field(description="As measured; before the first call, as the engine says.")
    gpus: list[GpuReading] = Field(description="What the driver shows; empty without one.")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` for these refusals; each has the same form."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted(set(statuses)):
        described[status] = {"model": FailureAnswer, "description": WHY[status]}
        if status in (409, 429, 503):
            described[status]["headers"] = {
                "Retry-After": {
                    "description": "Seconds until it is worth asking again, if it is.",
                    "schema": {"type": "integer"},
                }
            }
    return described


WHY: Final = {
    400: "The request ended before it was whole, or is no HTTP.",
    401: "No key, a wrong key, or a signature that does not fit.",
    403: "A host that this server does not answer for.",
    404: "No such task of yours.",
    406: "Neither image/png nor application/json is accepted.",
    408: "The body came too slowly.",
    409: "The task is not in a state for this, or the request is meant for another engine.",
    410: "The picture was made but is not kept any more.",
    413: "The body is too large.",
    422: "The request cannot be drawn as it is; asking again will not help.",
    429: "The queue is full, the key has asked too often, or the engine is busy.",
    499: "The caller hung up.",
    500: "A fault of the server.",
    502: "The engine answered with something unusable.",
    503: "The server is being stopped, its disk refuses, or the engine failed.",
    504: "It took too long.",
}
DOOR: Final = (400, 401, 403, 408, 413, 429, 500, 503)
"""What any endpoint with a body may answer before it is asked."""
LOOKING: Final = (401, 403, 500, 503)
"""What any endpoint without a body may answer before it is asked."""
