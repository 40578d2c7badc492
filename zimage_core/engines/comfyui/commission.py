"""What is to be drawn for one attempt, and the name it goes by.

Every try has an id of its own, derived from the attempt, the graph and the try's number; that id is the prompt's id and
the prefix of its file. So an answer that was lost on the way, a retry of the batch and even a run that was killed and
started again find what a server already drew, and a cached answer cannot pass off an older file.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

import cv2
import numpy as np

from zimage_core.engines.comfyui.graph import Json
from zimage_core.engines.comfyui.slots import Role
from zimage_core.engines.comfyui.template import Template
from zimage_core.engines.drawing import Drawing
from zimage_core.imaging.pixels import Plane

_NAMESPACE: Final = uuid.UUID("6f2f1d0e-6f0b-5f0b-9b1c-9d6a3f6f8c11")
"""Of our prompt ids (RFC 9562, version 5). Newer servers accept lower-case UUIDs only."""


class Commission:
    """What is to be drawn for one attempt, and which try at it is on; one thread works on it."""

    def __init__(self, attempt_id: str, drawing: Drawing, template: Template, folder: str) -> None:
        self.template = template
        self.drawing = drawing
        self.number = 1
        self.folder = folder
        self.avoid: set[str] = set()
        self.prefer: str | None = None
        self._is_with: set[str] = set()
        photos = [None if one is None else _digest(one) for one in (drawing.base_rgb, drawing.repaint)]
        self._identity = [attempt_id, template.content, self._words(), photos]

    @property
    def prompt_id(self) -> str:
        """The id of this try: the same whenever and wherever the same attempt is tried the nth time."""
        return str(uuid.uuid5(_NAMESPACE, json.dumps([*self._identity, self.number], sort_keys=True)))

    def graph(self, photos: Mapping[Role, str]) -> Json:
        """Return the graph of this try; `photos` are the names that the server gave to what was uploaded."""
        return self.template.filled({**self._words(), **photos, "output": f"{self.folder}/{self.prompt_id}"})

    def uploads(self) -> dict[Role, bytes]:
        """Return the PNGs that the graph reads, by role; one for both where the mask is the photo's alpha."""
        base, repaint = self.drawing.base_rgb, self.drawing.repaint
        if base is None or repaint is None:
            return {}
        if self.template.slots.mask_in_alpha:
            return {"reference": _png(np.dstack([base, 255 - repaint]))}
        return {"reference": _png(base), "mask": _mask_png(repaint)}

    def try_anew(self) -> None:
        """The present try is spent: it failed on the server, or its picture is lost. The next has another id."""
        self.number += 1
        self._is_with.clear()

    def is_with(self, url: str) -> bool:
        """Tell whether this try was given to that server, or may have been."""
        return url in self._is_with

    def give_to(self, url: str) -> None:
        """Note that this try went to that server."""
        self._is_with.add(url)

    def take_back(self, url: str) -> None:
        """Note that the server says it never got this try."""
        self._is_with.discard(url)

    def leave(self, url: str, *, for_good: bool) -> None:
        """Note where the next call should go: back to a server that may have this try, else to another one."""
        if self.is_with(url) and not for_good:
            self.prefer = url
        else:
            self.prefer = None
            self.avoid.add(url)

    def _words(self) -> dict[Role, Any]:
        drawing = self.drawing
        return {
            "prompt": drawing.prompt,
            "negative": drawing.negative,
            "seed": drawing.seed,
            "width": drawing.width_px,
            "height": drawing.height_px,
        }


# ---------------------------------------------------------------- pixels to bytes


def _mask_png(repaint: Plane) -> bytes:
    """Return the mask so that every way of reading it says the same: white in the colours, clear in the alpha.

    ComfyUI takes a colour as it is (1 = paint) and an alpha channel turned around (transparent = paint).
    """
    return _png(np.dstack([repaint, repaint, repaint, 255 - repaint]))


def _png(pixels: np.ndarray) -> bytes:
    swapped = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", swapped, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return bytes(encoded)


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
