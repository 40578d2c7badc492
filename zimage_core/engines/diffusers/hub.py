"""A model by its hub id: found in the hub's local cache, or downloaded into it once."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from zimage_core.errors import ConfigurationError, EngineUnavailable

_HUB_ID: Final = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([A-Za-z0-9][\w.-]*))?", re.ASCII)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HubId:
    """A repository of the hub, `owner/name`; `revision` is a branch, tag or commit, None the main branch."""

    name: str
    revision: str | None


def read_hub_id(text: str) -> HubId | None:
    """Return the hub id that `owner/name` or `owner/name@revision` means, None where it is neither."""
    match = _HUB_ID.fullmatch(text)
    return HubId(match[1], match[2]) if match else None


def fetch(hub_id: HubId, patterns: Sequence[str], cache: Path | None, *, offline: bool) -> Path:
    """Return the folder with the repository's files that match `patterns`, downloaded if they are not there yet.

    Raises ConfigurationError: not in the cache while `offline`, unknown to the hub, or closed to us;
    EngineUnavailable: the hub did not answer. What the hub's library says is not repeated, because it may hold URLs
    with credentials; its class and the HTTP status are.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    _log.info("Looking for model %s %s.", hub_id.name, "in the local cache" if offline else "at the hub")
    try:
        folder = snapshot_download(
            hub_id.name,
            revision=hub_id.revision,
            cache_dir=cache,
            allow_patterns=list(patterns),
            local_files_only=offline,
            tqdm_class=_no_bars(),
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        if offline or isinstance(error.__cause__ or error, OfflineModeIsEnabled):
            raise ConfigurationError(
                f"Model {_named(hub_id)} is not in the local cache, or not all of it, and the engine was told to stay "
                f"offline; download it first (`hf download {hub_id.name}`) or give its folder."
            ) from None
        raise _unreachable(hub_id, error) from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403, 404):
            raise ConfigurationError(
                f"The hub does not give model {_named(hub_id)} (HTTP {status}): it has no such repository or revision, "
                "or wants an account that was granted access (set HF_TOKEN)."
            ) from None
        raise _unreachable(hub_id, error) from None
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        raise _unreachable(hub_id, error) from None
    return Path(folder)


def _named(hub_id: HubId) -> str:
    return hub_id.name if hub_id.revision is None else f"{hub_id.name} at {hub_id.revision}"


def _unreachable(hub_id: HubId, error: Exception) -> EngineUnavailable:
    return EngineUnavailable(
        f"Model {_named(hub_id)} could not be fetched from the hub ({type(error).__name__}); try again, or give a "
        "local folder and option offline=yes."
    )


def _no_bars() -> Any:
    """Return the hub's progress bar, disabled: a run's log is no place for it."""
    from huggingface_hub.utils import tqdm

    class NoBar(tqdm):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **{**named, "disable": True})

    return NoBar
