"""Threads that draw: as many as the engine takes calls at a time, and a few that encode and store behind them.

The engine is never kept waiting by a PNG or a disk; when these fall behind by a few batches it is, so that memory
stays flat. The first thread loads the engine by drawing a small picture that nobody gets.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal

import numpy as np

from zimage_core.domain import Change, EngineInfo, Light, Prompt, Scene, Stage
from zimage_core.engines.base import Engine, EngineFailure, Rendered, RenderRequest, render_checked
from zimage_core.engines.exchange import RenderedForm
from zimage_core.errors import EngineError, EngineUnavailable, ZImageError
from zimage_core.imaging.cutout import CutOut
from zimage_core.imaging.pixels import encode_png
from zimage_core.serving.desk import Desk
from zimage_core.serving.results import Results
from zimage_core.serving.work import Outcome, Picture, Ticket, Work

log = logging.getLogger("zimage_core.serving")

FINISHERS: Final = 2
UNFINISHED_PER_CALL: Final = 2
"""Batches that may wait to be encoded, per call the engine takes: beyond that the engine waits, not the memory."""
DISK_RETRY_S: Final = 60.0
"""When to ask again after the disk refused: upkeep looks as often whether it still does."""
WARM_UP_SIDE_PX: Final = 256

EngineState = Literal["loading", "ready", "failed"]


class Drawers:
    """The threads between a desk and an engine. `start` them once; they end when the desk drains."""

    def __init__(self, engine: Engine, desk: Desk, results: Results) -> None:
        self._engine, self._desk, self._results = engine, desk, results
        self.state: EngineState = "loading"
        self.why_failed: EngineError | None = None
        self._loaded = threading.Event()
        calls = engine.info.concurrent_calls
        self._unfinished = threading.BoundedSemaphore(desk.batch_limit * UNFINISHED_PER_CALL * calls)
        self._finishers = ThreadPoolExecutor(FINISHERS, thread_name_prefix="finish")

    def start(self, *, warm_up: bool, on_failed: Callable[[EngineError], None]) -> None:
        """Begin to draw. `on_failed` is told when the first picture cannot be drawn: the engine is then of no use."""
        first = warm_up_request(self._engine.info) if warm_up else None
        for number in range(self._engine.info.concurrent_calls):
            arguments = (first, on_failed) if number == 0 else (None, None)
            threading.Thread(target=self._draw_on, args=arguments, name=f"draw-{number}", daemon=True).start()

    def close(self, *, drained: bool) -> None:
        """Let go of threads and engine; what is not drained is left to itself, and its tasks wait for a restart."""
        self._finishers.shutdown(wait=drained, cancel_futures=not drained)
        if drained:
            self._engine.close()

    # ------------------------------------------------------------ on the engine's threads

    def _draw_on(self, first: RenderRequest | None, on_failed: Callable[[EngineError], None] | None) -> None:
        if on_failed is not None:
            self._load(first, on_failed)
        self._loaded.wait()
        while self.state == "ready" and (batch := self._desk.next_batch()) is not None:
            answers = self._drawn(batch)
            for ticket, answer in zip(batch, answers, strict=True):
                self._unfinished.acquire()
                try:
                    self._finishers.submit(self._finish, ticket, answer)
                except RuntimeError:  # closed meanwhile: the tasks of these pictures wait on disk for the next start
                    log.warning("The server was closed before %s was stored", ticket.work.request.attempt_id)

    def _load(self, first: RenderRequest | None, on_failed: Callable[[EngineError], None]) -> None:
        answer = render_checked(self._engine, [first])[0] if first is not None else None
        if isinstance(answer, EngineFailure):
            self.state, self.why_failed = "failed", answer.error
            on_failed(answer.error)
        else:
            self.state = "ready"
        self._loaded.set()

    def _drawn(self, batch: Sequence[Ticket]) -> Sequence[Rendered | EngineFailure]:
        try:
            task_ids = self._desk.tasks_of(batch)
            if task_ids:
                self._desk.book.begun(task_ids)
            return render_checked(self._engine, [ticket.work.request for ticket in batch])
        except ZImageError:
            log.exception("A batch of %d was not drawn", len(batch))
            failed = self._disk_refuses("The server cannot write down that it begins; its log says why.")
            return [EngineFailure(ticket.work.request.attempt_id, failed, 0.0) for ticket in batch]
        finally:
            self._desk.drawn(batch)

    # ------------------------------------------------------------ on the finishers' threads

    def _finish(self, ticket: Ticket, answer: Rendered | EngineFailure) -> None:
        try:
            outcome = self._stored(ticket.work, answer)
        except Exception:
            log.exception("The picture of %s was drawn but cannot be kept", answer.attempt_id)
            lost = self._disk_refuses("The picture was drawn but cannot be kept; the server's log says why.")
            outcome = EngineFailure(answer.attempt_id, lost, answer.seconds)
        finally:
            self._unfinished.release()
        self._desk.settle(ticket, outcome)

    def _disk_refuses(self, sentence: str) -> EngineUnavailable:
        return EngineUnavailable(sentence, engine=self._engine.info.name, retry_after_s=DISK_RETRY_S)

    def _stored(self, work: Work, answer: Rendered | EngineFailure) -> Outcome:
        """Return the picture, encoded and on disk, or why there is none."""
        if isinstance(answer, EngineFailure):
            log.warning("%s was not drawn: %s: %s", answer.attempt_id, answer.error.code, answer.error.sentence)
            return answer
        about = RenderedForm(
            attempt_id=answer.attempt_id,
            placement=answer.placement,
            seconds=answer.seconds,
            cost_usd=answer.cost_usd,
            notes=answer.notes,
            fingerprint=self._engine.info.fingerprint,
        )
        picture = Picture(encode_png(answer.rgb), about)
        self._results.put(work.content_key, picture)
        self._desk.meters.kept_bytes.set(self._results.size_bytes)
        return picture


# ---------------------------------------------------------------- the first picture


def warm_up_request(info: EngineInfo) -> RenderRequest:
    """Return a small request that makes an engine load whatever it needs; words alone where it can draw from words."""
    side_px = -(-WARM_UP_SIDE_PX // info.size_multiple_px) * info.size_multiple_px
    side_px = min(side_px, info.max_side_px - info.max_side_px % info.size_multiple_px)
    mode = "text" if "text" in info.modes else info.modes[0]
    stage = Stage("white" if mode == "packshot" else "sweep", "none", ("#e8e4dc", "#d9d4cc"), Light(-40.0, 50.0))
    return RenderRequest(
        attempt_id="warm-up",
        sku="warm-up",
        shot_id="warm-up",
        number=1,
        mode=mode,
        prompt=Prompt("A white mug on a table, soft light.", "", "en", ()),
        scene=Scene("packshot" if mode == "packshot" else "studio", "default", mode, stage, "", "1", "warm-up"),
        change=Change(),
        seed=1,
        width_px=side_px,
        height_px=side_px,
        reference=None if mode == "text" and not info.needs_reference else _a_red_box(),
    )


def _a_red_box() -> CutOut:
    rgba = np.zeros((128, 96, 4), dtype=np.uint8)
    rgba[2:-2, 2:-2] = (170, 40, 40, 255)
    return CutOut(rgba, 0.5)
