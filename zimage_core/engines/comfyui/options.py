"""What the engine can be told: every option with its default, read once from text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zimage_core.engines.comfyui.failures import ENGINE
from zimage_core.engines.comfyui.slots import FILE_ROLES, Role
from zimage_core.engines.wire import options as read
from zimage_core.errors import ConfigurationError

USUAL_URL: Final = "http://127.0.0.1:8188"
TEXT_TEMPLATE: Final = "z_image_turbo_text"
INPAINT_TEMPLATE: Final = "z_image_turbo_inpaint"
CONTROL_TEMPLATE: Final = "z_image_turbo_inpaint_control"


@dataclass(frozen=True, slots=True)
class Options:
    """How the servers are reached and what they draw with.

    `template` draws text and stage pictures, `inpaint_template` paints around a product: names of shipped templates or
    paths, "none" = that kind is not made. `unet`, `clip`, `vae`, `model_patch`: model file names as the server lists
    them; None = what the template says, and the same for `steps` and `guidance` (0.0 = off, cfg = 1 + guidance; more
    only with `allow_guidance`).

    `timeout_s`: the most one picture may take, waiting in the server's queue included. `stall_s`: a running picture
    that shows no sign of life for so long is cancelled. `lost_after_s`: a server that cannot be reached for so long has
    lost what it was drawing. `in_flight`: prompts handed to a server ahead, so that it never waits for us.
    `upload_folder`: where photos go in the server's input folder, and pictures in its output folder.
    `rent_usd_per_hour` of one server makes the cost of a picture; `seconds_per_image` is for forecasts.
    """

    url: tuple[str, ...] = (USUAL_URL,)
    template: str = TEXT_TEMPLATE
    inpaint_template: str = INPAINT_TEMPLATE
    unet: str | None = None
    clip: str | None = None
    vae: str | None = None
    model_patch: str | None = None
    steps: int | None = None
    guidance: float | None = None
    allow_guidance: bool = False
    websocket: bool = True
    timeout_s: float = 900.0
    stall_s: float = 180.0
    lost_after_s: float = 30.0
    attempts: int = 4
    in_flight: int = 2
    upload_folder: str = "zimage"
    megapixels: float = 1.0
    seconds_per_image: float = 6.0
    rent_usd_per_hour: float = 0.0
    ca_file: Path | None = None

    def files(self, *, inpaint: bool) -> dict[Role, str]:
        """Return the model files that were named, by role; a model patch is for inpainting only."""
        roles = FILE_ROLES if inpaint else FILE_ROLES[:3]
        return {role: name for role in roles if (name := getattr(self, role)) is not None}


def _folder(value: str) -> str:
    if not value.replace("-", "").replace("_", "").isalnum() or not value.isascii():
        raise ValueError(f"one folder name of letters, digits, - and _, not '{value}'")
    return value


_READERS: Final[Mapping[str, read.Reader]] = {
    "url": read.urls,
    "template": read.text,
    "inpaint_template": read.text,
    "unet": read.text,
    "clip": read.text,
    "vae": read.text,
    "model_patch": read.text,
    "steps": read.whole(1, 200),
    "guidance": read.number(0.0, 20.0),
    "allow_guidance": read.yes_no,
    "websocket": read.yes_no,
    "timeout_s": read.number(1.0, 86_400.0),
    "stall_s": read.number(0.1, 86_400.0),
    "lost_after_s": read.number(0.1, 3_600.0),
    "attempts": read.whole(1, 20),
    "in_flight": read.whole(1, 16),
    "upload_folder": _folder,
    "megapixels": read.number(0.05, 4.0),
    "seconds_per_image": read.number(0.01, 3_600.0),
    "rent_usd_per_hour": read.number(0.0, 1_000.0),
    "ca_file": read.path,
}


def read_comfyui_options(given: Mapping[str, str]) -> Options:
    """Return the options these texts mean.

    A model patch asks for the template that has a place for one, unless another is named. Raises ConfigurationError:
    an unknown option, a value that does not fit, or nothing left to draw.
    """
    values = read.read_options(given, _READERS, ENGINE)
    if "model_patch" in values:
        values.setdefault("inpaint_template", CONTROL_TEMPLATE)
    options = Options(**values)
    if options.template == options.inpaint_template == "none":
        raise ConfigurationError(
            "Engine 'comfyui' was told neither a template nor an inpaint_template: there is nothing it could draw."
        )
    if options.guidance and not options.allow_guidance:
        raise ConfigurationError(
            f"Guidance {options.guidance:g} was asked for, but Z-Image-Turbo is made for 0: more doubles the time and "
            "distorts the picture. Set option allow_guidance=yes if it is meant."
        )
    return options
