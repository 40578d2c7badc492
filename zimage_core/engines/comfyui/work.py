"""One try at one picture: handed in once, and fetched once it is drawn; drawn again only where it was lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from zimage_core.engines.comfyui.commission import Commission
from zimage_core.engines.comfyui.failures import ENGINE, PhotoGone, error_for_entry, messages_of
from zimage_core.engines.comfyui.fleet import Station
from zimage_core.engines.comfyui.server import ComfyServer, FileGone, Image, Standing, images_of
from zimage_core.engines.comfyui.slots import Role
from zimage_core.engines.comfyui.waiting import Vigil
from zimage_core.engines.wire.pictures import decode_picture, picture_size
from zimage_core.engines.wire.replies import EngineLocked, EngineUnreachable
from zimage_core.errors import (
    BadImage,
    EngineBusy,
    EngineError,
    EngineOutOfMemory,
    EngineRefused,
    EngineUnavailable,
)
from zimage_core.imaging.pixels import Rgb

log = logging.getLogger("zimage_core.engines")

SUBMISSIONS: Final = 3
"""A prompt whose submission broke off is sent so often to a server that says it never got it."""
FETCHES: Final = 5
"""A file is asked for so often before it counts as damaged on the server: it has been paid for."""
FETCH_PAUSE_S: Final = 0.2
LARGEST_MULTIPLE: Final = 4
"""A template may end in an upscaler; its picture is averaged down to the size that was asked for."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as the server drew it: pixels of the canvas or a multiple of it, the seconds the server took."""

    rgb: Rgb
    seconds: float
    prompt_id: str
    url: str


class PictureLost(EngineUnavailable):
    """The server drew a picture and does not have it: an older file was named, or none. It is drawn again."""


# ---------------------------------------------------------------- handing in


def hand_in(commission: Commission, station: Station, vigil: Callable[[str], Vigil]) -> str:
    """Upload what the graph reads, submit it, and return the id it runs under.

    Where the answer to the submission got lost, the server is asked whether it has the prompt; and so it is where this
    try was given to it before. A prompt is not sent twice to a server that has it.
    """
    server, prompt_id = station.server, commission.prompt_id
    if commission.is_with(server.url) and vigil(prompt_id).settled().state != "unknown":
        return prompt_id
    names: dict[Role, str] = {role: server.upload(png, commission.folder) for role, png in commission.uploads().items()}
    if commission.template.slots.mask_in_alpha and "reference" in names:
        names["mask"] = names["reference"]
    station.ears.follow(prompt_id)
    try:
        accepted_as = _submitted(commission, server, names, vigil)
    except EngineError:
        station.ears.forget(prompt_id)
        raise
    commission.give_to(server.url)
    if accepted_as != prompt_id:
        station.ears.forget(prompt_id)
    return accepted_as


def _submitted(
    commission: Commission, server: ComfyServer, names: Mapping[Role, str], vigil: Callable[[str], Vigil]
) -> str:
    """Return the id that the graph runs under. It is sent again only where the server says that it never got it."""
    prompt_id = commission.prompt_id
    for left in range(SUBMISSIONS - 1, -1, -1):
        try:
            return server.submit(commission.graph(names), prompt_id, commission.template.slots)
        except (EngineRefused, EngineLocked, EngineBusy, EngineUnreachable, PhotoGone):
            raise
        except EngineError as error:
            commission.give_to(server.url)
            if vigil(prompt_id).settled().state != "unknown":
                log.info("ComfyUI at %s has prompt %s although its answer was lost.", server.url, prompt_id)
                return prompt_id
            commission.take_back(server.url)
            if error.retry_after_s or not left:
                raise
    raise AssertionError("the last submission returns or raises")


# ---------------------------------------------------------------- fetching


def fetch(commission: Commission, server: ComfyServer, standing: Standing, sleep: Callable[[float], object]) -> Drawn:
    """Return the picture of a prompt that is done.

    A picture that arrives damaged is asked for again: it is drawn already. Raises the error that the history names
    (memory is freed after an out-of-memory), PictureLost, EngineRefused for a template that ignores the size, or what
    kept the file from arriving; `commission` has moved on to its next try where this one can give no picture.
    """
    error = error_for_entry(standing.entry, commission.template.slots, server.url)
    if error is not None:
        commission.try_anew()
        if isinstance(error, EngineOutOfMemory):
            server.free()
        raise error
    prefix = commission.prompt_id
    images = images_of(standing.entry, commission.template.output_id)
    own = [image for image in images if image.filename.startswith(prefix)]
    if len(own) != 1:
        commission.try_anew()
        if len(own) > 1:
            raise EngineLocked(
                f"The ComfyUI template {commission.template.graph.name} made {len(own)} pictures of one prompt; title "
                "the node that has its batch_size zimage:batch_size.",
                engine=ENGINE,
            )
        named = images[0].filename if images else "no file"
        raise PictureLost(f"ComfyUI at {server.url} answered from its cache, with {named}.", engine=ENGINE)
    rgb = _fetched(commission, server, own[0], sleep)
    return Drawn(rgb, drawing_seconds(standing.entry), prefix, server.url)


def _fetched(commission: Commission, server: ComfyServer, image: Image, sleep: Callable[[float], object]) -> Rgb:
    last: EngineError | None = None
    for tried in range(FETCHES):
        if tried:
            sleep(FETCH_PAUSE_S * tried)
        try:
            body = server.view(image).body
            width_px, height_px = _expected_size(body, commission)
            return decode_picture(body, ENGINE, width_px=width_px, height_px=height_px)
        except FileGone:
            commission.try_anew()
            raise
        except (EngineRefused, EngineLocked):
            raise
        except EngineError as error:
            last = error
    assert last is not None, "it was asked for at least once"
    if isinstance(last, BadImage):
        commission.try_anew()  # the file itself is damaged, by a full disk for one
    raise last


def _expected_size(body: bytes, commission: Commission) -> tuple[int, int]:
    """Return the size to insist on: the canvas's, or a whole multiple of it that the file says it has.

    Raises EngineRefused for a whole picture of any other size: the template draws what it likes.
    """
    drawing = commission.drawing
    canvas = (drawing.width_px, drawing.height_px)
    try:
        size = picture_size(body, ENGINE)
    except BadImage:
        return canvas  # decode_picture says what is wrong with it
    times = size[0] // canvas[0]
    if 1 <= times <= LARGEST_MULTIPLE and size == (times * canvas[0], times * canvas[1]):
        return size
    raise EngineRefused(
        f"The ComfyUI template {commission.template.graph.name} drew {size[0]} x {size[1]} px where {canvas[0]} x "
        f"{canvas[1]} were asked for; title the node that decides its size zimage:size.",
        engine=ENGINE,
    )


def drawing_seconds(entry: Mapping[str, Any]) -> float:
    """Return how long the server worked on a prompt, by its own clock; 0.0 where it does not say."""
    at_ms = {name: data.get("timestamp") for name, data in messages_of(entry)}
    start, end = at_ms.get("execution_start"), at_ms.get("execution_success")
    if isinstance(start, int | float) and isinstance(end, int | float) and end >= start:
        return (end - start) / 1000.0
    return 0.0
