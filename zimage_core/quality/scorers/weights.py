"""What scorers on torch share: options read strictly, a model from a local folder, pictures as the model takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from zimage_core.errors import ConfigurationError


def folder_of(options: Mapping[str, str], scorer: str, *known: str) -> Path:
    """Return the folder of option `model`. Raises ConfigurationError: it is missing, or an option is not known."""
    unknown = sorted(set(options) - {"model", "device", *known})
    if unknown:
        takes = ", ".join(("model", "device", *known))
        raise ConfigurationError(f"The scorer '{scorer}' takes {takes}; remove {', '.join(unknown)}.")
    folder = Path(options.get("model", ""))
    if "model" not in options or not (folder / "config.json").is_file():
        raise ConfigurationError(
            f"The scorer '{scorer}' needs option model: a local folder of weights with a config.json, not "
            f"'{options.get('model', '')}'. Nothing is downloaded."
        )
    return folder


def device_of(options: Mapping[str, str], scorer: str) -> torch.device:
    """Return the device of option `device`, the CPU where none is named. Raises ConfigurationError: it is not there."""
    try:
        device = torch.device(options.get("device", "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"The scorer '{scorer}' cannot use device '{options['device']}': {reason}") from error
    return device


def model_of(kind: Any, folder: Path, scorer: str) -> Any:
    """Return the model of a folder, every one of its weights from the folder.

    Raises ConfigurationError: it cannot be loaded, or weights are missing or of another shape, which transformers
    would fill with random numbers and a line in the log.
    """
    model, info = loaded(
        lambda: kind.from_pretrained(folder, local_files_only=True, output_loading_info=True), folder, scorer
    )
    wrong = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if wrong:
        named = ", ".join(wrong[:3])
        raise ConfigurationError(
            f"The scorer '{scorer}' cannot use {folder}: {len(wrong)} weights do not fit: {named}."
        )
    return model


def loaded(load: Callable[[], Any], folder: Path, scorer: str) -> Any:
    """Return what `load` loads from a folder. Raises ConfigurationError naming the folder and what is wrong with it."""
    try:
        return load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"The scorer '{scorer}' cannot load {folder}: {reason}") from error
