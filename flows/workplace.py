"""Where a worker of a Prefect server stands while it runs a flow: the pull step of prefect.yaml."""

from __future__ import annotations

import os

from zimage_core.errors import ConfigurationError
from zimage_core.settings import load_settings


def enter() -> dict[str, str]:
    """Go to ZIMAGE_HOME, so that relative paths, `.env` and prompts/ mean the same to every worker.

    A worker starts each run in an empty folder of its own. Raises ConfigurationError when it was not told where to go.
    """
    home = load_settings().home
    if home is None:
        raise ConfigurationError(
            "This worker was not told where relative paths start from: start it with ZIMAGE_HOME, as `zimage setup` "
            "prints."
        )
    if not home.is_dir():
        raise ConfigurationError(f"ZIMAGE_HOME is {home}, and this worker has no such folder.")
    os.chdir(home)
    return {"directory": str(home.resolve())}
