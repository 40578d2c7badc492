"""One ComfyUI server, call by call: what can be asked of it over HTTP, and what its answers mean.

A prompt that it was given is in /queue until it is done and in /history from then on, under one lock of its own, so a
prompt that is in neither was never accepted or is forgotten (history is memory only). Asking takes two calls: a prompt
that finishes between them is missing from the first and from the second, so /history is asked last, once more.
"""

from __future__ import annotations

import hashlib
import logging
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from zimage_core.engines.comfyui.failures import ENGINE, concerns_output, error_for_400
from zimage_core.engines.comfyui.graph import Json
from zimage_core.engines.comfyui.slots import Slots
from zimage_core.engines.wire.client import Reply, Wire, error_for_status
from zimage_core.engines.wire.replies import EngineLocked, EngineUnreachable
from zimage_core.errors import BadImage, EngineError, EngineRefused, EngineTimeout, EngineUnavailable

log = logging.getLogger("zimage_core.engines")

QUICK_S: Final = 15.0
"""The most a question about the queue may take; ComfyUI answers them from memory."""
BRIEF_S: Final = 3.0
"""The same where all the servers are asked and one of them must not hold up what another could draw."""
ASKED: Final = 4
"""How often a question, or an upload, is repeated at once when its answer broke off: neither draws anything."""
ASKED_PAUSE_S: Final = 0.1

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a prompt is: waiting behind `ahead` others, running, done (`entry` is its history), or unknown here."""

    state: Literal["pending", "running", "done", "unknown"]
    ahead: int = 0
    entry: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """A file that the server keeps."""

    filename: str
    subfolder: str
    folder: str


class ComfyServer:
    """A server by its base address; threads may share it."""

    def __init__(self, url: str, wire: Wire, client_id: str, sleep: Callable[[float], object]) -> None:
        self.url = url.rstrip("/")
        self.client_id = client_id
        self._wire = wire
        self._sleep = sleep

    # ------------------------------------------------------------ what it has

    def node_class(self, class_type: str) -> Mapping[str, Any]:
        """Return what the server says of a node class, {} where it does not have it."""
        path = f"/object_info/{urllib.parse.quote(class_type, safe='')}"
        known = self._object("GET", path, f"what node {class_type} takes").get(class_type, {})
        return known if isinstance(known, Mapping) else {}

    def version(self) -> str:
        """Return the version the server gives of itself."""
        system = self._object("GET", "/system_stats", "its version").get("system")
        return str(system.get("comfyui_version", "unknown")) if isinstance(system, Mapping) else "unknown"

    def queue_length(self) -> int:
        """Return how many prompts are running or waiting, ours and other people's."""
        info = self._object("GET", "/prompt", "its queue's length", BRIEF_S).get("exec_info")
        remaining = info.get("queue_remaining") if isinstance(info, Mapping) else None
        if not isinstance(remaining, int):
            raise BadImage(f"ComfyUI at {self.url} does not say how long its queue is.", engine=ENGINE)
        return remaining

    # ------------------------------------------------------------ a prompt's life

    def submit(self, graph: Json, prompt_id: str, slots: Slots) -> str:
        """Hand in a graph under our own id and return the id it runs under: an old server gives its own.

        Raises EngineRefused or EngineLocked for a graph the server will not run, PhotoGone where it misses a photo. Any
        other error leaves open whether it was accepted: ask `standing`.
        """
        body = {"prompt": graph, "client_id": self.client_id, "prompt_id": prompt_id}
        reply = self._wire.call("POST", f"{self.url}/prompt", json=body)
        if reply.status == 409:  # newer servers refuse an id that they have: it was accepted before
            return prompt_id
        if reply.status == 400:
            raise error_for_400(reply.json_object(ENGINE, "the reason of a refusal"), slots, self.url)
        answer = self._checked(reply, "a prompt")
        accepted_as = answer.get("prompt_id")
        if not isinstance(accepted_as, str):
            raise EngineUnavailable(f"ComfyUI at {self.url} accepted a prompt without an id.", engine=ENGINE)
        if accepted_as != prompt_id:
            log.warning(
                "ComfyUI at %s gives prompts its own ids (it is older than 0.3.60 or so): after a lost connection a "
                "picture may be drawn twice.",
                self.url,
            )
        if node_errors := answer.get("node_errors"):
            if concerns_output(node_errors, slots.output_id):
                self.cancel(accepted_as)
                raise error_for_400({"error": _PARTIAL, "node_errors": node_errors}, slots, self.url)
            log.info("ComfyUI at %s leaves out outputs we do not need: %s", self.url, sorted(node_errors))
        return accepted_as

    def standing(self, prompt_id: str, total_s: float | None = None) -> Standing:
        """Return where a prompt is; each of the questions it takes may take `total_s`."""
        if entry := self._history(prompt_id, total_s):
            return Standing("done", entry=entry)
        queue = self._object("GET", "/queue", "its queue", total_s)
        if prompt_id in _ids(queue.get("queue_running")):
            return Standing("running")
        pending = _ids(queue.get("queue_pending"))
        if prompt_id in pending:
            return Standing("pending", ahead=_place(queue.get("queue_pending"), prompt_id))
        entry = self._history(prompt_id, total_s)
        return Standing("done", entry=entry) if entry else Standing("unknown")

    def cancel(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, or stop it if it runs; never another one. What fails is logged.

        /interrupt stops whatever runs when it is given no id, and older servers do not look at the id at all: it is
        only sent while this very prompt runs.
        """
        try:
            self._tell("/queue", {"delete": [prompt_id]})
            queue = self._object("GET", "/queue", "its queue")
            if prompt_id in _ids(queue.get("queue_running")):
                self._tell("/interrupt", {"prompt_id": prompt_id})
        except EngineError as error:
            log.warning("Prompt %s could not be cancelled: %s", prompt_id, error.sentence)

    def free(self) -> None:
        """Ask the server to let go of models and memory; what fails is logged."""
        try:
            self._tell("/free", {"unload_models": True, "free_memory": True})
        except EngineError as error:
            log.warning("ComfyUI at %s could not be asked to free memory: %s", self.url, error.sentence)

    # ------------------------------------------------------------ files

    def upload(self, png: bytes, folder: str) -> str:
        """Store a picture under its hash and return the name that LoadImage takes.

        Not overwritten: a prompt could be reading the file. The server answers with the name it really took, which is
        another one where a file of that name has other content.
        """
        name = f"{hashlib.sha256(png).hexdigest()[:32]}.png"
        fields = {"image": (name, png, "image/png"), "type": (None, "input"), "subfolder": (None, folder)}
        stored = self._again(
            lambda: self._checked(self._wire.call("POST", f"{self.url}/upload/image", files=fields), "a photo")
        )
        taken, where = stored.get("name"), stored.get("subfolder", "")
        if not isinstance(taken, str) or not isinstance(where, str) or not taken:
            raise EngineUnavailable(f"ComfyUI at {self.url} does not say where it put a photo.", engine=ENGINE)
        return f"{where}/{taken}" if where else taken

    def view(self, image: Image) -> Reply:
        """Return a file as the server has it. Raises FileGone where it is not there."""
        query = urllib.parse.urlencode({"filename": image.filename, "subfolder": image.subfolder, "type": image.folder})
        reply = self._wire.call("GET", f"{self.url}/view?{query}")
        if reply.status == 404:
            raise FileGone(f"ComfyUI at {self.url} no longer has {image.filename}.", engine=ENGINE)
        if not reply.is_ok:
            raise error_for_status(reply, ENGINE, what="a picture")
        return reply

    # ------------------------------------------------------------ small parts

    def _history(self, prompt_id: str, total_s: float | None) -> Mapping[str, Any]:
        history = self._object("GET", f"/history/{prompt_id}", "a prompt's history", total_s)
        entry = history.get(prompt_id, {})
        return entry if isinstance(entry, Mapping) else {}

    def _tell(self, path: str, body: Json) -> None:
        reply = self._wire.call("POST", f"{self.url}{path}", json=body, total_s=QUICK_S)
        if not reply.is_ok:
            raise error_for_status(reply, ENGINE, what=f"POST {path}")

    def _object(self, method: str, path: str, what: str, total_s: float | None = None) -> Json:
        total_s = QUICK_S if total_s is None else total_s
        return self._again(lambda: self._checked(self._wire.call(method, f"{self.url}{path}", total_s=total_s), what))

    def _again(self, ask: Callable[[], AnswerT]) -> AnswerT:
        """Return the answer to what may be asked any number of times; a server that is away or slow is asked once."""
        for tried in range(1, ASKED):
            try:
                return ask()
            except (EngineRefused, EngineLocked, EngineUnreachable, EngineTimeout):
                raise
            except EngineError as error:
                if error.retry_after_s:
                    raise
                self._sleep(ASKED_PAUSE_S * tried)
        return ask()

    def _checked(self, reply: Reply, what: str) -> Json:
        if not reply.is_ok:
            error = error_for_status(reply, ENGINE, what=what)
            if reply.status == 404 and not isinstance(error, EngineLocked):
                raise EngineLocked(f"{error.sentence} Is there a ComfyUI at {self.url}?", engine=ENGINE)
            raise error
        return reply.json_object(ENGINE, what)


class FileGone(EngineUnavailable):
    """The server no longer has a file that it named: the picture is lost and may be drawn again."""


_PARTIAL: Final = {"type": "prompt_outputs_failed_validation", "message": "Some outputs failed validation"}


def images_of(entry: Mapping[str, Any], node_id: str) -> Sequence[Image]:
    """Return the files that a node put out, as the history entry names them; () where it put out none."""
    outputs = entry.get("outputs")
    output = outputs.get(node_id) if isinstance(outputs, Mapping) else None
    images = output.get("images") if isinstance(output, Mapping) else None
    return [
        Image(image["filename"], str(image.get("subfolder", "")), str(image.get("type", "output")))
        for image in (images if isinstance(images, list) else ())
        if isinstance(image, Mapping) and isinstance(image.get("filename"), str)
    ]


def _ids(entries: object) -> list[str]:
    """Return the prompt ids of queue entries, [number, id, graph, ...]."""
    rows = entries if isinstance(entries, list) else []
    return [str(row[1]) for row in rows if isinstance(row, list) and len(row) > 1]


def _place(entries: object, prompt_id: str) -> int:
    """Return how many waiting prompts have a lower number: the list is a heap, its order means nothing."""
    rows = [row for row in (entries if isinstance(entries, list) else []) if isinstance(row, list) and len(row) > 1]
    own = next((row[0] for row in rows if row[1] == prompt_id), 0)
    return sum(isinstance(row[0], int | float) and row[0] < own for row in rows)
