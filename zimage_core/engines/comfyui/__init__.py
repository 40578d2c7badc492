"""ComfyUI servers as an engine: a workflow in API format, filled in for each picture, run by whoever has least to do.

What it is:       `create(options)` gives the engine. `graph` reads workflows, `slots` finds where what goes in them,
                  `template` fills them; `preflight` says what a server lacks; `server` is the HTTP protocol and `ears`
                  the websocket; `waiting`, `work` and `commission` see one picture through; `fleet` chooses among
                  servers; `failures` says what went wrong; `check` explains a template to a person. `templates/` holds
                  the workflows that are shipped.
May import:       imaging, settings, clock, domain, errors, engines.base, engines.drawing and engines.wire.
May touch:        the network: the ComfyUI servers it is told; template files.
Never:            fills a node it had to guess, submits a prompt twice that may still be running, interrupts other
                  people's prompts, or trusts a file that is not of this very try.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from zimage_core.domain import Mode

if TYPE_CHECKING:
    from zimage_core.engines.base import Engine

MODES: Final[tuple[Mode, ...]] = ("stage", "inpaint", "text")


def create(options: Mapping[str, str]) -> Engine:
    """Return the engine that these options ask for (see `options.Options`); no server is called before a picture.

    Raises ConfigurationError: an option or a template is wrong.
    """
    from zimage_core.engines.comfyui.engine import ComfyEngine
    from zimage_core.engines.comfyui.options import read_comfyui_options

    return ComfyEngine(read_comfyui_options(options))
