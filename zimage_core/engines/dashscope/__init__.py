"""Z-Image-Turbo as Alibaba Cloud's Model Studio serves it (DashScope): paid per picture, over HTTPS.

What it is:       `create(options)` gives the engine. `options` says what it can be told; `protocol` writes requests and
                  reads answers and error codes, without a network; `rate` spaces calls out for the account; `engine`
                  makes the calls and never pays twice for what it can still fetch.
May import:       imaging, domain, errors, clock, settings, engines.base, engines.drawing and engines.wire.
May touch:        the network: the service, and the addresses that it names for pictures (without our key).
Never:            sends the key anywhere but to the service, calls again once the account or the key was refused, or
                  invents a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from zimage_core.domain import Mode

if TYPE_CHECKING:
    from zimage_core.engines.base import Engine

MODES: Final[tuple[Mode, ...]] = ("stage", "text")


def create(options: Mapping[str, str]) -> Engine:
    """Return the engine that these options ask for (see `options.Options`); nothing is called before the first picture.

    Raises ConfigurationError: an option is wrong, or there is no ZIMAGE_ENGINE_API_KEY.
    """
    from zimage_core.engines.dashscope.engine import DashScopeEngine
    from zimage_core.engines.dashscope.options import read
    from zimage_core.engines.wire.options import api_key
    from zimage_core.errors import ConfigurationError

    chosen = read(options)
    key = api_key()
    if key is None:
        raise ConfigurationError(
            "Engine 'dashscope' needs the key of a Model Studio account in ZIMAGE_ENGINE_API_KEY; keys are made per "
            f"region, and this one is to be for {chosen.url}."
        )
    return DashScopeEngine(chosen, key)
