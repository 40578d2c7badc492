"""The engine: one picture per call, paid for once wherever the protocol lets us know that it was made.

The protocol has no key by which a repeated call is recognised. What can be done instead: a picture that was made but
not fetched is fetched again by its address; a task that was handed in is asked about again by its id; both are
remembered between calls of `render`, so that a retry continues instead of paying anew. What cannot be prevented: when
the connection breaks after a call was sent and before its answer came, the picture may have been made and billed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from pydantic import SecretStr

from zimage_core import clock
from zimage_core.domain import EngineInfo, content_id
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.engines.dashscope import protocol
from zimage_core.engines.dashscope.openings import Opening, Openings
from zimage_core.engines.dashscope.options import NAME, Options, info_of
from zimage_core.engines.dashscope.protocol import PictureLink, TaskState
from zimage_core.engines.dashscope.rate import AccountRate, rate_of
from zimage_core.engines.drawing import drawing_of, finish
from zimage_core.engines.wire.answers import answer_all
from zimage_core.engines.wire.client import EngineLocked, Limits, Reply, Wire
from zimage_core.engines.wire.endpoints import Endpoints, Pace
from zimage_core.engines.wire.options import bearer
from zimage_core.engines.wire.pictures import decode_picture
from zimage_core.engines.wire.retries import RETRY_AFTER_CAP_S, RetryBudget, with_retries
from zimage_core.errors import BadImage, EngineBusy, EngineError, EngineTimeout, EngineUnavailable
from zimage_core.imaging.pixels import Rgb

log = logging.getLogger("zimage_core.engines")

FETCHES: Final = 4
"""After so many failed downloads of one address its picture is taken to be lost."""
_GONE: Final = (403, 404, 410)
"""What an address answers once its signature has expired, or its picture is deleted."""
PAID_AT_MOST: Final = 2
"""Pictures paid for in one call of `render` for one request; after that it is put off."""
LONGEST_POLL_S: Final = 10.0
LOST_POLLS: Final = 5
"""Questions about a task that may get no answer, in a row, before the try ends; the task goes on meanwhile."""


class _EnoughPaid(Exception):
    """No more is paid for this request now; carries the error to answer with."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(error.sentence)
        self.error = error


class DashScopeEngine:
    """One account's Z-Image-Turbo. Threads may share it; `rate`, `sleep` and `elapsed_s` are for tests."""

    def __init__(
        self,
        options: Options,
        key: SecretStr,
        *,
        rate: AccountRate | None = None,
        sleep: Callable[[float], object] | None = None,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        self._options = options
        self.info: EngineInfo = info_of(options)
        self._closed = threading.Event()
        self._sleeper = sleep or self._closed.wait
        self._elapsed_s = elapsed_s
        limits = Limits(total_s=options.timeout_s, read_s=options.timeout_s)
        self._wire = Wire(NAME, limits, bearer(key), connections=2 * options.concurrency)
        self._endpoints = Endpoints(
            [options.url],
            engine=NAME,
            pace=Pace(limit=options.concurrency, start=options.concurrency, failures=10),
            elapsed_s=elapsed_s,
            sleep=self._pause,
        )
        account = content_id("dashscope account", options.url, options.model, key.get_secret_value())
        self._rate = rate or rate_of(account, options.requests_per_minute)
        self._budget = RetryBudget()
        self._openings = Openings()
        self._lock = threading.Lock()
        self._locked: EngineLocked | None = None

    # ------------------------------------------------------------ what callers use

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        """Return one answer per request, in order.

        Raises EngineLocked, without calling anybody, once the service has refused the account or the key.
        """
        if not requests:
            return []
        self._ensure_open()
        return answer_all(
            requests,
            self._answer,
            threads=self._options.concurrency,
            engine=NAME,
            give_up=self.close,
            paid_usd=lambda request: self._cost_usd(self._openings.of(request.attempt_id)),
        )

    def close(self) -> None:
        """End every wait and close every connection; may be called twice."""
        self._closed.set()
        self._endpoints.close()
        self._wire.close()

    # ------------------------------------------------------------ one request

    def _answer(self, request: RenderRequest) -> Rendered:
        started_s = self._elapsed_s()
        drawing = drawing_of(request, protocol.CANVAS_MULTIPLE_PX)
        times = protocol.times_for(drawing.width_px, drawing.height_px)
        size = (times * drawing.width_px, times * drawing.height_px)
        body = protocol.body_of(self._options.model, drawing.prompt, drawing.seed, *size)
        opening = self._openings.of(request.attempt_id)
        paid_before = opening.paid

        def once() -> tuple[Rgb, PictureLink]:
            try:
                link = opening.link or opening.made(self._made(opening, body))
                return self._fetched(opening, link, size), link
            except EngineLocked:
                raise
            except EngineError as error:
                if opening.link is None and opening.paid - paid_before >= PAID_AT_MOST:
                    raise _EnoughPaid(error) from error
                raise

        try:
            rgb, link = with_retries(
                once,
                budget=self._budget,
                attempts=self._options.attempts,
                sleep=self._pause,
                rng=np.random.default_rng([request.seed, request.number]),
                give_up_after_s=self._options.timeout_s,
                elapsed_s=self._elapsed_s,
            )
        except _EnoughPaid as enough:
            raise type(enough.error)(
                f"{enough.error.sentence} {PAID_AT_MOST} pictures were paid for; it is put off.", engine=NAME
            ) from enough.error
        picture, placement, notes = finish(request, drawing, rgb)
        self._openings.forget(request.attempt_id)
        return Rendered(
            request.attempt_id,
            picture,
            placement,
            seconds=self._elapsed_s() - started_s,
            cost_usd=self._cost_usd(opening),
            notes=(*drawing.notes, *opening.notes(drawing, times, link.said), *notes),
        )

    def _cost_usd(self, opening: Opening) -> float:
        return opening.newly_paid() * self._options.cost_usd_per_image

    def _fetched(self, opening: Opening, link: PictureLink, size: tuple[int, int]) -> Rgb:
        """Return the pixels of a finished picture. Its address is not ours: it never sees our key."""
        try:
            reply = self._wire.call("GET", link.url, bare=True, accept="image/*", total_s=self._options.download_s)
            if reply.status in _GONE:
                opening.failed_fetches = FETCHES
            if not reply.is_ok:
                raise EngineUnavailable(
                    f"DashScope made the picture, but {reply.endpoint} answered {reply.status} when it was fetched.",
                    engine=NAME,
                    retry_after_s=reply.retry_after_s(),
                )
            return decode_picture(reply.body, NAME, width_px=size[0], height_px=size[1])
        except EngineError:
            opening.failed_fetches += 1
            if opening.failed_fetches >= FETCHES:
                opening.link = None
            raise

    # ------------------------------------------------------------ having a picture made

    def _made(self, opening: Opening, body: dict[str, object]) -> PictureLink:
        """Return where the picture of a request waits, having it made if that is not under way yet."""
        if self._options.mode == "sync":
            answer = self._submitted(opening, protocol.SYNC_PATH, body, {})
            opening.paid += 1  # also when the answer turns out not to lead to it
            return protocol.link_in(answer, local=self._options.is_local)
        if opening.task_id is None:
            answer = self._submitted(opening, protocol.ASYNC_PATH, body, protocol.ASYNC_HEADERS)
            opening.unsure += 1  # until it is known which task it became
            opening.task_id = protocol.task_id_in(answer)
            opening.unsure -= 1
        return self._awaited(opening, opening.task_id)

    def _submitted(
        self, opening: Opening, path: str, body: dict[str, object], headers: dict[str, str]
    ) -> dict[str, Any]:
        """Return the answer to a call that may cost money, made when it is this account's turn."""
        self._rate.wait_turn(self._pause)
        self._ensure_open()
        with self._endpoints.visit() as url:
            try:
                reply = self._wire.call("POST", url + path, json=body, headers=headers, accept="application/json")
            except EngineLocked as error:
                raise self._locked_by(error) from error
            except EngineError:
                opening.unsure += 1
                raise
            if not reply.is_ok:
                raise self._objection(reply)
            try:
                answer = reply.json_object(NAME, "an answer in JSON")
            except BadImage:  # a proxy's page, say: the service may have drawn all the same
                opening.unsure += 1
                raise
        self._rate.answered()
        return answer

    def _objection(self, reply: Reply) -> EngineError:
        """Return the error of an answer, after telling those whom it concerns: the account's rate, the whole engine."""
        error = protocol.error_of(reply)
        if isinstance(error, EngineLocked):
            return self._locked_by(error)
        if isinstance(error, EngineBusy):
            self._rate.objected(error.retry_after_s)
            log.info("DashScope asks for fewer calls; they are now %.1f s apart: %s", self._rate.distance_s, error)
        return error

    def _awaited(self, opening: Opening, task_id: str) -> PictureLink:
        """Return where the picture of a task waits, asking about it until it has ended or its time is over."""
        until_s, wait_s, status = self._elapsed_s() + self._options.timeout_s, self._options.poll_s, "PENDING"
        lost = 0
        while self._elapsed_s() < until_s:
            try:
                state = self._state_of(task_id)
            except EngineLocked as error:
                raise self._locked_by(error) from error
            except EngineError as error:
                lost += 1
                if not error.retryable or lost > LOST_POLLS:
                    raise
                wait_s = max(wait_s, min(error.retry_after_s or 0.0, RETRY_AFTER_CAP_S))
            else:
                lost, status = 0, state.status
                if status in protocol.ENDED:
                    return self._ended(opening, task_id, state)
            self._pause(wait_s)
            wait_s = min(1.5 * wait_s, max(self._options.poll_s, LONGEST_POLL_S))
        raise self._late(opening, task_id, status)

    def _state_of(self, task_id: str) -> TaskState:
        reply = self._wire.call("GET", f"{self._options.url}{protocol.TASKS_PATH}/{task_id}", accept="application/json")
        if not reply.is_ok:
            raise protocol.error_of(reply)
        return protocol.state_in(reply.json_object(NAME, "the state of a task"), local=self._options.is_local)

    def _ended(self, opening: Opening, task_id: str, state: TaskState) -> PictureLink:
        """Return the link of a task that has ended; raises why there is none, and the task is forgotten then."""
        opening.task_id = None
        if state.status == protocol.ENDED_WELL:
            opening.paid += 1
        if state.link is not None:
            return state.link
        opening.unsure += state.status == "UNKNOWN"
        if isinstance(state.error, EngineLocked):
            raise self._locked_by(state.error)
        raise state.error or EngineUnavailable(
            f"DashScope ended task {task_id} as {state.status}; the next try hands it in anew.", engine=NAME
        )

    def _late(self, opening: Opening, task_id: str, status: str) -> EngineTimeout:
        """Return the error of a task whose time is over; one that has not begun is taken back and costs nothing."""
        after = f"DashScope did not finish task {task_id} within {self._options.timeout_s:g} s ({status})"
        if status == "PENDING" and self._taken_back(task_id):
            opening.task_id = None
            return EngineTimeout(f"{after}; it was taken back and costs nothing.", engine=NAME)
        return EngineTimeout(f"{after}; the next try asks about the same task and does not pay again.", engine=NAME)

    def _taken_back(self, task_id: str) -> bool:
        try:
            return self._wire.call("POST", f"{self._options.url}{protocol.TASKS_PATH}/{task_id}/cancel").is_ok
        except EngineError as error:
            log.info("Task %s could not be taken back: %s", task_id, error)
            return False

    # ------------------------------------------------------------ small parts

    def _locked_by(self, error: EngineLocked) -> EngineLocked:
        """Remember what waits for a person: from now on nobody is called."""
        with self._lock:
            self._locked = self._locked or error
        return error

    def _ensure_open(self) -> None:
        """Raise what ended the engine's work: a refused account or key, or its own close."""
        with self._lock:
            locked = self._locked
        if locked is not None:
            raise EngineLocked(locked.sentence, engine=NAME)
        if self._closed.is_set():
            raise EngineUnavailable("Engine 'dashscope' was closed.", engine=NAME)

    def _pause(self, seconds: float) -> None:
        self._sleeper(seconds)
        if self._closed.is_set():
            raise EngineUnavailable("Engine 'dashscope' was closed while it waited.", engine=NAME)
