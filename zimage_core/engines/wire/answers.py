"""Many requests at a time, one answer for each, in order; one that fails never fails its siblings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from typing import Final

from zimage_core import clock
from zimage_core.engines.base import EngineFailure, Rendered, RenderRequest
from zimage_core.engines.wire.replies import EngineLocked
from zimage_core.errors import BadImage, EngineError, EngineUnavailable, ImageError

log = logging.getLogger("zimage_core.engines")

_LOOK_S: Final = 0.5
"""An exception that is sent to a thread reaches it only between two waits."""


def answer_all(
    requests: Sequence[RenderRequest],
    answer_one: Callable[[RenderRequest], Rendered],
    *,
    threads: int,
    engine: str,
    give_up: Callable[[], object],
    paid_usd: Callable[[RenderRequest], float] = lambda request: 0.0,
) -> list[Rendered | EngineFailure]:
    """Return one answer per request, in order, working on up to `threads` of them at a time.

    What `answer_one` raises becomes the failure of that request alone. Only when the engine works for nobody
    (EngineLocked) are the requests that have not begun answered with the same sentence, without asking again.

    When the caller is interrupted while it waits (Ctrl-C, SIGTERM, a cancelled task), nothing more is begun, `give_up`
    is called, which must make the calls under way end, and the interruption goes on its way once they have.

    `paid_usd` says what a request that failed has cost all the same, each cent once.
    """
    locked: list[EngineLocked] = []
    stop = Event()

    def answer(request: RenderRequest) -> Rendered | EngineFailure:
        if stop.is_set():
            return EngineFailure(request.attempt_id, named(locked[0], request, engine), 0.0)
        started_s = clock.elapsed_s()
        try:
            return answer_one(request)
        except EngineLocked as error:
            locked.append(error)
            stop.set()
            known: EngineError = error
        except EngineError as error:
            known = error
        except ImageError as error:
            known = BadImage(error.sentence)
            known.__cause__ = error
        except Exception as error:
            log.exception("Engine '%s' stopped at %s", engine, request.attempt_id)
            known = EngineUnavailable(
                f"Engine '{engine}' stopped with {type(error).__name__}: {str(error) or 'no message'}."
            )
            known.__cause__ = error
        seconds = clock.elapsed_s() - started_s
        return EngineFailure(request.attempt_id, named(known, request, engine), seconds, paid_usd(request))

    if not requests:
        return []
    with ThreadPoolExecutor(min(threads, len(requests)), thread_name_prefix=engine) as pool:
        try:
            begun = [pool.submit(answer, request) for request in requests]
            while wait(begun, timeout=_LOOK_S).not_done:
                pass
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            give_up()
            raise
    return [done.result() for done in begun]


def named(error: EngineError, request: RenderRequest, engine: str) -> EngineError:
    """Return the error carrying whose it is: SKU, shot, attempt, engine."""
    known = type(error)(
        error.sentence,
        sku=request.sku,
        shot_id=request.shot_id,
        attempt=request.number,
        engine=engine,
        retry_after_s=error.retry_after_s,
    )
    known.__cause__ = error.__cause__
    return known
