"""Engines behind `POST /v1/generate`: our own server, and the small FastAPI services that teams run.

What it is:       `create(options)` asks each address what it is and gives the engine. `options` says what it can be
                  told; `probe` asks; `engine` sends the whole request to our own server, and to a plain service what
                  `engines.drawing` makes of it.
May import:       imaging, domain, errors, clock, settings; engines.base, drawing, exchange and wire.
May touch:        the addresses it is told.
Never:            draws on two servers that are not the same engine, or asks one for the same attempt under two keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from zimage_core.domain import Mode

if TYPE_CHECKING:
    from zimage_core.engines.base import Engine

MODES: Final[tuple[Mode, ...]] = ("stage", "text")
"""What any service behind this engine can do; our own server adds what the engine inside it makes."""


def create(options: Mapping[str, str]) -> Engine:
    """Return the engine behind the addresses of option `url` (see `options.Options`), each asked what it is.

    Raises ConfigurationError: an option is wrong, the addresses are not one and the same engine, or the key is not
    taken; EngineUnavailable: none of them answers.
    """
    from zimage_core.engines.zimage_http.engine import connect
    from zimage_core.engines.zimage_http.options import read

    return connect(read(options))
