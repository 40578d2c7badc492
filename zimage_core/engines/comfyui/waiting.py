"""Waiting for a prompt to end: woken by the websocket, sure only of what the history says, and never for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from zimage_core import clock
from zimage_core.engines.comfyui.ears import Ears, Heard
from zimage_core.engines.comfyui.failures import ENGINE
from zimage_core.engines.comfyui.server import ComfyServer, Standing
from zimage_core.engines.wire.replies import EngineLocked
from zimage_core.errors import EngineError, EngineTimeout, EngineUnavailable


class PromptLost(EngineUnavailable):
    """The server has forgotten a prompt: it was restarted, or somebody emptied its queue. It may be handed in again."""


class LostContact(EngineUnavailable):
    """A server could not be reached for so long that what it had is taken for lost."""


class GivenUp(EngineTimeout):
    """A prompt took too long, or stopped showing signs of life, and was cancelled by us."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what, in seconds (see Options), and how often a server is asked.

    `look_s` and `most_look_s`: between two questions where nothing was heard of a prompt, the first and the most;
    `heard_look_s` while the socket speaks of it; `stored_look_s` after it said that the prompt ended.
    """

    timeout_s: float = 900.0
    stall_s: float = 180.0
    lost_after_s: float = 30.0
    look_s: float = 0.2
    most_look_s: float = 2.0
    heard_look_s: float = 5.0
    stored_look_s: float = 0.05


class Vigil:
    """The watch over one prompt at one server."""

    def __init__(
        self,
        server: ComfyServer,
        ears: Ears,
        prompt_id: str,
        patience: Patience,
        closing: threading.Event,
        elapsed_s: Callable[[], float] = clock.elapsed_s,
    ) -> None:
        self._server = server
        self._ears = ears
        self._prompt_id = prompt_id
        self._patience = patience
        self._closing = closing
        self._elapsed_s = elapsed_s
        self._unreachable_since_s: float | None = None

    def ended(self) -> Standing:
        """Return the standing of the prompt once it is done, well or not.

        Raises PromptLost; GivenUp after it was cancelled for taking too long or for showing no sign of life;
        LostContact; EngineUnavailable when the engine was closed and the prompt cancelled.
        """
        self._ears.follow(self._prompt_id)
        try:
            return self._ended()
        finally:
            self._ears.forget(self._prompt_id)

    def settled(self) -> Standing:
        """Return where the prompt is, asking as long as the server may be away: after a submission left unanswered."""
        while True:
            standing = self._looked()
            if standing is not None:
                return standing
            self._pause(self._patience.look_s)

    # ------------------------------------------------------------ the watch

    def _ended(self) -> Standing:
        patience = self._patience
        begun_s = sign_s = self._elapsed_s()
        heard, seen, pause_s = Heard(), Standing("pending"), patience.look_s
        look_at_s = begun_s + pause_s
        while True:
            news = self._ears.wait(self._prompt_id, max(0.0, look_at_s - self._elapsed_s()), heard)
            self._stop_if_closing()
            now_s = self._elapsed_s()
            if news != heard:
                has_ended = (news.ended, news.stored) != (heard.ended, heard.stored)
                heard, sign_s = news, now_s
                if not has_ended and now_s < look_at_s:
                    continue
            standing = self._looked()
            if standing is not None:
                if standing.state == "done":
                    return standing
                if standing.state == "unknown":
                    raise PromptLost(
                        f"ComfyUI at {self._server.url} knows nothing of a prompt it had accepted; it was restarted, "
                        "or its queue was emptied.",
                        engine=ENGINE,
                    )
                if standing != seen:
                    seen, sign_s = standing, now_s
            self._give_up_if_late(begun_s, sign_s, seen)
            pause_s = self._next_pause(pause_s, heard)
            look_at_s = self._elapsed_s() + pause_s

    def _looked(self) -> Standing | None:
        """Return where the prompt is, None where the server does not answer for now."""
        asked_s = self._elapsed_s()
        try:
            standing = self._server.standing(self._prompt_id)
        except EngineLocked:
            raise
        except EngineError as error:
            if self._unreachable_since_s is None:
                self._unreachable_since_s = asked_s
            if self._elapsed_s() - self._unreachable_since_s >= self._patience.lost_after_s:
                raise LostContact(
                    f"ComfyUI at {self._server.url} has not said for {self._patience.lost_after_s:g} s what became "
                    f"of a prompt: {error.sentence}",
                    engine=ENGINE,
                ) from error
            return None
        self._unreachable_since_s = None
        return standing

    def _next_pause(self, last_s: float, heard: Heard) -> float:
        patience = self._patience
        if heard.ended:
            return patience.stored_look_s if last_s >= patience.look_s else min(2 * last_s, patience.look_s)
        if heard.signs and self._ears.listening:
            return patience.heard_look_s
        return min(1.5 * max(last_s, patience.look_s), patience.most_look_s)

    def _give_up_if_late(self, begun_s: float, sign_s: float, seen: Standing) -> None:
        now_s, patience = self._elapsed_s(), self._patience
        if seen.state == "running" and now_s - sign_s >= patience.stall_s:
            why = f"showed no sign of life for {patience.stall_s:g} s"
        elif now_s - begun_s >= patience.timeout_s:
            where = f"behind {seen.ahead} others in the queue" if seen.state == "pending" else "still running"
            why = f"was {where} after {patience.timeout_s:g} s"
        else:
            return
        self._server.cancel(self._prompt_id)
        raise GivenUp(f"A picture at ComfyUI {self._server.url} {why}; it was cancelled.", engine=ENGINE)

    def _stop_if_closing(self) -> None:
        if self._closing.is_set():
            self._server.cancel(self._prompt_id)
            raise EngineUnavailable("The engine was closed while this picture was drawn.", engine=ENGINE)

    def _pause(self, seconds: float) -> None:
        self._closing.wait(seconds)
        self._stop_if_closing()
