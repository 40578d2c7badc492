"""How the server says no: every answer that is not the thing asked for has the same JSON form, and a sentence."""

from __future__ import annotations

from typing import Final

from fastapi.responses import JSONResponse

from zimage_core.engines.base import EngineFailure
from zimage_core.engines.exchange import FailureAnswer, FailureForm, failure_form, status_of

CODES: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    408: "RequestTimeout",
    409: "Conflict",
    410: "Gone",
    413: "BodyTooLarge",
    415: "UnsupportedMediaType",
    422: "Unprocessable",
    429: "TooManyRequests",
    500: "ServerError",
    503: "Unavailable",
    504: "Timeout",
}
RETRYABLE: Final = (408, 429, 503, 504)


class Denied(Exception):
    """A request that is not done: a status and a sentence for whoever sent it."""

    def __init__(self, status: int, sentence: str, *, retry_after_s: float | None = None, **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.retry_after_s = status, sentence, retry_after_s
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> JSONResponse:
        """Return it as an answer."""
        form = FailureForm(
            code=CODES.get(self.status, "Refused"),
            sentence=self.sentence,
            retryable=self.status in RETRYABLE,
            retry_after_s=self.retry_after_s,
        )
        return _response(self.status, form, self.headers)


class Failed(Exception):
    """A request that the engine, or the queue before it, did not do; `status` overrides the error's own."""

    def __init__(self, failure: EngineFailure, *, status: int | None = None) -> None:
        super().__init__(failure.error.sentence)
        self.failure, self.status = failure, status

    def response(self) -> JSONResponse:
        """Return it as an answer."""
        return _response(self.status or status_of(self.failure.error), failure_form(self.failure), {})


def _response(status: int, form: FailureForm, headers: dict[str, str]) -> JSONResponse:
    if form.retry_after_s is not None:
        headers = headers | {"Retry-After": str(max(1, round(form.retry_after_s + 0.499)))}
    return JSONResponse(FailureAnswer(detail=form).model_dump(mode="json"), status_code=status, headers=headers)
