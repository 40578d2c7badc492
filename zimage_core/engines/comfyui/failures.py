"""What ComfyUI says when it does not draw, and which error of ours that is.

400 at /prompt is about the graph: a node or a model file that the server does not have concerns every picture and
waits for a person (EngineLocked); a value out of range concerns this picture alone (EngineRefused). A graph that fails
while it runs is in the history with the Python exception of the node that failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from zimage_core.engines.comfyui.slots import Slots
from zimage_core.engines.wire.replies import MAX_MESSAGE_CHARS, EngineLocked
from zimage_core.errors import EngineError, EngineOutOfMemory, EngineRefused, EngineUnavailable

ENGINE: Final = "comfyui"

_OF_THIS_PICTURE: Final = ("value_smaller_than_min", "value_bigger_than_max", "invalid_input_type")
_MEMORY_WORDS: Final = (
    "out of memory",
    "allocation on device",
    "outofmemory",
    "not enough memory",
    "cublas_status_alloc",
)
_PROGRAM_ERRORS: Final = (
    "ValueError", "TypeError", "KeyError", "IndexError", "AttributeError", "AssertionError",
    "ZeroDivisionError",
)  # fmt: skip
"""Exceptions that come again with the same graph."""
_FILE_WORDS: Final = (
    "mat1 and mat2 shapes cannot be multiplied",
    "size mismatch for",
    "deserializing header",
    "headertoolarge",
    "invalidheader",
    "metadataincompletebuffer",
    "could not detect model type",
    "no such file or directory",
)
"""Messages of a model file that is broken or is not the one its loader takes (a wrong text encoder gives the first)."""
_PHOTO_WORDS: Final = ("cannot identify image file", "image file is truncated", "invalid image file", "broken png")
PHOTO_LOADERS: Final = ("LoadImage", "LoadImageMask")


class PhotoGone(EngineUnavailable):
    """The server does not have, or cannot read, a photo or mask that we sent it: they are sent again."""


def error_for_400(body: Mapping[str, Any], slots: Slots, url: str) -> EngineError:
    """Return the error that a refused graph means, in the server's words with the nodes' names."""
    about = tuple(_node_errors(body.get("node_errors")))
    error = body.get("error")
    kind = error.get("type") if isinstance(error, Mapping) else ""
    if about and all(_is_of_photo(slots, node_id, one) for node_id, one in about):
        return PhotoGone(f"ComfyUI at {url} does not find a photo it was sent: {_told(slots, about)}", engine=ENGINE)
    if kind == "prompt_outputs_failed_validation" and about:
        said = _told(slots, about)
        if all(one.get("type") in _OF_THIS_PICTURE and _is_own(slots, node_id, one) for node_id, one in about):
            return EngineRefused(f"ComfyUI at {url} refuses this picture: {said}", engine=ENGINE)
    else:
        said = _words(error)
    return EngineLocked(
        f"ComfyUI at {url} refuses the template {slots.graph.name}: {said} `zimage comfyui check` says what it needs.",
        engine=ENGINE,
    )


def concerns_output(node_errors: object, output_id: str) -> bool:
    """Tell whether node errors of a graph that was accepted (200) leave out the output we wait for."""
    entries = node_errors.items() if isinstance(node_errors, Mapping) else ()
    return any(
        node_id == output_id or output_id in entry.get("dependent_outputs", ())
        for node_id, entry in entries
        if isinstance(entry, Mapping)
    )


def error_for_entry(entry: Mapping[str, Any], slots: Slots, url: str) -> EngineError | None:
    """Return what a history entry says went wrong, None where it says that all went well."""
    status = entry.get("status")
    if not isinstance(status, Mapping) or status.get("status_str") != "error":
        return None
    for name, data in reversed(messages_of(entry)):
        if name == "execution_interrupted":
            return EngineUnavailable(f"Somebody interrupted this picture at ComfyUI {url}.", engine=ENGINE)
        if name == "execution_error":
            return _of_execution(data, slots, url)
    return EngineUnavailable(f"ComfyUI at {url} gave this picture up without saying why.", engine=ENGINE)


def messages_of(entry: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the (name, data) messages of a history entry, in order; what has another shape is left out."""
    status = entry.get("status")
    messages = status.get("messages") if isinstance(status, Mapping) else None
    pairs = messages if isinstance(messages, list) else []
    return [
        (str(pair[0]), pair[1])
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], Mapping)
    ]


def _of_execution(data: Mapping[str, Any], slots: Slots, url: str) -> EngineError:
    kind, said = str(data.get("exception_type", "")), str(data.get("exception_message", ""))
    name, lower = kind.rpartition(".")[2], f"{kind} {said}".lower()
    where = _named(slots, str(data.get("node_id", "")), str(data.get("node_type", "")))
    sentence = f"ComfyUI at {url} failed in node {where} with {name or 'an error'}: {_cut(said).rstrip('.')}."
    if any(word in lower for word in _MEMORY_WORDS):
        return EngineOutOfMemory(sentence, engine=ENGINE)
    if data.get("node_type") in PHOTO_LOADERS and (
        any(word in lower for word in _PHOTO_WORDS) or name in ("FileNotFoundError", "UnidentifiedImageError")
    ):
        return PhotoGone(sentence, engine=ENGINE)
    if any(word in lower for word in _FILE_WORDS):
        return EngineLocked(
            f"{sentence} A model file is broken, or is not the one this loader takes; check the names with "
            "`zimage comfyui check`.",
            engine=ENGINE,
        )
    if name in _PROGRAM_ERRORS:
        return EngineRefused(f"{sentence} The same graph would fail again.", engine=ENGINE)
    return EngineUnavailable(sentence, engine=ENGINE)


# ---------------------------------------------------------------- words


def _node_errors(given: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for node_id, entry in given.items() if isinstance(given, Mapping) else ():
        errors = entry.get("errors") if isinstance(entry, Mapping) else None
        for one in errors if isinstance(errors, list) else ():
            if isinstance(one, Mapping):
                yield str(node_id), one


def _input_of(error: Mapping[str, Any]) -> str:
    extra = error.get("extra_info")
    return str(extra.get("input_name", "")) if isinstance(extra, Mapping) else ""


def _is_own(slots: Slots, node_id: str, error: Mapping[str, Any]) -> bool:
    """Tell whether the value complained of is one that we fill for each picture anew."""
    return any(
        (slot.node_id, slot.input) == (node_id, _input_of(error))
        for slot in slots.found
        if slot.role in ("width", "height", "seed", "prompt", "negative")
    )


def _is_of_photo(slots: Slots, node_id: str, error: Mapping[str, Any]) -> bool:
    fed = {(slot.node_id, slot.input) for slot in (*slots.of("reference"), *slots.of("mask"))}
    return (node_id, _input_of(error)) in fed and error.get("type") in ("custom_validation_failed", "value_not_in_list")


def _told(slots: Slots, errors: tuple[tuple[str, Mapping[str, Any]], ...]) -> str:
    told = (
        f"node {_named(slots, node_id)}: {_cut(one.get('message', ''))} {_cut(one.get('details', ''))}"
        for node_id, one in errors[:3]
    )
    return "; ".join(told) + "."


def _words(error: object) -> str:
    if isinstance(error, Mapping):
        return _cut(" ".join(str(error[name]) for name in ("message", "details") if error.get(name))) + "."
    return f"{_cut(error)}." if error else "it gives no reason."


def _named(slots: Slots, node_id: str, class_type: str = "") -> str:
    node = slots.graph.nodes.get(node_id)
    return node.named if node else f"{node_id or '?'} ({class_type or 'unknown'})"


def _cut(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= MAX_MESSAGE_CHARS else line[: MAX_MESSAGE_CHARS - 1] + "…"
