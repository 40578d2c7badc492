"""The engine: a request becomes a commission, goes to the server likely to draw it first, and comes back as pixels."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from zimage_core import clock
from zimage_core.domain import EngineInfo, Mode, content_id
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.engines.comfyui.commission import Commission
from zimage_core.engines.comfyui.failures import ENGINE
from zimage_core.engines.comfyui.fleet import Fleet, Station
from zimage_core.engines.comfyui.options import Options
from zimage_core.engines.comfyui.template import Kind, Template, make_template
from zimage_core.engines.comfyui.waiting import GivenUp, LostContact, Patience, Vigil
from zimage_core.engines.comfyui.work import Drawn, fetch, hand_in
from zimage_core.engines.drawing import drawing_of, finish
from zimage_core.engines.wire.answers import answer_all
from zimage_core.engines.wire.client import Limits, Wire
from zimage_core.engines.wire.options import api_key, bearer
from zimage_core.engines.wire.replies import EngineLocked, EngineUnreachable
from zimage_core.engines.wire.retries import RetryBudget, with_retries
from zimage_core.errors import EngineError, EngineUnavailable

log = logging.getLogger("zimage_core.engines")

ENGINE_VERSION: Final = "1"
"""Raise it whenever a change alters any pixel beyond rounding: attempts of another version are another engine's."""
MULTIPLE_PX: Final = 16
"""Z-Image draws sides that divide by 16: VAE factor 8, patches of 2."""
MAX_SIDE_PX: Final = 2048
"""The model's card names sizes up to 2048; above it repeats its content."""
BATCH_LIMIT: Final = 64
TOLERANCE_LEVELS: Final = 3.0
"""Another card of the fleet rounds differently: what bf16 shows between batches in the engine `diffusers`."""
LIMITS: Final = Limits(connect_s=5.0, read_s=60.0, total_s=120.0, max_bytes=128 * 1024 * 1024)
CLOSE_S: Final = 20.0
"""The most `close` waits for pictures in hand to be cancelled."""


class ComfyEngine:
    """ComfyUI servers behind one `render`. Nothing is asked of them before the first picture.

    `patience`, `sleep` and `elapsed_s` are for tests: how long a picture is waited for, the waits between tries and the
    clock these go by.
    """

    def __init__(
        self,
        options: Options,
        *,
        patience: Patience | None = None,
        sleep: Callable[[float], object] | None = None,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        self._options = options
        self._elapsed_s = elapsed_s
        self._patience = patience or Patience(options.timeout_s, options.stall_s, options.lost_after_s)
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._templates = templates_of(options)
        headers = bearer(api_key())
        self._threads = options.in_flight * len(options.url)
        self._wire = Wire(ENGINE, LIMITS, headers, connections=4 * self._threads, ca_file=options.ca_file)
        self.fleet = Fleet(
            options.url,
            self._wire,
            headers,
            in_flight=options.in_flight,
            websocket=options.websocket,
            sleep=self._sleep,
            elapsed_s=elapsed_s,
        )
        self.budget = RetryBudget()
        self._at_work = threading.Condition()
        self._calls = 0
        self.info: EngineInfo = _info(options, self._templates)

    # ------------------------------------------------------------ what callers use

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        """Return one answer per request, in order; as many at a time as the servers take."""
        with self._at_work:
            self._calls += 1
        try:
            return self._answers(requests)
        finally:
            with self._at_work:
                self._calls -= 1
                self._at_work.notify_all()

    def close(self) -> None:
        """Cancel what is being drawn for us and close every connection; may be called twice."""
        self._give_up()
        with self._at_work:
            self._at_work.wait_for(lambda: self._calls == 0, timeout=CLOSE_S)
        self._wire.close()

    def _give_up(self) -> None:
        """Let whoever waits for a picture cancel it at its server, and nobody begin another."""
        self._closing.set()
        self.fleet.close()

    def _answers(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        """Answer requests of one template at a time: what stops the one must not stop the other."""
        answers: dict[str, Rendered | EngineFailure] = {}
        for kind in self._templates:
            of_kind = [request for request in requests if kind_of(request) == kind]
            answered = answer_all(of_kind, self._rendered, threads=self._threads, engine=ENGINE, give_up=self._give_up)
            answers |= {answer.attempt_id: answer for answer in answered}
        return [answers[request.attempt_id] for request in requests]

    # ------------------------------------------------------------ one picture

    def _rendered(self, request: RenderRequest) -> Rendered:
        started_s = clock.elapsed_s()
        template = self._templates[kind_of(request)]
        drawing = drawing_of(request, MULTIPLE_PX)
        commission = Commission(request.attempt_id, drawing, template, self._options.upload_folder)
        resumed = [False]  # another life of this attempt is looked for once

        def try_once() -> Drawn:
            if not resumed[0]:
                resumed[0] = True
                if (drawn := self._already_drawn(commission)) is not None:
                    return drawn
            return self._drawn(commission)

        try:
            drawn = with_retries(
                try_once,
                budget=self.budget,
                attempts=self._options.attempts,
                sleep=self._sleep,
                rng=_rng(request.attempt_id),
                give_up_after_s=self._patience.timeout_s,
                elapsed_s=self._elapsed_s,
            )
        except EngineError as error:
            known = _known_outside(type(error))
            if known is type(error):
                raise
            raise known(error.sentence, engine=ENGINE, retry_after_s=error.retry_after_s) from error
        picture, placement, notes = finish(request, drawing, drawn.rgb)
        seconds = clock.elapsed_s() - started_s
        return Rendered(
            request.attempt_id,
            picture,
            placement,
            seconds,
            (drawn.seconds or seconds) * self._options.rent_usd_per_hour / 3600,
            (f"Drawn by ComfyUI at {drawn.url}, prompt {drawn.prompt_id}.", *drawing.notes, *notes),
        )

    def _already_drawn(self, commission: Commission) -> Drawn | None:
        """Return what a server drew, or is drawing, for this very attempt: in an earlier call, or an earlier life.

        Tries that failed there are passed over, so that the next one gets an id that no server knows.
        """
        while (found := self.fleet.find(commission.prompt_id)) is not None:
            station, standing = found
            spent = commission.number
            log.info("ComfyUI at %s already has prompt %s.", station.server.url, commission.prompt_id)
            try:
                if standing.state != "done":
                    standing = self._vigil(station, commission.prompt_id).ended()
                return fetch(commission, station.server, standing, self._sleep)
            except EngineError as error:
                if commission.number == spent or isinstance(error, EngineLocked):
                    raise
                log.info("That try gave nothing: %s", error.sentence)
        return None

    def _drawn(self, commission: Commission) -> Drawn:
        """Have it drawn by the server likely to be first."""
        url = ""
        try:
            with self.fleet.visit(commission.template, avoid=commission.avoid, prefer=commission.prefer) as station:
                url = station.server.url
                accepted_as = hand_in(commission, station, lambda name: self._vigil(station, name))
                standing = self._vigil(station, accepted_as).ended()
                return fetch(commission, station.server, standing, self._sleep)
        except EngineLocked as error:
            if not url or not self.fleet.any_open():
                raise
            # this server waits for a person; another one may have what it lacks
            raise EngineUnavailable(error.sentence, engine=ENGINE) from error
        except EngineError as error:
            if isinstance(error, GivenUp):
                commission.try_anew()  # it was cancelled
            if url:
                commission.leave(url, for_good=isinstance(error, LostContact | EngineUnreachable))
            raise

    def _vigil(self, station: Station, prompt_id: str) -> Vigil:
        return Vigil(station.server, station.ears, prompt_id, self._patience, self._closing)


def kind_of(request: RenderRequest) -> Kind:
    """Return which template draws this request: a stage is drawn from words, its product set down afterwards."""
    return "inpaint" if request.mode == "inpaint" else "text"


def templates_of(options: Options) -> dict[Kind, Template]:
    """Return the templates that these options name, their settings filled in. Raises ConfigurationError."""
    named: dict[Kind, str] = {"text": options.template, "inpaint": options.inpaint_template}
    return {
        kind: make_template(
            name,
            kind,
            files=options.files(inpaint=kind == "inpaint"),
            steps=options.steps,
            guidance=options.guidance,
        )
        for kind, name in named.items()
        if name != "none"
    }


def _info(options: Options, templates: dict[Kind, Template]) -> EngineInfo:
    modes: tuple[Mode, ...] = (
        *(("stage",) if "text" in templates else ()),
        *(("inpaint",) if "inpaint" in templates else ()),
        *(("text",) if "text" in templates else ()),
    )
    contents = [template.content for template in templates.values()]
    return EngineInfo(
        name=ENGINE,
        fingerprint=f"comfyui-{content_id(ENGINE, ENGINE_VERSION, contents)}",
        modes=modes,
        needs_reference="text" not in templates,
        size_multiple_px=1,  # canvases are snapped up to the model's 16 and cut back
        max_side_px=MAX_SIDE_PX,
        batch_limit=BATCH_LIMIT,
        seconds_per_image=options.seconds_per_image,
        cost_usd_per_image=options.seconds_per_image * options.rent_usd_per_hour / 3600,
        concurrent_calls=2,
        batch_tolerance_levels=TOLERANCE_LEVELS,
        planned_area_px=round(options.megapixels * 1024 * 1024),
    )


def _known_outside(kind: type[EngineError]) -> type[EngineError]:
    """Return the class that the rest of the project knows: those of this package are for its own retries."""
    own = __name__.rpartition(".")[0]
    return next(
        known for known in kind.__mro__ if issubclass(known, EngineError) and not known.__module__.startswith(own)
    )


def _rng(attempt_id: str) -> np.random.Generator:
    """Return the dice for waits: another for each attempt, so that not all of them come back at the same time."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(attempt_id.encode()).digest()[:8], "big"))
