"""The JSON form of requests, answers, failures and of what an engine says of itself: our own protocol over HTTP.

Both sides stand on this module: `zimage_http` speaks it, the engine server understands it. Every form says its version;
another version is refused with a sentence, never half understood. A round trip gives back the very same request or
answer: pixels travel as lossless PNG in base64, numbers as JSON writes them (the shortest text that reads back the same
double).

    GET  /v1/engine     EngineForm
    POST /v1/generate   GenerateBody -> GenerateAnswer; otherwise FailureAnswer with the status of `status_of`

`GenerateBody` and `GenerateAnswer` hold the contract of the small FastAPI services that teams run (prompt, width,
height, steps, ...; the picture in base64) and, in the field `zimage`, the whole request and answer. A service that does
not know the field ignores it, a client that does not know it leaves it out.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from zimage_core import errors
from zimage_core.domain import Change, EngineInfo, Mode, Placement, Prompt, Scene
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.errors import BadImage, EngineError, EngineRefused, EngineUnavailable, ImageError
from zimage_core.imaging.cutout import CutOut, cutout_from_png, cutout_to_png
from zimage_core.imaging.pixels import MAX_SIDE_PX, Rgb, decode_png, encode_png

VERSION: Final = 1
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
"""Carries the attempt_id: a server that has seen it answers with the picture it made then, and draws nothing."""
ENGINE_PATH: Final = "/v1/engine"
GENERATE_PATH: Final = "/v1/generate"

_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_KINDS: Final[Mapping[str, type[EngineError]]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EngineError)
}
_STATUSES: Final[tuple[tuple[type[EngineError], int], ...]] = (
    (errors.EngineBusy, 429),
    (errors.EngineRefused, 422),
    (errors.BadImage, 502),
    (errors.EngineTimeout, 504),
    (errors.EngineError, 503),
)

Id = Annotated[str, Field(max_length=200)]
Words = Annotated[str, Field(max_length=20_000)]
Seed = Annotated[int, Field(ge=0, lt=2**64)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]
FormT = TypeVar("FormT", bound=BaseModel)


class Form(BaseModel):
    """What every form of ours is: frozen, closed to unknown fields, finite, and of this version."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: int = Field(VERSION, description="Version of the exchange; both sides must speak the same.")

    @model_validator(mode="before")
    @classmethod
    def _of_this_version(cls, given: Any) -> Any:
        version = given.get("version", VERSION) if isinstance(given, Mapping) else VERSION
        if version != VERSION:
            raise ValueError(
                f"this is version {version!r} of the exchange, and version {VERSION} is spoken here; bring client and "
                "server to the same release of zimage"
            )
        return given


# ---------------------------------------------------------------- requests


class RequestForm(Form):
    """One attempt to make, whole: what a RenderRequest says."""

    attempt_id: Id = Field(min_length=1, description="Names the attempt; also the idempotency key.")
    sku: Id
    shot_id: Id
    number: int = Field(ge=1)
    mode: Mode
    prompt: Prompt
    scene: Scene
    change: Change
    seed: Seed
    width_px: Side
    height_px: Side
    reference: str | None = Field(
        None, description="The cut-out product: base64 of an RGBA PNG with the text chunk `zimage-cutout`."
    )
    fingerprint: Id = Field("", description="The engine that was asked for; another one must not draw this. '' = any.")

    @field_validator("scene")
    @classmethod
    def _drawable(cls, scene: Scene) -> Scene:
        for colour in scene.stage.palette:
            if not _COLOUR.fullmatch(colour):
                raise ValueError(f"'{colour}' in the palette is not a colour such as #d8c7b0")
        return scene


def request_form(request: RenderRequest, *, fingerprint: str = "") -> RequestForm:
    """Return the request as it travels; the product's cut-out as a lossless PNG. `fingerprint`: the engine meant."""
    reference = None if request.reference is None else _to_base64(cutout_to_png(request.reference))
    return RequestForm(
        attempt_id=request.attempt_id,
        sku=request.sku,
        shot_id=request.shot_id,
        number=request.number,
        mode=request.mode,
        prompt=request.prompt,
        scene=request.scene,
        change=request.change,
        seed=request.seed,
        width_px=request.width_px,
        height_px=request.height_px,
        reference=reference,
        fingerprint=fingerprint,
    )


def request_from(form: RequestForm, info: EngineInfo | None = None) -> RenderRequest:
    """Return the request that travelled.

    Raises EngineRefused when its cut-out cannot be read, and EngineUnavailable when it is meant for another engine than
    `info`: the server was started again with another model while a run was under way, whose shots had better wait.
    """
    if info is not None and form.fingerprint not in ("", info.fingerprint):
        raise EngineUnavailable(
            f"This server's engine is {info.fingerprint} now, the picture is to be made by {form.fingerprint}; start "
            "the server with that engine again, or start the run anew with this one.",
            sku=form.sku,
            shot_id=form.shot_id,
            attempt=form.number,
        )
    return RenderRequest(
        attempt_id=form.attempt_id,
        sku=form.sku,
        shot_id=form.shot_id,
        number=form.number,
        mode=form.mode,
        prompt=form.prompt,
        scene=form.scene,
        change=form.change,
        seed=form.seed,
        width_px=form.width_px,
        height_px=form.height_px,
        reference=None if form.reference is None else _cutout_from(form.reference, form),
    )


def _cutout_from(text: str, form: RequestForm) -> CutOut:
    try:
        return cutout_from_png(from_base64(text))
    except (ImageError, ValueError, KeyError, TypeError) as error:
        why = error.sentence if isinstance(error, ImageError) else f"{type(error).__name__}: {error}."
        raise EngineRefused(
            f"The product's cut-out of {form.sku} cannot be read: {why}",
            sku=form.sku,
            shot_id=form.shot_id,
            attempt=form.number,
        ) from error


class GenerateBody(BaseModel):
    """The body of POST /v1/generate: the small contract, and in `zimage` the whole request where both sides know it."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    prompt: Words
    negative_prompt: Words = ""
    width: Side = 1024
    height: Side = 1024
    num_inference_steps: int = Field(8, ge=1, le=200)
    guidance_scale: float = Field(0.0, ge=0.0, le=20.0)
    seed: Seed | None = Field(None, description="Left out, the server picks one.")
    output_format: Literal["png"] = "png"
    zimage: RequestForm | None = Field(None, description="The whole request; the fields above are then ignored.")


def generate_body(
    request: RenderRequest, *, steps: int = 8, guidance: float = 0.0, fingerprint: str = ""
) -> GenerateBody:
    """Return the body that carries a whole request to our own server; `fingerprint` names the engine that is meant."""
    return GenerateBody(
        prompt=request.prompt.text,
        negative_prompt=request.prompt.negative,
        width=request.width_px,
        height=request.height_px,
        num_inference_steps=steps,
        guidance_scale=guidance,
        seed=request.seed,
        zimage=request_form(request, fingerprint=fingerprint),
    )


# ---------------------------------------------------------------- answers


class RenderedForm(Form):
    """What is known of a picture, beside the picture itself."""

    attempt_id: Id
    placement: Placement | None = Field(description="Where the product was put: image_px = scale * cutout_px + (x, y).")
    seconds: float = Field(ge=0.0)
    cost_usd: float = Field(ge=0.0)
    notes: tuple[str, ...] = ()
    fingerprint: Id = Field("", description="The engine that drew it.")


class GenerateAnswer(BaseModel):
    """The answer of POST /v1/generate: the picture, and in `zimage` what else is known of it."""

    model_config = ConfigDict(frozen=True)

    image: str = Field(description="Base64 of a PNG.")
    zimage: RenderedForm | None = None


def generate_answer(rendered: Rendered, png: bytes | None = None, *, fingerprint: str = "") -> GenerateAnswer:
    """Return the answer that carries a picture; `png` are its bytes where they are already encoded.

    `fingerprint` is that of the engine that drew it: the other side then knows that it is still the same one.
    """
    return GenerateAnswer(
        image=_to_base64(encode_png(rendered.rgb) if png is None else png),
        zimage=RenderedForm(
            attempt_id=rendered.attempt_id,
            placement=rendered.placement,
            seconds=rendered.seconds,
            cost_usd=rendered.cost_usd,
            notes=rendered.notes,
            fingerprint=fingerprint,
        ),
    )


def rendered_from(answer: GenerateAnswer) -> Rendered:
    """Return the picture that travelled, its size as it came. Raises BadImage: no field `zimage`, no readable PNG."""
    if answer.zimage is None:
        raise BadImage("The answer holds a picture but not what belongs to it (field zimage).")
    known = answer.zimage
    try:
        rgb: Rgb = decode_png(from_base64(answer.image))
    except (ImageError, ValueError) as error:
        raise BadImage(f"The picture of the answer cannot be read: {error}") from error
    return Rendered(known.attempt_id, rgb, known.placement, known.seconds, known.cost_usd, known.notes)


# ---------------------------------------------------------------- failures


class FailureForm(Form):
    """Why there is no picture: `code` is the error's class, `retryable` whether the same call may be made again."""

    code: Id
    sentence: str
    retryable: bool
    retry_after_s: float | None = Field(None, ge=0.0)
    attempt_id: Id = Field("", description="Empty where the failure belongs to no attempt.")
    sku: Id | None = None
    shot_id: Id | None = None
    attempt: int | None = None
    engine: Id | None = None
    seconds: float = Field(0.0, ge=0.0)
    cost_usd: float = Field(0.0, ge=0.0, description="What was paid although there is no picture.")


class FailureAnswer(BaseModel):
    """The answer that says why there is no picture, under FastAPI's own name for it."""

    model_config = ConfigDict(frozen=True)

    detail: FailureForm


def failure_form(failure: EngineFailure) -> FailureForm:
    """Return the failure as it travels."""
    error = failure.error
    return FailureForm(
        code=error.code,
        sentence=error.sentence,
        retryable=error.retryable,
        retry_after_s=error.retry_after_s,
        attempt_id=failure.attempt_id,
        sku=error.sku,
        shot_id=error.shot_id,
        attempt=error.attempt,
        engine=error.engine,
        seconds=failure.seconds,
        cost_usd=failure.cost_usd,
    )


def failure_from(form: FailureForm) -> EngineFailure:
    """Return the failure that travelled; a class of error not known here becomes one that is as retryable."""
    kind = _KINDS.get(form.code) or (EngineUnavailable if form.retryable else EngineRefused)
    error = kind(
        form.sentence,
        sku=form.sku,
        shot_id=form.shot_id,
        attempt=form.attempt,
        engine=form.engine,
        retry_after_s=form.retry_after_s,
    )
    return EngineFailure(form.attempt_id, error, form.seconds, form.cost_usd)


def status_of(error: EngineError) -> int:
    """Return the HTTP status that an answer with this failure has: 429, 422, 502, 504 or 503."""
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


# ---------------------------------------------------------------- what an engine says of itself


class EngineForm(Form):
    """What the engine behind a server says of itself: the answer of GET /v1/engine."""

    engine: EngineInfo

    @field_validator("engine")
    @classmethod
    def _usable(cls, info: EngineInfo) -> EngineInfo:
        least = min(info.size_multiple_px, info.max_side_px, info.batch_limit, info.concurrent_calls)
        if not info.fingerprint or not info.modes or least < 1:
            raise ValueError("an engine needs a fingerprint, at least one mode, and limits of 1 and more")
        return info


def engine_form(info: EngineInfo) -> EngineForm:
    """Return what an engine says of itself, as it travels."""
    return EngineForm(engine=info)


def engine_info_from(form: EngineForm) -> EngineInfo:
    """Return what the engine at the other end says of itself."""
    return form.engine


# ---------------------------------------------------------------- text


def to_text(form: BaseModel) -> str:
    """Return a form as JSON text."""
    return form.model_dump_json()


def read_text(kind: type[FormT], text: str | bytes, *, what: str) -> FormT:
    """Return the form that JSON text holds. Raises BadImage naming `what` came and the first thing wrong with it."""
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        raise BadImage(f"{what} cannot be understood: {first_wrong(error)}.") from error


def first_wrong(error: ValidationError) -> str:
    """Return the first thing that is wrong with a form, as `where: what`, without the value that came."""
    wrong = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in wrong["loc"])
    return f"{where}: {wrong['msg']}" if where else str(wrong["msg"])


def from_base64(text: str) -> bytes:
    """Return the bytes of base64 text, with or without a `data:...;base64,` before it. Raises ValueError."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"it is not base64 ({error})") from error


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
