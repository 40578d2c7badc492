"""The engine: requests become orders, orders become frames in batches, frames become the pictures that were promised.

One lock guards the device. What needs no device (putting the product back, cropping) runs on threads meanwhile, so that
the next batch is drawn while the last one is finished; a second caller's batch is drawn while the first caller stores.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from zimage_core import clock
from zimage_core.domain import EngineInfo, Placement, Prompt
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.engines.diffusers.cards import card_now, current, free_memory
from zimage_core.engines.diffusers.detail import enlarged
from zimage_core.engines.diffusers.failures import is_out_of_memory
from zimage_core.engines.diffusers.frames import Frame, Watchman, what_is_wrong
from zimage_core.engines.diffusers.memory import choose_profile, smaller_profile
from zimage_core.engines.diffusers.orders import Order, canvas_multiple_px, halved
from zimage_core.engines.diffusers.painter import Launched, Painter
from zimage_core.engines.diffusers.prompts import fitted
from zimage_core.engines.diffusers.setup import Setup
from zimage_core.engines.diffusers.watch import StepWatch
from zimage_core.engines.drawing import drawing_of, finish
from zimage_core.errors import BadImage, ConfigurationError, EngineError, EngineUnavailable, ImageError
from zimage_core.imaging.control import control_picture
from zimage_core.imaging.packshot import packshot
from zimage_core.imaging.pixels import Rgb

log = logging.getLogger("zimage_core.engines")

FINISHERS: Final = 4
"""Threads that put products back while the device draws: 4 to 6 per GPU keep up with 2 pictures a second."""
IN_FLIGHT: Final = 2
"""Batches between launch and judgement: the device never waits for the host's copy of the one before."""

Answer = Rendered | EngineFailure


class DiffusersEngine:
    """Z-Image in this process. Loaded at the first picture and kept until `close`; two calls at a time are welcome."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.info: EngineInfo = setup.info
        self.watch = StepWatch()
        self._device_lock = threading.Lock()
        self._painter: Painter | None = None
        self._cannot_load: EngineUnavailable | None = None
        self._watchman = Watchman(
            setup.options.bad_frames_limit, precision=setup.precision, quantization=setup.quantization
        )
        self._finishers = ThreadPoolExecutor(FINISHERS, thread_name_prefix="finish")

    # ------------------------------------------------------------ what callers use

    def render(self, requests: Sequence[RenderRequest]) -> list[Rendered | EngineFailure]:
        """Return one answer per request, in order.

        Raises EngineUnavailable when so many frames in a row were unusable that the engine stopped itself, and
        when the model cannot be loaded.
        """
        if not requests:
            return []
        self._watchman.ensure_trusted()
        with self._holding_device():
            tokenizer = self._loaded().tokenizer
        answers: dict[int, Future[Answer]] = {}
        orders: dict[int, Order] = {}
        for index, request in enumerate(requests):
            prepared = (
                self._finishers.submit(self._answer_without_model, request)
                if self._needs_no_model(request)
                else self._order(request, tokenizer)
            )
            if isinstance(prepared, Order):
                orders[index] = prepared
            elif isinstance(prepared, EngineFailure):
                answers[index] = _done(prepared)
            else:
                answers[index] = prepared
        places = {id(order): index for index, order in orders.items()}
        for order, future in self._drawn(list(orders.values())):
            answers[places[id(order)]] = future
        return [answers[index].result() for index in range(len(requests))]

    def expect(self, prompts: Sequence[Prompt]) -> None:
        """Encode the words of pictures to come in one go: with the text encoder in host memory that is one visit."""
        with self._holding_device():
            painter = self._loaded()
            words = []
            for prompt in prompts:
                try:
                    words.append(fitted(prompt.text, prompt.negative, painter.tokenizer, self._setup.options))
                except EngineError as error:
                    log.debug("A prompt is not encoded ahead: %s", error)
            painter.captions.captions(words)

    def close(self) -> None:
        """Stop what is being drawn and let go of the device's memory."""
        self.watch.cancel()
        with self._holding_device():
            if self._painter is not None:
                self._painter.release()
            self._painter = None
        self._finishers.shutdown(wait=True)

    # ------------------------------------------------------------ from request to order

    def _needs_no_model(self, request: RenderRequest) -> bool:
        return request.mode == "packshot"

    def _answer_without_model(self, request: RenderRequest) -> Answer:
        """A packshot is the photo itself, re-centred on white."""
        started_s = clock.elapsed_s()
        assert request.reference is not None, "packshots without a photo were screened out"
        try:
            rgb, placement, notes = packshot(
                request.reference, request.scene.stage, request.width_px, request.height_px
            )
        except ImageError as error:
            return self._failed(request, BadImage(error.sentence), clock.elapsed_s() - started_s)
        return Rendered(request.attempt_id, rgb, placement, clock.elapsed_s() - started_s, 0.0, notes)

    def _order(self, request: RenderRequest, tokenizer: Any) -> Order | EngineFailure:
        options = self._setup.options
        try:
            final = drawing_of(request, canvas_multiple_px(options.detail))
            words = fitted(final.prompt, final.negative, tokenizer, options)
            drawing = halved(final) if options.detail else final
            control = None
            if options.controlnet is not None and drawing.repaint is not None and final.product is not None:
                control = control_picture(
                    options.control, final.product, request.scene.stage, drawing.width_px, drawing.height_px
                )
        except EngineError as error:
            return self._failed(request, error, 0.0)
        return Order(request, final, drawing, words, control)

    # ------------------------------------------------------------ from orders to answers

    def _drawn(self, orders: Sequence[Order]) -> list[tuple[Order, Future[Answer]]]:
        """Draw orders batch by batch; while one batch is drawn, the frames of the one before it come home."""
        with self._holding_device():
            batches = deque(self._loaded().plan(orders))
        flying, futures = deque[tuple[Launched, float]](), list[tuple[Order, Future[Answer]]]()
        while batches or flying:
            if batches:
                batch, started_s = batches.popleft(), clock.elapsed_s()
                try:
                    with self._holding_device():
                        launched = self._loaded().launch(batch)
                except EngineError as error:
                    lost = [order for some in (batch, *batches) for order in some]
                    seconds = (clock.elapsed_s() - started_s) / len(lost)
                    futures += [(order, _done(self._failed(order.request, error, seconds))) for order in lost]
                    batches.clear()
                    continue
                flying.append((launched, started_s))
                if rest := batch[len(launched.orders) :]:
                    batches.appendleft(rest)
                if batches and len(flying) < IN_FLIGHT:
                    continue
            futures += self._landed(*flying.popleft())
        return futures

    def _landed(self, launched: Launched, started_s: float) -> list[tuple[Order, Future[Answer]]]:
        """Wait for a batch's frames, judge each, and hand them to the finishers."""
        judged = [self._judged(order, future) for order, future in zip(launched.orders, launched.frames, strict=True)]
        seconds = (clock.elapsed_s() - started_s) / len(judged)
        return [
            (order, self._finishers.submit(self._finished, order, frame, launched.notes, seconds))
            for order, frame in zip(launched.orders, judged, strict=True)
        ]

    def _judged(self, order: Order, future: Future[Frame]) -> Frame | EngineError:
        """Return a frame that can be believed, drawn a second time if need be, or why there is none."""
        try:
            frame = future.result()
        except EngineError as error:
            self._watchman.saw("could not be drawn" if isinstance(error, EngineUnavailable) else None)
            return error
        except Exception as error:  # noqa: BLE001 - the device failed after the launch: this picture has no frame
            self._watchman.saw("could not be drawn")
            return EngineUnavailable(f"The device lost this picture: {type(error).__name__}: {error}.")
        wrong = what_is_wrong(frame)
        if wrong is not None:
            log.warning("The engine %s for %s; it is drawn once more, alone.", wrong, order.request.sku)
            frame = self._drawn_again(order) or frame
            wrong = what_is_wrong(frame)
        self._watchman.saw(wrong)
        if wrong is None:
            return frame
        return BadImage(f"Engine 'diffusers' {wrong} for this picture, twice; it may need another seed or wording.")

    def _drawn_again(self, order: Order) -> Frame | None:
        try:
            with self._holding_device():
                return self._loaded().draw_again(order)
        except (EngineError, RuntimeError, MemoryError) as error:
            log.warning("The second try failed as well: %s", error)
            return None

    def _finished(self, order: Order, frame: Frame | EngineError, drawn: tuple[str, ...], seconds: float) -> Answer:
        """Return the answer of one order: the product put back, cut to its size. Runs on a finisher's thread."""
        request, final = order.request, order.final
        if isinstance(frame, EngineError):
            return self._failed(request, frame, seconds)
        started_s = clock.elapsed_s()
        rgb: Rgb = frame.rgb
        if rgb.shape[:2] != (final.height_px, final.width_px):
            rgb = enlarged(rgb, final.width_px, final.height_px)
        try:
            picture, placement, notes = finish(request, final, rgb)
        except (EngineError, ImageError) as error:
            return self._failed(request, BadImage(error.sentence), seconds)
        notes = (*drawn, *notes)
        return self._rendered(order, picture, placement, notes, seconds, clock.elapsed_s() - started_s)

    def _rendered(
        self,
        order: Order,
        picture: Rgb,
        placement: Placement | None,
        notes: tuple[str, ...],
        drawing_s: float,
        finishing_s: float,
    ) -> Rendered:
        cost_usd = drawing_s * self._setup.options.rent_usd_per_hour / 3600
        said = (*order.words.notes, *order.final.notes, *notes)
        return Rendered(order.request.attempt_id, picture, placement, drawing_s + finishing_s, cost_usd, said)

    def _failed(self, request: RenderRequest, error: EngineError, seconds: float) -> EngineFailure:
        """Return the failure of one request, its error carrying whose it is."""
        known = type(error)(
            error.sentence,
            sku=request.sku,
            shot_id=request.shot_id,
            attempt=request.number,
            engine="diffusers",
            retry_after_s=error.retry_after_s,
        )
        known.__cause__ = error.__cause__
        return EngineFailure(request.attempt_id, known, seconds)

    @contextmanager
    def _holding_device(self) -> Iterator[None]:
        """Keep the device to this thread, and make it the thread's own: a new thread begins on the first card."""
        with self._device_lock, current(self._setup.device):
            yield

    def _loaded(self) -> Painter:
        """Return the model, loading it at the first call; the device lock is held."""
        if self.watch.cancelled:
            raise EngineUnavailable("The engine was closed.", engine="diffusers")
        if self._cannot_load is not None:
            raise self._cannot_load
        if self._painter is None:
            try:
                self._painter = self._load()
            except ConfigurationError as error:
                # retryable, so that the shots wait for a mended configuration; remembered, so that they wait briefly
                self._cannot_load = EngineUnavailable(
                    f"The model cannot be loaded: {error.sentence}", engine="diffusers"
                )
                raise self._cannot_load from error
        return self._painter

    def _load(self) -> Painter:
        """Load the model in the profile that fits; when memory runs out on the way, in the next smaller one."""
        setup = self._setup
        profile = choose_profile(setup.options, setup.footprint, card_now(setup.device), setup.quantization)
        while True:
            try:
                return Painter(setup, self.watch, profile)
            except (RuntimeError, MemoryError) as error:
                lower = smaller_profile(profile, setup.options) if is_out_of_memory(error) else None
                if lower is None:
                    raise
            log.warning("The model did not load: %s.", lower.reason)
            profile = lower
            free_memory(setup.device)


def _done(answer: Answer) -> Future[Answer]:
    future: Future[Answer] = Future()
    future.set_result(answer)
    return future
