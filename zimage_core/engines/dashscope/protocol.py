"""What is said to the service and what its answers mean; nothing here calls anybody.

Sources: Model Studio, "Z-Image API reference" (2026-03-15: synchronous calls, sizes, one PNG per call) and "Error
messages"; the task protocol and the error codes as in the SDK dashscope 2.0.2. That z-image-turbo takes asynchronous
calls is not documented.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from zimage_core.engines.dashscope.options import LOOPBACK, NAME
from zimage_core.engines.wire.replies import MAX_MESSAGE_CHARS, EngineLocked, Reply, error_for_status
from zimage_core.errors import (
    BadImage,
    ContentRefused,
    EngineBusy,
    EngineError,
    EngineRefused,
    EngineUnavailable,
)

SYNC_PATH: Final = "/api/v1/services/aigc/multimodal-generation/generation"
ASYNC_PATH: Final = "/api/v1/services/aigc/image-generation/generation"
TASKS_PATH: Final = "/api/v1/tasks"
ASYNC_HEADERS: Final = {"X-DashScope-Async": "enable"}

LEAST_PIXELS: Final = 512 * 512
MOST_PIXELS: Final = 2048 * 2048
CANVAS_MULTIPLE_PX: Final = 16
"""The model's own; the service says nothing of it, and sends another size back for others at worst."""
MAX_PROMPT_CHARACTERS: Final = 800
"""As resellers repeat from the reference; what the service does with more is not documented, so more is not sent."""
MAX_SEED: Final = 2**31 - 1
ENDED_WELL: Final = "SUCCEEDED"
ENDED: Final = (ENDED_WELL, "FAILED", "CANCELED", "UNKNOWN")
UNDER_WAY: Final = ("PENDING", "RUNNING", "SUSPENDED")

_LOCKED: Final[Mapping[str, str]] = {
    "Arrearage": "The account is in arrears: top it up, then run again.",
    "InvalidApiKey": "Check ZIMAGE_ENGINE_API_KEY; a key of one region does not open the other (option region).",
    "AccessDenied": "The account may not use this model: activate it in the Model Studio console, then run again.",
    "InvalidURL": "Check options region, url and mode.",
    "Model.NotExist": "Check option model, and that the region has it (option region).",
}
"""Codes after which no call can go well until a person has acted → what that person does."""
_PASSING: Final = ("InternalError", "ServiceUnavailable", "GatewayTimeout", "RequestTimeOut")


@dataclass(frozen=True, slots=True)
class PictureLink:
    """Where a finished picture waits to be fetched, for about a day; `said` is what the service noted about it."""

    url: str
    said: str


@dataclass(frozen=True, slots=True)
class TaskState:
    """How a task stands: its link when it ended well; its error when it failed, or ended well without a picture."""

    status: str
    link: PictureLink | None = None
    error: EngineError | None = None


# ---------------------------------------------------------------- what is asked


def body_of(model: str, prompt: str, seed: int, width_px: int, height_px: int) -> dict[str, Any]:
    """Return the request for one picture. Every parameter is explicit: the service's defaults may change.

    Raises EngineRefused for a size or a prompt that the service does not take.
    """
    if not LEAST_PIXELS <= width_px * height_px <= MOST_PIXELS:
        raise EngineRefused(
            f"DashScope draws 512*512 to 2048*2048 pixels in all; {width_px}*{height_px} is outside.", engine=NAME
        )
    if not prompt.strip() or len(prompt) > MAX_PROMPT_CHARACTERS:
        raise EngineRefused(
            f"DashScope takes prompts of 1 to {MAX_PROMPT_CHARACTERS} characters; this one has {len(prompt)}. Shorten "
            "the scene's words.",
            engine=NAME,
        )
    return {
        "model": model,
        "input": {"messages": [{"role": "user", "content": [{"text": prompt}]}]},
        "parameters": {"size": f"{width_px}*{height_px}", "prompt_extend": False, "seed": seed_for(seed)},
    }


def seed_for(seed: int) -> int:
    """Return the seed that is sent: 31 bits, where ours have 32."""
    return seed & MAX_SEED


def times_for(width_px: int, height_px: int) -> int:
    """Return by which whole number both sides are multiplied so that the service draws them at all."""
    return max(1, math.ceil(math.sqrt(LEAST_PIXELS / (width_px * height_px))))


# ---------------------------------------------------------------- what is answered


def link_in(answer: Mapping[str, Any], *, local: bool) -> PictureLink:
    """Return where the picture waits, from the answer to a synchronous call. Raises BadImage when it does not say."""
    return _link(_object(answer.get("output")), answer, local=local)


def task_id_in(answer: Mapping[str, Any]) -> str:
    """Return the id of the task that was handed in. Raises BadImage when there is none."""
    task_id = _object(answer.get("output")).get("task_id")
    if not isinstance(task_id, str) or not task_id.replace("-", "").isalnum():
        raise BadImage("DashScope took a task and did not say its id.", engine=NAME)
    return task_id


def state_in(answer: Mapping[str, Any], *, local: bool) -> TaskState:
    """Return how a task stands. Raises BadImage for an answer that does not say."""
    output = _object(answer.get("output"))
    status = output.get("task_status")
    if status not in (*ENDED, *UNDER_WAY):
        raise BadImage("DashScope said something of a task that is no state of one.", engine=NAME)
    if status == ENDED_WELL:
        try:
            return TaskState(status, link=_link(output, answer, local=local))
        except BadImage as error:
            return TaskState(status, error=error)
    if status == "FAILED":
        code, message = str(output.get("code") or "InternalError"), str(output.get("message") or "")
        return TaskState(status, error=_error(code, message[:MAX_MESSAGE_CHARS], "a task that failed", None))
    return TaskState(status)


def error_of(reply: Reply) -> EngineError:
    """Return the error that an answer other than 2xx means: by its code, by its status where that says nothing."""
    try:
        code = str(reply.json_object(NAME, "an error").get("code") or "")
    except BadImage:
        code = ""
    if code and (reply.status == 400 or _is_known(code)):
        return _error(code, reply.message(), f"status {reply.status}", reply.retry_after_s())
    error = error_for_status(reply, NAME, what="a picture" + (f" ({code})" if code else ""))
    if reply.status in (404, 405):
        return EngineLocked(f"{error.sentence} Check options region, url and mode.", engine=NAME)
    return error


def _is_known(code: str) -> bool:
    family = code.split(".")[0]
    return code in _LOCKED or family in _LOCKED or family in (*_PASSING, "Throttling", "DataInspectionFailed")


def _error(code: str, message: str, how: str, retry_after_s: float | None) -> EngineError:
    """Return the error of a code: the families are named before the dot (`Throttling.RateQuota`)."""
    family = code.split(".")[0]
    sentence = f"DashScope answered {code} ({how})" + (f": {message}" if message else "")
    sentence = sentence if sentence.endswith((".", "。", "!")) else f"{sentence}."
    cure = _LOCKED.get(code) or _LOCKED.get(family)
    if cure is not None:
        return EngineLocked(f"{sentence} {cure}", engine=NAME)
    if family == "Throttling":
        return EngineBusy(sentence, engine=NAME, retry_after_s=retry_after_s)
    if family == "DataInspectionFailed":
        return ContentRefused(sentence, engine=NAME)
    if family in _PASSING:
        return EngineUnavailable(sentence, engine=NAME, retry_after_s=retry_after_s)
    return EngineRefused(sentence, engine=NAME)


def _link(output: Mapping[str, Any], answer: Mapping[str, Any], *, local: bool) -> PictureLink:
    """Return the first picture of an output: `choices` as the reference has them, `results` as older tasks do."""
    found = [part.get("image") for choice in _objects(output.get("choices")) for part in _parts(choice)]
    found += [result.get("url") for result in _objects(output.get("results"))]
    url = next((one for one in found if isinstance(one, str) and one), None)
    if url is None:
        raise BadImage("DashScope answered without a picture in it.", engine=NAME)
    parts = urlsplit(url)
    if parts.scheme != "https" and not (local and parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise BadImage(
            f"DashScope named an address for the picture that is not https ({parts.scheme}://{parts.hostname}); it is "
            "not fetched.",
            engine=NAME,
        )
    usage = _object(answer.get("usage"))
    counted = ", ".join(f"{name} {usage[name]}" for name in ("image_count", "width", "height") if name in usage)
    request_id = str(answer.get("request_id") or "unknown")[:80]
    return PictureLink(url, f"DashScope request {request_id}" + (f" ({counted})." if counted else "."))


def _parts(choice: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _objects(_object(choice.get("message")).get("content"))


def _object(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _objects(found: Any) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
